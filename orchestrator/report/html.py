"""The HTML report: one file that works offline, with JavaScript and without."""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator import resources
from orchestrator.analyse.compare import Comparison
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import (
    actions,
    attempts,
    disagreements,
    expectations,
    explanation,
    grid,
    groups,
    headline,
    packed_panels,
    panel,
    proofs,
    provenance,
    selection,
    selftests,
    summary,
    text,
    timeline,
    trace,
    units,
)
from orchestrator.report import comparison as compared
from orchestrator.report.news import look, read_news

_GROUP_SHOWN = 3
"""Cells of one group of failures that stand in the open; the others are folded."""


def render(record: RunRecord, comparison: Comparison | None = None, previous: str = "") -> str:
    """The whole page. Pure: the same record gives the same bytes.

    :param comparison: of another run with this one.
    :param previous: the id of the run before it that asked for the same cells; its folder is beside this one.
    """
    record = _without_waiting_words(text.safe(record))
    disagree = disagreements.disagreements(record)
    sentences = {said.cell: found.sentence for found in disagree for said in found.said}
    news = read_news(comparison)
    told = {cell.id for cell in record.cells if cell.id in sentences or (news and news.describe(cell.id))}
    builds = _builds(record, told)
    clusters = explanation.show(record)
    style, script = _asset("style.css"), _asset("script.js")
    words = summary.words(record)
    page = _environment(**words._asdict()).get_template("report.html.j2")
    return page.render(
        record=record,
        run=record.run,
        headline=headline.parts(record, clusters),
        level=headline.level(record),
        news=news,
        goes_on=headline.goes_on(record.run),
        resumed=headline.resumed(record.run),
        previous=previous,
        exit_code=headline.exit_words(record),
        asked=selection.describe(record),
        tested=selection.tell_tested(record),
        command=selection.command(record.run),
        bundle=shlex.join(["matrixctl", "report", record.run.id, "--bundle", f"{record.run.id}.zip"]),
        special=provenance.special(record),
        counts=summary.counts(record.cells),
        verdicts=summary.verdict_counts(record.cells),
        segments=summary.segments(record.cells, words.verdict_titles),
        clusters=clusters,
        groups=groups.groups(record, explanation.explained(clusters)),
        rules=expectations.lines(record),
        proofs=proofs.table(record.clients),
        disagreements=disagree,
        sentences=sentences,
        traces=trace.find_traces(record.cells),
        refusals=proofs.refusals(record.clients),
        selftests=selftests.overview(record.selftests),
        grid=grid.default(record.cells),
        builds=builds,
        selftest_of=_selftests(record),
        slowest=actions.slowest(record.actions),
        kinds=actions.kinds(record.actions),
        timeline=timeline.draw(record),
        data=packed_panels.pack(
            record, {build.name: build.place for build in builds}, words=words, more=told, href=_href
        ),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=_policy(style, script),
    )


def _without_waiting_words(record: RunRecord) -> RunRecord:
    """Return it without the message of cells that have yet to be judged, which says that they are not."""
    cells = (
        cell.model_copy(update={"message": ""}) if summary.waits(cell, record.run) else cell
        for cell in record.cells
    )
    return record.model_copy(update={"cells": tuple(cells)})


def render_comparison(comparison: Comparison) -> str:
    """A page on two runs, of either of which there may be no report: it leads to none. Pure."""
    comparison = text.safe(comparison)
    style = _asset("style.css")
    page = _environment().get_template("comparison.html.j2")
    return page.render(
        comparison=comparison,
        groups=compared.groups(comparison),
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy(style),
    )


def policy() -> str:
    """Return the Content-Security-Policy that stands in each page, for a server to say it, too."""
    return _policy(_asset("style.css"), _asset("script.js"))


def anchor(cell: CellRecord) -> str:
    """The fragment of the cell's panel: stable from run to run."""
    return fragment(cell.id)


def fragment(cell_id: str) -> str:
    """The same, of the id alone."""
    return "c-" + re.sub(r"[^A-Za-z0-9._-]", "_", cell_id)


def _environment(**words: Mapping[str, str]) -> Environment:
    """Return the one for these words: macros see globals alone."""
    return _environment_of(json.dumps(words))


@cache
def _environment_of(words: str) -> Environment:
    environment = make_environment("report")
    environment.globals.update(json.loads(words))
    return environment


