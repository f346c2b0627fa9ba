"""The page of a run: against the night before, and against the last good one. Pure."""

from collections.abc import Iterator
from typing import Any

from orchestrator.site.news import NightNews, drop_suspects, recall_judged
from orchestrator.site.night import make_segments
from orchestrator.site.overview import tell_news
from orchestrator.site.page_paths import name_run_page
from orchestrator.site.pages import TONE_TITLES, Frame, Page, as_json
from orchestrator.site.pairs import Numbering, tell_ends
from orchestrator.site.state import describe
from orchestrator.site.year import TONES, Night, Result, find_tone


def make_run(frame: Frame, number: int, numbers: Numbering) -> Iterator[Page]:
    """Return the page of the night of that number, and its data."""
    nights = frame.year.nights
    night = nights[number]
    before = nights[number - 1] if number else None
    after = nights[number + 1] if number + 1 < len(nights) else None
    good_number = frame.year.find_last_good(number)
    good = None if good_number is None else nights[good_number]
    recalled = recall_judged(frame.year, number) if before else {}
    path = name_run_page(night.id)
    key = frame.make_key(
        *("" if one is None else one.key for one in (night, before, good)),
        after and after.id,
        *(one.key for one in nights[number if good_number is None else good_number + 1 : number]),
        *(f"{cell} {last.key}" for cell, (last, _) in recalled.items()),
        numbers.make_key(night),
        *(
            one
            for other in (number - 1 if number else None, good_number)
            if other is not None
            for one in frame.find_flaky(other, number).items()
        ),
    )

    def make() -> bytes:
        news = frame.compare(number - 1, number) if before else None
        return frame.render(
            "run.html.j2",
            path,
            night=night,
            before=before,
            after=after,
            state=describe(night, news),
            segments=make_segments(night),
            news=news,
            good_news=_compare_good(frame, good_number, number),
            bad=_find_bad(night),
            report=f"matrixctl report {night.id}",
        )

    yield Page(path=path, make=make, key=key)
    yield Page(
        path=path.removesuffix(".html") + ".json",
        make=lambda: as_json(_tell(night, frame.compare(number - 1, number) if before else None, numbers)),
        key=key,
    )


def _compare_good(frame: Frame, good: int | None, number: int) -> NightNews | None:
    """Return the news of a night against the last good one before it."""
    if good is None:
        return None
    return drop_suspects(frame.year, frame.component_changes, frame.compare(good, number))


def _find_bad(night: Night) -> list[tuple[str, list[tuple[str, Result]]]]:
    found: dict[str, list[tuple[str, Result]]] = {}
    for name, result in night.results.items():
        found.setdefault(find_tone(result), []).append((name, result))
    return [(TONE_TITLES[tone], found[tone]) for tone in TONES if tone in found and tone != "as-expected"]


def _tell(night: Night, news: NightNews | None, numbers: Numbering) -> dict[str, Any]:
    return {
        "numbers": "of cells: their places in the list of compare.json",
        "id": night.id,
        "started_at": night.started_at,
        "status": night.status,
        "planned": night.planned,
        "news": tell_news(news),
        **tell_ends(night, numbers),
    }
