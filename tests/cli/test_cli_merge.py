"""Shards of one selection, each a whole run in memory, merged: what a run of all of it would have said."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

import engine_run
import pytest
from cli_samples import SETTINGS, matrixctl

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import compare
from orchestrator.analyse.ingredients import Ingredients
from orchestrator.app import merge
from orchestrator.app.leftovers import remove_files
from orchestrator.atomic_files import scratch_folder
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.plan.shards import take
from orchestrator.record import journal
from orchestrator.record.find import is_good, read_run
from orchestrator.record.history.history import History
from orchestrator.record.history.place import parse_place
from orchestrator.record.journal import JOURNAL, CellJudged, RunFinished, SourcePinned, read
from orchestrator.record.model import Backtrace, CellRecord, RunRecord
from orchestrator.record.runs import list_begun

SHARDS = ("1/3", "2/3", "3/3")
MERGED = "20261128-020000-abcd"


def _load() -> tuple[Matrix, tuple[Cell, ...]]:
    with TemporaryDirectory() as folder:
        (Path(folder) / "matrix.yaml").write_text(engine_run.FOUR_BUILDS)
        matrix = load(Path(folder) / "matrix.yaml")
    return matrix, expand(matrix)


MATRIX, CELLS = _load()
"""Four builds, two cells in each."""


def passes(_cell: str, _number: int) -> bool:
    return False


def fails(_cell: str, _number: int) -> bool:
    return True


def odd(cell: str, _number: int) -> bool:
    return [one.id for one in CELLS].index(cell) % 3 == 0


Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make each run once; tests copy it."""
    known: dict[object, Path] = {}

    def make(shard: str, hangs: Callable[[str, int], bool], **choices: Any) -> Path:
        key = shard, hangs, *choices.items()
        if key not in known:
            name = f"20261127-0000{len(known):02}-0000"
            settings = SETTINGS.model_copy(update={"shard": shard})
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(engine_run, "MATRIX", MATRIX)
                run = engine_run.EngineRun(
                    tmp_path_factory.mktemp("made"),
                    take(CELLS, shard) if shard else CELLS,
                    name=name,
                    programs=engine_run.Programs(fails=hangs),
                    choices={"settings": settings, **choices},
                )
                run.go()
            known[key] = run.folder / name
        return known[key]

    return make


@dataclass
class Shards:
    """Runs below a folder that are merged there."""

    folder: Path
    made: Made
    hangs: Callable[[str, int], bool] = passes
    choices: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "matrix.yaml").write_text(engine_run.FOUR_BUILDS)

    def run(self, shard: str, name: str = "") -> Path:
        """Run a shard, or with an empty one all cells; return the run's folder."""
        found = self.made(shard, self.hangs, **self.choices)
        to = self.folder / (name or shard.replace("/", "-of-") or "whole") / found.name
        shutil.copytree(found, to)
        return to

    def all(self) -> list[Path]:
        return [self.run(shard) for shard in SHARDS]

    def merge(self, *folders: Path, out: str = MERGED, args: Sequence[str] = ()) -> CompletedProcess[str]:
        given = map(str, folders)
        return matrixctl("merge", *given, "--out", str(self.folder / out), *args, cwd=self.folder)

    @property
    def record(self) -> RunRecord:
        return read_run(self.folder / MERGED)


def ends(cells: Sequence[CellRecord]) -> dict[str, tuple[Outcome | None, Reason | None, Verdict, str, int]]:
    return {one.id: (one.outcome, one.reason, one.verdict, one.message, len(one.attempts)) for one in cells}


def in_shard(shard: str) -> set[str]:
    return {cell.id for cell in take(CELLS, shard)}


def unjudged(record: RunRecord) -> set[str]:
    found = {cell.id for cell in record.cells if cell.outcome is None}
    assert all(cell.verdict is Verdict.NOT_JUDGED for cell in record.cells if cell.id in found)
    return found


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Write a run's journal anew, each event edited."""
    events = [json.loads(line) for line in (folder / JOURNAL).read_bytes().splitlines()]
    for event in events:
        edit(event)
    (folder / JOURNAL).write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def cut(folder: Path, keep: int) -> set[str]:
    """Cut a journal off after so many cells; return those that it had judged by then."""
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    judged = [i for i, line in enumerate(lines) if json.loads(line)["kind"] == "cell"]
    (folder / JOURNAL).write_bytes(b"".join(lines[: judged[keep - 1] + 1] if keep else lines[:1]))
    return {event.cell.id for event in read(folder / JOURNAL) if isinstance(event, CellJudged)}


