"""Thirty real nights, and whether the dashboard answers what a maintainer asks in the morning.

A fault of HAProxy comes and goes, and one of a library; a cell is flaky; wolfSSL moves from 5.7.2 to 5.9.2;
the matrix grows, the second time by cells that nothing can judge. The calendar alone is not real: each run is
told that it began so many days ago.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from browsing import Reader
from conftest import Runner, Tell
from selenium import webdriver
from selenium.webdriver.remote.webelement import WebElement

from orchestrator.app import first_record, running
from orchestrator.app.history import import_run
from orchestrator.app.site import build_site
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Reason, Verdict
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace, parse_place
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.record.runs import begin

pytestmark = [
    pytest.mark.containers,
    pytest.mark.browser,
    pytest.mark.soak,
    pytest.mark.timeout(2 * 3600),
]

PATCHES = Path(__file__).parent / "patches"
GCM, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
NIGHTS = 30
OURS = range(4, 7)
"""The nights, from 0, with a fault of HAProxy: it refuses ChaCha20."""
GROWN, UNTRIED = 8, 17
"""The first night with one more cipher, and the first with a HAProxy whose source has no known digest."""
THEIRS = range(10, 13)
"""The nights with a fault of OpenSSL 3.5.7: it gets Poly1305 of unaligned data wrong."""
MOVED = 15
"""The first night with wolfSSL 5.9.2."""
LAST = NIGHTS - 1
MORNINGS = (OURS[0], OURS[0] + 2, OURS[-1] + 1, GROWN, THEIRS[0], MOVED, LAST)
"""Those after which somebody looks at the site."""
MAIN, RACE = "main", "race"
"""Two HAProxy 3.0.11: the one that has a fault on some nights, and one that has a race on each."""
WRONG = ("openssl-poly1305-unaligned", "openssl-gcm-accepts-forgeries")
"""The second makes no cell fail; test_selftest.py has the same build."""
RACING = f"amd64--haproxy-{RACE}--openssl-distro--{GCM}"


def planted(name: str) -> str:
    return str(PATCHES / f"{name}.diff")


def matrix_of(night: int) -> dict[str, object]:
    """Return the matrix file of a night."""
    ours = [planted("haproxy-refuses-chacha20")] if night in OURS else []
    theirs = [planted(one) for one in WRONG] if night in THEIRS else []
    openssl = {"name": "openssl-3.5.7", "family": "openssl", "version": "3.5.7", "patches": theirs}
    race = {"name": RACE, "version": "3.0.11", "patches": [planted("haproxy-corrupts-some-uploads")]}
    common = {"arch": "amd64", "haproxy": "3.0.11", "cipher": [GCM, CHACHA], "client": "curl"}
    include: list[dict[str, object]] = [
        {**common, "tls": openssl},
        {**common, "tls": "wolfssl-5.7.2" if night < MOVED else "wolfssl-5.9.2"},
        {**common, "haproxy": race, "tls": "openssl-distro", "cipher": GCM},
    ]
    if night >= UNTRIED:
        include.append({**common, "haproxy": "3.0-dev12", "tls": "openssl-distro"})
    axes = {
        "arch": ["amd64"],
        "haproxy": [{"name": MAIN, "version": "3.0.11", "patches": ours}],
        "tls": ["openssl-distro"],
        "cipher": [GCM, CHACHA, *([AES256] if night >= GROWN else [])],
        "client": ["curl"],
    }
    return {"version": 1, "axes": axes, "include": include}


@dataclass(kw_only=True)
class Nights:
    """What the nights left: their records, the history, and the site as it was on some mornings."""

    folder: Path
    place: HistoryPlace
    first: datetime
    records: list[RunRecord] = field(default_factory=list)

    def began(self, night: int) -> datetime:
        return self.first + timedelta(days=night)

    def day(self, night: int) -> str:
        return f"{self.began(night):%Y-%m-%d}"

    def site(self, night: int) -> Path:
        return self.folder / "mornings" / str(night)

    def live(self, run: Runner, night: int) -> None:
        """Run one night and write it into the history; make the site again if somebody looks at it."""
        began, matrix = self.began(night), self.folder / "matrix.yaml"
        matrix.write_text(yaml.safe_dump(matrix_of(night), sort_keys=False))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "begin", lambda out, _: begin(out, began))
            patch.setattr(first_record, "utc_now", lambda: began.isoformat(timespec="milliseconds"))
            ran = run(profile="full", matrix=matrix, series="nightly", confirm=3, limits=Limits(request=4))
        self.records.append(ran.record)
        with History(self.place) as kept:
            import_run(kept, ran.folder)
            if night in MORNINGS:
                build_site(kept, self.folder / "site", series="nightly", now=began + timedelta(hours=5))
                shutil.copytree(self.folder / "site", self.site(night))


@pytest.fixture(scope="module")
def nights(run_once: Runner, tmp_path_factory: pytest.TempPathFactory, tell: Tell) -> Nights:
    folder = tmp_path_factory.mktemp("nights")
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=LAST)
    lived = Nights(folder=folder, place=parse_place(str(folder / "history.db")), first=first)
    for night in range(NIGHTS):
        lived.live(run_once, night)
    tell(figures(lived))
    return lived


def figures(nights: Nights) -> str:
    """Return what the nights came to, in a line or two."""
    cells = [cell for record in nights.records for cell in record.cells]
    verdicts = Counter(str(cell.verdict) for cell in cells)
    minutes = sum(record.run.duration_s or 0 for record in nights.records) / 60
    racing = [cell for cell in cells if RACING in cell.id]
    attempts = [one for cell in racing for one in cell.attempts]
    failed = sum(str(one.outcome) == "fail" for one in attempts)
    size = sum(path.stat().st_size for path in (nights.folder / "site").rglob("*") if path.is_file())
    return (
        f"{NIGHTS} nights, {len(cells)} results, {minutes:.1f} min of runs: "
        + ", ".join(f"{count} {name}" for name, count in verdicts.most_common())
        + f"; the cell with the race failed in {failed} of {len(attempts)} attempts"
        + f"; site {size / 1e6:.1f} MB"
    )


class Morning:
    """Somebody who has the overview open, and follows links."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.clicks = 0
        reader.visit("index.html")

    def sees(self, words: str, css: str = "body") -> bool:
        """Return whether a part of the page says so."""
        return any(words in element.text for element in self.reader.all(css))

    def follow(self, css: str, words: str = "") -> None:
        """Click on the first link that is there."""
        found: list[WebElement] = [one for one in self.reader.all(css) if words in one.text]
        assert found, f"no link {css} {words!r} on {self.reader.driver.current_url}"
        found[0].click()
        self.clicks += 1

    def open_cell(self, cell: str) -> None:
        """Click on a cell in the matrix, whose fields show signs and no text."""
        found = [
            one
            for one in self.reader.all("#grid a")
            if cell in f"{one.get_attribute('aria-label')} {one.get_attribute('title')}"
        ]
        assert found, f"the matrix has no {cell}"
        found[0].click()
        self.clicks += 1


