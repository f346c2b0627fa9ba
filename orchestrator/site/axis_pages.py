"""Everything about one TLS library, or one architecture, on one page. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from orchestrator.site.charts import draw_trouble
from orchestrator.site.matrix import MatrixEntry, draw_grid, list_entries
from orchestrator.site.night import ALARMING, SHOWN, Sign, all_stand, count_tones, tally
from orchestrator.site.page_paths import name_arch_page, name_cell_page, name_library_page, name_run_page
from orchestrator.site.pages import STANDING, TONE_GLYPHS, TONE_TITLES, Frame, Page, as_json
from orchestrator.site.year import ABSENT, TONES, Night, Point, Result, Year, find_tone


@dataclass(frozen=True, kw_only=True)
class VersionDays:
    """A version, and the first and last day of the nights that had it."""

    name: str
    version: str
    first: str
    last: str
    now: bool
    tally: tuple[tuple[str, int], ...]
    """Of the last night that had it."""


def make_parts(frame: Frame) -> Iterator[Page]:
    """Return a page for each TLS library, and one for each architecture."""
    entries = list_entries(frame)
    yield from _make_each(frame, "TLS library", lambda point: point.tls_family, name_library_page, entries)
    yield from _make_each(frame, "Architecture", lambda point: point.arch, name_arch_page, entries)


def _make_each(
    frame: Frame,
    kind: str,
    name_of: Callable[[Point], str],
    page_of: Callable[[str], str],
    entries: tuple[MatrixEntry, ...],
) -> Iterator[Page]:
    year = frame.year
    groups: dict[str, list[list[Result]]] = {}
    for number, night in enumerate(year.nights):
        for result in night.results.values():
            name = name_of(result.point)
            if name not in groups:
                groups[name] = [[] for _ in year.nights]
            groups[name][number].append(result)
    for name, nights in groups.items():
        mine = [entry for entry in entries if name_of(entry.result.point) == name]
        counts = [count_tones(results) for results in nights]
        path = page_of(name)
        bad = [entry for entry in mine if find_tone(entry.result) in TONES[: TONES.index("as-expected")]]
        yield Page(
            path=path,
            make=partial(
                frame.render,
                "part.html.j2",
                path,
                kind=kind,
                name=name,
                total=len(mine),
                tones=tally(counts[-1]),
                chart=draw_trouble(counts),
                months=frame.months,
                strip=[
                    _choose_sign(
                        year.nights[number], nights[number], year.nights[number - 1] if number else None
                    )
                    for number in range(max(0, len(nights) - SHOWN), len(nights))
                ],
                versions=list(_list_versions(year, nights)) if kind == "TLS library" else [],
                bad=sorted(bad, key=lambda entry: (TONES.index(find_tone(entry.result)), entry.age)),
                grid=draw_grid(mine) if mine else None,
            ),
        )
        told = {
            "name": name,
            "nights": [
                {"id": night.id, "cells": dict(tally(count))}
                for night, count in zip(year.nights, counts, strict=True)
            ],
            "cells": [{"cell": entry.name, "page": name_cell_page(entry.name)} for entry in mine],
        }
        yield Page(path=path.removesuffix(".html") + ".json", make=partial(as_json, told))


def _choose_sign(night: Night, results: list[Result], before: Night | None) -> Sign:
    counts = count_tones(results)
    tone = next((tone for tone in TONES if counts[tone]), ABSENT)
    many = counts[tone]
    if before is not None and tone in ALARMING and all_stand(results, before):
        tone = STANDING
    return Sign(
        page=name_run_page(night.id),
        title=f"{night.day}: " + (f"{many} of {len(results)} {TONE_TITLES[tone]}" if results else "no cell"),
        short=night.day[-2:],
        tone=tone,
        state="pass" if tone == "as-expected" else "fail" if tone == "known-failure" else "",
        glyph=TONE_GLYPHS[tone],
    )


def _list_versions(year: Year, nights: list[list[Result]]) -> Iterator[VersionDays]:
    found: dict[tuple[str, str], list[int]] = {}
    for number, results in enumerate(nights):
        for one in {(result.point.tls, result.point.tls_version) for result in results}:
            found.setdefault(one, []).append(number)
    for (name, version), at in sorted(found.items(), key=lambda one: (-one[1][-1], one[0])):
        of_it = [one for one in nights[at[-1]] if (one.point.tls, one.point.tls_version) == (name, version)]
        yield VersionDays(
            name=name,
            version=version,
            first=year.nights[at[0]].day,
            last=year.nights[at[-1]].day,
            now=at[-1] == len(nights) - 1,
            tally=tally(count_tones(of_it)),
        )
