"""The HTML report as a document: everything in it without JavaScript, nothing in it from outside."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any

import nights
import pytest
import samples

from orchestrator import resources
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import Backtrace, RunInfo, RunRecord
from orchestrator.report import html, panel, summary, units


@dataclass
class Page(HTMLParser):
    """Every start tag with its attributes, and the text of scripts."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
            self.inside = ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@cache
def page_of(sample: Callable[[], RunRecord]) -> str:
    return html.render(sample())


def parse(record: RunRecord | Callable[[], RunRecord]) -> Page:
    page = Page()
    page.feed(html.render(record) if isinstance(record, RunRecord) else page_of(record))
    page.close()
    return page


def test_the_first_heading_is_the_verdict() -> None:
    found = re.search(r"<h1>.*?<span>(.*?)</span></h1>", page_of(samples.mixed))
    assert found
    assert found[1] == "10 regressions in 60 cells: no-quic, handshake-then-hang, server-crashed"


def test_every_cell_has_a_link_in_the_grid_and_all_that_are_not_as_expected_a_panel() -> None:
    record = samples.mixed()
    page = parse(record)
    links = [a["href"] for a in page.all("a") if (a.get("class") or "").startswith("c ")]
    assert sorted(map(str, links)) == sorted(f"#{html.make_anchor(cell)}" for cell in record.cells)
    panels = {str(div["id"]) for div in page.all("div") if div.get("class") == "panel"}
    loud = [cell for cell in record.cells if summary.find_verdict(cell) is not Verdict.AS_EXPECTED]
    assert panels == set(map(html.make_anchor, loud))
    assert {html.make_anchor(cell) for cell in record.cells} - panels == {
        cell["anchor"] for cell in packed(record) if cell["drawn"]
    }


def packed(record: RunRecord) -> list[dict[str, Any]]:
    """What the script has of each cell."""
    data = json.loads(parse(record).scripts[0])
    return [
        {
            "anchor": html.make_fragment(data["builds"][build] + rest if whole else rest),
            "drawn": drawn,
            "data": data,
        }
        for build, rest, whole, _at, _state, _verdict, _reason, _qemu, _share, *drawn in data["cells"]
    ]


def words_of(cell: dict[str, Any]) -> str:
    """Everything that a panel is drawn of."""
    parts = [cell["data"]["parts"][one] if isinstance(one, int) else one for one in cell["drawn"]]
    return json.dumps(parts)


def test_what_passes_has_all_that_a_panel_says() -> None:
    """The script has the requests, the attestation, the evidence and the command of a cell that passes."""
    (cell, *_) = packed(samples.quick())
    words = words_of(cell)
    for said in (
        "TLS_AES_128_GCM_SHA256, TLSv1.3",
        "ready after 52 ms",
        "get-1m",
        "total, ms",
        "ELF machine",
    ):
        assert said in words
    assert '["\\u0002/h3.json"]' in words
    assert '["rerun", "matrixctl run --cell \\u0001"]' in words
    assert "HAProxy's log" not in words


def test_what_is_told_of_a_cell_as_expected_stands_in_the_page() -> None:
    """Several attempts, or clients that disagree."""
    quick = samples.quick()
    twice = quick.cells[0].model_copy(update={"attempts": quick.cells[0].attempts * 2})
    page = html.render(quick.model_copy(update={"cells": (twice, *quick.cells[1:])}))
    assert page.count('<div class="panel" id="c-') == 1
    for cell in nights.bad().cells:
        drawn = f'id="{html.make_anchor(cell)}"' not in page_of(nights.bad)
        assert drawn <= (summary.find_verdict(cell) is Verdict.AS_EXPECTED)


def test_parts_of_many_cells_are_there_once() -> None:
    few, many = samples.large(400), samples.large(800)
    assert len(packed(many)[0]["data"]["parts"]) < len(many.cells) / 4
    assert (len(html.render(many)) - len(html.render(few))) / 400 < 800, "bytes per cell"


@pytest.mark.parametrize(
    ("record", "states"),
    [(samples.mixed(), set(summary.STATES)), (samples.running(), {"pass", "unsupported", "not-judged"})],
)
def test_a_cell_shows_its_own_state_and_a_cell_without_outcome_is_never_green(
    record: RunRecord, states: set[str]
) -> None:
    page = parse(record)
    shown = {
        str(a["href"]): str(a["class"]) for a in page.all("a") if (a.get("class") or "").startswith("c ")
    }
    assert shown == {
        f"#{html.make_anchor(cell)}": f"c field {summary.find_state(cell)} v-{summary.find_verdict(cell)}"
        for cell in record.cells
    }
    assert {name.split()[2] for name in shown.values()} == states


