"""Which cells a run is about, of how many, and how they were asked for: in each report."""

import re
from xml.etree import ElementTree as ET

import pytest
import samples

from orchestrator.matrix.model import CipherValue
from orchestrator.record.model import RunRecord, Selection
from orchestrator.report import ctrf, headline, html, junit, markdown
from orchestrator.report.selection import describe, tell_tested
from orchestrator.report.step_summary import escape

CELL = "arm64.haproxy-3.0.11.openssl-distro.default"
COMMAND = f"matrixctl run --repeat 6 --cell {CELL}"


def asked(record: RunRecord, **chosen: object) -> RunRecord:
    selection = Selection.model_validate({"cells": (), "options": (), "of": 448} | chosen)
    run = record.run.model_copy(update={"selection": selection, "profile": "full"})
    return record.model_copy(update={"run": run})


ONE = asked(samples.run(samples.quick().cells[-1:]), cells=(CELL,), command=COMMAND)


def test_a_run_of_one_cell_says_so_in_each_report() -> None:
    words = f"1 of 448 cells: --cell {CELL}"
    assert describe(ONE) == words
    page = html.render(ONE)
    assert f"<dt>cells</dt><dd>{words}</dd>" in page
    assert f'<dt>command</dt><dd><code class="copy">{COMMAND}</code></dd>' in page
    assert "<dt>filters</dt>" not in page
    assert f"cells {escape(words)}" in markdown.render(ONE)
    assert f"command {escape(COMMAND)}" in markdown.render(ONE)
    told = {p.attrib["name"]: p.attrib["value"] for p in ET.fromstring(junit.render(ONE)).iter("property")}
    assert (told["run.cells"], told["run.command"]) == (words, COMMAND)
    assert f'"cells": "{words}"' in ctrf.render(ONE)


@pytest.mark.parametrize(
    ("chosen", "profile", "filters", "words"),
    [
        ({"of": 10}, "full", (), "all 10 cells"),
        ({"of": 10, "shard": "1/1"}, "full", (), "10 of 10 cells: --shard 1/1"),
        ({"of": 448}, "quick", (), "10 of 448 cells: --profile quick"),
        ({}, "full", ("arch=arm64", "tls=a b"), "10 of 448 cells: --filter arch=arm64 --filter tls=a b"),
        (
            {"cells": tuple("abcde"), "shard": "2/3"},
            "quick",
            (),
            "10 of 448 cells: --profile quick --cell a --cell b --cell c and 2 more --shard 2/3",
        ),
    ],
)
def test_what_chose_the_cells_is_said_as_it_is_typed(
    chosen: dict[str, object], profile: str, filters: tuple[str, ...], words: str
) -> None:
    record = asked(samples.quick(), **chosen)
    run = record.run.model_copy(update={"profile": profile, "filters": filters})
    assert describe(record.model_copy(update={"run": run})) == words


def test_a_record_that_does_not_say_of_how_many_has_its_own_count() -> None:
    """Those of older versions have no selection."""
    record = samples.mixed()
    assert describe(record) == ("60 cells: --profile full --filter haproxy=2.8.9,3.0.11 --filter client=curl")
    assert not re.search("<dt>command</dt>", html.render(record))


def test_one_is_no_plural() -> None:
    cell = samples.quick().cells[0]
    run = samples.run((cell,), status="interrupted")
    assert headline.write_parts(run)[0] == "Interrupted: 1 of 1 cell judged"
    assert "1 cells" not in html.render(run)


@pytest.mark.parametrize(
    ("ciphers", "said"),
    [
        (samples.CIPHERS, "4 cipher suites and the default suite"),
        (samples.CIPHERS[:1], "TLS_AES_128_GCM_SHA256"),
        (samples.CIPHERS[-1:], "the default suite"),
        (samples.CIPHERS[-2:], "TLS_AES_128_CCM_SHA256 and the default suite"),
    ],
)
def test_the_default_offer_is_not_counted_as_a_suite(ciphers: tuple[CipherValue, ...], said: str) -> None:
    cells = samples.product(samples.ccm, [samples.haproxy("3.0.11")], [samples.DISTRO], ciphers)
    told = tell_tested(samples.run(cells))
    assert told == f"HTTP/3 by HAProxy 3.0.11 with openssl-distro, on amd64 and arm64: {said}, asked by curl."
