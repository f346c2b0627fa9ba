"""Fetching against a real server on loopback that behaves in every bad way."""

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bad_server import CONTENT, FILE, HANGS_S, SHA256, Handler, Server, serving
from fake_host import FakeHost, done

from orchestrator.cli.log import show_log
from orchestrator.errors import (
    ChecksumMismatchError,
    DeadlineError,
    MatrixctlError,
    SourceUnreachableError,
)
from orchestrator.execute.sources import release
from orchestrator.execute.sources.download import FetchError, download
from orchestrator.execute.sources.release import Fetched, fetch, list_pools
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Source, SourceOrigin


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@dataclass
class Fetcher:
    """Calls ``fetch`` with a source of the given origins."""

    root: Path
    said: list[str] = field(default_factory=list)

    def __call__(
        self,
        *origins: str | SourceOrigin,
        mirrors: tuple[str, ...] = (),
        seconds: float = 300,
        apt_bases: tuple[str, ...] = (),
        sha256: str | None = SHA256,
    ) -> Fetched:
        source = Source(
            component="x",
            version="1.0",
            file=FILE,
            sha256=sha256,
            strip=1,
            origins=tuple(
                SourceOrigin(kind="url", where=origin) if isinstance(origin, str) else origin
                for origin in origins
            ),
        )
        with show_log(self.said.append):
            fetched = fetch(
                source,
                store=Store(self.root),
                mirrors=mirrors,
                deadline=time.monotonic() + seconds,
                apt_bases=apt_bases,
            )
        assert fetched.path.read_bytes() == CONTENT
        assert fetched.path == self.root / "sources" / SHA256 / FILE
        return fetched

    def refusal(self, *origins: str | SourceOrigin, **options: Any) -> MatrixctlError:
        """The error, after which nothing may lie in the store."""
        with pytest.raises(MatrixctlError) as caught:
            self(*origins, **options)
        assert list((self.root / "sources").iterdir()) == []
        assert list((self.root / "tmp").iterdir()) == []
        return caught.value


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(root=tmp_path / "store")


def test_the_store_is_asked_before_anybody_else(server: Server, fetcher: Fetcher) -> None:
    first = fetcher(f"{server.base}/ok/a")
    second = fetcher(f"{server.base}/ok/a", mirrors=(f"{server.base}/ok",))
    assert first.origin == second.origin == f"{server.base}/ok/a"
    assert server.seen == ["/ok/a"]


@pytest.mark.fault(
    "a source in the store has changed",
    "found by its digest, fetched again",
)
def test_harm_in_the_store_is_mended(server: Server, fetcher: Fetcher) -> None:
    fetcher(f"{server.base}/ok/a").path.write_bytes(b"harm")
    fetcher(f"{server.base}/ok/a")
    assert server.times("/ok/a") == 2


