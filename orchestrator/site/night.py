"""What pages say of nights: tones, strips, since when. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.report import summary
from orchestrator.site import page_paths
from orchestrator.site.pages import STANDING, TONE_GLYPHS, TONE_TITLES
from orchestrator.site.state import describe_end
from orchestrator.site.year import ABSENT, TONES, UNTRIED, Night, Result, find_tone

ALARMING = frozenset({"regression", "changed-failure"})
SHOWN = 30
"""Nights of a strip."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A night of a strip."""

    page: str
    title: str
    short: str
    tone: str
    state: str
    glyph: str
    mark: bool = False


def all_stand(results: Iterable[Result], before: Night) -> bool:
    """Return whether each of them that is an alarm was the same one the night before."""
    alarms = (one for one in results if one.alarm is not None)
    pairs = ((one, before.results.get(one.point.id)) for one in alarms)
    return all(
        was is not None and was.alarm is not None and (was.outcome, was.reason) == (one.outcome, one.reason)
        for one, was in pairs
    )


def choose_tones(nights: Sequence[Night]) -> tuple[str, ...]:
    """Return the tone of each night."""
    return tuple(
        choose_tone(night, nights[number - 1] if number else None) for number, night in enumerate(nights)
    )


def choose_tone(night: Night, before: Night | None = None) -> str:
    """Return the loudest that a night has; one that is not whole is never calm.

    :param before: with it, a night whose every alarm was there the night before is ``standing``.
    """
    found = {find_tone(result) for result in night.results.values()}
    tone = next((tone for tone in TONES if tone in found), UNTRIED)
    if before is not None and tone in ALARMING and all_stand(night.results.values(), before):
        return STANDING
    calm = TONES.index(tone) > TONES.index("not-judged")
    return "not-judged" if calm and not night.is_whole else tone


def choose_night_sign(night: Night, before: Night | None) -> Sign:
    """Return the sign of a night as a whole, with how many cells are as loud as that."""
    tone, loudest = choose_tone(night, before), choose_tone(night)
    many = sum(find_tone(result) == loudest for result in night.results.values())
    said = f"{night.day}: {many} of {len(night.results)} {TONE_TITLES[tone]}"
    return Sign(
        page=page_paths.name_run_page(night.id),
        title=said if night.is_whole else f"{said}, and it is not whole",
        short=night.day[-2:],
        tone=tone,
        state="pass" if tone == "as-expected" else "fail" if tone == "known-failure" else "",
        glyph=TONE_GLYPHS[tone],
    )


def choose_cell_sign(night: Night, result: Result | None, *, mark: bool) -> Sign:
    """Return the sign of a cell in a night."""
    state = summary.find_state(result) if result else ""
    return Sign(
        page=page_paths.name_run_page(night.id),
        title=f"{night.day}: {describe_end(result)}" + (", with another version" if mark else ""),
        short=night.day[-2:],
        tone=str(result.verdict) if result else ABSENT,
        state=state,
        glyph=state or "unsupported",
        mark=mark,
    )


def count_tones(results: Iterable[Result | None]) -> Counter[str]:
    """Return how many cells there are of each tone."""
    return Counter(map(find_tone, results))


def tally(tones: Counter[str]) -> tuple[tuple[str, int], ...]:
    """Return the tones that there are, with their number, the loudest first."""
    return tuple((tone, tones[tone]) for tone in TONES[:-1] if tones[tone])


def has_same_end(one: Result | None, other: Result | None) -> bool:
    """Return whether a cell ended in the same way."""
    if one is None or other is None:
        return one is other
    return (one.outcome, one.reason, one.verdict) == (other.outcome, other.reason, other.verdict)


def find_since(track: Sequence[Result | None]) -> int:
    """Return the number of the first night of those up to the last one that all ended as the last one."""
    number = len(track) - 1
    while number and has_same_end(track[number - 1], track[-1]):
        number -= 1
    return number


def make_segments(night: Night) -> tuple[tuple[str, str, int], ...]:
    """Return the cells of a night as a bar shows them."""
    tones = count_tones(night.results.values())
    return tuple((tone, TONE_TITLES[tone], count) for tone, count in tally(tones))
