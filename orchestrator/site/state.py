"""The state of a series in one sentence, and how loud it is. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.analyse.change import Change, name_end
from orchestrator.outcome import Outcome, Verdict
from orchestrator.report.headline import choose_level
from orchestrator.site.news import NightNews
from orchestrator.site.year import Night, Result, find_tone

OVERDUE_H = 26
"""Hours after the begin of the last night from which on the next one is missing."""
_NOUNS = {
    Verdict.REGRESSION: ("regression", "regressions"),
    Verdict.CHANGED_FAILURE: ("changed failure", "changed failures"),
    Verdict.FLAKY: ("flaky cell", "flaky cells"),
    Verdict.NOT_JUDGED: ("cell not judged", "cells not judged"),
    Verdict.NOW_PASSING: ("cell passes against its rule", "cells pass against their rule"),
    Verdict.KNOWN_FAILURE: ("known failure", "known failures"),
}
_NEWS = {
    Change.NEW_FAILURE: ("new failure", "new failures"),
    Change.CHANGED_REASON: ("fails in another way", "fail in another way"),
    Change.FIXED: ("fixed", "fixed"),
}


@dataclass(frozen=True, kw_only=True)
class NightState:
    """``level``: alarm, unsure, note or calm; ``also``: what else there is; ``warnings``: of the night."""

    level: str
    sentence: str
    also: tuple[str, ...]
    warnings: tuple[str, ...]


def describe(night: Night, news: NightNews | None) -> NightState:
    """Return the state that a night shows; ``news``: against the night before, if there is one."""
    counts = Counter(result.verdict for result in night.results.values())
    loud = [_count(verdict, counts) for verdict in _NOUNS if counts[verdict]]
    total = len(night.results)
    passing = sum(find_tone(one) == Verdict.AS_EXPECTED for one in night.results.values())
    if not total:
        sentence, rest = "No cell in the last night: there is nothing to judge", []
    elif loud and (counts[Verdict.KNOWN_FAILURE] < sum(counts[one] for one in _NOUNS)):
        sentence, rest = f"{loud[0]} in {total} cells", [*loud[1:], _tell_passing(passing)]
    elif not passing and not counts[Verdict.KNOWN_FAILURE]:
        sentence, rest = "Nothing was put to the test", []
    else:
        sentence, rest = f"{_tell_passing(passing)}, as expected", loud
    if not night.is_whole and total:
        ended = {"finished": "Partial", "running": "Not ended", "interrupted": "Interrupted"}
        first = f"{ended.get(night.status, 'Cut off')}: {night.judged} of {night.planned} cells judged"
        sentence, rest = first, [sentence, *rest]
    told = [_tell_news(change, news.counts) for change in _NEWS if news.counts[change]] if news else []
    if told and news:
        rest = [f"since {news.base.day}: {', '.join(told)}", *rest]
    warnings = find_faults(night)
    return NightState(
        level=choose_level(counts, whole=bool(passing) and not warnings),
        sentence=sentence,
        also=tuple(rest),
        warnings=warnings,
    )


def find_faults(night: Night) -> tuple[str, ...]:
    """Return what makes a night less than a whole one, a sentence each."""
    words = {"running": "had not ended when it was written down", "interrupted": "was interrupted"}
    found = []
    if night.status != "finished":
        found.append(f"The night of {night.day} {words.get(night.status, 'was cut off')}.")
    if night.is_part:
        found.append(f"It is a part: {night.is_part}. What it did not ask for is as it was before.")
    if night.judged < night.planned:
        found.append(f"It is partial: {night.judged} of {night.planned} cells were judged.")
    return tuple(found)


def is_overdue(night: Night, now: datetime) -> bool:
    """Return whether the next night is missing by now."""
    try:
        began = datetime.fromisoformat(night.started_at)
    except ValueError:
        return True
    began = began if began.tzinfo else began.replace(tzinfo=UTC)
    return (now - began).total_seconds() > OVERDUE_H * 3600


def _count(verdict: Verdict, counts: Mapping[Verdict, int]) -> str:
    number = counts[verdict]
    return f"{number} {_NOUNS[verdict][number != 1]}"


def _tell_news(change: Change, counts: Mapping[Change, int]) -> str:
    number = counts[change]
    return f"{number} {_NEWS[change][number != 1]}"


def _tell_passing(number: int) -> str:
    return "1 cell passes" if number == 1 else f"{number} cells pass"


def describe_end(result: Result | None) -> str:
    """Return how a cell ended, in words: ``fail: handshake-then-hang``."""
    if result is None:
        return "no such cell"
    if result.outcome is Outcome.PASS and result.failed:
        return "pass, not each time"
    return name_end(result.outcome, result.reason)