def test_a_mirror_folder_comes_first(server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(CONTENT)
    fetched = fetcher(f"{server.base}/ok/a", mirrors=(str(tmp_path),))
    assert (fetched.origin, fetched.tried, server.seen) == ("mirror", (), [])
    assert (tmp_path / FILE).read_bytes() == CONTENT  # copied, not moved


def test_a_mirror_url_is_asked_by_the_file_name(server: Server, fetcher: Fetcher) -> None:
    fetched = fetcher(mirrors=(f"{server.base}/ok/",))
    assert (fetched.origin, server.seen) == ("mirror", [f"/ok/{FILE}"])


@pytest.mark.parametrize(
    "mirror", ["http://[", "http://user:secret@[", "~nobody-of-that-name", "-x", "/dev/zero"]
)
def test_a_mirror_that_is_no_place_is_told_and_passed_over(
    server: Server, fetcher: Fetcher, mirror: str
) -> None:
    fetched = fetcher(f"{server.base}/ok/a", mirrors=(mirror,))
    assert len(fetched.tried) == 1
    assert "secret" not in fetched.tried[0]


def test_a_wrong_mirror_is_told_and_passed_over(server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"other")
    fetched = fetcher(f"{server.base}/ok/a", mirrors=(str(tmp_path), f"{server.base}/wrong"))
    assert fetched.origin == f"{server.base}/ok/a"
    found = hashlib.sha256(b"other").hexdigest()
    assert fetcher.said[0] == (
        f"x 1.0: {tmp_path}/{FILE}: has other bytes (SHA-256 {found}, declared {SHA256})"
    )
    assert [f"x 1.0: {line}" for line in fetched.tried] == fetcher.said
    assert server.times(f"/wrong/{FILE}") == 1  # never retried


def test_a_mirror_without_the_file_is_passed_over(server: Server, fetcher: Fetcher, tmp_path: Path) -> None:
    fetched = fetcher(f"{server.base}/ok/a", mirrors=(str(tmp_path),))
    assert fetched.tried == (f"{tmp_path}/{FILE}: no such file or directory",)


@pytest.mark.parametrize("how", ["flaky", "cut-once", "moved", "unannounced", "labelled-gzip"])
def test_what_ends_well(server: Server, fetcher: Fetcher, how: str) -> None:
    assert fetcher(f"{server.base}/{how}/a").tried == ()


@pytest.mark.parametrize(
    ("how", "why", "attempts"),
    [
        ("missing", "answered 404", 1),
        ("broken", "answered 503", 4),
        ("cut", "ended in the middle", 4),
        ("endless", "redirects more than 5 times", 6),
        ("huge", "is larger than 512 MiB", 1),
    ],
)
def test_what_ends_badly(server: Server, fetcher: Fetcher, how: str, why: str, attempts: int) -> None:
    error = fetcher.refusal(f"{server.base}/{how}/a")
    assert isinstance(error, SourceUnreachableError)
    assert error.details == f"{server.base}/{how}/a: {why}"
    assert server.times(f"/{how}/a") == attempts


@pytest.mark.fault(
    "a server sends wrong bytes",
    "`blocked: checksum-mismatch` once every place was asked, nothing of it in the store",
)
def test_wrong_bytes_everywhere_are_a_checksum_mismatch(server: Server, fetcher: Fetcher) -> None:
    error = fetcher.refusal(f"{server.base}/missing/a", f"{server.base}/wrong/a")
    assert isinstance(error, ChecksumMismatchError)
    found = hashlib.sha256(CONTENT[:-1] + b"!").hexdigest()
    assert error.details.splitlines() == [
        f"{server.base}/missing/a: answered 404",
        f"{server.base}/wrong/a: has other bytes (SHA-256 {found}, declared {SHA256})",
    ]
    assert server.times("/wrong/a") == 1


@pytest.mark.parametrize("how", ["hanging", "trickle", "trickle-headers"])
def test_the_deadline_holds(server: Server, fetcher: Fetcher, how: str) -> None:
    started = time.monotonic()
    error = fetcher.refusal(f"{server.base}/{how}/a", seconds=0.5)
    assert isinstance(error, SourceUnreachableError)
    assert 0.4 < time.monotonic() - started < HANGS_S / 2
    assert "time" in error.details


@pytest.mark.parametrize("how", ["hanging", "trickle", "broken"])
def test_a_slow_origin_leaves_time_for_the_next(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def share(_: float, *, last: bool) -> float:
        return time.monotonic() + (300 if last else 0.5)

    monkeypatch.setattr(release, "_share_time", share)
    fetched = fetcher(f"{server.base}/{how}/a", f"{server.base}/ok/a", seconds=300)
    assert fetched.origin == f"{server.base}/ok/a"
    assert len(fetched.tried) == 1


def test_size_is_limited_where_nobody_announces_it(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="is larger than"):
        download(
            f"{server.base}/unannounced/a",
            tmp_path / "x",
            deadline=time.monotonic() + 300,
            max_bytes=len(CONTENT) - 1,
        )
    assert (tmp_path / "x").stat().st_size < len(CONTENT)


def test_nobody_listens(fetcher: Fetcher) -> None:
    error = fetcher.refusal("http://127.0.0.1:9/a")
    assert error.details == "http://127.0.0.1:9/a: connection refused"


def test_a_password_is_not_shown(server: Server, fetcher: Fetcher) -> None:
    base = server.base.replace("//", "//user:secret@")
    error = fetcher.refusal(mirrors=(f"{base}/missing",))
    assert "secret" not in f"{error} {fetcher.said}"
    assert f"{server.base}/missing/{FILE}" in error.details


def test_the_pool_is_sought_in_every_archive(server: Server, fetcher: Fetcher) -> None:
    origin = SourceOrigin(kind="debian-pool", where="main/x/x/x_1.0.orig.tar.gz")
    fetched = fetcher(origin, apt_bases=(f"{server.base}/missing/pool", f"{server.base}/ok/pool/updates"))
    assert fetched.origin == "debian-pool: main/x/x/x_1.0.orig.tar.gz"
    assert server.seen == [
        "/missing/pool/main/x/x/x_1.0.orig.tar.gz",
        "/ok/pool/updates/main/x/x/x_1.0.orig.tar.gz",
    ]


def test_no_debian_mirror_is_said(fetcher: Fetcher) -> None:
    origin = SourceOrigin(kind="debian-pool", where="main/x/x/x_1.0.orig.tar.gz")
    assert fetcher.refusal(origin).details == f"{origin}: no Debian mirror configured here"


def test_no_origin_at_all_is_said(fetcher: Fetcher) -> None:
    error = fetcher.refusal()
    assert error.details == "sources.yaml names no origin and there is no mirror"
    assert error.resolution == f"Put {FILE} into a folder (or on a server) and pass that with --mirror."


def test_an_unknown_digest_blocks_before_anybody_is_asked(server: Server, fetcher: Fetcher) -> None:
    with pytest.raises(SourceUnreachableError, match=r"the SHA-256 of x 1\.0 is unknown"):
        fetcher(f"{server.base}/ok/a", sha256=None)
    assert server.seen == []


def test_two_runs_fetch_once(server: Server, fetcher: Fetcher) -> None:
    threads = [threading.Thread(target=fetcher, args=(f"{server.base}/flaky/a",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.times("/flaky/a") == 3  # two failures and one download


def test_a_lock_that_is_held_ends_at_the_deadline(server: Server, fetcher: Fetcher) -> None:
    with (
        Store(fetcher.root).lock("source-x-1.0", deadline=time.monotonic()),
        pytest.raises(DeadlineError),
    ):
        fetcher(f"{server.base}/ok/a", seconds=0.3)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("", ()),
        ("cdrom:[Debian] trixie\nfile:/srv trixie\n", ()),
        (
            "http://d/debian-security a-security\nhttp://d/debian/ a\nhttp://d/debian b",
            ("http://d/debian/pool", "http://d/debian-security/pool/updates"),
        ),
    ],
)
def test_pools_of_apts_configuration(targets: str, expected: tuple[str, ...]) -> None:
    assert list_pools(targets) == expected


@pytest.mark.parametrize(
    ("os_id", "programs", "expected"),
    [
        ("debian", {"apt-get"}, ("http://d/debian/pool",)),
        ("debian", set(), ()),
        ('ubuntu\nID_LIKE="debian"', {"apt-get"}, ()),
    ],
)
def test_only_debian_has_debians_pool(os_id: str, programs: set[str], expected: tuple[str, ...]) -> None:
    answers = {"apt-get indextargets": done("http://d/debian trixie\n")}
    host = FakeHost(os_id=os_id, programs=programs, answers=answers)
    assert release.find_apt_bases(host) == expected


# pip: a real pip against a real index on loopback


def sdist(marker: Path) -> bytes:
    """An sdist with a build backend of its own, which leaves a mark when its code is run."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "PKG-INFO": "Metadata-Version: 2.1\nName: x\nVersion: 1.0\n",
        "backend.py": f"""
import os
with open({str(marker)!r}, "w") as file:
    file.write(" ".join(os.environ))
def prepare_metadata_for_build_wheel(folder, settings=None):
    os.mkdir(os.path.join(folder, "x-1.0.dist-info"))
    with open(os.path.join(folder, "x-1.0.dist-info", "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: x\\nVersion: 1.0\\n")
    return "x-1.0.dist-info"
def build_wheel(*_):
    raise NotImplementedError
""",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"x-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def index(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bytes]:
    """Makes the server an index with one sdist, and pip look there alone."""

    def publish() -> bytes:
        content = sdist(tmp_path / "code-was-run")

        def simple(handler: Handler) -> None:
            if handler.path.endswith(".tar.gz"):
                handler.answer(content)
            else:
                handler.answer(b'<a href="/simple/x/x-1.0.tar.gz">x-1.0.tar.gz</a>', Content_Type="text/html")

        monkeypatch.setattr(Handler, "simple", simple, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.base}/simple")
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        return content

    return publish


@pytest.mark.whole
def test_pip_brings_a_pinned_sdist_whose_code_sees_no_secret(
    index: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "secret")
    content = index()
    fetched = fetch(
        Source(
            component="x",
            version="1.0",
            file="renamed.tar.gz",
            sha256=hashlib.sha256(content).hexdigest(),
            strip=1,
            origins=(SourceOrigin(kind="pypi", where="x==1.0"),),
        ),
        store=Store(tmp_path / "store"),
        mirrors=(),
        deadline=time.monotonic() + 60,
        apt_bases=(),
    )
    assert fetched.path.name == "renamed.tar.gz"
    assert fetched.path.read_bytes() == content
    seen = (tmp_path / "code-was-run").read_text().split()  # so its absence below means something
    assert "PATH" in seen
    assert "DEPLOY_TOKEN" not in seen


@pytest.mark.whole
def test_pip_verifies_before_any_code_of_the_sdist_runs(
    index: Callable[[], bytes], fetcher: Fetcher, tmp_path: Path
) -> None:
    index()
    error = fetcher.refusal(SourceOrigin(kind="pypi", where="x==1.0"), seconds=60)
    assert isinstance(error, ChecksumMismatchError)
    assert error.details == "pypi: x==1.0: has other bytes than declared"
    assert not (tmp_path / "code-was-run").exists()


@pytest.mark.whole
def test_pip_says_what_it_lacks(index: Callable[[], bytes], fetcher: Fetcher) -> None:
    index()
    error = fetcher.refusal(SourceOrigin(kind="pypi", where="y==2.0"), seconds=60)
    assert isinstance(error, SourceUnreachableError)
    assert error.details == "pypi: y==2.0: pip: ERROR: No matching distribution found for y==2.0"
