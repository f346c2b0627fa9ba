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
    """Return the whole page. Pure: the same record gives the same bytes.

    :param comparison: of another run with this one.
    :param previous: the id of the run before it that asked for the same cells; its folder is beside this one.
    """
    record = _drop_waiting_words(text.make_safe(record))
    disagree = disagreements.find_disagreements(record)
    sentences = {said.cell: found.sentence for found in disagree for said in found.said}
    news = read_news(comparison)
    told = {cell.id for cell in record.cells if cell.id in sentences or (news and news.describe(cell.id))}
    builds = _list_builds(record, told)
    clusters = explanation.show(record)
    style, script = _read_asset("style.css"), _read_asset("script.js")
    words = summary.choose_words(record)
    page = _find_environment(**words._asdict()).get_template("report.html.j2")
    return page.render(
        record=record,
        run=record.run,
        headline=headline.write_parts(record, clusters),
        level=headline.find_level(record),
        news=news,
        goes_on=headline.find_resume_command(record.run),
        resumed=headline.describe_resumes(record.run),
        previous=previous,
        exit_code=headline.explain_exit(record),
        asked=selection.describe(record),
        tested=selection.tell_tested(record),
        command=selection.find_command(record.run),
        bundle=shlex.join(["matrixctl", "report", record.run.id, "--bundle", f"{record.run.id}.zip"]),
        special=provenance.find_special(record),
        counts=summary.count_states(record.cells),
        verdicts=summary.count_verdicts(record.cells),
        segments=summary.make_segments(record.cells, words.verdict_titles),
        clusters=clusters,
        groups=groups.group_cells(record, explanation.list_explained(clusters)),
        rules=expectations.list_rules(record),
        proofs=proofs.make_table(record.clients),
        disagreements=disagree,
        sentences=sentences,
        traces=trace.find_traces(record.cells),
        refusals=proofs.list_refusals(record.clients),
        selftests=selftests.make_overview(record.selftests),
        grid=grid.make_grid(record.cells),
        builds=builds,
        selftest_of=_index_selftests(record),
        slowest=actions.find_slowest(record.actions),
        kinds=actions.list_kinds(record.actions),
        timeline=timeline.draw(record),
        data=packed_panels.pack(
            record, {build.name: build.place for build in builds}, words=words, more=told, href=_make_link
        ),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=_write_policy(style, script),
    )


def _drop_waiting_words(record: RunRecord) -> RunRecord:
    """Return it without the message of cells that have yet to be judged, which says that they are not."""
    cells = (
        cell.model_copy(update={"message": ""}) if summary.is_waiting(cell, record.run) else cell
        for cell in record.cells
    )
    return record.model_copy(update={"cells": tuple(cells)})


def render_comparison(comparison: Comparison) -> str:
    """Return a page on two runs. It has no link to their reports, which may not exist. Pure."""
    comparison = text.make_safe(comparison)
    style = _read_asset("style.css")
    page = _find_environment().get_template("comparison.html.j2")
    return page.render(
        comparison=comparison,
        groups=compared.group_changes(comparison),
        style=Markup(style),  # noqa: S704 - our own file
        policy=_write_policy(style),
    )


def find_policy() -> str:
    """Return the Content-Security-Policy of each page, for a server that sends it as a header, too."""
    return _write_policy(_read_asset("style.css"), _read_asset("script.js"))


def make_anchor(cell: CellRecord) -> str:
    """Return the fragment of the cell's panel: the same from run to run."""
    return make_fragment(cell.id)


def make_fragment(cell_id: str) -> str:
    """Return the same, of the id alone."""
    return "c-" + re.sub(r"[^A-Za-z0-9._-]", "_", cell_id)


def _find_environment(**words: Mapping[str, str]) -> Environment:
    """Return the environment with these words as globals, since a macro sees nothing else."""
    return _make_environment(json.dumps(words))


@cache
def _make_environment(words: str) -> Environment:
    environment = make_environment("report")
    environment.globals.update(json.loads(words))
    return environment