def test_an_unfinished_run_says_so_at_the_top_and_has_no_green_sign() -> None:
    head = page_of(samples.running).partition("<main>")[0]
    assert "This run had not ended" in head
    assert '<h1><svg class="g not-judged"' in head
    assert '<header class="top unsure">' in head


def test_cells_that_wait_while_the_run_goes_on_are_no_alarm() -> None:
    page = page_of(samples.running)
    assert "Look at these" not in page
    assert "not judged" not in page.partition("<script")[0].partition("</style>")[2].replace(
        "What was not judged", ""
    )
    (section,) = re.findall(
        r'<section class="groups" aria-labelledby="waiting">.*?</section>', page, re.DOTALL
    )
    assert ">waiting</span>" in section
    assert "6 cells" in section
    assert page.index('id="grid"') < page.index(section)
    stopped = html.render(samples.running().model_copy(update={"run": cut_off()}))
    assert "Look at these" in stopped
    assert ">not judged</span>" in stopped


def test_an_error_in_a_run_that_goes_on_is_still_not_judged() -> None:
    cells = samples.running().cells
    broken = samples.cell(cells[0].axes, Reason.DEADLINE)
    page = html.render(samples.running().model_copy(update={"cells": (broken, *cells[1:])}))
    shown = page.partition("Look at these</h2>")[2].partition('id="h-grid"')[0]
    assert "not judged: deadline" in shown
    assert "waiting" not in shown
    assert "waiting or not judged <b>7</b>" in page


def cut_off() -> RunInfo:
    return samples.running().run.model_copy(update={"status": "cut-off"})


def test_a_night_of_known_failures_is_calm_and_a_regression_is_not() -> None:
    calm, bad = page_of(nights.calm), page_of(nights.bad)
    assert '<header class="top calm">' in calm
    assert "Look at these" not in calm
    assert '<header class="top alarm">' in bad
    assert nights.CAUSE in bad.partition('id="grid"')[0]
    assert bad.index("Look at these") < bad.index('id="grid"') < bad.index("Known failures</h2>")


def test_every_expected_cell_shows_its_rule_and_every_cause_stands_in_its_panel() -> None:
    record = nights.bad()
    page = html.render(record)
    for cell in record.cells:
        if not page.count(f'id="{html.make_anchor(cell)}"'):
            assert summary.find_verdict(cell) is Verdict.AS_EXPECTED
            continue
        here = page.split(f'id="{html.make_anchor(cell)}"')[1].partition("</details>")[0]
        assert (cell.cause in here) if cell.cause else ("Cause:" not in here)
        if cell.expected:
            assert f'<a href="{nights.THREAD}" rel="noopener noreferrer">' in here
            assert cell.expected.rule in here
        assert ("wolfssl-5.9.2</b>: patched with" in here) == (cell.axes.tls.name == "wolfssl-5.9.2")


def test_rules_of_other_cells_are_folded_away() -> None:
    """Whoever reads a small run has nothing of what is documented of cells that it has not."""
    record = nights.bad()
    few = [cell for cell in record.cells if not cell.expected or cell.expected.rule != nights.CRASH_RULE]
    page = html.render(record.model_copy(update={"cells": tuple(few)}))
    open_part, _, folded = page.partition("1 rule decides no cell of this run")
    rows = [re.findall(r">(matrix\.yaml:[0-9]+)</a><td>", part) for part in (open_part, folded)]
    assert nights.HANG_RULE in rows[0]
    assert rows[1] == [nights.CRASH_RULE]
    assert "no cell of this run" not in html.render(record)


def test_the_packages_of_the_images_are_folded_and_what_is_tested_is_not() -> None:
    page = page_of(nights.bad)
    section = page[page.index('<h2 id="h-components">') :].partition("</section>")[0]
    shown, _, folded = section.partition("<details>")
    assert "<td>source<" in shown
    assert "<td>package<" not in shown
    kinds = set(re.findall(r"<tr><td>([a-z]+)<", folded))
    assert kinds == {"package"}


def test_a_frame_of_a_backtrace_keeps_the_line_at_its_end() -> None:
    frame = f"#0  f (secret={'x' * 300}) at src/quic_ssl.c:247"
    seen = Backtrace(tries=1, signal="SIGSEGV", frames=(frame,), symbols="", problem="", evidence=None)
    record = samples.mixed()
    cell = next(cell for cell in record.cells if cell.verdict is Verdict.REGRESSION)
    crashed = cell.model_copy(update={"backtrace": seen})
    assert frame in html.render(record.model_copy(update={"cells": (crashed,)}))


