"""Which cells moved: the examples that Python and the browser share, for nights and for records."""

from types import SimpleNamespace
from typing import Any

import pytest
from compare_samples import night, with_cells
from move_cases import CASES, IDS, point

from orchestrator.analyse.compare import compare
from orchestrator.analyse.moves import find_moves
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.site import news


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return night(tmp_path_factory.mktemp("night"), "one")


def as_record(cell: CellRecord, name: str, given: dict[str, str]) -> CellRecord:
    axes = cell.axes.model_copy(
        update={
            "arch": cell.axes.arch.model_copy(update={"name": given["arch"]}),
            "haproxy": HaproxyValue(
                name=given["haproxy"], family="haproxy", version=given["haproxy_version"], source="tarball"
            ),
            "tls": TlsValue(
                name=given["tls"], family=given["tls_family"], version=given["tls_version"], source="tarball"
            ),
        }
    )
    return cell.model_copy(update={"id": name, "axes": axes})


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_two_nights(case: dict[str, Any]) -> None:
    base, head = (
        SimpleNamespace(
            results={name: SimpleNamespace(point=point(name, cell)) for name, cell in case[side].items()}
        )
        for side in ("base", "head")
    )
    found = news.find_moves(base, head)  # type: ignore[arg-type] # of a night it reads the points alone
    assert {name: move.old for name, move in found.items()} == case["moves"]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_two_records(record: RunRecord, case: dict[str, Any]) -> None:
    (cell,) = record.cells
    base, head = (
        with_cells(record, *(as_record(cell, name, one) for name, one in case[side].items()))
        for side in ("base", "head")
    )
    found = compare(base, head)
    gone = len(case["base"].keys() - case["head"].keys() - set(case["moves"].values()))
    new = len(case["head"].keys() - case["base"].keys() - case["moves"].keys())
    assert (found.counts.get("vanished-cell", 0), found.counts.get("new-cell", 0)) == (gone, new)  # type: ignore[call-overload]


def test_the_axes_are_an_argument() -> None:
    cells = [("a", {"x": "1", "y": "1"}), ("b", {"x": "2", "y": "1"})]

    def look(cell: dict[str, str], axis: str) -> tuple[str, str]:
        return "".join(value for name, value in cell.items() if name != axis), cell[axis]

    found = find_moves(cells[:1], cells[1:], look, ("x",))
    assert (found["b"].old, found["b"].was, found["b"].now) == ("a", "1", "2")
    assert find_moves(cells[:1], cells[1:], look, ("y",)) == {}
