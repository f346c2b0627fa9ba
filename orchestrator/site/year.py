"""A year of nights of one series as frozen values; all text in it can be shown. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

from orchestrator.analyse.change import name_end
from orchestrator.outcome import Outcome, Reason, Verdict, correct_verdict
from orchestrator.record.model import Ingredient
from orchestrator.report.text import make_visible

NIGHTS = 365
"""Nights that are shown."""
UNTRIED = "untried"
ABSENT = "absent"
TONES = (*(str(one) for one in reversed(Verdict)), UNTRIED, ABSENT)
"""How loud a cell can be, the loudest first; ``absent`` in a night that did not have it."""


class Point(NamedTuple):
    """A cell, as one or more nights had it: its id, and its axes with the versions of that time."""

    id: str
    arch: str
    haproxy: str
    haproxy_version: str
    tls: str
    tls_family: str
    tls_version: str
    cipher: str
    client: str
    client_family: str
    execution: str


class Result(NamedTuple):
    """What became of a cell in one night."""

    point: Point
    outcome: Outcome | None
    reason: Reason | None
    verdict: Verdict
    message: str
    attempts: int
    """Those that count, as ``passed`` and ``failed`` do."""
    passed: int
    failed: int
    failures: tuple[str, ...]
    """How it failed, each as ``OUTCOME`` or ``OUTCOME: REASON``."""
    confirmation: str | None
    """``confirmed``, ``flaky`` or ``open``, where it was probed again for that; see docs/confirm.md."""
    handshake_s: float | None
    alarm: str | None
    rule: int | None
    made: tuple[int, int] | None
    """The numbers of the two sets of what it depended on; ``None`` where that is not known."""
    build: str
    tone: str
    """How loud it is: the verdict; ``untried`` for what was not put to the test, as expected."""


@dataclass(frozen=True, kw_only=True)
class NightAlarm:
    """An alarm of one night."""

    key: str
    outcome: Outcome | None
    reason: Reason | None
    conditions: tuple[str, ...]
    cells: int


@dataclass(frozen=True, kw_only=True)
class RuleHistory:
    """What the matrix of the last night expects of some cells. ``last_held``: the last day of that."""

    conditions: tuple[str, ...]
    says: str
    because: str
    until: str
    place: str
    stale: str
    since: str
    last_held: str
    counted: int
    """Cells of the last night that it decided."""
    held: int
    """Those of them that ended as it says."""


class NightComponent(NamedTuple):
    """A component of a run."""

    kind: str
    name: str
    version: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Night:
    """One run of the series, and what it found."""

    id: str
    day: str
    started_at: str
    duration_s: float | None
    status: str
    exit_code: int | None
    good: bool
    planned: int
    tool_version: str
    engine: str
    host: str
    selection: str
    folder: str
    """As it was written down: a path, never shown as it is."""
    digest: str
    results: Mapping[str, Result]
    """By the id of the cell, in the order of the matrix."""
    alarms: tuple[NightAlarm, ...]
    parts: frozenset[NightComponent]

    @cached_property
    def key(self) -> str:
        """Return what tells it from any other. An alarm's key is not in the record, and may change."""
        return f"{self.digest} {self.alarms}"

    @property
    def judged(self) -> int:
        """Return how many cells have an outcome."""
        return sum(one.outcome is not None for one in self.results.values())

    @cached_property
    def is_part(self) -> str:
        """Return why it is but a part of its selection: a shard, or single cells; empty for a whole one."""
        try:
            asked = json.loads(self.selection)
        except ValueError:
            return ""
        if shard := asked.get("shard"):
            return f"shard {shard} alone"
        return "only single cells were asked for" if asked.get("cells") else ""

    @property
    def is_whole(self) -> bool:
        """Return whether it came to its end, as no part, and every cell that was planned has an outcome."""
        return self.status == "finished" and 0 < self.planned <= self.judged and not self.is_part


@dataclass(frozen=True, kw_only=True)
class Year:
    """The nights of one series, the oldest first."""

    series: str
    nights: tuple[Night, ...]
    rules: Mapping[int, RuleHistory]
    """Of the last night."""
    sets: Mapping[int, frozenset[Ingredient]]
    """What cells depended on; see ``Result.made``."""

    @property
    def last(self) -> Night:
        """Return the newest night."""
        return self.nights[-1]

    @cached_property
    def tracks(self) -> Mapping[str, tuple[Result | None, ...]]:
        """Return what became of each cell, night by night; ``None`` in a night that did not have it."""
        found: dict[str, list[Result | None]] = {}
        empty: list[Result | None] = [None] * len(self.nights)
        for number, night in enumerate(self.nights):
            for name, result in night.results.items():
                if name not in found:
                    found[name] = list(empty)
                found[name][number] = result
        return {name: tuple(track) for name, track in found.items()}

    @cached_property
    def points(self) -> Mapping[str, Point]:
        """Return each cell as the last night that had it."""
        return {name: result.point for night in self.nights for name, result in night.results.items()}

    def find_last_good(self, before: int) -> int | None:
        """Return the number of the newest night before one, by its number, that was good."""
        return next((number for number in range(before - 1, -1, -1) if self.nights[number].good), None)


