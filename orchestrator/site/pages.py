"""What a page is, and how one is rendered. Pure."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, lru_cache, partial
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from orchestrator import __version__, resources
from orchestrator.analyse.change import Change
from orchestrator.analyse.nights import Flakiness
from orchestrator.outcome import Verdict
from orchestrator.report import html, summary, units
from orchestrator.report.comparison import describe_flakiness
from orchestrator.site import page_paths
from orchestrator.site.charts import HEIGHTS, find_months
from orchestrator.site.component_changes import ComponentChanges, describe
from orchestrator.site.news import NightNews, choose_worse, compare_nights, recall_flaky
from orchestrator.site.state import describe_end
from orchestrator.site.tracks import Track
from orchestrator.site.year import ABSENT, TONES, UNTRIED, Night, Year

PLACES = (
    ("index.html", "Overview"),
    ("matrix.html", "Matrix"),
    ("coverage.html", "Coverage"),
    ("compare.html", "Compare"),
)
"""The pages that every page leads to."""
LIVE = ("live.html", "Running")
"""The page that a served site has beside them."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'"
)
"""Nothing but our own files has any effect, from a server or from a folder."""
LEVEL_GLYPHS = {"alarm": "alarm", "unsure": "not-judged", "note": "note", "calm": "pass"}
STANDING = "standing"
"""The tone of a night that has alarms, and each of them was there the night before."""
TONE_TITLES = {
    STANDING: "regression, as the night before",
    **{str(verdict): title for verdict, title in summary.VERDICT_TITLES.items()},
    str(Verdict.AS_EXPECTED): "passes",
    UNTRIED: "not put to the test, as expected",
    ABSENT: "no run",
}
TONE_GLYPHS = {
    STANDING: "fail",
    "regression": "fail",
    "changed-failure": "fail",
    "flaky": "fail",
    "not-judged": "not-judged",
    "now-passing": "note",
    "known-failure": "fail",
    "as-expected": "pass",
    UNTRIED: "unsupported",
    ABSENT: "unsupported",
}
LOUD_TONES = ("regression", "changed-failure", "flaky", "not-judged", "now-passing")
CHANGE_TITLES = {
    change: str(change).replace("-", " ").replace("new failure", "new failures") for change in Change
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A file of the site."""

    path: str
    make: Callable[[], bytes]
    key: str = ""
    """A digest of all that it is made of: with the same one it need not be made again. Empty: unknown."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What all pages share."""

    year: Year
    tracks: Mapping[str, Track]
    overdue: str
    """The sentence that the next night is missing, or empty: as it is when the pages are made."""
    tool: str
    """A digest of the program: a page that another one made is made again."""
    served: bool = False
    """The site is served by matrixctl, which has a page of the run that goes on."""

    @cached_property
    def successors(self) -> Mapping[str, str]:
        """Return what became of each cell whose version moved, by its old id."""
        moves = ((name, move) for name, track in self.tracks.items() for move in track.moves.values())
        return {move.old: name for name, move in moves}

    @cached_property
    def component_changes(self) -> ComponentChanges:
        """Return what compares the parts that cells were made of."""
        return ComponentChanges(self.year)

    @cached_property
    def recall(self) -> Callable[[int], Mapping[str, Flakiness]]:
        """Return a function from a night's number to the alarms of flaky cells in it."""
        return cache(partial(recall_flaky, self.year))

    def find_flaky(self, base: int, head: int) -> Mapping[str, Flakiness]:
        """Return the cells whose new alarm, of a night against another, is none: they are flaky."""
        nights = self.year.nights
        return choose_worse(nights[base], nights[head], self.recall(head))

    def compare(self, base: int, head: int) -> NightNews:
        """Return the news of a night against another, by their numbers."""
        return compare_nights(self.year, self.component_changes, base, head, self.find_flaky(base, head))

    @cached_property
    def months(self) -> Markup:
        """Return the names of the months, as they stand below a chart of all nights."""
        parts: Any = _make_environment().get_template("site_parts.html.j2").module
        return Markup(parts.months(find_months(self.year.nights)))  # noqa: S704 - a template made it

    def make_key(self, *parts: object) -> str:
        """Return the key of a page that is made of these parts and the program alone."""
        told = json.dumps(
            [self.tool, __version__, self.year.series, *(["served"] if self.served else []), *map(str, parts)]
        )
        return hashlib.sha256(told.encode()).hexdigest()

    def render(self, template: str, path: str, *, overdue: str = "", **values: Any) -> bytes:
        """Return a page at a path."""
        return render(
            template,
            path,
            series=self.year.series,
            count=len(self.year.nights),
            served=self.served,
            overdue=overdue,
            **values,
        )


def render(template: str, path: str, *, count: int, served: bool = True, **values: Any) -> bytes:
    """Return a page at a path of the site.

    :param count: the nights of the site; without any it has no page but this one.
    """
    page = _make_environment().get_template(template)
    return page.render(
        root="../" * path.count("/"),
        here=path,
        data_place=path.removesuffix(".html") + ".json",
        count=count,
        places=(*(PLACES if count else ()), *((LIVE,) if served else ())),
        **values,
    ).encode()


def as_json(value: Any) -> bytes:
    """Return JSON in ASCII; also within a script nothing in it ends the script."""
    dumped = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return dumped.replace("<", "\\u003c").encode() + b"\n"


def as_script(call: str, *values: Any) -> bytes:
    """Return a script that hands values to our own scripts: a page from a folder can read no JSON."""
    told = ",".join(as_json(value).decode().strip() for value in values)
    return (
        f"window.matrixctl??={{}};(window.matrixctl.queue??=[]).push([{json.dumps(call)},{told}]);\n".encode()
    )


def read_asset(name: str) -> bytes:
    """Return one of our own files."""
    return (resources.find_root() / "templates" / name).read_bytes()


@cache
def _make_environment() -> Environment:
    environment = html.make_environment("site", "report")
    environment.globals.update(
        policy=POLICY,
        version=__version__,
        level_glyphs=LEVEL_GLYPHS,
        tone_glyphs=TONE_GLYPHS,
        tone_titles=TONE_TITLES,
        loud_tones=LOUD_TONES,
        legend_tones=TONES[:-1],
        night_tones=(TONES[0], STANDING, *TONES[1:-1]),
        heights={**HEIGHTS, STANDING: HEIGHTS["regression"]},
        change_titles=CHANGE_TITLES,
    )
    filters: Mapping[str, Callable[..., Any]] = {
        "cell_page": page_paths.name_cell_page,
        "run_page": page_paths.name_run_page,
        "alarm_page": page_paths.name_alarm_page,
        "library_page": page_paths.name_library_page,
        "arch_page": page_paths.name_arch_page,
        "ending": describe_end,
        "difference": describe,
        "flakiness": describe_flakiness,
        "inside_of": _name_inside,
        "plain_sides": replace_sides,
        "strip_field": _draw_field,
    }
    environment.filters.update(filters)
    return environment


@lru_cache(maxsize=1 << 12)
def _draw_field(sign: object, root: str) -> Markup:
    """Return a night of a strip: most cells have the same few."""
    parts: Any = _make_environment().get_template("site_parts.html.j2").module
    return Markup(parts.strip_field(sign, root))  # noqa: S704 - a template made it


def replace_sides(meaning: str) -> str:
    """Return the meaning of a change for nights in place of BASE and HEAD."""
    return (
        meaning.replace("in BASE", "before")
        .replace("in HEAD", "now")
        .replace("BASE", "the one before")
        .replace("HEAD", "this night")
    )


def _name_inside(entry: Any, axes: Sequence[str]) -> str:
    """Return what tells a cell from others in the same field."""
    return " ".join(getattr(entry.result.point, axis) for axis in axes) or str(entry.name)


def explain_overdue(night: Night, now: datetime) -> str:
    """Return the sentence for a missing night."""
    began = units.format_moment(night.started_at)
    return f"No night since {began}: what is shown is {_describe_age(night, now)} old."


def _describe_age(night: Night, now: datetime) -> str:
    try:
        hours = round((now - datetime.fromisoformat(night.started_at)).total_seconds() / 3600)
    except (ValueError, TypeError):
        return "an unknown time"
    return f"{hours} hours" if hours < 72 else f"{hours // 24} days"  # noqa: PLR2004 - days say more by then
