"""Two runs against each other: the class of each cell, what is suspect, the exit code."""

import json
from pathlib import Path

import jsonschema
import pytest
from compare_samples import ended, night, with_cells

from orchestrator.analyse.change import Change
from orchestrator.analyse.compare import CellChange, Comparison, compare, make_json_schema
from orchestrator.matrix.model import TlsValue
from orchestrator.outcome import Reason, Verdict
from orchestrator.record.model import CellRecord, Component, RunRecord
from orchestrator.report.comparison import describe_difference

TIMEOUT, CRASH = Reason.HANDSHAKE_TIMEOUT, Reason.SERVER_CRASHED
UNSUPPORTED, ERROR = Reason.LIBRARY_CANNOT, Reason.DEADLINE
KNOWN, NOW, CHANGED = Verdict.KNOWN_FAILURE, Verdict.NOW_PASSING, Verdict.CHANGED_FAILURE
Nights = dict[str, RunRecord]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Real records of one cell, between which packages were upgraded, or nothing was."""
    folder = tmp_path_factory.mktemp("nights")
    return {
        "base": night(folder, "base"),
        "same": night(folder, "same"),
        "curl": night(folder, "curl", curl="8.14.1-3"),
        "tar": night(folder, "tar", tar="1.36"),
        "both": night(folder, "both", curl="8.14.1-3", libc6="2.41-13"),
        "compiler": night(folder, "compiler", **{"gcc-14-x86-64-linux-gnu": "14.2.0-20"}),
    }


def failing(record: RunRecord, end: Reason | None = TIMEOUT) -> RunRecord:
    return with_cells(record, *(ended(cell, end) for cell in record.cells))


def only(found: Comparison) -> CellChange:
    (cell,) = found.cells
    return cell


@pytest.mark.parametrize(
    ("was", "now", "change", "code"),
    [
        (("pass",), ("pass",), Change.UNCHANGED, 0),
        (("pass",), (TIMEOUT,), Change.NEW_FAILURE, 1),
        (("pass",), (TIMEOUT, KNOWN), Change.EXPECTED_FAILURE, 0),
        (("pass",), ("pass", Verdict.REGRESSION), Change.NEW_FAILURE, 1),
        (("pass",), ("pass", NOW), Change.NOW_PASSING, 0),
        (("pass",), (None,), Change.NOT_JUDGED, 4),
        (("pass",), (ERROR,), Change.NOT_JUDGED, 4),
        (("pass",), (UNSUPPORTED,), Change.NOT_JUDGED, 4),
        ((TIMEOUT,), (TIMEOUT,), Change.STILL_FAILING, 0),
        ((TIMEOUT, KNOWN), (TIMEOUT, KNOWN), Change.STILL_FAILING, 0),
        ((TIMEOUT, KNOWN), (TIMEOUT,), Change.STILL_FAILING, 0),
        ((TIMEOUT,), (CRASH,), Change.CHANGED_REASON, 1),
        ((TIMEOUT, KNOWN), (CRASH, CHANGED), Change.CHANGED_REASON, 1),
        ((TIMEOUT,), (CRASH, KNOWN), Change.CHANGED_REASON, 0),
        ((TIMEOUT,), ("pass",), Change.FIXED, 0),
        ((TIMEOUT, KNOWN), ("pass", NOW), Change.NOW_PASSING, 0),
        ((TIMEOUT,), (None,), Change.NOT_JUDGED, 4),
        ((None,), ("pass",), Change.NOT_JUDGED, 0),
        ((None,), (TIMEOUT,), Change.NOT_JUDGED, 1),
        ((None,), (None,), Change.NEVER_JUDGED, 0),
        ((UNSUPPORTED,), (UNSUPPORTED,), Change.UNCHANGED, 0),
        ((UNSUPPORTED,), (ERROR,), Change.NEVER_JUDGED, 0),
        (("pass",), (TIMEOUT, Verdict.REGRESSION, "pfp"), Change.FLAKY, 1),
        ((TIMEOUT, Verdict.REGRESSION, "pfp"), (TIMEOUT,), Change.FLAKY, 0),
        ((TIMEOUT, Verdict.REGRESSION, "pfp"), ("pass",), Change.FLAKY, 0),
        ((TIMEOUT, Verdict.REGRESSION, "pfp"), (CRASH,), Change.CHANGED_REASON, 1),
        (("pass", Verdict.AS_EXPECTED, "ppp"), ("pass",), Change.UNCHANGED, 0),
    ],
    ids=str,
)
def test_what_became_of_a_cell(
    nights: Nights, was: tuple[Reason], now: tuple[Reason], change: Change, code: int
) -> None:
    record = nights["base"]
    (cell,) = record.cells
    found = compare(with_cells(record, ended(cell, *was)), with_cells(record, ended(cell, *now)))
    assert found.counts == {change: 1}
    assert found.exit_code == code
    assert [one.change for one in found.cells] == ([] if change is Change.UNCHANGED else [change])


def test_a_new_failure_beats_a_cell_that_was_not_judged(nights: Nights) -> None:
    record = nights["base"]
    (cell,) = record.cells
    other = cell.model_copy(update={"id": "other"})
    base = with_cells(record, cell, other)
    assert compare(base, with_cells(record, ended(cell, TIMEOUT), ended(other, None))).exit_code == 1
    assert compare(base, with_cells(record, cell, ended(other, None))).exit_code == 4


def test_an_attempt_that_was_replaced_makes_nothing_flaky(nights: Nights) -> None:
    record = nights["base"]
    cell = ended(record.cells[0], "pass", None, "fp")
    first, second = cell.attempts
    cell = cell.model_copy(update={"attempts": (first, second.model_copy(update={"again": True}))})
    assert compare(record, with_cells(record, cell)).counts == {Change.UNCHANGED: 1}


def test_the_one_ingredient_that_differs_is_the_suspect(nights: Nights) -> None:
    found = only(compare(nights["base"], failing(nights["curl"])))
    assert found.suspect is not None
    assert (found.suspect.kind, found.suspect.name) == ("package", "curl in client-amd64")
    assert found.suspect.was is not None
    assert found.suspect.now is not None
    assert (found.suspect.was.version, found.suspect.now.version) == ("8.14.1-2", "8.14.1-3")
    assert found.differences == (found.suspect,)


def test_a_package_that_is_no_component_is_seen_in_the_rest_of_its_image(nights: Nights) -> None:
    found = only(compare(nights["base"], failing(nights["tar"])))
    assert found.suspect is not None
    assert found.suspect.name == "other packages of client-amd64"


def test_a_patch_says_what_it_is_applied_to(nights: Nights) -> None:
    head = failing(nights["same"])
    key = next(one.key for one in head.actions if one.kind == "haproxy")
    patch = Component(
        kind="patch", name="fix.diff", version="3.0.11", digest="1" * 64, origin="fix.diff", used_by=(key,)
    )
    head = head.model_copy(update={"components": (*head.components, patch)})
    suspect = only(compare(nights["base"], head)).suspect
    assert suspect is not None
    assert describe_difference(suspect) == "patch fix.diff: none -> applied to 3.0.11"


def test_a_compiler_is_one_ingredient_of_what_it_built(nights: Nights) -> None:
    found = only(compare(nights["base"], failing(nights["compiler"])))
    assert [one.name for one in found.differences] == ["gcc-14-x86-64-linux-gnu"]


def test_of_two_none_is_the_suspect(nights: Nights) -> None:
    found = only(compare(nights["base"], failing(nights["both"])))
    assert found.suspect is None
    assert [one.name for one in found.differences] == ["curl in client-amd64", "libc6 in runtime-amd64"]


def test_where_nothing_differs_nothing_is_suspected(nights: Nights) -> None:
    found = compare(nights["base"], failing(nights["same"]))
    assert (only(found).differences, only(found).suspect, found.differences) == ((), None, ())


def test_what_still_fails_has_no_suspect(nights: Nights) -> None:
    assert only(compare(failing(nights["base"]), failing(nights["curl"]))).suspect is None


def test_a_build_that_differs_without_a_reason_is_no_clean_suspect(nights: Nights) -> None:
    head = failing(nights["curl"])
    (cell,) = head.cells
    build = cell.build.model_copy(update={"digest": "another"})
    found = only(compare(nights["base"], with_cells(head, cell.model_copy(update={"build": build}))))
    assert [one.kind for one in found.differences] == ["package", "build"]
    assert found.suspect is None


@pytest.mark.parametrize(
    ("kind", "explains"),
    [("source", True), ("tls", True), ("haproxy", True), ("image", False), ("selftest", False)],
)
def test_what_a_build_is_compiled_of_explains_its_new_digest(
    nights: Nights, kind: str, *, explains: bool
) -> None:
    head = failing(nights["same"])
    built = next(one for one in head.actions if one.kind == "haproxy")
    added = built.model_copy(update={"kind": kind, "name": "another", "needs": ()})
    needing = built.model_copy(update={"needs": (*(built.needs or ()), added.key)})
    patch = Component(
        kind="patch", name="fix.diff", version="1", digest="1" * 64, origin="fix.diff", used_by=(added.key,)
    )
    actions = (*(one for one in head.actions if one is not built), needing, added)
    head = head.model_copy(update={"actions": actions, "components": (*head.components, patch)})
    (cell,) = head.cells
    build = cell.build.model_copy(update={"digest": "another"})
    found = only(compare(nights["base"], with_cells(head, cell.model_copy(update={"build": build}))))
    assert [one.kind for one in found.differences] == (["patch"] if explains else ["patch", "build"])


@pytest.mark.parametrize("old", ["base", "head"])
def test_of_an_older_record_it_is_somewhere_in_the_run(nights: Nights, old: str) -> None:
    base, head = nights["base"], failing(nights["curl"])
    if old == "base":
        base = as_older(base)
    else:
        head = as_older(head)
    found = compare(base, head)
    assert only(found).suspect is None
    assert not only(found).exact
    assert only(found).differences == found.differences
    assert "curl in client-amd64" in {one.name for one in found.differences}


def as_older(record: RunRecord) -> RunRecord:
    return record.model_copy(
        update={
            "actions": tuple(one.model_copy(update={"needs": None}) for one in record.actions),
            "components": tuple(one.model_copy(update={"used_by": None}) for one in record.components),
        }
    )


def test_what_was_flaky_and_fails_each_time_with_another_ingredient_is_new(nights: Nights) -> None:
    base = nights["base"]
    flaky = with_cells(base, ended(base.cells[0], TIMEOUT, Verdict.FLAKY, "pfp"))
    found = compare(flaky, failing(nights["curl"]))
    assert (only(found).change, found.exit_code) == (Change.NEW_FAILURE, 1)
    assert only(found).suspect is not None
    again = compare(flaky, failing(nights["same"]))
    assert (only(again).change, again.exit_code) == (Change.FLAKY, 0)
    still = with_cells(nights["curl"], ended(nights["curl"].cells[0], TIMEOUT, Verdict.FLAKY, "pfp"))
    assert compare(flaky, still).exit_code == 0


def test_the_tool_the_rules_the_engine_and_the_cpu_count(nights: Nights) -> None:
    base = nights["base"]
    (cell,) = base.cells
    assert base.run.engine is not None
    execution = cell.execution.model_copy(update={"cpu_features": ("aes", "vaes"), "cpu_model": "max"})
    seen = cell.execution.model_copy(update={"cpu_features": ("aes",)})
    head = with_cells(
        base,
        ended(cell.model_copy(update={"execution": execution}), TIMEOUT, KNOWN),
        tool_digest="0" * 64,
        engine=base.run.engine.model_copy(update={"version": "99"}),
        matrix_digest="1" * 64,
    )
    found = only(compare(with_cells(base, cell.model_copy(update={"execution": seen})), head))
    assert {(one.kind, one.name) for one in found.differences} == {
        ("tool", "matrixctl"),
        ("engine", base.run.engine.name),
        ("cpu", "CPU features"),
        ("cpu", "execution"),
    }


def renamed(cell: CellRecord, version: str, family: str = "openssl", **changes: object) -> CellRecord:
    tls = TlsValue(name=f"{family}-{version}", family=family, version=version, source="tarball")
    axes = cell.axes.model_copy(update={"tls": tls})
    return cell.model_copy(update={"id": f"cell-{family}-{version}", "axes": axes, **changes})


def test_a_cell_whose_library_has_another_version_is_the_same_cell(nights: Nights) -> None:
    record = nights["base"]
    (cell,) = record.cells
    base = with_cells(record, renamed(cell, "5.7.2"))
    found = compare(base, with_cells(record, ended(renamed(cell, "5.9.2"), TIMEOUT)))
    assert only(found).change is Change.NEW_FAILURE
    moved = only(found).moved
    assert moved is not None
    assert (moved.axis, moved.was, moved.now) == ("tls", "5.7.2", "5.9.2")
    assert compare(base, with_cells(record, renamed(cell, "5.9.2"))).exit_code == 0


def test_of_several_candidates_none_is_the_same_cell(nights: Nights) -> None:
    record = nights["base"]
    (cell,) = record.cells
    one, two, three = (renamed(cell, version) for version in ("5.7.2", "5.9.2", "5.9.3"))
    for base, head in (((one,), (two, three)), ((one, two), (three,))):
        found = compare(with_cells(record, *base), with_cells(record, *head))
        assert found.counts == {Change.NEW_CELL: len(head), Change.VANISHED_CELL: len(base)}
        assert found.exit_code == 0


def test_another_family_is_another_cell(nights: Nights) -> None:
    record = nights["base"]
    (cell,) = record.cells
    head = with_cells(record, renamed(cell, "5.9.2", family="wolfssl"))
    found = compare(with_cells(record, renamed(cell, "5.7.2")), head)
    assert found.counts == {Change.NEW_CELL: 1, Change.VANISHED_CELL: 1}


def test_the_json_fits_its_schema(nights: Nights) -> None:
    jsonschema.Draft202012Validator.check_schema(make_json_schema())
    found = compare(nights["base"], failing(nights["both"]))
    told = json.loads(found.model_dump_json())
    jsonschema.validate(told, make_json_schema())
    told["cells"][0]["change"] = "worse"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, make_json_schema())


def test_a_run_compared_with_itself_has_no_news(tmp_path: Path) -> None:
    record = night(tmp_path, "one")
    found = compare(record, record)
    assert (found.cells, found.differences, found.exit_code) == ((), (), 0)
