"""Which issue belongs to which alarm of a run, and what is to be done with it. Pure.

An issue carries a mark of its alarm, and is found again as an alarm is from one night to the next: by its
key, or else by the same end and half of the cells.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import ValidationError

from orchestrator.analyse.alarms import follow_alarms
from orchestrator.frozen_value import Value
from orchestrator.outcome import ALARMS, Outcome, Reason, Verdict, correct_verdict
from orchestrator.record.model import Alarm, CellRecord, RunRecord

_MOST = 2000
"""Cells of an alarm that its mark has: GitHub's limit for a text is 65,536 characters."""
_DIGITS = 8
_SERIES = 64
"""Characters of the name of a series: `--series` takes no more, but a record may come from anywhere."""
_MARK = re.compile(r"<!-- matrixctl-alarm (\{[^<>]{0,60000}\}) -->")
_QUIET = {Verdict.AS_EXPECTED, Verdict.KNOWN_FAILURE, Verdict.NOW_PASSING}
_TOLD = {Outcome.PASS, Outcome.FAIL, Outcome.MISBUILT, Outcome.UNSUPPORTED}
"""Outcomes that say something of the product, or of what is declared of it."""


class IssueMark(Value):
    """What an issue keeps of its alarm."""

    series: str
    """Of the runs that it is about."""
    key: str
    outcome: Outcome | None
    reason: Reason | None
    cells: tuple[str, ...]
    """The begins of the SHA-256 of their ids, sorted: all, or the first where they are many.

    Also of those that failed so once, and of which no run has known anything since.
    """


class Issue(Value):
    """An issue of ours."""

    number: int
    open: bool
    unwanted: bool
    """A person closed it as not planned."""
    mark: IssueMark


class IssueStep(NamedTuple):
    """What is to be done."""

    kind: Literal["open", "update", "reopen", "close", "leave"]
    issue: Issue | None
    alarm: Alarm | None
    why: str = ""
    mark: IssueMark | None = None
    """What the text of the issue is to end with, where it is written."""


def make_mark(alarm: Alarm, series: str) -> IssueMark:
    """Return the mark of an alarm of a series."""
    cells = sorted(map(_shorten, alarm.cells))[:_MOST]
    return IssueMark(
        series=series[:_SERIES], key=alarm.key, outcome=alarm.outcome, reason=alarm.reason, cells=tuple(cells)
    )


def write_mark(mark: IssueMark) -> str:
    """Return a mark as the last line of a text, which GitHub does not show."""
    said = mark.model_dump_json().replace("<", "\\u003c").replace(">", "\\u003e")
    return f"<!-- matrixctl-alarm {said} -->"


def read_mark(text: str) -> IssueMark | None:
    """Return the last mark of a text, below which a person may have written; ``None`` where it has none."""
    found = _MARK.findall(text)
    try:
        return IssueMark.model_validate_json(found[-1]) if found else None
    except ValidationError:
        return None


def decide(record: RunRecord, alarms: Mapping[Alarm, bool], issues: Sequence[Issue]) -> tuple[IssueStep, ...]:
    """Return what is to be done for each alarm, and with each open issue that has none.

    :param alarms: those of the run, and whether each is confirmed.
    :param issues: those of ours; those of another series are left alone.
    """
    series = record.run.series
    ours = [issue for issue in issues if issue.mark.series == series[:_SERIES]]
    cells = {_shorten(cell.id): cell for cell in record.cells}
    marks = {alarm: make_mark(alarm, series) for alarm in alarms}
    matched = _match(list(marks.values()), ours)
    steps = [
        _decide_alarm(alarm, marks[alarm], matched.get(alarm.key), cells, confirmed=confirmed)
        for alarm, confirmed in alarms.items()
    ]
    taken = {issue.number for issue in matched.values()}
    left = (issue for issue in ours if issue.open and issue.number not in taken)
    return (*steps, *(_decide_issue(issue, cells) for issue in left))


def _match(marks: Sequence[IssueMark], issues: Sequence[Issue]) -> dict[str, Issue]:
    """Return the issue of each alarm that has one, by the alarm's key.

    Open issues come first, by key or by cells: a fault has one open issue, however tonight words it. For what
    is left, a closed issue is found by its key alone: what is worded otherwise is news.
    """
    newest = sorted(issues, key=lambda one: one.number, reverse=True)
    opened: dict[str, Issue] = {}
    closed: dict[str, Issue] = {}
    for issue in newest:
        (opened if issue.open else closed).setdefault(issue.mark.key, issue)
    before = [_make_alarm(issue.mark) for issue in opened.values()]
    followed = follow_alarms([_make_alarm(mark) for mark in marks], before)
    pairs = zip(marks, followed, strict=True)
    found = {mark.key: opened.get(one.key) or closed.get(mark.key) for mark, one in pairs}
    return {key: issue for key, issue in found.items() if issue}


def _make_alarm(mark: IssueMark) -> Alarm:
    return Alarm(key=mark.key, outcome=mark.outcome, reason=mark.reason, conditions=(), cells=mark.cells)


def _decide_alarm(
    alarm: Alarm, mark: IssueMark, issue: Issue | None, cells: Mapping[str, CellRecord], *, confirmed: bool
) -> IssueStep:
    if issue is None:
        if confirmed:
            return IssueStep("open", None, alarm, mark=mark)
        return IssueStep("leave", None, alarm, "no cell of it was confirmed")
    if issue.open:
        return IssueStep("update", issue, alarm, mark=_keep_unknown(mark, issue.mark, cells))
    if issue.unwanted:
        return IssueStep("leave", issue, alarm, "it was closed as not planned")
    if not confirmed:
        return IssueStep("leave", issue, alarm, "it is closed, and no cell of the alarm was confirmed")
    return IssueStep("reopen", issue, alarm, mark=mark)


def _keep_unknown(mark: IssueMark, before: IssueMark, cells: Mapping[str, CellRecord]) -> IssueMark:
    """Return a mark with those cells of the one before of which the run knows nothing.

    A cell that is lost for a night may fail all the same: the issue is not closed without it.
    """
    unknown = {one for one in before.cells if one not in cells or not _is_known(cells[one])}
    return mark.model_copy(update={"cells": tuple(sorted(unknown.union(mark.cells))[:_MOST])})


def _decide_issue(issue: Issue, cells: Mapping[str, CellRecord]) -> IssueStep:
    here = [cells[one] for one in issue.mark.cells if one in cells]
    bad = sum(not _is_well(cell) for cell in here)
    if bad:
        return IssueStep("leave", issue, None, f"{bad} of its cells are flaky, not judged, or fail otherwise")
    every = len(issue.mark.cells)
    if not every or len(here) < every:
        said = (
            f"the run has {len(here)} of its {every} cells; if the others are gone for good, close it by hand"
        )
        return IssueStep("leave", issue, None, said)
    return IssueStep("close", issue, None)


def _is_known(cell: CellRecord) -> bool:
    """Return whether a cell is well, or is in an alarm of its run."""
    return _is_well(cell) or correct_verdict(cell.outcome, cell.verdict) in ALARMS


def _is_well(cell: CellRecord) -> bool:
    return cell.outcome in _TOLD and correct_verdict(cell.outcome, cell.verdict) in _QUIET


def _shorten(cell: str) -> str:
    return hashlib.sha256(cell.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGITS]
