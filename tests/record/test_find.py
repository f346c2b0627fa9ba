"""RUN means the same everywhere: an id, a folder, a run.json, `latest`, `latest~N`, a date, `last-good`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from record_samples import AT, cell, record

from orchestrator.app.output import write_reports
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.outcome import Outcome, Verdict
from orchestrator.record.find import (
    NoSuchNightError,
    find_folder,
    find_only_series,
    find_previous,
    find_run,
    is_good,
    read_run,
    read_series,
)
from orchestrator.record.journal import JOURNAL, Journal, RunFinished, RunStarted, hold
from orchestrator.record.model import CellRecord, Exploration, RunRecord, Selection

GOOD = cell("a", Outcome.PASS).model_copy(update={"verdict": Verdict.AS_EXPECTED})
BAD = cell("a", Outcome.FAIL).model_copy(update={"verdict": Verdict.REGRESSION})
UNJUDGED = cell("a")


def a_run(
    reports: Path,
    name: str,
    *,
    series: str = "",
    cells: Sequence[CellRecord] = (GOOD,),
    ends: bool = True,
    exploration: Exploration | None = None,
    asked: Selection | None = None,
) -> Path:
    made = record(*cells)
    told = {"id": name, "series": series, "exploration": exploration, "selection": asked}
    run = made.run.model_copy(update={**told, "status": "running", "finished_at": None})
    with Journal(reports / name / JOURNAL) as journal:
        journal.append(RunStarted(record=made.model_copy(update={"run": run})))
        if ends:
            journal.append(
                RunFinished(status="finished", finished_at=AT, duration_s=1.0, exit_code=0, message="")
            )
    return reports / name


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Three nights and, between them, a run by hand; the second night has an alarm, the third no end."""
    folder = tmp_path / "reports"
    a_run(folder, "20261118-020000-0001", series="nightly")
    a_run(folder, "20261119-020000-0002", series="nightly", cells=[BAD])
    a_run(folder, "20261119-150000-0003")
    a_run(folder, "20261120-020000-0004", series="nightly", ends=False)
    a_run(folder, "renamed-by-a-person", series="nightly")
    return folder


@pytest.mark.parametrize(
    ("name", "series", "number"),
    [
        ("20261118-020000-0001", None, "0001"),
        ("renamed-by-a-person", None, "son"),
        ("latest", None, "0004"),
        ("latest~0", None, "0004"),
        ("latest~1", None, "0003"),
        ("latest~1", "nightly", "0002"),
        ("latest~2", "nightly", "0001"),
        ("latest", "", "0003"),
        ("2026-11-19", None, "0003"),
        ("2026-11-19", "nightly", "0002"),
        ("last-good", None, "0001"),
        ("last-good", "nightly", "0001"),
        ("last-good", "", "0003"),
    ],
)
def test_a_run_is_found(reports: Path, name: str, series: str | None, number: str) -> None:
    assert find_run(name, reports, series=series).name.endswith(number)


