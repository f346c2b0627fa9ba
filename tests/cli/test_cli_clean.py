"""What clean may take; with a real engine: tests/containers/test_leftovers.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_samples import matrixctl

from orchestrator.errors import MatrixctlError
from orchestrator.execute import owner
from orchestrator.execute.store import Store

DIGEST = "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "cache" / "matrixctl")
    made.put_artifact(DIGEST, b"tar", {})
    made.ccache("haproxy").write_bytes(b"cache")
    with made.scratch() as scratch:
        (scratch / "h").write_text("hello")
        made.put_source(scratch / "h", sha256="2" * 64, file="h.tar.gz", origin="test")
    return made


def files(store: Store) -> set[str]:
    return {path.name for path in store.root.rglob("*") if path.is_file() and "locks" not in path.parts}


def test_the_store_is_emptied_of_artifacts_and_caches_alone(tmp_path: Path, store: Store) -> None:
    done = matrixctl("clean", "--store", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        f"removed {store.root}/artifacts/{DIGEST}",
        f"removed {store.root}/ccache/haproxy.tar",
    ]
    assert files(store) == {"origin", "h.tar.gz"}
    assert done.returncode == 4, "without an engine it cannot tell what containers there are"
    assert "No Docker engine answers" in done.stderr


def test_a_dry_run_only_says(tmp_path: Path, store: Store) -> None:
    before = files(store)
    done = matrixctl("clean", "--dry-run", "--store", str(store.root), cwd=tmp_path)
    assert [line.split(maxsplit=2)[:2] for line in done.stdout.splitlines()] == [["would", "remove"]] * 2
    assert files(store) == before


def test_a_store_that_a_run_uses_stays(tmp_path: Path, store: Store) -> None:
    before = files(store)
    with store.in_use():
        done = matrixctl("clean", "--store", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (4, "")
        assert "a run uses the store" in done.stderr
        with Store(store.root).in_use(), pytest.raises(MatrixctlError):
            store.empty()
    assert files(store) == before
    assert len(store.empty()) == 2


def test_an_owner_is_alive_as_long_as_its_process() -> None:
    mine = owner.labels("run")
    assert mine["matrixctl"] == "run"
    assert owner.alive(mine) is True
    code = "from orchestrator.execute import owner; print(owner.labels('')[owner.OWNER], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        labels = {owner.OWNER: other.stdout.readline().strip()}
        assert owner.alive(labels) is True
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert owner.alive(labels) is False, "a process that is dead and not yet waited for holds nothing"
    assert owner.alive(labels) is False


def test_a_process_id_that_is_used_again_is_another_owner() -> None:
    label = owner.labels("run")[owner.OWNER]
    assert owner.alive({owner.OWNER: label.rpartition(".")[0] + ".1"}) is False


@pytest.mark.parametrize("label", ["", "x", "..", "other-boot.1.2.3", "\0.\0.\0"])
def test_what_cannot_be_judged_from_here_is_not_taken_for_dead(label: str) -> None:
    assert owner.alive({owner.OWNER: label}) is None
    assert owner.alive({}) is None
    mine = owner.labels("run")[owner.OWNER].split(".")
    assert owner.alive({owner.OWNER: ".".join([mine[0], "1", *mine[2:]])}) is None, "another pid namespace"
    assert owner.alive({owner.OWNER: ".".join(mine[:2])}) is None