def make_year(
    series: str,
    *,
    runs: Sequence[Mapping[str, Any]],
    cells: Sequence[Mapping[str, Any]],
    results: Sequence[tuple[Any, ...]],
    alarms: Sequence[Mapping[str, Any]],
    components: Sequence[tuple[Any, ...]],
    builds: Mapping[int, str],
    rules: Sequence[Mapping[str, Any]],
    sets: Mapping[int, frozenset[Ingredient]],
) -> Year:
    """Return the year that rows of the history tell of; see ``History.nights`` and what follows it."""
    show = cache(make_visible)
    points = {row["number"]: Point(**{name: show(row[name]) for name in Point._fields}) for row in cells}
    place: dict[str, int] = {}  # as the matrix declared them when they came
    for number in sorted(points):
        place.setdefault(points[number].id, number)
    outcomes: Mapping[str | None, Outcome] = {str(one): one for one in Outcome}
    reasons: Mapping[str | None, Reason] = {str(one): one for one in Reason}
    verdicts = {str(one): one for one in Verdict}

    @cache
    def name_failures(told: str) -> tuple[str, ...]:
        ends = ((outcomes.get(one), reasons.get(why)) for one, why in json.loads(told))
        return tuple(sorted(name_end(*end) for end in ends))

    @cache
    def judge(outcome: str | None, verdict: str) -> tuple[Outcome | None, Verdict, str]:
        ended = outcomes.get(outcome)
        meant = correct_verdict(ended, verdicts.get(verdict, Verdict.NOT_JUDGED))
        quiet = meant is Verdict.AS_EXPECTED and ended is not Outcome.PASS
        return ended, meant, UNTRIED if quiet else str(meant)

    judged: dict[int, dict[str, Result]] = {row["number"]: {} for row in runs}
    for run, cell, outcome, reason, verdict, message, *others in results:
        point = points.get(cell)
        if point is None or run not in judged:  # another process wrote between two queries
            continue
        attempts, passed, failed, failures, confirmation, handshake_s, alarm, rule, shared, own, build = (
            others
        )
        ended, meant, tone = judge(outcome, verdict)
        judged[run][point.id] = Result(
            point=point,
            outcome=ended,
            reason=reasons.get(reason),
            verdict=meant,
            message=show(message),
            attempts=attempts,
            passed=passed,
            failed=failed,
            failures=name_failures(failures or (json.dumps([[outcome, reason]]) if failed else "[]")),
            confirmation=confirmation,
            handshake_s=handshake_s,
            alarm=alarm and show(alarm),
            rule=rule,
            made=None if shared is None or own is None else (shared, own),
            build=builds.get(build, ""),
            tone=tone,
        )
    found: dict[int, list[NightAlarm]] = {}
    for row in alarms:
        found.setdefault(row["run"], []).append(
            NightAlarm(
                key=show(row["key"]),
                outcome=outcomes.get(row["outcome"]),
                reason=reasons.get(row["reason"]),
                conditions=tuple(show(str(one)) for one in row["conditions"]),
                cells=row["cells"],
            )
        )
    parts: dict[int, set[NightComponent]] = {}
    for run, *texts in components:
        parts.setdefault(run, set()).add(NightComponent(*map(show, texts)))
    return Year(
        series=show(series),
        rules={row["number"]: _make_rule(row, show) for row in rules},
        sets={
            number: frozenset(one._replace(name=show(one.name), version=show(one.version)) for one in members)
            for number, members in sets.items()
        },
        nights=tuple(
            Night(
                id=show(row["id"]),
                day=show(row["night"]),
                started_at=show(row["started_at"]),
                duration_s=row["duration_s"],
                status=show(row["status"]),
                exit_code=row["exit_code"],
                good=row["good"],
                planned=row["planned"],
                tool_version=show(row["tool_version"]),
                engine=show(row["engine"]),
                host=show(row["host"]),
                selection=show(row["selection"]),
                folder=row["folder"],
                digest=row["digest"],
                results=dict(sorted(judged[row["number"]].items(), key=lambda one: place[one[0]])),
                alarms=tuple(sorted(found.get(row["number"], ()), key=lambda one: (-one.cells, one.key))),
                parts=frozenset(parts.get(row["number"], ())),
            )
            for row in runs
        ),
    )


def _make_rule(row: Mapping[str, Any], show: Callable[[str], str]) -> RuleHistory:
    reason = f": {row['reason']}" if row["reason"] else ""
    cipher = f" with {row['cipher']}" if row["cipher"] else ""
    return RuleHistory(
        conditions=tuple(show(str(one)) for one in row["conditions"]),
        says=show(f"{row['outcome']}{reason}{cipher}"),
        last_held=show(row["last_held"] or ""),
        counted=row["counted"],
        held=row["held"],
        **{name: show(row[name]) for name in ("because", "until", "place", "stale", "since")},
    )


def find_tone(result: Result | None) -> str:
    """Return how loud a cell is in a night."""
    return ABSENT if result is None else result.tone