def same_ingredients(one: RunRecord, other: RunRecord) -> None:
    was, now = Ingredients(one), Ingredients(other)
    assert was.tells
    assert now.tells
    for cell in one.cells:
        (mine,) = [c for c in other.cells if c.id == cell.id]
        assert was.find_dependencies(cell) == now.find_dependencies(mine), cell.id


@pytest.mark.parametrize("hangs", [passes, odd])
def test_three_shards_are_the_undisturbed_run(
    tmp_path: Path, made: Made, hangs: Callable[[str, int], bool]
) -> None:
    bench = Shards(tmp_path, made, hangs)
    whole, parts = read_run(bench.run("")), bench.all()
    done = bench.merge(*reversed(parts))
    assert done.returncode == whole.run.exit_code == (1 if hangs is odd else 0), done.stderr
    merged = bench.record
    assert ends(merged.cells) == ends(whole.cells)
    same_ingredients(whole, merged)
    found = compare(whole, merged)
    assert found.differences == ()
    assert {one.change for one in found.cells} <= {Change.STILL_FAILING}
    assert found.exit_code == 0
    run = merged.run
    assert (run.id, run.status, run.exit_code, run.message) == (MERGED, "finished", whole.run.exit_code, "")
    assert (run.planned, run.judged) == (len(CELLS), len(CELLS))
    assert run.selection is not None
    assert run.selection.shard == ""
    assert [one.shard for one in merged.shards] == list(SHARDS)
    assert [set(one.cells) for one in merged.shards] == [in_shard(shard) for shard in SHARDS]
    assert {one.key for one in merged.actions} == {one.key for one in whole.actions}
    worked = {(one.key, span.shard) for one in merged.actions for span in one.spans}
    assert worked == {(one.key, place) for place, part in enumerate(parts) for one in read_run(part).actions}
    assert merged.selftests
    assert merged.clients
    assert is_good(merged) == (hangs is not odd)


