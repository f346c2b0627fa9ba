"""What is answered: the pages as the site has them, a run's report and evidence, and nothing beside them."""

import json
import os
import shutil
from pathlib import Path

import pytest
from asking import Served, served
from fake_nights import run_nights
from site_samples import Series

from orchestrator.atomic_files import SITE_MANIFEST
from orchestrator.errors import UsageError
from orchestrator.record.history.history import History
from orchestrator.site.page_paths import name_run_page
from orchestrator.site.pages import POLICY

LAST = "20261127-020000-000b"


@pytest.fixture(scope="module")
def shared(nights: Series, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """To be read only; in its folder lie links that nobody may follow."""
    folder = tmp_path_factory.mktemp("served")
    found = served(nights.reports, folder / "site")
    found.site.make()
    (folder / "secret.txt").write_text("the secret")
    (folder / "site" / "linked.txt").symlink_to(folder / "secret.txt")
    (folder / "site" / "linked").symlink_to(folder)
    os.mkfifo(folder / "site" / "pipe.txt")
    return found


@pytest.fixture
def ours(own: Series, tmp_path: Path) -> Served:
    found = served(own.reports, tmp_path / "site", own.place)
    found.site.make()
    found.run.look()
    return found


def test_each_file_of_the_site_is_answered_as_it_lies_there(shared: Served) -> None:
    kinds = {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".xml": "application/atom+xml",
    }
    seen = set()
    for name in json.loads((shared.site.folder / SITE_MANIFEST).read_bytes())["files"]:
        path = shared.site.folder / name
        if path.suffix in seen and path.parent != shared.site.folder:
            continue
        seen.add(path.suffix)
        answer = shared.ask(f"/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, kinds[path.suffix]), name
        assert answer.body == path.read_bytes()
        assert answer.headers["content-security-policy"] == f"{POLICY}; frame-ancestors 'none'"
    assert seen == kinds.keys()
    assert shared.ask("/").body == shared.ask("/index.html").body


def test_the_pages_lead_to_the_run_that_goes_on(shared: Served, built: Path) -> None:
    link = 'href="live.html"'
    assert link in shared.ask("/").text
    assert link not in (built / "index.html").read_text(), "a folder has no such page"
    assert 'href="../live.html"' in shared.ask(f"/{name_run_page(LAST)}").text


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/cells/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/cells/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "//secret.txt",
        "/./index.html",
        "/cells",
        "/cells/",
        "/cells/.",
        f"/{SITE_MANIFEST}",
        "/%00",
        "/index.html%00.txt",
        "/a%00b.html",
        "/" + "a" * 5000 + ".html",
        "/%ff.html",
        "/secret.txt",
        "/linked.txt",
        "/linked/secret.txt",
        "/pipe.txt",
        "/reports",
        "/reports/",
        f"/reports/{LAST}",
        f"/reports/{LAST}/",
        f"/reports/{LAST}/cells",
        f"/reports/{LAST}/../history.db",
        f"/reports/{LAST}/%2e%2e/history.db",
        f"/reports/{LAST}/..%2fhistory.db",
        f"/reports/{LAST}//etc/passwd",
        f"/reports/{LAST}/%00",
        "/reports/../secret.txt",
        "/reports/%2e%2e/secret.txt",
        "/reports/history.db",
        "/reports/store/index.html",
        "/reports/%2e/index.html",
        "/reports/20261127-020000-ffff/journal.jsonl",
    ],
)
def test_no_path_leads_out_of_the_site_or_of_a_run(shared: Served, path: str) -> None:
    answer = shared.ask(path)
    assert answer.status == 404, answer.text
    assert answer.text == "There is no such page.\n"


def test_the_report_of_a_run_is_made_anew_and_its_evidence_is_plain_text(
    tmp_path: Path, nights: Series
) -> None:
    reports = tmp_path / "reports"
    bad = "20261123-020000-0007"
    shutil.copytree(nights.reports / bad, reports / bad)
    (reports / bad / "index.html").write_text("<script>window.hurt=1</script>")
    (reports / bad / "cells" / "x.html").write_text("<script>window.hurt=1</script>")
    (reports / bad / "cells" / "link.txt").symlink_to("/etc/passwd")
    ours = served(reports, tmp_path / "site")
    report = ours.ask(f"/reports/{bad}/index.html")
    assert report.headers["content-type"].startswith("text/html")
    assert "window.hurt" not in report.text
    assert "handshake-then-hang" in report.text
    assert "style-src &#39;sha256-" in report.text
    assert "style-src 'sha256-" in report.headers["content-security-policy"], "its style is in the page"
    evidence = ours.ask(f"/reports/{bad}/cells/x.html")
    assert evidence.status == 200
    assert evidence.headers["content-type"] == "text/plain; charset=utf-8"
    assert ours.ask(f"/reports/{bad}/cells/link.txt").status == 404
    (reports / bad / "cells" / "capture.pcapng").write_bytes(b"\n\r\r\n\x00")
    packets = ours.ask(f"/reports/{bad}/cells/capture.pcapng")
    assert packets.headers["content-type"] == "application/octet-stream", "is saved, for Wireshark"


def test_a_run_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / LAST
    folder.mkdir()
    (folder / "journal.jsonl").write_text('{"kind": "of-tomorrow"}\n')
    ours = served(tmp_path, tmp_path / "site")
    answer = ours.ask(f"/reports/{LAST}/index.html")
    assert answer.status == 500
    assert "an event that this version does not know" in answer.text
    ours.run.look()
    assert "The run cannot be followed: " in ours.ask("/live.html").text


def test_without_a_history_there_is_the_run_alone(tmp_path: Path) -> None:
    ours = served(tmp_path / "reports", tmp_path / "site")
    assert ours.site.make() is None
    first = ours.ask("/")
    assert (first.status, first.headers["location"]) == (307, "/live.html")
    page = ours.ask("/live.html").text
    assert "No run yet" in page
    assert "matrix.html" not in page, "there are no other pages"
    assert ours.ask("/matrix.html").status == 404
    assert [ours.ask(f"/{name}").status for name in ("style.css", "live.js", "site.js")] == [200] * 3
    assert not (tmp_path / "reports").exists(), "to look makes nothing"


def test_the_pages_are_made_again_when_the_history_has_changed(tmp_path: Path) -> None:
    place = served(tmp_path, tmp_path / "site").site._place
    run_nights(tmp_path, place, range(1))
    ours = served(tmp_path, tmp_path / "site")
    assert ours.site.make() is not None
    assert "It is the first night of the series" in ours.ask("/").text
    assert ours.site.make() is None, "the history is the same"
    run_nights(tmp_path, place, range(1, 2))
    written = ours.site.make()
    assert written is not None
    assert written.changed
    assert "It is the first night of the series" not in ours.ask("/").text
    assert ours.site.make() is None


def test_a_history_that_cannot_be_shown_leaves_the_pages_as_they_are(
    ours: Served, own: Series, caplog: pytest.LogCaptureFixture
) -> None:
    before = ours.ask("/").body
    with History(own.place) as kept:
        kept.remove([run["id"] for run in kept.list_runs()])
    with caplog.at_level("WARNING"):
        ours.site.look()
        ours.site.look()
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the pages stay as they are"
    ]
    assert ours.ask("/").body == before


def test_several_series_want_one_named(own: Series, tmp_path: Path) -> None:
    with History(own.place) as kept, kept._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET series = 'weekly' WHERE id = '{LAST}'")
    with pytest.raises(UsageError, match="belong to 2 series"):
        served(own.reports, tmp_path / "site", own.place).site.make()
