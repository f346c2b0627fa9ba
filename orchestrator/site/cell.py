"""The page of a cell: its year. Pure."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from orchestrator.analyse.moves import VERSIONED
from orchestrator.outcome import FAILURES, Outcome
from orchestrator.report import units
from orchestrator.site.charts import draw_latency, draw_strip
from orchestrator.site.component_changes import ComponentChanges
from orchestrator.site.news import measure_now
from orchestrator.site.night import SHOWN, choose_cell_sign, find_since, has_same_end
from orchestrator.site.page_paths import name_cell_page
from orchestrator.site.pages import TONE_TITLES, Frame, Page, as_json
from orchestrator.site.tracks import Track
from orchestrator.site.year import ABSENT, Night, Point, Result, RuleHistory, Year, find_tone

_TURNS = 12
"""Changes that the page shows; all are in its data."""


@dataclass(frozen=True, kw_only=True)
class FolderDetail:
    """What only the folder of a run says of a cell."""

    reproducer: str
    declared: str
    """What is declared of its capabilities, and why; empty where a rule or nothing decides."""
    cause: str


@dataclass(frozen=True, kw_only=True)
class EvidenceFile:
    """A file of a run's folder that shows what happened, and its place in the site."""

    path: str
    title: str
    day: str
    key: str
    """What tells its content from that of any other."""
    read: Callable[[], bytes]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A night in which the cell ended in another way, or had another version."""

    night: Night
    result: Result | None
    length: int
    versions: str
    marks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the folders of runs add to the history."""

    details: Mapping[str, FolderDetail]
    """Of the newest night whose folder is there, by cell."""
    evidence: Mapping[str, Sequence[EvidenceFile]]
    without: str
    """Why a cell has no evidence."""

    def make_files(self, frame: Frame) -> Iterator[Page]:
        """Return the evidence as files of the site."""
        for many in self.evidence.values():
            for one in many:
                yield Page(path=one.path, make=one.read, key=frame.make_key(one.path, one.key))


def make_cell(frame: Frame, track: Track, known: Known) -> Iterator[Page]:
    """Return the page of a cell, and its data."""
    path = name_cell_page(track.name)
    nights, results = frame.year.nights, track.results
    marks = find_marks(frame.component_changes, track)
    turns = find_turns(nights, track, marks)

    def make() -> bytes:
        point = next(one.point for one in reversed(results) if one)
        passed = [night for night, one in zip(nights, results, strict=True) if one and _describe_passes(one)]
        tones = [find_tone(one) for one in results]
        latency = draw_latency([one.handshake_s if one else None for one in results])
        detail = known.details.get(track.name)
        had = [(night, one) for night, one in zip(nights, results, strict=True) if one]
        first = find_since(results)
        return frame.render(
            "cell.html.j2",
            path,
            name=track.name,
            point=point,
            now=results[-1],
            gone=f"the last that had it is {had[-1][0].day}" if had else "",
            successor=frame.successors.get(track.name),
            since=_describe_since(nights, first),
            detail=detail,
            last_pass=passed[-1] if passed else None,
            judged=sum(one.outcome is not None and one.outcome.judged_product for _, one in had),
            nights_had=len(had),
            rate=_describe_rate([one for _, one in had]),
            flakiness=measure_now(frame.year, track.name) if results[-1] else None,
            rule=_find_rule(frame.year, results[-1]),
            alarm=results[-1].alarm if results[-1] else None,
            chart=draw_strip(tones),
            label=_write_label(tones, len(nights)),
            months=frame.months,
            marks=[{"at": round(100 * number / len(nights), 2)} for number in marks],
            strip=[
                choose_cell_sign(nights[number], results[number], mark=number in marks)
                for number in range(max(0, len(nights) - SHOWN), len(nights))
            ],
            turns=turns[:_TURNS],
            more_turns=max(0, len(turns) - _TURNS),
            latency=latency,
            latency_label=_write_latency_label(latency.last, len(latency.steps)) if latency else "",
            steps=[
                {"night": nights[s.night], "was": s.was, "now": s.now, "ratio": _write_ratio(s.was, s.now)}
                for s in reversed(latency.steps if latency else ())
            ],
            evidence=known.evidence.get(track.name, ()),
            no_evidence=known.without,
            reproducer=detail.reproducer
            if detail
            else shlex.join(["matrixctl", "run", "--cell", track.name]),
        )

    yield Page(path=path, make=make)
    yield Page(
        path=path.removesuffix(".html") + ".json",
        make=lambda: as_json(
            {
                "cell": track.name,
                "axes": next(one.point for one in reversed(results) if one)._asdict(),
                "handshake_s": [
                    None if one is None or one.handshake_s is None else round(one.handshake_s, 6)
                    for one in results
                ],
                "turns": [
                    {
                        "night": turn.night.id,
                        "nights": turn.length,
                        "outcome": turn.result.outcome if turn.result else None,
                        "reason": turn.result.reason if turn.result else None,
                        "verdict": turn.result.verdict if turn.result else None,
                        "message": turn.result.message if turn.result else "",
                        "versions": turn.versions,
                        "marks": turn.marks,
                    }
                    for turn in turns
                ],
            }
        ),
    )