@pytest.fixture
def morning(driver: webdriver.Chrome, nights: Nights, request: pytest.FixtureRequest) -> Iterator[Morning]:
    """The site on the morning after a night, which the test names."""
    site = nights.site(request.param)
    reader = Reader(driver, site)
    visitor = Morning(reader)
    yield visitor
    assert visitor.clicks <= 2
    assert reader.complaints() == []
    assert [url for url in reader.requests() if not url.startswith((site.as_uri(), "about:"))] == []


def after(night: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("morning", [night], indirect=True, ids=[f"night {night}"])


def is_gone(cell: CellRecord) -> bool:
    """Return whether a cell is blocked, since Debian's unstable suite has moved on."""
    return "wolfssl-5.9.2" in cell.id and cell.reason is Reason.SOURCE_UNREACHABLE


def of(record: RunRecord, part: str) -> dict[str, Verdict]:
    return {cell.id: cell.verdict for cell in record.cells if part in cell.id}


def test_the_nights_were_what_they_were_made_to_be(nights: Nights) -> None:
    for number, record in enumerate(nights.records):
        for cell in record.cells:
            if RACING in cell.id:
                continue
            chacha = CHACHA in cell.id
            ours = number in OURS and chacha and f"haproxy-{MAIN}--" in cell.id
            theirs = number in THEIRS and chacha and "openssl-3.5.7" in cell.id
            if ours or theirs:
                assert cell.verdict is Verdict.REGRESSION, (number, cell.id, cell.message)
                assert cell.confirmation is not None, (number, cell.id)
                assert cell.confirmation.state == "confirmed", (number, cell.id)
            elif "3.0-dev12" in cell.id or is_gone(cell):
                assert cell.reason is Reason.SOURCE_UNREACHABLE, (number, cell.message)
            else:
                assert cell.verdict is Verdict.AS_EXPECTED, (number, cell.id, cell.message)
    flaky = [
        number for number, record in enumerate(nights.records) if Verdict.FLAKY in of(record, RACING).values()
    ]
    assert len(flaky) > 1


@after(OURS[0])
def test_what_is_new_since_yesterday_and_that_it_is_us(morning: Morning) -> None:
    assert morning.sees("new failure", ".group h3")
    assert morning.sees("haproxy-refuses-chacha20.diff", ".group"), "the suspect is a change of HAProxy"


@after(THEIRS[0])
def test_that_a_dependency_is_to_blame(morning: Morning) -> None:
    assert morning.sees("new failure", ".group h3")
    assert morning.sees(f"{WRONG[0]}.diff", ".group")
    assert not morning.sees("haproxy-refuses-chacha20.diff", ".group")


@after(OURS[0] + 2)
def test_since_when(morning: Morning, nights: Nights) -> None:
    assert morning.sees(nights.day(OURS[0]), ".alarms")
    morning.follow(".alarms tbody a")
    assert morning.sees(nights.day(OURS[0]))


@after(OURS[-1] + 1)
def test_what_was_mended(morning: Morning) -> None:
    assert morning.sees("fixed", ".group h3")
    assert not morning.reader.all(".alarms")


@after(GROWN)
def test_what_the_matrix_has_more(morning: Morning) -> None:
    assert morning.sees("new cell", ".group h3")


@after(MOVED)
def test_a_library_that_moved_keeps_its_nights(morning: Morning, nights: Nights) -> None:
    if any(map(is_gone, nights.records[MOVED].cells)):
        pytest.skip("the archive no longer has the source of wolfSSL 5.9.2")
    assert not morning.sees("vanished", ".group h3")
    morning.follow("nav a", "Matrix")
    morning.open_cell(f"wolfssl-5.9.2--{CHACHA}")
    assert morning.sees("wolfssl-5.7.2", ".turns")
    assert morning.sees(nights.day(0), ".turns")


@after(LAST)
def test_whether_it_is_flaky(morning: Morning) -> None:
    morning.follow("nav a", "Matrix")
    morning.open_cell(RACING)
    (told,) = [one.text for one in morning.reader.all("dl.facts div") if one.text.startswith("flaky")]
    assert re.search(r"since \d{4}-\d\d-\d\d on the same ingredients: \d+ of \d+ attempts", told), told


@after(LAST)
def test_whether_it_was_ever_tested(morning: Morning) -> None:
    morning.follow("nav a", "Coverage")
    assert morning.sees("3.0-dev12", "[aria-labelledby=never]")