def test_the_merged_run_is_read_like_any_other(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made, odd)
    bench.merge(*bench.all())
    out = tmp_path / MERGED
    assert {"index.html", "junit.xml", "run.json", JOURNAL} <= {path.name for path in out.iterdir()}
    page = (out / "index.html").read_text()
    assert 'id="h-shards"' in page
    assert all(f'scope="row">{shard}<' in page for shard in SHARDS)
    assert matrixctl("report", str(out), "--format", "html", cwd=tmp_path).stdout == page
    cell = bench.record.cells[0]
    assert cell.evidence
    assert f'href="./{cell.build.vv}"' in page
    for path in (*cell.evidence, cell.build.vv or "nowhere"):
        assert path.startswith("shards/")
        assert (out / path).is_file()
    told = matrixctl("logs", cell.id, "--run", str(out), cwd=tmp_path)
    assert told.returncode == 0
    assert "cannot be read" not in told.stdout
    logs = [one.log for one in bench.record.actions if one.log]
    assert logs
    assert all((out / log).read_bytes() == b"compiled\n" for log in logs)
    done = matrixctl("history", "import", str(out), "--history", "h.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with History(parse_place(str(tmp_path / "h.db"))) as kept:
        (row,) = kept.list_runs()
        assert (row["id"], row["judged"], row["exit_code"]) == (MERGED, len(CELLS), 1)
        sets = Ingredients(bench.record).list_sets()
        assert kept.find_sets(sets).keys() == sets.keys() == {one.id for one in CELLS}
    done = matrixctl("run", "--resume", str(out), cwd=tmp_path)
    assert done.returncode == 2
    assert "merged of others" in done.stderr


def test_the_cells_of_a_missing_shard_are_found_in_the_matrix(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    done = bench.merge(bench.run("1/3"), bench.run("3/3"))
    assert done.returncode == 4, done.stderr
    record = bench.record
    assert unjudged(record) == in_shard("2/3")
    assert "shard 2/3 is missing" in record.run.message
    assert "shard 2/3 is missing" in done.stderr
    assert {cell.message for cell in record.cells if not cell.outcome} == {"not judged: shard 2/3 is missing"}
    for cell in in_shard("2/3"):
        assert cell in record.run.message
    whole = read_run(bench.run(""))
    was = {cell.id: cell for cell in whole.cells}
    for new in (cell for cell in record.cells if not cell.outcome):
        assert (new.axes, new.build.name, new.expected) == (
            was[new.id].axes,
            was[new.id].build.name,
            was[new.id].expected,
        )
    assert not is_good(record)


def test_without_the_matrix_the_missing_cells_are_not_known(tmp_path: Path, made: Made) -> None:
    """Then all cells of the record pass, and it is no success all the same."""
    bench = Shards(tmp_path, made)
    parts = bench.run("1/3"), bench.run("3/3")

    def other(event: dict[str, Any]) -> None:
        if event["kind"] == "run-started":
            event["record"]["run"]["matrix_digest"] = "0" * 64

    done = bench.merge(*(change(part, other) for part in parts))
    assert done.returncode == 4, done.stderr
    record = bench.record
    assert {cell.id for cell in record.cells} == in_shard("1/3") | in_shard("3/3")
    assert unjudged(record) == set()
    assert "shard 2/3 is missing, with cells that are not known" in record.run.message
    assert "--matrix names it" in done.stderr
    assert not is_good(record)
    assert "calm" not in (tmp_path / MERGED / "index.html").read_text().split("<header")[1][:40]


@pytest.mark.parametrize("judged", [0, 1, 2])
def test_a_shard_that_was_cut_off_leaves_its_other_cells(tmp_path: Path, made: Made, judged: int) -> None:
    """What it had judged to the end stays, as in its own report: a failure there is not forgotten."""
    bench = Shards(tmp_path, made)
    parts = bench.all()
    stay = cut(parts[1], judged)
    assert len(stay) == judged
    done = bench.merge(*parts)
    assert done.returncode == 4, done.stderr
    record = bench.record
    left = in_shard("2/3") - stay
    assert unjudged(record) == left
    assert [one.status for one in record.shards] == ["finished", "cut-off", "finished"]
    assert [bool(one.problem) for one in record.shards] == [False, True, False]
    assert "shard 2/3 (" in done.stderr
    for cell in left:
        assert cell in record.run.message


def test_a_shard_that_died_before_its_plan_is_missing(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    (parts[1] / JOURNAL).write_bytes(b"")
    done = bench.merge(*parts)
    assert done.returncode == 4, done.stderr
    assert f"{parts[1].name} was cut off before its plan was written" in " ".join(done.stderr.split())
    assert unjudged(bench.record) == in_shard("2/3")
    assert {cell.message for cell in bench.record.cells if cell.outcome is None} == {
        "not judged: shard 2/3 is missing"
    }
    alone = bench.merge(parts[1], out="alone")
    assert alone.returncode == 2
    assert "before its plan was written" in " ".join(alone.stderr.split())


def test_a_cell_that_another_attempt_was_to_decide_is_not_judged(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    (cell,) = cut(parts[1], 1)
    crash = Backtrace(tries=3, signal="", frames=(), symbols="", problem="planted", evidence=None)

    def leave_open(event: dict[str, Any]) -> None:
        if event["kind"] == "cell":
            event["final"], event["cell"]["backtrace"] = False, crash.model_dump()

    change(parts[1], leave_open)
    assert bench.merge(*parts).returncode == 4
    assert unjudged(bench.record) == in_shard("2/3")
    (found,) = [one for one in bench.record.cells if one.id == cell]
    assert (found.attempts, found.evidence, found.observations) == ((), (), None)
    assert (found.backtrace, found.traced) == (None, None)


def test_a_regression_beats_a_shard_that_was_cut_off(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made, fails)
    parts = bench.all()
    cut(parts[1], 0)
    assert bench.merge(*parts).returncode == 1
    assert unjudged(bench.record) == in_shard("2/3")


@pytest.mark.parametrize("hangs", [passes, fails])
def test_of_a_shard_that_was_given_twice_no_cell_is_judged(
    tmp_path: Path, made: Made, hangs: Callable[[str, int], bool]
) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    again = rename(Shards(tmp_path, made, hangs).run("2/3", "again"), "another")
    done = bench.merge(*parts, again)
    assert done.returncode == 4, done.stderr
    assert unjudged(bench.record) == in_shard("2/3")
    assert done.stderr.count("was given twice: ") == 2


def test_the_same_folder_twice_is_a_shard_twice(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    assert bench.merge(*parts, parts[0].parent).returncode == 4
    assert unjudged(bench.record) == in_shard("1/3")


def rename(folder: Path, name: str) -> Path:
    """Give a run an id of its own, as real runs have."""

    def edit(event: dict[str, Any]) -> None:
        if event["kind"] == "run-started":
            event["record"]["run"]["id"] = name

    return change(folder, edit)


def test_cells_in_two_runs_that_agree_are_fine(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = [rename(bench.run(""), "all"), rename(bench.run("2/3"), "some")]
    done = bench.merge(*parts)
    assert done.returncode == 0, done.stderr
    assert bench.record.run.message == ""
    assert sorted(cell for one in bench.record.shards for cell in one.cells) == sorted(c.id for c in CELLS)


@pytest.mark.parametrize("first", [True, False])
def test_of_cells_that_differ_the_worse_counts(tmp_path: Path, made: Made, first: bool) -> None:
    worst = min(in_shard("2/3"))
    good = Shards(tmp_path, made)
    bad = Shards(tmp_path, made, lambda cell, _number: cell == worst)
    one, other = (bad, good) if first else (good, bad)
    done = good.merge(rename(one.run(""), "all"), rename(other.run("2/3"), "some"))
    assert done.returncode == 1, done.stderr
    record = good.record
    assert {cell.id for cell in record.cells if cell.outcome is Outcome.FAIL} == {worst}
    assert f"{worst} ended differently, and the worse counts" in record.run.message
    whose = next(one for one in record.shards if worst in one.cells)
    assert whose.shard == ("" if first else "2/3")


def test_shards_of_two_machines_keep_what_is_theirs(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()

    def elsewhere(event: dict[str, Any]) -> None:
        if event["kind"] == "run-started":
            event["record"]["run"]["host"]["kernel"] = "9.9-elsewhere"
            event["record"]["run"]["engine"]["version"] = "99"
        if event["kind"] == "component" and event["component"]["name"].startswith("curl in"):
            event["component"]["version"] = "8.99"

    change(parts[1], elsewhere)
    own = {part: read_run(part) for part in parts}
    assert bench.merge(*parts).returncode == 0
    merged = Ingredients(bench.record)
    for record in own.values():
        for cell in record.cells:
            was, now = Ingredients(record).find_dependencies(cell), merged.find_dependencies(cell)
            assert (was.things, was.build) == (now.things, now.build)
    whole = merged.whole
    assert len(whole["host", "kernel"]) == 2
    assert any(slot[1].startswith("curl in") and len(things) == 2 for slot, things in whole.items())
    assert "9.9-elsewhere" in (tmp_path / MERGED / "index.html").read_text()
    for form in ("markdown", "junit", "ctrf"):
        told = matrixctl("report", str(tmp_path / MERGED), "--format", form, cwd=tmp_path).stdout
        assert " 99" in told, form


def test_a_source_that_moved_between_shards_is_refused(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    moving = Moving(component="haproxy", version="3.5", kind="git", where="https://x.test/h", ref="master")
    for part, commit in zip(parts, "aab", strict=True):
        source = Source(component="haproxy", version="3.5", file="h", sha256=commit * 64, strip=1, origins=())
        pinned = SourcePinned(moving=moving, source=source, origin=f"{moving} -> {commit}")
        lines = (part / JOURNAL).read_text().splitlines(keepends=True)
        (part / JOURNAL).write_text("".join([lines[0], pinned.model_dump_json() + "\n", *lines[1:]]))
    done = bench.merge(*parts)
    assert done.returncode == 2
    assert "haproxy git: https://x.test/h master" in done.stderr
    assert str(parts[2]) in done.stderr
    assert bench.merge(*parts[:2]).returncode == 4, "the first two are of one commit"


@pytest.mark.parametrize("others", ["a", "", None])
def test_shards_of_different_pins_are_refused(tmp_path: Path, made: Made, others: str | None) -> None:
    """Another commit, no pin, or no pins at all."""
    bench = Shards(tmp_path, made)
    pin = {"component": "haproxy", "kind": "git", "where": "https://x.test/h", "ref": "master"}

    def pinned(at: str | None) -> Callable[[dict[str, Any]], object]:
        pins = [{**pin, "at": at * 40}] if at else []
        told = None if at is None else {"schema_version": 1, "matrix": "0" * 64, "pins": pins}
        return lambda event: event["settings"].update(pins=told) if event["kind"] == "run-started" else None

    parts = bench.all()
    for part, at in zip(parts, ("b", "b", others), strict=True):
        change(part, pinned(at))
    done = bench.merge(*parts)
    assert done.returncode == 2
    assert "their pins (--pins) differ" in done.stderr
    assert f"git: https://x.test/h master -> {'b' * 40}" in done.stderr
    assert bench.merge(*parts[:2]).returncode == 4, "the first two have the same"


def test_the_matrix_file_can_be_named(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()[:2]
    (tmp_path / "matrix.yaml").rename(tmp_path / "elsewhere.yaml")
    bench.merge(*parts, args=("--matrix", "elsewhere.yaml"))
    assert unjudged(bench.record) == in_shard("3/3")
    (tmp_path / "elsewhere.yaml").write_text("no: matrix")
    done = bench.merge(*parts, out="other", args=("--matrix", "elsewhere.yaml"))
    assert done.returncode == 4
    assert "with cells that are not known" in done.stderr


def test_a_shard_with_a_fault_of_ours_makes_no_success(tmp_path: Path, made: Made) -> None:
    """Its cells pass, and it ended with 4: the merged run may not say that all is well."""
    bench = Shards(tmp_path, made)
    parts = bench.all()

    def edit(event: dict[str, Any]) -> None:
        if event["kind"] == "run-finished":
            event.update(exit_code=4, message="the count does not close")

    change(parts[1], edit)
    assert bench.merge(*parts).returncode == 4
    assert "the count does not close" in bench.record.run.message
    assert not is_good(bench.record)


STRANGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "matrices": lambda run: run.update(matrix_digest="0" * 64),
    "matrixctl": lambda run: run.update(tool_digest="0" * 64),
    "series": lambda run: run.update(series="nightly"),
    "limits": lambda run: run["limits"].update(fetch=1.5),
    "fail-on-flaky": lambda run: run.update(fail_on_flaky=True),
    "profiles": lambda run: run.update(profile="quick"),
    "filters": lambda run: run.update(filters=["arch=amd64"]),
    "cell": lambda run: run["selection"].update(cells=["x"]),
    "options": lambda run: run["selection"].update(options=["--repeat", "2"]),
}


@pytest.mark.parametrize("what", STRANGE)
def test_runs_of_different_selections_are_refused(tmp_path: Path, made: Made, what: str) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.run("1/3"), bench.run("2/3")

    def edit(event: dict[str, Any]) -> None:
        if event["kind"] == "run-started":
            STRANGE[what](event["record"]["run"])

    change(parts[1], edit)
    done = bench.merge(*parts)
    assert done.returncode == 2
    assert what in done.stderr
    assert all(str(part) in done.stderr for part in parts)
    assert not (tmp_path / MERGED).exists()


@pytest.mark.parametrize(
    "hostile", ["../outside", "/etc/hostname", "cells/../../outside", "a\0b", "", ".", "x/"]
)
def test_no_file_from_outside_is_copied(tmp_path: Path, made: Made, hostile: str) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    (parts[0].parent / "outside").write_text("secret-text")
    (parts[0] / "x").mkdir()

    def edit(event: dict[str, Any]) -> None:
        if event["kind"] == "cell":
            event["cell"]["evidence"] = [hostile, *event["cell"]["evidence"]]
            event["cell"]["attempts"][0]["evidence"] = [hostile]
        if event["kind"] == "self-test":
            event["selftest"]["evidence"] = [hostile]
        if event["kind"] == "action":
            event["action"]["log"] = hostile

    change(parts[0], edit)
    done = bench.merge(*parts)
    assert done.returncode == 0, done.stderr
    assert "not copied" in done.stderr
    record = bench.record
    paths = {path for cell in record.cells for path in cell.evidence}
    paths |= {path for cell in record.cells for one in cell.attempts for path in one.evidence}
    paths |= {one.log for one in record.actions if one.log}
    assert paths
    for path in paths:
        assert (tmp_path / MERGED / path).is_file()
        assert hostile not in path.split("/") or hostile in {"", "."}
    assert not any("secret-text" in f.read_text() for f in (tmp_path / MERGED).rglob("*") if f.is_file())


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _big(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)


@pytest.mark.parametrize("make", [_pipe, _link, _big, None], ids=["pipe", "link", "big", "missing"])
def test_what_cannot_be_copied_is_said(
    tmp_path: Path, made: Made, make: Callable[[Path], None] | None
) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    cell = read_run(parts[0]).cells[0]
    path = parts[0] / cell.evidence[0]
    path.unlink()
    if make:
        make(path)
    done = bench.merge(*parts)
    assert done.returncode == 0, done.stderr
    assert f"not copied: '{cell.evidence[0]}'" in done.stderr
    copy = tmp_path / MERGED / "shards" / "1" / cell.evidence[0]
    assert not os.path.lexists(copy)
    told = matrixctl("logs", cell.id, "--run", str(tmp_path / MERGED), cwd=tmp_path)
    assert "cannot be read" in told.stdout


@pytest.mark.parametrize(
    ("name", "content", "copied"),
    [("fix.diff", b"diff", True), ("fix.diff", b"another", False), ("../../fix.diff", b"diff", False)],
)
def test_a_patch_is_copied_where_it_is_the_one(
    tmp_path: Path, made: Made, name: str, content: bytes, copied: bool
) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    (parts[0] / "patches").mkdir()
    (parts[0] / "patches" / name).write_bytes(content)
    patch = {"name": name, "sha256": sha256(b"diff").hexdigest(), "path": "/x/fix.diff"}

    def edit(event: dict[str, Any]) -> None:
        for cell in [event.get("cell"), *event.get("record", {}).get("cells", ())]:
            if cell:
                cell["axes"]["haproxy"]["patches"] = [patch]

    change(parts[0], edit)
    assert bench.merge(*parts).returncode == 0
    found = [path.relative_to(tmp_path / MERGED) for path in (tmp_path / MERGED).rglob("*.diff")]
    assert found == ([Path("patches", name)] if copied else [])


def test_a_linked_folder_is_not_followed(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    shutil.move(parts[0] / "cells", tmp_path / "moved")
    (parts[0] / "cells").symlink_to(tmp_path / "moved")
    done = bench.merge(*parts)
    assert "a link" in done.stderr
    assert not (tmp_path / MERGED / "shards" / "1" / "cells").is_symlink()
    assert not [
        path
        for path in (tmp_path / MERGED / "shards" / "1").rglob("*")
        if "cells" in path.parts and path.is_file()
    ]


@pytest.mark.parametrize("out", ["run", "empty", MERGED])
def test_a_run_is_never_overwritten(tmp_path: Path, made: Made, out: str) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    (tmp_path / "empty").mkdir()
    shutil.copytree(parts[0], tmp_path / "run")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = bench.merge(*parts, out=out)
    if out == "run":
        assert done.returncode == 2
        assert "is there already" in done.stderr
        assert read_run(tmp_path / "run").run.selection == read_run(parts[0]).run.selection
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    else:
        assert done.returncode == 0, done.stderr
        run_id = read_run(tmp_path / out).run.id
        assert (run_id == MERGED) == (out == MERGED)
        assert not list(tmp_path.glob("matrixctl-scratch-*"))


def test_what_a_killed_merge_left_is_removed_later(tmp_path: Path) -> None:
    left = tmp_path / "matrixctl-scratch-dead" / "run"
    left.mkdir(parents=True)
    (left / JOURNAL).write_text("half")
    with scratch_folder(tmp_path) as living:
        assert list_begun(tmp_path) == ()
        assert remove_files(None, tmp_path) == (left.parent,)
        assert living.is_dir()
    assert not left.parent.exists()


@pytest.mark.parametrize("at", ["write", "write_run_json", "write_reports"])
def test_a_merge_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, made: Made, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal if at == "write" else merge, at, full)
    before = sorted(tmp_path.iterdir())
    done = bench.merge(*parts)
    assert done.returncode == 4
    assert "No space left" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_shard_is_refused_with_a_sentence(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    (tmp_path / "nothing").mkdir()
    whole = bench.run("")
    shutil.copytree(whole, whole.parent / "second")
    for folders, said in {
        (): "nothing to merge",
        (tmp_path / "nothing",): "is no run's folder",
        (tmp_path / "not-there",): "is no run's folder",
        (whole,): "nothing to merge",
        (whole.parent,): "holds 2 runs",
    }.items():
        done = bench.merge(*folders)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
    assert not (tmp_path / MERGED).exists()


def test_one_shard_of_one_is_the_run(tmp_path: Path, made: Made) -> None:
    """A workflow that cuts into as few shards as it needs may need one."""
    bench = Shards(tmp_path, made)
    done = bench.merge(bench.run("1/1"))
    assert done.returncode == 0, done.stderr
    assert {cell.id for cell in bench.record.cells} == {cell.id for cell in CELLS}
    done = bench.merge(tmp_path / MERGED, out="twice")
    assert done.returncode == 2
    assert "was merged itself" in done.stderr


def test_a_run_that_chose_its_cells_itself_is_no_part_of_another(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    part = bench.run("1/1")

    def edit(event: dict[str, Any]) -> None:
        if event["kind"] == "run-started":
            told: dict[str, Any] = {"start": "all", "budget_minutes": None, "selected": 9, "rounds": []}
            event["record"]["run"]["exploration"] = {**told, "end": "", "left": []}

    done = bench.merge(change(part, edit))
    assert done.returncode == 2
    assert "chose its cells itself (--explain)" in done.stderr


@pytest.mark.parametrize("shard", ["4/3", "x/y", "0/1"])
def test_a_shard_that_is_none_is_refused(tmp_path: Path, made: Made, shard: str) -> None:
    bench = Shards(tmp_path, made)
    part = bench.run("1/3")

    def edit(event: dict[str, Any]) -> None:
        if event["kind"] == "run-started":
            event["record"]["run"]["selection"]["shard"] = shard

    done = bench.merge(change(part, edit))
    assert done.returncode == 2
    assert "names no shard" in done.stderr


def test_a_flaky_cell_stays_flaky_and_its_exit_code_is_the_usual_one(tmp_path: Path, made: Made) -> None:
    worst = min(in_shard("2/3"))
    choices = {"confirm": 2, "fail_on_flaky": True}
    bench = Shards(tmp_path, made, lambda cell, number: cell == worst and number == 1, choices)
    done = bench.merge(*bench.all())
    (cell,) = [one for one in bench.record.cells if one.id == worst]
    assert cell.verdict is Verdict.FLAKY
    assert cell.confirmation is not None
    assert cell.confirmation.state == "flaky"
    assert done.returncode == 1, done.stderr


def test_the_run_lasts_from_the_first_begin_to_the_last_end(tmp_path: Path, made: Made) -> None:
    bench = Shards(tmp_path, made)
    parts = bench.all()
    bench.merge(*parts)
    (end,) = [one for one in read(tmp_path / MERGED / JOURNAL) if isinstance(one, RunFinished)]
    runs = [read_run(part).run for part in parts]
    assert bench.record.run.started_at == runs[0].started_at
    assert end.finished_at == runs[2].finished_at
    assert end.duration_s >= sum(run.duration_s or 0 for run in runs) - 0.1