def make_environment(*folders: str) -> Environment:
    """Return what renders the templates of these folders of ``templates/``: all text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader([resources.root() / "templates" / folder for folder in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else text.isolated(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        group_shown=_GROUP_SHOWN,
        detail_of=selftests.detail,
        compared=compared,
        look_of=look,
        cluster_of=explanation,
        panel_of=panel,
        share_of=attempts.share,
        is_short=_is_short,
        preface_of=attempts.preface,
        timeline_of=timeline,
        trace_of=trace,
        absence_of=trace.explain_absence,
        tally_of=attempts.tally,
        confirmation_of=attempts.confirmation,
        state_of=summary.state,
        verdict_of=summary.verdict,
        titles=summary.TITLES,
        meanings=summary.MEANINGS,
        verdict_titles=summary.VERDICT_TITLES,
        tags=summary.TAGS,
    )
    environment.filters.update(
        anchor=anchor,
        fragment=fragment,
        alone=escape,
        breakable=_breakable,
        emulated=summary.emulated,
        tried=summary.tried,
        wanted=expectations.wanted,
        duration=units.duration,
        href=_href,
        inside=_inside,
        link=expectations.link,
        moment=units.moment,
        of=units.count,
        ms=units.milliseconds,
        short=text.shorten,
        sha=provenance.short,
        size=units.size,
        suite=_suite,
    )
    return environment


def _asset(name: str) -> str:
    return (resources.root() / "templates" / "report" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy under which nothing but our own inline blocks has any effect."""
    scripts = f"script-src {_hash(script)}; " if script else ""
    return f"default-src 'none'; style-src {_hash(style)}; {scripts}base-uri 'none'; form-action 'none'"


def _hash(block: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"


@dataclass(frozen=True, kw_only=True)
class _BuildCells:
    """A build with its cells: those that have their panel in the page, and how many the script draws."""

    place: int

    name: str
    special: tuple[provenance.Made, ...]
    cells: tuple[CellRecord, ...]
    drawn: int

    @property
    def folded(self) -> bool:
        """Return whether the script draws all of it: there is nothing but cells as expected."""
        return not self.cells and not self.special


def _builds(record: RunRecord, more: Collection[str]) -> tuple[_BuildCells, ...]:
    found: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        found.setdefault(cell.build.name, []).append(cell)
    return tuple(
        _BuildCells(
            place=place,
            name=name,
            special=provenance.of(members[0], record),
            cells=(shown := tuple(cell for cell in members if not packed_panels.is_drawn(cell, more))),
            drawn=len(members) - len(shown),
        )
        for place, (name, members) in enumerate(found.items())
    )


def _selftests(record: RunRecord) -> Callable[[CellRecord], str]:
    """From a cell to the fragment of its library's self-test, empty where there is none."""
    found = {
        (test.tls, test.arch, test.execution): f"selftest-{number}"
        for number, test in enumerate(record.selftests, 1)
    }
    return lambda cell: found.get((cell.axes.tls.name, cell.axes.arch.name, cell.axes.execution.name), "")


def _inside(cell: CellRecord, axes: Sequence[str]) -> str:
    """What tells ``cell`` from others in the same field."""
    return " ".join(getattr(cell.axes, axis).name for axis in axes) or cell.id


def _is_short(cell: CellRecord, emulated: Collection[str]) -> bool:
    """Return whether a field says the outcome alone, and has room for counts beside it."""
    tells_qemu = summary.emulated(cell) and cell.axes.arch.name not in emulated
    return not (cell.reason or summary.TAGS[summary.verdict(cell)] or tells_qemu or attempts.share(cell))


def _breakable(name: str) -> Markup:
    """``name`` with permission to break after underscores (browsers break after hyphens already)."""
    return Markup(re.sub(r"_(?=\w)", "_<wbr>", str(escape(text.isolated(name)))))  # noqa: S704 - escaped before


def _suite(name: str) -> str:
    """A suite's name without the parts that all TLS 1.3 suites share."""
    return re.sub(r"^TLS_(\w+?)_SHA(256|384)$", r"\1", name)


def _href(path: str) -> str | None:
    """A link to a file of the run's folder, or ``None`` for a path that would leave it."""
    if path.startswith("/") or ".." in path.split("/"):
        return None
    return "./" + quote(path)
