"""What a cell shows: its outcome as a sign, its verdict as the strength of the sign. Words and counts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from orchestrator.outcome import Outcome, Verdict, correct_verdict
from orchestrator.record.model import CellRecord, RunInfo, RunRecord

NOT_JUDGED = "not-judged"
STATES = (
    Outcome.FAIL.value,
    Outcome.MISBUILT.value,
    Outcome.ERROR.value,
    Outcome.BLOCKED.value,
    NOT_JUDGED,
    Outcome.PASS.value,
    Outcome.UNSUPPORTED.value,
)
"""What a cell may show: the outcomes, and "not judged" for a cell that has none. Worst first, and last
what says nothing: where cells share a field, one that passes counts more than one that was not tried."""
TITLES = {name: name.replace("-", " ") for name in STATES}
MEANINGS = {
    "fail": "HAProxy or its TLS library did wrong",
    "misbuilt": "what ran is not what was declared",
    "error": "the harness failed; says nothing about HAProxy",
    "blocked": "not run, since something it needs did not succeed",
    "not-judged": "planned, but no result was recorded",
    "pass": "HTTP/3 works, with the wanted cipher and whole bodies",
    "unsupported": "declared impossible, not tried",
}
VERDICTS = tuple(reversed(Verdict))
"""Worst first."""
UNTRIED = "untried"
VERDICT_TITLES = {
    Verdict.REGRESSION: "regression",
    Verdict.CHANGED_FAILURE: "changed failure",
    Verdict.FLAKY: "flaky",
    Verdict.NOT_JUDGED: "not judged",
    Verdict.NOW_PASSING: "now passing",
    Verdict.KNOWN_FAILURE: "known failure",
    Verdict.AS_EXPECTED: "as expected",
}
TAGS = {
    Verdict.REGRESSION: "regression",
    Verdict.CHANGED_FAILURE: "changed",
    Verdict.FLAKY: "flaky",
    Verdict.NOT_JUDGED: "",
    Verdict.NOW_PASSING: "now passing",
    Verdict.KNOWN_FAILURE: "known",
    Verdict.AS_EXPECTED: "",
}
"""The verdict within a small field, where the outcome alone does not say it."""


class Words(NamedTuple):
    """What a page calls states and verdicts: of a run that goes on, cells wait and are not "not judged"."""

    titles: Mapping[str, str]
    meanings: Mapping[str, str]
    verdict_titles: Mapping[Verdict, str]


def is_waiting(cell: CellRecord, run: RunInfo) -> bool:
    """Return whether the run goes on, and has yet to come to the cell."""
    return run.status == "running" and cell.outcome is None


def choose_words(record: RunRecord) -> Words:
    """Return the words for a page on this record."""
    waiting = [cell for cell in record.cells if is_waiting(cell, record.run)]
    if not waiting:
        return Words(titles=TITLES, meanings=MEANINGS, verdict_titles=VERDICT_TITLES)
    lost = sum(find_verdict(cell) is Verdict.NOT_JUDGED for cell in record.cells) > len(waiting)
    return Words(
        titles={**TITLES, NOT_JUDGED: "waiting"},
        meanings={**MEANINGS, NOT_JUDGED: "the run goes on, and has yet to come to it"},
        verdict_titles={**VERDICT_TITLES, Verdict.NOT_JUDGED: "waiting or not judged" if lost else "waiting"},
    )


class Ended(Protocol):
    """How a cell ended: its record, or what the history keeps of it."""

    @property
    def outcome(self) -> Outcome | None: ...

    @property
    def verdict(self) -> Verdict: ...


def find_state(cell: Ended) -> str:
    """Return the cell's entry of STATES. A pass that does not count is not shown as a pass."""
    if cell.outcome is None or (cell.outcome is Outcome.PASS and find_verdict(cell) is Verdict.NOT_JUDGED):
        return NOT_JUDGED
    return cell.outcome.value


def find_verdict(cell: Ended) -> Verdict:
    """Return the cell's entry of VERDICTS, as far as the record can be believed."""
    return correct_verdict(cell.outcome, cell.verdict)


def is_tried(cell: CellRecord) -> bool:
    """Return whether a server was asked: the cell is neither declared impossible nor blocked."""
    return cell.outcome not in {None, Outcome.UNSUPPORTED, Outcome.BLOCKED}


def is_emulated(cell: CellRecord) -> bool:
    """Return whether something really ran under QEMU: what was not tried says nothing of emulation."""
    return is_tried(cell) and cell.execution.mode == "emulated"


def rank(cell: Ended) -> tuple[int, int]:
    """Return a key that sorts the worst cell first: by verdict, then by outcome."""
    return VERDICTS.index(find_verdict(cell)), STATES.index(find_state(cell))


def count_states(cells: Iterable[CellRecord]) -> dict[str, int]:
    """Return how many cells there are of every state, zeros included, worst first."""
    found = Counter(find_state(cell) for cell in cells)
    return {name: found[name] for name in STATES}


def make_segments(
    cells: Iterable[CellRecord], titles: Mapping[Verdict, str] = VERDICT_TITLES
) -> tuple[tuple[str, str, int], ...]:
    """Return the verdicts as a bar shows them, worst first: name, title, count.

    Of what is as expected, only what passes is green: the rest was not put to the test.
    """
    every = tuple(cells)
    quiet = [cell for cell in every if find_verdict(cell) is Verdict.AS_EXPECTED]
    untried = sum(cell.outcome is not Outcome.PASS for cell in quiet)
    found = [(str(name), titles[name], count) for name, count in count_verdicts(every).items()]
    *loud, (name, title, count) = found  # the last is what is as expected
    split = (*loud, (name, title, count - untried), (UNTRIED, "not put to the test, as expected", untried))
    return tuple(part for part in split if part[2])


def count_verdicts(cells: Iterable[CellRecord]) -> dict[Verdict, int]:
    """Return how many cells there are of every verdict, zeros included, worst first."""
    found = Counter(find_verdict(cell) for cell in cells)
    return {name: found[name] for name in VERDICTS}