def find_marks(changes: ComponentChanges, track: Track) -> Mapping[int, tuple[str, ...]]:
    """Return the nights, by number, in which the cell was made of something else, and what that is.

    Of older records, which do not say it, only the versions of its axes are known.
    """
    found: dict[int, list[str]] = {}
    last: Result | None = None
    for number, one in enumerate(track.results):
        if one is None:
            continue
        if last and (last.made, last.build, last.point) == (one.made, one.build, one.point):  # most nights
            last = one
            continue
        said = changes.tell(last, one) if last else None
        if said:
            found[number] = list(said)
        elif said is None and last is not None and last.point is not one.point:
            for axis in VERSIONED:
                was, now = _describe_version(last.point, axis), _describe_version(one.point, axis)
                if was != now:
                    found.setdefault(number, []).append(f"{axis}: {was} → {now}")
        last = one
    return {number: tuple(said) for number, said in found.items()}


def _describe_version(point: Point, axis: str) -> str:
    name, version = str(getattr(point, axis)), str(getattr(point, f"{axis}_version"))
    return name if version in name else f"{name} ({version})"


def find_turns(
    nights: Sequence[Night], track: Track, marks: Mapping[int, tuple[str, ...]]
) -> tuple[Turn, ...]:
    """Return the nights in which the cell's result or its parts changed, the newest first."""
    results = track.results
    starts = [
        number
        for number in range(len(results))
        if not number or number in marks or not has_same_end(results[number - 1], results[number])
    ]
    ends = [*starts[1:], len(results)]
    return tuple(
        Turn(
            night=nights[first],
            result=results[first],
            length=end - first,
            versions=_list_versions(one.point) if (one := results[first]) else "",
            marks=marks.get(first, ()),
        )
        for first, end in reversed(list(zip(starts, ends, strict=True)))
    )


def _find_rule(year: Year, result: Result | None) -> RuleHistory | None:
    """Return the rule that decides the cell in the last night."""
    return year.rules.get(result.rule) if result and result.rule is not None else None


@cache
def _list_versions(point: Point) -> str:
    return f"HAProxy {_describe_version(point, 'haproxy')}, {_describe_version(point, 'tls')}"


def _describe_passes(result: Result) -> bool:
    return result.outcome is Outcome.PASS


def _describe_since(nights: Sequence[Night], first: int) -> str:
    count = len(nights) - first
    if first == 0:
        return f"in each of {count} nights" if count > 1 else ""
    return f"since {nights[first].day}, {units.format_count(count, 'night')}"


def _describe_rate(results: Sequence[Result]) -> str:
    judged = [one for one in results if one.outcome is not None and one.outcome.judged_product]
    failed = sum(one.outcome in FAILURES for one in judged)
    tried = sum(one.passed + one.failed for one in judged)
    return f"in {failed} of {len(judged)} nights, {sum(one.failed for one in judged)} of {tried} attempts"


def _write_label(tones: Sequence[str], nights: int) -> str:
    counts = {tone: tones.count(tone) for tone in dict.fromkeys(tones) if tone != ABSENT}
    said = ", ".join(f"{count} {TONE_TITLES[tone]}" for tone, count in counts.items())
    return f"{nights} nights, the newest at the right: {said or 'none has the cell'}."


def _write_latency_label(last: float, steps: int) -> str:
    changed = {0: "no lasting step", 1: "1 lasting step"}.get(steps, f"{steps} lasting steps")
    now = units.format_milliseconds(last)
    return f"The first handshake over HTTP/3, night by night: {now} ms in the last, {changed}."


def _write_ratio(was: float, now: float) -> str:
    return f"{now / was:.1f} times" if now > was else f"down to {100 * now / was:.0f} %"
