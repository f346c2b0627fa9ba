import json
from pathlib import Path
from typing import Any

import pytest
from cli_samples import matrixctl
from click.testing import CliRunner
from git_samples import Repository

from orchestrator.cli.common import read_catalog
from orchestrator.cli.main import main
from orchestrator.execute.images import image_build, workshop
from orchestrator.execute.store.store import Store
from orchestrator.preview import find_engine


def plan(tmp_path: Path, *args: str) -> dict[str, Any]:
    done = matrixctl("plan", "--format", "json", "--store", "store", *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def by_key(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {action["key"]: action for action in found["actions"]}


def test_without_an_engine_the_dag_is_there_and_the_digests_are_unknown(tmp_path: Path) -> None:
    part = ("haproxy=3.0.11", "tls=openssl-distro,openssl-3.5.7", "arch=amd64,arm64", "client=curl")
    found = plan(tmp_path, *(word for text in part for word in ("--filter", text)))
    actions = by_key(found)
    build = actions["haproxy:haproxy-3.0.11--openssl-3.5.7--arm64"]
    assert build["needs"][0] == "tls:openssl-3.5.7--arm64"
    assert (build["state"], build["digest"]) == ("unknown", None)
    assert len(build["cells"]) == 4
    assert len(actions["source:haproxy-3.0.11"]["cells"]) == found["cells"] == 16
    assert found["unsupported"] == 4
    assert sum("No Docker engine" in note for note in found["notes"]) == 1
    order = list(actions)
    assert all(order.index(need) < order.index(key) for key in order for need in actions[key]["needs"])


def test_estimates_say_which_figures_are_this_machines_own(tmp_path: Path) -> None:
    build = "haproxy-3.0.11--openssl-distro--amd64"
    store = Store(tmp_path / "store")
    store.record_duration("haproxy", build, 12.5)
    found = plan(tmp_path, "--profile", "quick", "--filter", "arch=amd64")
    actions = by_key(found)
    assert (actions[f"haproxy:{build}"]["estimate_s"], actions[f"haproxy:{build}"]["estimate_from"]) == (
        12.5,
        "store",
    )
    others = [action for action in found["actions"] if action["key"] != f"haproxy:{build}"]
    assert {action["estimate_from"] for action in others} == {"default"}
    assert found["estimate_s"] == 12.5 + sum(action["estimate_s"] for action in others)
    assert found["estimate_from_defaults_s"] == found["estimate_s"] - 12.5


def test_a_source_in_the_store_costs_nothing_more(tmp_path: Path) -> None:
    assert by_key(plan(tmp_path))["source:haproxy-3.0.11"]["state"] == "todo"
    own = tmp_path / "own.yaml"
    own.write_text(
        "version: 1\ncomponents: {haproxy: {'3.0.11': {file: h.tar.gz, sha256: "
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824}}}\n"
    )
    source = read_catalog([own]).find("haproxy", "3.0.11")
    assert source.sha256
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        (scratch / "h").write_text("hello")
        store.put_source(scratch / "h", sha256=source.sha256, file=source.file, origin="test")
    action = by_key(plan(tmp_path, "--sources", "own.yaml"))["source:haproxy-3.0.11"]
    assert (action["state"], action["estimate_s"]) == ("present", None)


