"""A run that explains what it sees, and asks for the cells that tell more: the work is played."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from whole_run import MATRIX, PASSED, Bench

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import compare
from orchestrator.analyse.explain import explain
from orchestrator.app.options import Exploring
from orchestrator.arch import ARCHES
from orchestrator.errors import Exit
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.matrix import capabilities
from orchestrator.matrix.expand import expand
from orchestrator.matrix.model import Cell, ExpectRule
from orchestrator.matrix.select import select
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action
from orchestrator.probe.judge import Judgement
from orchestrator.record.check_count import find_complaints
from orchestrator.record.fold import fold
from orchestrator.record.journal import JOURNAL, CellsAsked, read
from orchestrator.record.model import RunRecord

EVERY = expand(MATRIX)
CELLS = select(
    EVERY,
    (
        "client=curl",
        "execution=default",
        "cipher!=default",
        "arch=amd64,arm64",
        "haproxy=3.0.11,3.2.25,3.4.6",
    ),
    known=EVERY,
)
RUNNABLE = [cell for cell in CELLS if capabilities.find_unsupported(cell, ARCHES["amd64"]) is None]
PAIRWISE = Exploring(pairwise=True, minutes=None)
WHEN = ("haproxy<3.4", "tls=quictls-3.3.0-quic1")


def hangs(cell: Cell) -> Judgement:
    """A fault that two axes bring together."""
    bad = cell.tls.family == "quictls" and cell.haproxy.version != "3.4.6"
    if not bad:
        return PASSED
    return Judgement(outcome=Outcome.FAIL, reason=Reason.HANDSHAKE_THEN_HANG, message="as it was played")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, cells=CELLS, judged_as=hangs, exploring=PAIRWISE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return Bench(tmp_path_factory.mktemp("whole"), cells=CELLS, judged_as=hangs).go()


def explained(record: RunRecord) -> list[tuple[tuple[str, ...], bool]]:
    return [(one.when, one.confidence == "weak") for one in explain([record]).clusters]


def test_few_cells_say_what_all_say(bench: Bench, whole: RunRecord) -> None:
    record = bench.go()
    assert explained(record) == explained(whole) == [(WHEN, False)]
    assert len(record.cells) < len(RUNNABLE) / 2
    assert record.run.exploration
    assert len(record.run.exploration.rounds) >= 1
    assert "each explanation was tried from all sides" in record.run.exploration.end


def test_what_was_not_needed_is_no_part_of_the_run_and_is_named(bench: Bench) -> None:
    record = bench.go()
    found = record.run.exploration
    assert found
    ids = [cell.id for cell in record.cells]
    assert found.selected == len(CELLS)
    assert sorted([*ids, *found.left]) == sorted(cell.id for cell in CELLS)
    assert (record.run.planned, record.run.judged) == (len(ids), len(ids))
    assert record.run.exit_code == Exit.FAILED
    assert find_complaints(ids, record) == ()
    assert not [cell for cell in record.cells if cell.outcome is None]
    assert ids[-len(found.rounds[-1]) :] == list(found.rounds[-1])


def test_the_journal_has_what_was_asked_and_when(bench: Bench) -> None:
    record = bench.go()
    events = list(read(bench.folder / "run" / JOURNAL))
    assert fold(events) == record
    asked = [event for event in events if isinstance(event, CellsAsked)]
    assert [tuple(cell.id for cell in event.cells) for event in asked] == list(
        record.run.exploration.rounds if record.run.exploration else ()
    )


def test_nothing_is_done_twice_but_a_session_with_other_cells(bench: Bench) -> None:
    done: Counter[str] = Counter()

    def note(action: Action) -> None:
        done[action.key] += action.kind != "probe"
        for cell in action.cells if action.kind == "probe" else ():
            done[cell] += 1

    bench.plant = note
    bench.go()
    assert set(done.values()) == {0, 1}


def test_a_matrix_in_which_nothing_fails_is_left_at_the_pairs(bench: Bench) -> None:
    bench.judged_as = lambda _: PASSED
    record = bench.go()
    assert record.run.exit_code == Exit.OK
    found = record.run.exploration
    assert found
    assert (found.rounds, found.end) == ((), "no cell fails")
    pairs = {(cell.axes.haproxy.name, cell.axes.tls.name) for cell in record.cells}
    assert pairs == {(cell.haproxy.name, cell.tls.name) for cell in RUNNABLE}


def test_the_budget_ends_it_and_it_says_what_is_left(bench: Bench) -> None:
    bench.exploring = Exploring(pairwise=True, minutes=0.01)
    record = bench.go()
    found = record.run.exploration
    assert found
    assert found.rounds == ()
    assert found.end.startswith("the 0.01 minutes would not do for ")
    (note,) = [note for note in explain([record]).notes if "were asked for" in note]
    assert note.startswith(f"{len(record.cells)} of {len(CELLS)} cells were asked for")


def test_what_the_selection_cannot_tell_is_asked_of_the_rest_of_the_matrix(bench: Bench) -> None:
    chosen = [cell for cell in CELLS if (cell.tls.family == "quictls") == (cell.haproxy.version == "3.0.11")]
    ids = {cell.id for cell in chosen}
    bench.cells, bench.reserve = chosen, [cell for cell in CELLS if cell.id not in ids]
    bench.exploring = Exploring(pairwise=False, minutes=None)
    record = bench.go()
    assert [cell.id for cell in record.cells][: len(chosen)] == [cell.id for cell in chosen]
    assert explained(record) == [(WHEN, False)]


@pytest.mark.parametrize("breaks", [False, True])
def test_a_stale_rule_counts_only_once_its_cell_is_asked_for(bench: Bench, breaks: bool) -> None:
    cells = [cell for cell in RUNNABLE if cell.tls.family in {"quictls", "wolfssl"}]
    chosen = [cell for cell in cells if (cell.tls.family == "quictls") == (cell.haproxy.version == "3.0.11")]
    bench.cells, bench.reserve = chosen, [cell for cell in cells if cell not in chosen]
    bench.judged_as = hangs if breaks else lambda _: PASSED
    bench.exploring = Exploring(pairwise=False, minutes=None)
    bench.matrix = replace(MATRIX, expect=tuple(map(stale_rule, bench.reserve)))
    record = bench.go()
    assert record.run.exploration
    asked = [cell for part in record.run.exploration.rounds for cell in part]
    assert bool(asked) is breaks
    assert sorted(rule.place for rule in record.rules if rule.stale) == sorted(asked)
    assert record.run.exit_code == (Exit.FAILED if breaks else Exit.OK)


def stale_rule(cell: Cell) -> ExpectRule:
    """A rule for one cell that is out of date; its place is the cell's id."""
    return ExpectRule(
        when=tuple(f"{axis}={value.name}" for axis, value in cell.axes.items()),
        outcome=Outcome.PASS,
        reason=None,
        cipher=None,
        because="https://example.org/1",
        until="2026-10-01",
        place=cell.id,
    )


