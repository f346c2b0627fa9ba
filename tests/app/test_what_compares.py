"""What a record keeps so that two runs can be compared: who used what, which tool, how busy it was."""

from dataclasses import replace
from pathlib import Path

import pytest
from engine_run import GCM, EngineRun, chosen

from orchestrator.matrix.patches import apply_patches, read_patch
from orchestrator.record.model import RunRecord

CELLS = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")


def record_in(folder: Path) -> RunRecord:
    return EngineRun(folder, CELLS).go()


def test_every_component_is_used_by_an_action_and_reaches_a_cell_through_needs(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    actions = {one.key: one for one in record.actions}
    assert record.components
    for component in record.components:
        assert component.used_by, component.name
        assert set(component.used_by) <= actions.keys()
    (probe,) = [one for one in record.actions if one.kind == "probe"]
    reached, waiting = {probe.key}, [probe]
    while waiting:
        needs = set(waiting.pop().needs or ()) - reached
        reached |= needs
        waiting += [actions[key] for key in needs]
    assert reached == actions.keys(), "one build is all that the cell needs, and all is needed"


def test_a_component_that_several_actions_use_is_one_component(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    (base,) = [one for one in record.components if one.name == "base-amd64"]
    assert base.used_by == ("image:client-amd64", "image:runtime-amd64", "image:toolchain-amd64")
    used = {one.name: one.used_by for one in record.components if one.kind == "source"}
    assert used == {
        "haproxy": ("source:haproxy-3.0.11",),
        "openssl": ("source:openssl-3.5.7",),
    }
    curl = next(one for one in record.components if one.name == "curl in client-amd64")
    assert curl.used_by == ("image:client-amd64",)


def test_packages_that_are_no_components_are_summed_up(tmp_path: Path) -> None:
    rest = {one.name: one.rest for one in record_in(tmp_path).components if one.kind == "image"}
    assert rest.pop("base-amd64") is None
    assert rest.pop("toolchain-amd64") is None, "its packages are part of the builds' digests"
    assert all(len(digest or "") == 64 for digest in rest.values()), rest


def test_the_tool_the_selection_and_the_load_are_kept(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    assert len(record.run.tool_digest or "") == 64
    assert record.run.selection is not None
    assert record.run.selection.of > len(record.cells)
    assert record.run.series == ""
    for cell in record.cells:
        assert [one.load is not None and one.load.cpus > 0 for one in cell.attempts] == [True]


@pytest.mark.parametrize("moves", [False, True], ids=["release", "path"])
def test_a_patch_is_used_by_the_build_that_it_goes_into(tmp_path: Path, moves: bool) -> None:
    """A source that moves has no recipe before it is fetched, and patches are written down before that."""
    tree = tmp_path / "haproxy"
    tree.mkdir()
    (tree / "Makefile").write_text("all:\n")
    moved = {"source": "path", "where": str(tree), "version": ""} if moves else {}
    given = {}
    for name in ("haproxy", "openssl"):
        (tmp_path / f"{name}.diff").write_text("--- a/Makefile\n+++ b/Makefile\n")
        given[name] = read_patch(tmp_path / f"{name}.diff")
    cells = [replace(cell, haproxy=cell.haproxy.model_copy(update=moved)) for cell in CELLS]
    record = EngineRun(tmp_path, apply_patches(cells, list(given.items()))).go()
    used = {one.name: one.used_by for one in record.components if one.kind == "patch"}
    assert used == {
        "haproxy.diff": ("haproxy:haproxy-3.0.11--openssl-3.5.7--amd64",),
        "openssl.diff": ("tls:openssl-3.5.7--amd64",),
    }
    done = {one.key for one in record.actions if one.status == "succeeded"}
    assert {"haproxy:haproxy-3.0.11--openssl-3.5.7--amd64", "tls:openssl-3.5.7--amd64"} <= done