def test_an_entry_that_no_cell_takes_is_said(tmp_path: Path) -> None:
    """A tarball of 4.0.0 for a matrix with 4.3.3 would else be passed over in silence."""
    own = tmp_path / "own.yaml"
    entry = "{file: l.tar.gz, sha256: unknown}"
    own.write_text(f"version: 1\ncomponents: {{libressl: {{'4.0.0': {entry}, '3.9.2': {entry}}}}}\n")
    part = ("--filter", "tls=openssl-distro")
    done = matrixctl("plan", *part, "--store", "store", "--sources", "own.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert "warning: own.yaml: no cell takes libressl 4.0.0: it is on no axis of the matrix" in done.stderr
    assert "3.9.2" not in done.stderr


def test_a_source_that_cannot_be_had_blocks_what_needs_it(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("version: 1\ncomponents: {openssl: {'3.5.7': {file: o.tar.gz, sha256: unknown}}}\n")
    found = plan(tmp_path, "--sources", "own.yaml")
    blocked = {action["kind"] for action in found["actions"] if action["state"] == "blocked"}
    assert blocked == {"source", "tls", "selftest", "haproxy", "probe"}
    actions = by_key(found)
    assert actions["probe:haproxy-3.0.11--openssl-distro--amd64"]["state"] == "todo"
    assert actions["probe:haproxy-3.0.11--openssl-3.5.7--amd64"]["estimate_s"] is None
    assert "unknown" in actions["source:openssl-3.5.7"]["problem"]


def test_a_tarball_that_is_nowhere_blocks_what_needs_it(tmp_path: Path) -> None:
    """No origin, no mirror, an empty store: a run could only say `blocked`."""
    own, mirror = tmp_path / "own.yaml", tmp_path / "mirror"
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    own.write_text(f"version: 1\ncomponents: {{haproxy: {{'3.0.11': {{file: h.tgz, sha256: {digest}}}}}}}\n")
    mirror.mkdir()
    given = ("--filter", "tls=openssl-distro", "--filter", "haproxy=3.0.11", "--sources", "own.yaml")
    for places in ((), ("--mirror", "mirror")):
        found = plan(tmp_path, *given, *places)
        actions = by_key(found)
        source = actions["source:haproxy-3.0.11"]
        assert (source["state"], source["estimate_s"]) == ("blocked", None)
        assert "haproxy 3.0.11: no origin has it" in source["problem"]
        assert {action["state"] for key, action in actions.items() if key.startswith("probe:")} == {"blocked"}
    for place in ("http://127.0.0.1:1", "mirror"):
        (mirror / "h.tgz").write_text("a run will see whether it is the right one")
        actions = by_key(plan(tmp_path, *given, "--mirror", place))
        assert actions["source:haproxy-3.0.11"]["state"] == "todo"


@pytest.mark.parametrize(
    ("arches", "said"),
    [
        ("amd64", "3 cells on amd64; 1 more are unsupported and need nothing."),
        (
            "amd64,arm64",
            "6 cells on 2 architectures: amd64, arm64; 2 more are unsupported and need nothing.",
        ),
    ],
)
def test_a_plan_says_early_on_which_architectures(tmp_path: Path, arches: str, said: str) -> None:
    part = ("haproxy=3.0.11", "tls=openssl-distro", "client=curl", f"arch={arches}", "cipher!=default")
    assert plan(tmp_path, *(word for text in part for word in ("--filter", text)))["notes"][0] == said


def test_what_cannot_be_obtained_is_said_in_clauses(tmp_path: Path) -> None:
    given = ("--with", "haproxy=9.9.9", "--filter", "tls=openssl-distro", "--filter", "arch=amd64")
    notes = " ".join(plan(tmp_path, *given)["notes"])
    assert "no entry for haproxy 9.9.9 in sources.yaml; known versions of haproxy: 2.8.9, " in notes


def test_a_plan_has_what_is_challenged(tmp_path: Path) -> None:
    part = ("--cell", "amd64--haproxy-3.0.11--openssl-distro--TLS_AES_128_CCM_SHA256")
    assert [(found["cells"], found["unsupported"]) for found in (plan(tmp_path, *part),)] == [(0, 1)]
    found = plan(tmp_path, *part, "--challenge-unsupported")
    assert (found["cells"], found["unsupported"]) == (1, 0)
    assert "probe:haproxy-3.0.11--openssl-distro--amd64" in by_key(found)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_fits(tmp_path: Path, columns: str) -> None:
    done = matrixctl("plan", "--profile", "quick", "--store", "store", cwd=tmp_path, env={"COLUMNS": columns})
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    rows = [line.split() for line in lines]
    (row,) = [row for row in rows if row[1:3] == ["haproxy", "haproxy-3.0.11--openssl-distro--arm64"]]
    assert row[-1] == "~60"
    assert "one action after another" in " ".join(lines)


@pytest.mark.containers
def test_a_build_has_a_digest_where_the_images_it_needs_are_here_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, host = find_engine()
    assert engine is not None
    made: list[object] = []
    monkeypatch.setattr(image_build, "build", lambda *_, **told: made.append(told))

    def has_toolchain() -> bool:
        return any("toolchain" in tag for tag in workshop.remove_images(engine, dry_run=True))

    before = has_toolchain()  # a run beside this one may make it
    result = CliRunner().invoke(main, ["plan", "--format", "json", "--store", str(tmp_path)])
    actions = by_key(json.loads(result.stdout))
    state = actions[f"image:toolchain-{host.name}"]["state"]
    assert (state == "present") in {before, has_toolchain()}
    assert state in {"present", "todo"}

    def is_here(key: str) -> bool:
        """Whether every image is here from which it is made, through whatever stands between."""
        one = actions[key]
        return (one["kind"] != "image" or one["state"] == "present") and all(map(is_here, one["needs"]))

    builds = {key: one for key, one in actions.items() if one["kind"] in {"tls", "haproxy"}}
    assert builds
    assert {key: bool(one["digest"]) for key, one in builds.items()} == {key: is_here(key) for key in builds}
    assert made == []


MOVING = """\
version: 1
axes:
  arch: [amd64]
  haproxy: [{{name: moving, version: "3.0.11", {where}}}]
  tls: [openssl-distro]
  cipher: [default]
"""


def moving(folder: Path, where: str) -> None:
    (folder / "matrix.yaml").write_text(MOVING.format(where=where))


def test_what_moves_is_shown_as_it_is_now_and_nothing_is_kept(tmp_path: Path) -> None:
    upstream = Repository(tmp_path / "upstream")
    commit = upstream.commit(VERSION="3.0.11\n")
    moving(tmp_path, "git: upstream master")
    found = plan(tmp_path)
    (one,) = [action for action in found["actions"] if action["kind"] == "source"]
    assert one["origin"] == f"git: upstream master -> {commit}"
    assert (one["state"], one["digest"]) == ("todo", None)
    assert not list((tmp_path / "store").rglob("*.tar"))
    moving(tmp_path, "path: upstream")
    (one,) = [action for action in plan(tmp_path)["actions"] if action["kind"] == "source"]
    assert one["origin"] == "path: upstream"
    assert len(one["digest"]) == 64
    table = matrixctl("plan", cwd=tmp_path)
    assert "haproxy-3.0.11: path: upstream" in " ".join(table.stdout.split())


def test_a_branch_that_nobody_has_blocks_its_builds(tmp_path: Path) -> None:
    Repository(tmp_path / "upstream").commit(VERSION="3.0.11\n")
    moving(tmp_path, "git: upstream mastre")
    found = plan(tmp_path)
    states = {action["kind"]: action["state"] for action in found["actions"] if action["kind"] != "image"}
    assert states.pop("selftest") != "blocked", "the distro's library can be tested all the same"
    assert set(states.values()) == {"blocked"}
    assert "the nearest are master" in " ".join(found["notes"])