def test_a_build_that_fails_blocks_its_cells_in_later_rounds_too(bench: Bench) -> None:
    def plant(action: Action) -> None:
        if action.key == "tls:wolfssl-5.7.2--amd64":
            raise RuntimeError("planted")

    bench.plant = plant
    record = bench.go()
    broken = [cell for cell in record.cells if "wolfssl-5.7.2" in cell.id and cell.axes.arch.name == "amd64"]
    assert broken
    assert {cell.outcome for cell in broken} == {Outcome.ERROR}
    assert WHEN in [when for when, _ in explained(record)]


def test_a_run_that_is_cut_off_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    whole = Bench(tmp_path / "other", cells=CELLS, judged_as=hangs, exploring=PAIRWISE).go()
    first = len(whole.cells) - sum(map(len, whole.run.exploration.rounds if whole.run.exploration else ()))
    seen: list[str] = []

    def cut(cell: Cell) -> Judgement:
        seen.append(cell.id)
        if len(seen) == first + 1:
            bench.cancel.ask()
        return hangs(cell)

    bench.judged_as = cut
    half = bench.go()
    assert half.run.status == "interrupted"
    assert half.run.exploration
    assert len(half.run.exploration.rounds) == 1
    again = replace(bench, resume=True, cancel=Cancel(), judged_as=hangs)
    record = again.go()
    assert (record.run.status, record.run.exit_code) == ("finished", Exit.FAILED)
    assert {cell.id for cell in record.cells} == {cell.id for cell in whole.cells}
    assert explained(record) == explained(whole)


def test_a_comparison_with_the_whole_run_has_no_news(bench: Bench, whole: RunRecord) -> None:
    found = compare(whole, bench.go())
    assert found.exit_code == Exit.OK
    assert not [one for one in found.cells if one.change is Change.VANISHED_CELL]
