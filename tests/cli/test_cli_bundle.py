"""``report RUN --bundle FILE``: a zip that opens elsewhere, the same each time, with no file from outside."""

import re
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pytest
from cli_samples import RUN, a_run, cells
from click.testing import CliRunner, Result

from orchestrator.cli.main import main
from orchestrator.record.journal import JOURNAL, CellJudged, Journal, read
from orchestrator.record.model import Backtrace, RunRecord

FIRST, SECOND = (cell.id for cell in cells()[:2])


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two cells with evidence and inputs, a link that leads out, and a path that does."""
    out = tmp_path / "reports"
    a_run(out)
    folder = out / RUN
    *_, judged = (event for event in read(folder / JOURNAL) if isinstance(event, CellJudged))
    names = ("backtrace.txt", "haproxy.log", "h3.json", "link.txt", "gone.txt")
    paths = tuple(f"cells/{FIRST}/{name}" for name in names)
    for path in paths[:3]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"this is {path}\n" * 9)
    (out / "secret").write_text("not for you")
    (folder / paths[3]).symlink_to(out / "secret")
    trace = Backtrace(tries=1, signal="SIGSEGV", frames=(), symbols="s", problem="", evidence=paths[0])
    told = {"evidence": (*paths, "../secret", "/etc/passwd", f"cells/{FIRST}/a\\b.txt"), "backtrace": trace}
    other = {"id": SECOND, "evidence": (f"cells/{SECOND}/haproxy.log",)}
    (folder / "cells" / SECOND).mkdir(parents=True, exist_ok=True)
    (folder / "cells" / SECOND / "haproxy.log").write_text("of the other\n")
    with Journal(folder / JOURNAL) as journal:
        journal.append(CellJudged(cell=judged.cell.model_copy(update=told)))
        journal.append(CellJudged(cell=judged.cell.model_copy(update=other)))
    for kept in ("inputs/matrix.yaml", "inputs/pins.json", "patches/fix.diff"):
        (folder / kept).parent.mkdir(exist_ok=True)
        (folder / kept).write_text(kept)
    return folder


def bundle(out: Path, name: str, *options: str) -> zipfile.ZipFile:
    done = invoke("report", RUN, "--out", out, "--bundle", out / name, *options)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(out / name)
    return zipfile.ZipFile(out / name)


def names(packed: zipfile.ZipFile) -> set[str]:
    assert {name.partition("/")[0] for name in packed.namelist()} == {RUN}
    return {name.partition("/")[2] for name in packed.namelist()}


EVIDENCE = {f"cells/{FIRST}/{name}" for name in ("backtrace.txt", "haproxy.log", "h3.json")}
INPUTS = {"inputs/matrix.yaml", "inputs/pins.json", "patches/fix.diff"}
PAGE = {"index.html", "run.json"}


def test_a_bundle_has_the_page_the_evidence_and_the_inputs(run: Path) -> None:
    found = names(bundle(run.parent, "all.zip"))
    assert found >= PAGE | EVIDENCE | INPUTS | {f"cells/{SECOND}/haproxy.log"}
    assert not any("secret" in name or "link" in name or "passwd" in name for name in found)


def test_chosen_cells_bring_their_evidence_and_text_alone(run: Path) -> None:
    packed = bundle(run.parent, "one.zip", "--cell", FIRST)
    found = names(packed)
    assert found >= PAGE | EVIDENCE | INPUTS | {f"issue-{FIRST}.md"}
    assert f"cells/{SECOND}/haproxy.log" not in found
    text = packed.read(f"{RUN}/issue-{FIRST}.md").decode()
    assert "of a second run under gdb, which stopped at SIGSEGV" in text
    assert f"this is cells/{FIRST}/backtrace.txt" in text
    record = RunRecord.model_validate_json(packed.read(f"{RUN}/run.json"))
    assert {cell.id for cell in record.cells} >= {FIRST, SECOND}, "the page tells of the whole run"


def test_each_link_of_an_unpacked_page_leads_to_a_file(run: Path, tmp_path: Path) -> None:
    bundle(run.parent, "one.zip", "--cell", FIRST).extractall(tmp_path / "there")
    page = tmp_path / "there" / RUN / "index.html"
    links = re.findall(r'href="\./([^"]+)"', page.read_text())
    assert {unquote(link) for link in links} >= EVIDENCE
    assert [link for link in links if not (page.parent / unquote(link)).is_file()] == []


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    bundle(run.parent, "a.zip", "--cell", FIRST)
    (run / f"cells/{FIRST}/h3.json").touch()
    bundle(run.parent, "b.zip", "--cell", FIRST)
    assert (run.parent / "a.zip").read_bytes() == (run.parent / "b.zip").read_bytes()


def test_what_is_left_out_is_named(run: Path) -> None:
    said = invoke("report", RUN, "--out", run.parent, "--bundle", run.parent / "a.zip").stderr
    for name in ("link.txt", "gone.txt", "../secret", "/etc/passwd", "a\\b.txt"):
        assert re.search(rf"left out: \S*{re.escape(name)}: ", said), said


def test_a_file_of_that_name_is_not_overwritten(run: Path) -> None:
    (run.parent / "mine.zip").write_text("mine")
    done = invoke("report", RUN, "--out", run.parent, "--bundle", run.parent / "mine.zip")
    assert done.exit_code == 2
    assert "is there already, and is not overwritten" in done.stderr
    assert (run.parent / "mine.zip").read_text() == "mine"


def test_a_file_too_large_is_left_out_and_nothing_of_it_read(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.app.bundle._FILE", 100)
    done = invoke("report", RUN, "--out", run.parent, "--bundle", run.parent / "a.zip")
    assert f"left out: cells/{FIRST}/h3.json: too large" in done.stderr
    assert f"cells/{FIRST}/h3.json" not in names(zipfile.ZipFile(run.parent / "a.zip"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "junit"), "--bundle has its own formats"),
        (("--cell", "nothing-like-it"), "nothing-like-it"),
    ],
)
def test_bad_input_is_a_sentence(run: Path, options: tuple[str, ...], said: str) -> None:
    done = invoke("report", RUN, "--out", run.parent, "--bundle", run.parent / "a.zip", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (run.parent / "a.zip").exists()


def test_a_lone_record_has_no_evidence_to_pack(run: Path) -> None:
    invoke("report", RUN, "--out", run.parent, "--format", "json")
    record = run / "run.json"
    record.write_text(invoke("report", RUN, "--out", run.parent, "--format", "json").stdout)
    done = invoke("report", record, "--bundle", run.parent / "a.zip")
    assert done.exit_code == 2
    assert "only its record was named" in done.stderr


def test_a_page_mailed_alone_says_where_its_evidence_is(run: Path) -> None:
    page = invoke("report", RUN, "--out", run.parent, "--format", "html").stdout
    assert "mailed alone it has none" in page
    assert f"matrixctl report {RUN} --bundle {RUN}.zip" in page