def make_environment(*folders: str) -> Environment:
    """Return what renders the templates of these folders of ``templates/``: all text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader([resources.find_root() / "templates" / folder for folder in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else text.isolate(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        group_shown=_GROUP_SHOWN,
        detail_of=selftests.make_detail,
        compared=compared,
        look_of=look,
        cluster_of=explanation,
        panel_of=panel,
        share_of=attempts.describe_share,
        is_short=_is_short,
        preface_of=attempts.write_preface,
        timeline_of=timeline,
        trace_of=trace,
        absence_of=trace.explain_absence,
        tally_of=attempts.tally,
        confirmation_of=attempts.describe_confirmation,
        state_of=summary.find_state,
        verdict_of=summary.find_verdict,
        titles=summary.TITLES,
        meanings=summary.MEANINGS,
        verdict_titles=summary.VERDICT_TITLES,
        tags=summary.TAGS,
    )
    environment.filters.update(
        anchor=make_anchor,
        fragment=make_fragment,
        alone=escape,
        breakable=_allow_breaks,
        emulated=summary.is_emulated,
        tried=summary.is_tried,
        wanted=expectations.describe_expected,
        duration=units.format_duration,
        href=_make_link,
        inside=_name_inside,
        link=expectations.check_link,
        moment=units.format_moment,
        of=units.format_count,
        ms=units.format_milliseconds,
        short=text.shorten,
        sha=provenance.shorten,
        size=units.format_size,
        suite=_shorten_suite,
    )
    return environment


def _read_asset(name: str) -> str:
    return (resources.find_root() / "templates" / "report" / name).read_text(encoding="utf-8")


def _write_policy(style: str, script: str = "") -> str:
    """Return a Content-Security-Policy that allows our own inline blocks and nothing else."""
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


def _list_builds(record: RunRecord, more: Collection[str]) -> tuple[_BuildCells, ...]:
    found: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        found.setdefault(cell.build.name, []).append(cell)
    return tuple(
        _BuildCells(
            place=place,
            name=name,
            special=provenance.find_made(members[0], record),
            cells=(shown := tuple(cell for cell in members if not packed_panels.is_drawn(cell, more))),
            drawn=len(members) - len(shown),
        )
        for place, (name, members) in enumerate(found.items())
    )


def _index_selftests(record: RunRecord) -> Callable[[CellRecord], str]:
    """Return a function from a cell to the fragment of its library's self-test, empty if there is none."""
    found = {
        (test.tls, test.arch, test.execution): f"selftest-{number}"
        for number, test in enumerate(record.selftests, 1)
    }
    return lambda cell: found.get((cell.axes.tls.name, cell.axes.arch.name, cell.axes.execution.name), "")


def _name_inside(cell: CellRecord, axes: Sequence[str]) -> str:
    """Return what tells the cell from others in the same field."""
    return " ".join(getattr(cell.axes, axis).name for axis in axes) or cell.id


def _is_short(cell: CellRecord, emulated: Collection[str]) -> bool:
    """Return whether a field says the outcome alone, and has room for counts beside it."""
    tells_qemu = summary.is_emulated(cell) and cell.axes.arch.name not in emulated
    return not (
        cell.reason or summary.TAGS[summary.find_verdict(cell)] or tells_qemu or attempts.describe_share(cell)
    )


def _allow_breaks(name: str) -> Markup:
    """Return the name so that lines may break after underscores, as they may after hyphens."""
    return Markup(re.sub(r"_(?=\w)", "_<wbr>", str(escape(text.isolate(name)))))  # noqa: S704 - escaped before


def _shorten_suite(name: str) -> str:
    """Return a suite's name without the parts that all TLS 1.3 suites share."""
    return re.sub(r"^TLS_(\w+?)_SHA(256|384)$", r"\1", name)


def _make_link(path: str) -> str | None:
    """Return a link to a file of the run's folder; ``None`` for a path that would leave it."""
    if path.startswith("/") or ".." in path.split("/"):
        return None
    return "./" + quote(path)