@pytest.mark.parametrize(
    ("name", "series", "said"),
    [
        ("latest~4", None, "no run latest~4: there are 4 runs below"),
        ("latest~9", "", "there is 1 run without a series"),
        ("latest", "weekly", "no run of the series 'weekly' below"),
        ("2026-11-21", "nightly", "no run of the series 'nightly' below .* began on 2026-11-21 .UTC."),
        ("2026-13-41", None, "no run '2026-13-41' below"),
        ("latest~x", None, "no run 'latest~x' below"),
        ("latest~-1", None, "no run 'latest~-1' below"),
        ("last-good", "weekly", "no run of the series 'weekly' below .* yet"),
        ("../../etc/passwd\0", None, "no run"),
        ("x" * 5000, None, "no run"),
    ],
)
def test_a_run_that_is_not_there_is_a_sentence(
    reports: Path, name: str, series: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        find_run(name, reports, series=series)


def test_where_none_is_good_that_is_said(tmp_path: Path) -> None:
    a_run(tmp_path, "20261119-020000-0002", series="nightly", cells=[BAD])
    a_run(tmp_path, "20261119-020000-0003", series="nightly", cells=[GOOD, UNJUDGED])
    a_run(tmp_path, "20261119-020000-0004", series="nightly", ends=False)
    with pytest.raises(UsageError, match=r"no run of the series 'nightly' .* is good"):
        find_run("last-good", tmp_path)


def test_the_last_good_one_before_a_run_is_never_that_run(tmp_path: Path) -> None:
    first = a_run(tmp_path, "20261118-020000-0001", series="nightly")
    second = a_run(tmp_path, "20261119-020000-0002", series="nightly")
    assert find_run("last-good", tmp_path) == second
    assert find_run("last-good", tmp_path, before=second.name) == first
    with pytest.raises(NoSuchNightError, match=f"below .* before {first.name} yet"):
        find_run("last-good", tmp_path, before=first.name)


def test_one_that_cannot_be_read_is_not_good(tmp_path: Path) -> None:
    good = a_run(tmp_path, "20261119-020000-0001")
    (a_run(tmp_path, "20261119-020000-0002") / JOURNAL).write_text('{"kind": "nonsense"}\n')
    assert find_run("last-good", tmp_path) == good


def test_a_run_without_a_cell_is_not_good() -> None:
    assert is_good(record(GOOD).model_copy(update={"run": _finished(record(GOOD))}))
    assert not is_good(record().model_copy(update={"run": _finished(record())}))


@pytest.mark.parametrize("start", ["all", "pairwise"])
def test_a_run_that_chose_its_cells_itself_is_not_good(
    tmp_path: Path, start: Literal["all", "pairwise"]
) -> None:
    """Those that it left out may fail; `run --explain`."""
    good = a_run(tmp_path, "20261119-020000-0001")
    exploration = Exploration(
        start=start, budget_minutes=None, selected=9, rounds=(), end="it is explained", left=("b",)
    )
    a_run(tmp_path, "20261119-020000-0002", exploration=exploration)
    assert find_run("last-good", tmp_path) == good


def _finished(one: RunRecord) -> object:
    return one.run.model_copy(update={"status": "finished"})


def test_two_series_are_named(reports: Path) -> None:
    assert find_only_series(reports) == "nightly"
    a_run(reports, "20261120-020000-0005", series="weekly")
    with pytest.raises(UsageError, match=r"2 series: .*nightly.*weekly"):
        find_run("last-good", reports)
    assert find_run("last-good", reports, series="weekly").name.endswith("0005")


def test_runs_by_hand_are_the_only_series_where_none_has_a_name(tmp_path: Path) -> None:
    a_run(tmp_path, "20261119-020000-0002")
    assert find_only_series(tmp_path) == ""
    assert find_run("last-good", tmp_path).name == "20261119-020000-0002"


def test_the_series_is_read_without_the_cells(tmp_path: Path) -> None:
    """Its place in the line matters: a year of nights is looked through for `latest~N`."""
    folder = a_run(tmp_path, "20261119-020000-0002", series="nightly", cells=[GOOD] * 300)
    line = (folder / JOURNAL).read_bytes()
    assert line.index(b"nightly") < 1 << 14
    (folder / JOURNAL).write_bytes(line[: 1 << 16])  # the rest of the line is not needed
    assert read_series(folder) == "nightly"


@pytest.mark.parametrize("first", ["", "[]", "{}", '{"record": {"run": {"series": 3}}}', "nonsense", "\0"])
def test_what_names_no_series_has_none(tmp_path: Path, first: str) -> None:
    (tmp_path / JOURNAL).write_text(first)
    assert read_series(tmp_path) == ""


def test_a_record_can_be_read_without_anything_beside_it(reports: Path, tmp_path: Path) -> None:
    alone = tmp_path / "mailed.json"
    alone.write_text(read_run(reports / "20261118-020000-0001").model_dump_json())
    assert find_run(str(alone), reports) == alone
    assert read_run(alone).run.id == "20261118-020000-0001"
    with pytest.raises(UsageError, match="the record of a run alone"):
        find_folder(str(alone), reports)


def test_a_folder_with_its_record_alone_says_how_to_read_it(reports: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"has no journal\.jsonl") as error:
        find_run(str(tmp_path / "half"), reports)
    assert str(tmp_path / "half" / "run.json") in error.value.resolution
    with pytest.raises(UsageError, match="is a run's journal"):
        find_run(str(reports / "20261118-020000-0001" / JOURNAL), reports)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "EOF"), ("{}", "schema_version"), ("[1]", "object"), ('{"schema_version": 4}', "schema_version")],
)
def test_a_file_that_is_no_record_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(MatrixctlError, match=r"is no run\.json that this version") as error:
        read_run(tmp_path / "run.json")
    assert said in error.value.details
    assert bool(error.value.resolution) == ("schema_version" in said)


def test_only_a_run_that_no_process_holds_is_cut_off(reports: Path) -> None:
    folder = reports / "20261120-020000-0004"
    assert read_run(folder).run.status == "cut-off"
    with hold(folder):
        assert read_run(folder).run.status == "running"


def select(*cells: str, command: str = "") -> Selection:
    return Selection(cells=cells, options=(), of=448, command=command)


def test_the_previous_run_of_the_same_selection_is_found(tmp_path: Path) -> None:
    """However it was typed; not one of other cells, of another series, a later one, or one without a page."""
    a_run(tmp_path, "20261118-020000-0001", asked=select("a", command="matrixctl run --cell a"))
    a_run(tmp_path, "20261118-030000-0002", asked=select("b"))
    a_run(tmp_path, "20261118-040000-0003", asked=select("a"), series="nightly")
    folder = a_run(tmp_path, "20261118-050000-0004", asked=select("a", command="matrixctl run --cell=a"))
    a_run(tmp_path, "20261118-060000-0005", asked=select("a"))
    run = read_run(folder).run
    assert find_previous(folder, run) == ""
    (tmp_path / "20261118-020000-0001" / "index.html").touch()
    assert find_previous(folder, run) == "20261118-020000-0001"


def test_a_first_run_has_none_before_it(tmp_path: Path) -> None:
    folder = a_run(tmp_path, "20261118-020000-0001")
    assert find_previous(folder, read_run(folder).run) == ""
    assert find_previous(tmp_path / "nowhere" / "run", read_run(folder).run) == ""


def test_a_page_leads_to_the_run_before_it(tmp_path: Path) -> None:
    for name in ("20261118-020000-0001", "20261118-030000-0002"):
        folder = a_run(tmp_path, name)
        write_reports(read_run(folder), folder)
    link = '<a href="../20261118-020000-0001/index.html">20261118-020000-0001</a>'
    assert link in (tmp_path / "20261118-030000-0002" / "index.html").read_text()
    assert "run before" not in (tmp_path / "20261118-020000-0001" / "index.html").read_text()
