"""``matrixctl github annotate``: one annotation per cluster or group, within GitHub's limit, escaped."""

from collections import Counter

import nights
import pytest
import samples
from actions_log import Command, obeyed
from hostile import CORPUS, Hostile

from orchestrator.analyse.compare import compare
from orchestrator.outcome import Outcome, Verdict
from orchestrator.record.model import RunRecord
from orchestrator.report.annotations import MOST, Annotation, FileLine, annotate, write


def nowhere(_: str) -> None:
    return None


def here(place: str) -> FileLine:
    name, _, line = place.partition(":")
    return FileLine(f"ci/{name}", int(line))


def told(record: RunRecord) -> list[Command]:
    return obeyed("\n".join(write(annotate(record), here)))


def test_a_bad_night_has_an_error_for_each_cluster_and_a_notice_for_good_news() -> None:
    found = told(nights.bad())
    assert Counter(one.name for one in found) == {"error": 5, "warning": 3, "notice": 1}
    titles = [one.properties["title"] for one in found]
    assert titles == [
        "fail: handshake-then-hang, 3 cells, fair",
        "misbuilt: no-quic, 15 cells, fair",
        "fail: not-ready, 3 cells, fair",
        "regression: handshake-refused, 2 cells",
        "stale rule matrix.yaml:53",
        "not judged: source-unreachable, 30 cells",
        "rule matrix.yaml:61 fits no cell of the matrix",
        "self-test of wolfssl-5.7.2 on arm64",
        "now passing, expected fail: handshake-then-hang, 3 cells",
    ]
    first, *_ = found
    assert first.data.splitlines()[0].startswith("handshake-then-hang when arch=arm64  haproxy=2.8.9")
    assert first.data.splitlines()[1].startswith(nights.CAUSE)
    assert first.data.splitlines()[-1].startswith("again: matrixctl run --cell arm64.")


def test_a_rule_that_counts_has_file_and_line() -> None:
    found = {one.properties["title"]: one.properties for one in told(nights.bad())}
    places = {title: (one.get("file"), one.get("line")) for title, one in found.items()}
    assert places["fail: not-ready, 3 cells, fair"] == ("ci/matrix.yaml", "47")
    assert places["stale rule matrix.yaml:53"] == ("ci/matrix.yaml", "53")
    assert places["now passing, expected fail: handshake-then-hang, 3 cells"] == ("ci/matrix.yaml", "41")
    assert places["misbuilt: no-quic, 15 cells, fair"] == (None, None)
    without = obeyed("\n".join(write(annotate(nights.bad()), nowhere)))
    assert not any("file" in one.properties for one in without)


def test_a_calm_night_has_none() -> None:
    assert annotate(nights.calm()) == ()


def test_since_base_has_what_is_new() -> None:
    head = nights.bad()
    cells = tuple(samples.cell(cell.axes, None) for cell in head.cells)
    base = head.model_copy(update={"cells": cells, "run": head.run.model_copy(update={"id": "base"})})
    (error,) = (one for one in annotate(head, compare(base, head)) if one.title.startswith("misbuilt"))
    assert "since BASE: new failure: pass -> misbuilt: no-quic (regression)" in error.lines
    (again,) = (one for one in annotate(head, compare(head, head)) if one.title.startswith("misbuilt"))
    assert any(line.startswith("since BASE: still failing") for line in again.lines)


def test_a_run_that_died_is_the_first_error() -> None:
    died = samples.quick()
    cells = tuple(samples.cell(cell.axes, None, judged=False) for cell in died.cells)
    info = died.run.model_copy(update={"status": "cut-off", "exit_code": None})
    first, *others = annotate(died.model_copy(update={"cells": cells, "run": info}))
    assert (first.kind, first.title) == ("error", f"Cut off: 0 of {len(cells)} cells judged")
    assert f"It goes on with: matrixctl run --resume {died.run.id}" in first.lines
    assert [one.kind for one in others] == ["warning"]


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 10), (500, 10)])
def test_github_shows_ten_of_a_kind_and_the_last_counts_the_rest(count: int, shown: int) -> None:
    many = [Annotation("error", f"e{number}", ("x",)) for number in range(count)]
    many += [Annotation("warning", "w", ("x",))]
    found = obeyed("\n".join(write(many, nowhere)))
    assert [one.name for one in found] == ["error"] * shown + ["warning"]
    last = found[shown - 1].properties["title"]
    assert last == ("e9" if count == MOST else f"{count - MOST + 1} more like these")


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda one: one.name)
def test_a_hostile_text_stays_in_its_annotation(hostile: Hostile) -> None:
    one = Annotation("error", hostile.text, (hostile.text, "end"))
    line, *more = list(write([one], lambda _: None))
    assert more == []
    assert line.splitlines() == [line]
    (found,) = obeyed(line)
    assert set(found.properties) == {"title"}
    assert found.data.splitlines()[-1] == "end"


def test_flaky_cells_are_a_warning() -> None:
    record = samples.quick()
    first, *others = (samples.cell(cell.axes, None) for cell in record.cells)
    flaky = first.model_copy(update={"outcome": Outcome.FAIL, "verdict": Verdict.FLAKY})
    (found,) = annotate(samples.run((flaky, *others)))
    assert found.kind == "warning"
