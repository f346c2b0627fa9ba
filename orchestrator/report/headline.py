"""The first line of every report: what a maintainer has to know first."""

from collections import Counter
from collections.abc import Mapping, Sequence

from orchestrator.errors import Exit
from orchestrator.outcome import ALARMS, Outcome, Verdict, find_exit_code
from orchestrator.record.model import CellRecord, RunInfo, RunRecord, is_intermittent
from orchestrator.report import explanation, summary, units
from orchestrator.report.causes import count_causes, name_causes
from orchestrator.report.explanation import ShownCluster
from orchestrator.report.selftests import find_unsound

_NAMED = 3
"""Reasons (or rules) that are named before it says "and N more"."""
_NOUNS = {
    Verdict.REGRESSION: ("regression", "regressions"),
    Verdict.CHANGED_FAILURE: ("changed failure", "changed failures"),
    Verdict.FLAKY: ("flaky failure", "flaky failures"),
    Verdict.NOT_JUDGED: ("cell was not judged", "cells were not judged"),
    Verdict.NOW_PASSING: ("cell now passes", "cells now pass"),
}
UNFINISHED = {"running": "Still running", "interrupted": "Interrupted", "cut-off": "Cut off"}
_BROKEN = {Outcome.BLOCKED, Outcome.ERROR}


def find_level(record: RunRecord) -> str:
    """Return how loud the page is: ``alarm``, ``unsure``, ``note`` or ``calm``.

    An unfinished run, or one that put nothing to the test, is never calm.
    """
    return choose_level(
        summary.count_verdicts(record.cells),
        stale=any(rule.stale for rule in record.rules),
        whole=went_well(record) and _has_judged(record.cells),
        sound=not find_unsound(record),
    )


def choose_level(
    counts: Mapping[Verdict, int], *, whole: bool, stale: bool = False, sound: bool = True
) -> str:
    """Return how loud a page is that shows so many cells of each verdict.

    :param whole: the run came to its end, and put something to the test.
    :param stale: a rule of the matrix is out of date.
    :param sound: no self-test of a library has failed.
    """
    found = {verdict for verdict, count in counts.items() if count}
    if found & ALARMS or stale:
        return "alarm"
    if found & {Verdict.NOT_JUDGED, Verdict.FLAKY} or not whole:
        return "unsure"
    return "note" if Verdict.NOW_PASSING in found or not sound else "calm"


def write_parts(record: RunRecord, clusters: Sequence[ShownCluster] | None = None) -> tuple[str, ...]:
    """Return the run in words: the main finding, fit for a heading, then whatever else there is.

    A cell that was not judged is counted as such; nothing but a finished run of expected ends says
    "as expected".

    :param clusters: those of ``explanation.show``, where somebody has them already.
    """
    if not record.cells:
        return ("No cell: there is nothing to judge",)
    clusters = explanation.show(record) if clusters is None else clusters
    return (*_write_parts(record, clusters), *_count_intermittent(record.cells))


def _write_parts(record: RunRecord, clusters: Sequence[ShownCluster]) -> tuple[str, ...]:
    loud, quiet = _list_loud(record, clusters), _list_quiet(record.cells)
    if not went_well(record):
        judged = sum(cell.outcome is not None for cell in record.cells)
        ended = UNFINISHED.get(record.run.status, f"Ended with exit code {record.run.exit_code}")
        first = f"{ended}: {judged} of {units.format_count(len(record.cells), 'cell')} judged"
        return (first, *(_phrase(*piece) for piece in loud), *quiet)
    if loud:
        return (_phrase(*loud[0], total=len(record.cells)), *(_phrase(*piece) for piece in loud[1:]), *quiet)
    if not _has_judged(record.cells):
        return ("Nothing was put to the test", *quiet)
    if any(summary.find_verdict(cell) is Verdict.KNOWN_FAILURE for cell in record.cells):
        return (f"As expected, with {quiet[0]}", *quiet[1:])
    passing = sum(cell.outcome is Outcome.PASS for cell in record.cells)
    words = "The one judged cell passes" if passing == 1 else f"All {passing} judged cells pass"
    if any(cell.outcome in _BROKEN for cell in record.cells):
        words = f"{passing} of {len(record.cells)} cells {'passes' if passing == 1 else 'pass'}"
    return (f"{words}, as expected", *(words for words in quiet if not words.endswith(("pass", "passes"))))


def find_resume_command(run: RunInfo) -> str:
    """Return the command that continues a run without an end; empty if it has one, or still runs."""
    return f"matrixctl run --resume {run.id}" if run.status in {"interrupted", "cut-off"} else ""


def describe_resumes(run: RunInfo) -> str:
    """Return how often and when the run was resumed, and what was judged by then; empty if never."""
    if not run.resumed:
        return ""
    often = "once" if len(run.resumed) == 1 else f"{len(run.resumed)} times"
    latest = ", last" if len(run.resumed) > _NAMED else ""
    told = (
        f"{units.format_moment(one.at)} ({one.stood} of {run.planned} cells stood)"
        for one in run.resumed[-_NAMED:]
    )
    return f"{often}{latest}: {', '.join(told)}"


