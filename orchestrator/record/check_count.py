"""The count that must close: every planned cell is judged, or is named as not judged, once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.outcome import Verdict
from orchestrator.record.model import RunRecord

_NAMED = 5
"""Cells that a complaint names."""


def find_complaints(planned: Sequence[str], record: RunRecord) -> tuple[str, ...]:
    """Return what does not add up, a sentence each. A sound record has none; any is our own fault.

    :param planned: the ids of the cells that were selected, from the selection itself and not the record.
    """
    return tuple(_find_complaints(planned, record))


def _find_complaints(planned: Sequence[str], record: RunRecord) -> Iterator[str]:
    run, found = record.run, Counter(cell.id for cell in record.cells)
    judged = [cell for cell in record.cells if cell.outcome is not None]
    unjudged = [cell for cell in record.cells if cell.outcome is None]
    yield from _describe("planned twice", _find_twice(Counter(planned)))
    yield from _describe("twice in the record", _find_twice(found))
    yield from _describe("planned, and lost from the record", set(planned) - found.keys())
    yield from _describe("in the record, and never planned", found.keys() - set(planned))
    yield from _describe("judged, and without an attempt", (cell.id for cell in judged if not cell.attempts))
    yield from _describe(
        "without an outcome, and with a verdict",
        (cell.id for cell in unjudged if cell.verdict is not Verdict.NOT_JUDGED),
    )
    if run.planned != len(judged) + len(unjudged) or run.planned != len(planned):
        yield (
            f"{len(planned)} cells were selected, {run.planned} planned,"
            f" {len(judged)} judged and {len(unjudged)} not judged"
        )
    if run.judged != len(judged):
        yield f"the record says that {run.judged} cells were judged, and {len(judged)} were"
    if unjudged and run.exit_code == 0:
        yield f"exit code 0, and {len(unjudged)} cells have no outcome"


def _find_twice(counts: Counter[str]) -> list[str]:
    return [name for name, count in counts.items() if count > 1]


def _describe(what: str, names: Iterable[str]) -> Iterator[str]:
    told = sorted(names)
    if told:
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        yield f"{what}: {', '.join(told[:_NAMED])}{more}"