def test_a_panel_names_the_client_the_close_code_and_the_cpu_model() -> None:
    page = page_of(nights.bad)
    assert "0x128 = TLS alert 40 handshake_failure" in page
    assert "HTTP/3, get-1k: aioquic 1," in page
    assert "QEMU 7.2.19, CPU model max,aes=off; CPU can aes pmull sha2" in page
    assert "close code" not in page_of(samples.mixed)


def test_a_control_that_broke_off_is_told_with_the_client_that_asked_it() -> None:
    """Over TCP it is curl that asks, no matter who the cell's client is."""
    (cell, *_) = (
        one
        for one in nights.bad().cells
        if one.axes.client.name == "aioquic" and one.observations and one.verdict is Verdict.REGRESSION
    )
    assert cell.observations is not None
    control = samples.exchange("2", cell.axes, slow=1, ok=False)
    seen = cell.observations.model_copy(update={"control": control})
    broken = cell.model_copy(update={"observations": seen})
    page = html.render(nights.bad().model_copy(update={"cells": (broken,)}))
    assert "control: HTTP/2, TCP, curl: exit 28" in page
    assert "control: HTTP/2, get-1k: curl 28, Operation timed out" in page


def test_the_control_of_a_client_of_ones_own_is_ours() -> None:
    cell = samples.quick().cells[0]
    mine = cell.axes.client.model_copy(update={"name": "curl-8.16", "source": "path", "where": ("x",)})
    own = cell.model_copy(update={"axes": cell.axes.model_copy(update={"client": mine})})
    assert [asker for _, asker, _ in panel.list_exchanges(own)] == ["curl-8.16", "curl"]


def test_a_panel_names_the_variables_of_the_server() -> None:
    (cell, *_) = (one for one in nights.bad().cells if one.verdict is Verdict.REGRESSION)
    mask = "OPENSSL_ia32cap=~0x200000200000000"
    execution = cell.axes.execution.model_copy(update={"environment": (mask,)})
    masked = cell.model_copy(update={"axes": cell.axes.model_copy(update={"execution": execution})})
    page = html.render(nights.bad().model_copy(update={"cells": (masked,)}))
    assert re.search(rf"<dt>execution<dd>[^<]*, {mask}", page)


def test_clients_that_disagree_are_shown_together_and_in_their_panels() -> None:
    page = page_of(nights.bad)
    assert "Clients disagree about 2 servers" in page
    said = "disagree: curl: pass; gtlsclient: pass; aioquic: fail (handshake-refused)"
    assert page.count(said) == 2 * 3
    assert "Clients disagree" not in page_of(nights.calm)


def test_patches_and_moving_sources_stand_at_the_top_and_at_their_builds() -> None:
    page = page_of(nights.bad)
    head = page.partition("<main>")[0]
    assert '<details class="notice made" open>' in head
    assert '<a href="./patches/open-in-place.diff">open-in-place.diff</a>' in head
    assert (
        "git: https://github.com/haproxy/haproxy.git master -&gt; 5d1a7b0c9e8f6a43210fedcba98765432100aa11"
        in head
    )
    builds = re.findall(r'<section class="build[^>]*><h3>([^<]*)</h3>\n<p class="made">', page)
    assert len(builds) == 2 * (1 + 5)
    assert "Not built from released sources" not in page_of(nights.calm)


def test_a_patch_with_a_strange_name_is_no_link_out_of_the_folder() -> None:
    record = nights.bad()
    patch = nights.FIX.model_copy(update={"name": "../../x"})
    cell = record.cells[-1]
    axes = cell.axes.model_copy(update={"tls": nights.PATCHED.model_copy(update={"patches": (patch,)})})
    page = parse(samples.run((cell.model_copy(update={"axes": axes}),)))
    assert not [a for a in page.all("a") if ".." in str(a["href"])]


def test_a_link_that_is_none_is_text() -> None:
    record = nights.calm()
    rule = nights.RULES[0].model_copy(update={"because": "javascript:window.hurt=1"})
    page = parse(record.model_copy(update={"rules": (rule,), "cells": ()}))
    assert not [a for a in page.all("a") if "javascript" in str(a["href"])]
    assert "javascript:window.hurt=1" in html.render(record.model_copy(update={"rules": (rule,)}))