def went_well(record: RunRecord) -> bool:
    """Return whether the run ended, with only the exit code that its cells and rules cause."""
    caused = _find_exit(record)
    return record.run.status == "finished" and not (caused is Exit.OK and record.run.exit_code != Exit.OK)


def explain_exit(record: RunRecord) -> str:
    """Return the exit code, and why it is 0 though cells were not judged: no report calls those judged."""
    code = record.run.exit_code
    if code is None:
        return units.NOT_MEASURED
    if (
        code != Exit.OK
        or _find_exit(record) is Exit.OK
        or _find_exit(record, allow_blocked=True) is not Exit.OK
    ):
        return str(code)
    return f"{code}: --allow-blocked forgives what is blocked"


def _find_exit(record: RunRecord, *, allow_blocked: bool = False) -> Exit:
    return find_exit_code(
        ((cell.outcome, cell.verdict) for cell in record.cells),
        stale=any(rule.stale for rule in record.rules),
        allow_blocked=allow_blocked,
        fail_on_flaky=record.run.fail_on_flaky,
    )


def _has_judged(cells: Sequence[CellRecord]) -> bool:
    return any(cell.outcome and cell.outcome.judged_product for cell in cells)


def _count_intermittent(cells: Sequence[CellRecord]) -> tuple[str, ...]:
    others = [
        cell for cell in cells if summary.find_verdict(cell) is not Verdict.FLAKY
    ]  # these are told already
    count = sum(is_intermittent(cell) for cell in others)
    some = (
        "1 cell failed in only some of its" if count == 1 else f"{count} cells failed in only some of their"
    )
    return (f"{some} attempts",) if count else ()


_Piece = tuple[tuple[str, str], int, list[str], int]


def _list_loud(record: RunRecord, clusters: Sequence[ShownCluster]) -> list[_Piece]:
    """Return what needs attention: nouns, how many, their causes (or rules), how many causes are found."""
    found: list[_Piece] = []
    stale = [rule.place for rule in record.rules if rule.stale]
    broken = [f"{test.tls} on {test.arch}" for test in find_unsound(record)]
    for verdict, nouns in _NOUNS.items():
        if verdict is Verdict.NOT_JUDGED and broken:
            found.append((("failed self-test", "failed self-tests"), len(broken), broken, 0))
        if verdict is Verdict.NOT_JUDGED and stale:
            found.append((("stale rule", "stale rules"), len(stale), stale, 0))
        cells = [cell for cell in record.cells if summary.find_verdict(cell) is verdict]
        if verdict is Verdict.NOT_JUDGED and record.run.status != "finished":
            cells = [cell for cell in cells if cell.outcome]
        if cells and verdict in ALARMS:
            found.append((nouns, len(cells), *_find_causes(cells, record, clusters)))
        elif cells:
            reasons = Counter(str(cell.reason) for cell in cells if cell.reason)
            found.append((nouns, len(cells), [name for name, _ in reasons.most_common()], 0))
    return found


def _find_causes(
    cells: Sequence[CellRecord], record: RunRecord, clusters: Sequence[ShownCluster]
) -> tuple[list[str], int]:
    """Return the causes of some failures, and how many; 0 where not each of the cells has one.

    That is what self-tests found, else the clusters that the report shows, if they explain all.
    """
    if count := count_causes(cells):
        return [*name_causes(cells, record.cells)], count
    left, found = {cell.id for cell in cells}, list[str]()
    for shown in clusters:
        if explained := left & explanation.list_explained((shown,)):
            left -= explained
            found.append(shown.cause)
    return ([*name_causes(cells, record.cells)], 0) if left else (found, len(found))


def _phrase(nouns: tuple[str, str], count: int, named: list[str], causes: int, *, total: int = 0) -> str:
    noun = nouns[0 if count == 1 else 1]
    if not total or noun.endswith(("rule", "rules", "self-test", "self-tests")):
        sentence = f"{count} {noun}"
    elif noun.startswith("cell"):
        _, _, rest = noun.partition(" ")
        sentence = f"{count} of {units.format_count(total, 'cell')} {rest}"
    else:
        sentence = f"{count} {noun} in {units.format_count(total, 'cell')}"
    if causes:
        sentence += f", {units.format_count(causes, 'cause')}"
    if not named:
        return sentence
    listed = ", ".join(named[:_NAMED])
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{sentence}: {listed}{more}" if total else f"{sentence} ({listed}{more})"


def _list_quiet(cells: Sequence[CellRecord]) -> tuple[str, ...]:
    """Return what is as expected, by outcome."""
    known = sum(summary.find_verdict(cell) is Verdict.KNOWN_FAILURE for cell in cells)
    found = summary.count_states(cell for cell in cells if summary.find_verdict(cell) is Verdict.AS_EXPECTED)
    passing = "1 passes" if found["pass"] == 1 else f"{found['pass']} pass"
    words = {
        units.format_count(known, "known failure"): known,
        passing: found["pass"],
        f"{found['unsupported']} unsupported": found["unsupported"],
        f"{found['blocked']} blocked as expected": found["blocked"],
        f"{found['error']} in error as expected": found["error"],
    }
    return tuple(text for text, count in words.items() if count)