def test_a_rule_says_when_it_was_last_seen() -> None:
    record = nights.calm()
    seen = nights.RULES[0].model_copy(update={"seen": "2026-11-28 HAProxy 3.4.0"})
    never = nights.RULES[1].model_copy(update={"seen": "never"})
    page = html.render(record.model_copy(update={"rules": (seen, never)}))
    assert '<th scope="col">last seen<th scope="col">until' in page
    assert "<td>2026-11-28 HAProxy 3.4.0<td>" in page
    assert "<td>never<td>" in page


def test_an_exchange_without_requests_keeps_the_columns_apart() -> None:
    cell = samples.quick().cells[0]
    assert cell.observations
    assert cell.observations.h3
    h3 = cell.observations.h3.model_copy(update={"requests": (), "exit_code": 7})
    cell = cell.model_copy(update={"observations": cell.observations.model_copy(update={"h3": h3})})
    first, status, *_ = panel.list_lines(cell)
    assert [value for value, _ in first.values] == [units.NOT_MEASURED, "2", "2", "2"]
    assert len(status.values) == 4


def test_evidence_links_stay_in_the_folder() -> None:
    (cell, *_) = (one for one in samples.mixed().cells if one.outcome is Outcome.FAIL)
    evidence = ("a b/h3.json", "/etc/passwd", "../../x", "javascript:window.hurt=1")
    page = parse(samples.run((cell.model_copy(update={"evidence": evidence}),)))
    found = [a["href"] for a in page.all("a") if not str(a["href"]).startswith("#")]
    assert found[:2] == ["./a%20b/h3.json", "./javascript%3Awindow.hurt%3D1"]
    assert not [link for link in found if "passwd" in str(link) or ".." in str(link)]


def test_nothing_comes_from_outside() -> None:
    page = parse(nights.bad)
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            if name in {"href", "src", "action", "srcset", "data"}:
                here = ("#", "./", "https://") if tag == "a" else ("#", "./")  # a link loads nothing
                assert str(value).startswith(here), (tag, attributes)
    style = (resources.find_root() / "templates/report/style.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def _hostile_night() -> RunRecord:
    return samples.hostile(nights.bad())


@pytest.mark.whole
def test_hostile_text_makes_no_tag_no_attribute_and_no_script() -> None:
    page, plain = parse(_hostile_night), parse(nights.bad)
    assert [tag for tag, _ in page.tags if tag in {"script", "img"}] == ["script", "script"]
    known = {(tag, name) for tag, attributes in plain.tags for name in attributes}
    assert {(tag, name) for tag, attributes in page.tags for name in attributes} <= known
    text = page_of(_hostile_night)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert "{{7*7}}" in text


def test_the_data_for_the_script_is_json_and_cannot_close_its_element() -> None:
    page = parse(samples.hostile)
    data = json.loads(page.scripts[0])
    assert len(data["cells"]) == 60
    assert "window.hurt" in data["axes"]["tls"][0]
    assert "<" not in page.scripts[0]


def test_the_same_record_gives_the_same_bytes() -> None:
    assert html.render(samples.mixed()) == page_of(samples.mixed)


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.whole
def test_two_thousand_cells_stay_below_six_mebibytes(share: int) -> None:
    """A fifth of the cells has a fifth of the room; `make soak` renders them all."""
    cells, room = 2000 // share, 6 * 2**20 / share
    assert len(html.render(samples.large(cells)).encode()) < room
    wide = nights.wide(4 if share == 1 else 1)
    assert len(wide.cells) >= cells
    assert len(html.render(wide.model_copy(update={"cells": wide.cells[:cells]})).encode()) < room


def test_a_run_without_a_cell_is_a_page_too() -> None:
    assert "No cell was selected." in html.render(samples.run(()))


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_text_has_the_contrast_of_wcag_aa(theme: int) -> None:
    style = (resources.find_root() / "templates/report/style.css").read_text()
    colours = dict(
        re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", style.split(":root {")[theme + 1].split("}")[0])
    )
    pairs = [(f"{name}-fg", f"{name}-bg") for name in (*summary.STATES, "known", "changed", "now")]
    pairs += [(text, bg) for text in ("fg", "muted", "link") for bg in ("bg", "soft")]
    pairs += [(f"{name}-text", "bg") for name in ("fail", "misbuilt", "error")] + [("pass-fg", "bg")]
    pairs += [("fail-text", "soft"), ("blocked-fg", "bg"), ("error-text", "soft"), ("known-fg", "bg")]
    low = {pair: round(_contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}
