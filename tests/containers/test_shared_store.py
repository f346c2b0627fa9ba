"""Two runs at once with one store; harm in the store; a store without room. Each with the real thing."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import link_store

from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.store.store import Store
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import RunRecord

pytestmark = pytest.mark.containers
GCM = ("arch=amd64", "cipher=TLS_AES_128_GCM_SHA256")


def begun(store: Path, out: Path, *options: str) -> "subprocess.Popen[str]":
    argv = ["run", "--profile", "quick", "--filter", "haproxy=3.0.11"]
    argv += ["--store", str(store), "--out", str(out), *options]
    argv += [word for text in GCM for word in ("--filter", text)]
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def in_the_engine(engine: DockerEngine, part: str) -> list[str]:
    api = engine.client.api
    names = [str(container["Names"]) for container in api.containers(all=True)]
    names += [volume["Name"] for volume in api.volumes()["Volumes"] or ()]
    names += [network["Name"] for network in api.networks()]
    return [name for name in names if part in name]


def builds(record: dict[str, Any]) -> dict[str, str]:
    kinds = {"image", "source", "tls", "haproxy", "selftest"}
    return {f"{a['kind']}:{a['name']}": a["status"] for a in record["actions"] if a["kind"] in kinds}


@pytest.mark.fault(
    "two runs at once, with one store and one folder of reports, need the same new build",
    "it is built once; both judge every cell, and nothing is left",
)
@pytest.mark.usefixtures("before")
def test_two_runs_at_once_build_once_and_judge_all(engine: DockerEngine, store: Path, tmp_path: Path) -> None:
    new = f"matrixctl-{secrets.token_hex(8)}.txt"  # nobody has built it, and the compiler's cache has it all
    patch = tmp_path / "new.diff"
    patch.write_text(f"--- /dev/null\n+++ b/{new}\n@@ -0,0 +1 @@\n+new\n")
    out = tmp_path / "reports"
    own = link_store(store, tmp_path / "store", "sources", "ccache", "images", "artifacts")
    runs = [begun(own, out, "--patch", f"haproxy={patch}") for _ in range(2)]
    ended = [run.communicate(timeout=600) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ended
    folders = sorted(path.parent for path in out.glob("*/run.json"))
    records = [json.loads((folder / "run.json").read_text()) for folder in folders]
    assert len(records) == 2
    for record in records:
        assert record["run"]["judged"] == record["run"]["planned"] == len(record["cells"]) > 0
        assert {cell["outcome"] for cell in record["cells"]} == {"pass"}
    first, second = map(builds, records)
    assert first.keys() == second.keys()
    made = {name: Counter([first[name], second[name]]) for name in first}
    assert [made[name] for name in made if name.startswith("haproxy:")] == [Counter(succeeded=1, cached=1)]
    assert not [name for name, statuses in made.items() if statuses["succeeded"] > 1]
    assert [in_the_engine(engine, folder.name) for folder in folders] == [[], []]
    assert [path.name for path in (own / "tmp").iterdir()] == []
    assert [path.name for path in out.rglob(".*")] == [".gitignore"]


@pytest.fixture(scope="module")
def before(run_once: Any) -> RunRecord:
    """A run that was not disturbed."""
    record: RunRecord = run_once(*GCM).record
    return record


def bring(record: RunRecord, store: Path, own: Path, *artifacts: str) -> None:
    """What a run needs to build HAProxy within seconds, in another store."""
    for source in (one for one in record.components if one.kind == "source"):
        shutil.copytree(store / "sources" / str(source.digest), own / "sources" / str(source.digest))
    for digest in artifacts:
        shutil.copytree(store / "artifacts" / digest, own / "artifacts" / digest)
    (own / "ccache").mkdir()
    # Those of patched HAProxies and of branches have one more part; a kept store gathers them without end.
    for cache in (one for one in (store / "ccache").glob("haproxy-*.tar") if one.stem.count("-") == 2):
        shutil.copy(cache, own / "ccache")


@pytest.mark.fault(
    "a bit of an artifact flips in the store, another artifact is cut",
    "each is found by its digest, said, and built again; the cells pass",
)
def test_harm_in_the_store_is_found_and_built_again(before: RunRecord, store: Path, tmp_path: Path) -> None:
    own = tmp_path / "store"
    digests = {a.kind: str(a.digest) for a in before.actions if a.kind in {"haproxy", "selftest"}}
    bring(before, store, own, *digests.values())
    folder = own / "artifacts" / digests["haproxy"]
    harmed = bytearray((folder / "artifact.tar").read_bytes())
    harmed[len(harmed) // 2] ^= 1
    (folder / "artifact.tar").write_bytes(harmed)
    os.truncate(own / "artifacts" / digests["selftest"] / "artifact.tar", 1000)
    run = begun(own, tmp_path / "again")
    _, stderr = run.communicate(timeout=600)
    assert run.returncode == 0, stderr
    for digest in digests.values():
        assert f"artifact {digest[:12]} in the store was corrupt and was removed" in stderr
    (again,) = (tmp_path / "again").glob("*/run.json")
    record = json.loads(again.read_text())
    made = {name.partition(":")[0]: status for name, status in builds(record).items()}
    assert {kind: made[kind] for kind in digests} == {"haproxy": "succeeded", "selftest": "succeeded"}
    assert {cell["outcome"] for cell in record["cells"]} == {"pass"}
    assert all(Store(own).find_artifact(digest) for digest in digests.values())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, as large as ``mount`` says."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def room(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@pytest.mark.fault(
    "the disk of the store becomes full while an artifact is written to it",
    "`error: exhausted` with the store's name and what to do, no half artifact and no half-made file",
)
def test_a_full_store_is_said_and_holds_nothing_half(
    run: Any, before: RunRecord, store: Path, small: Path
) -> None:
    (build,) = (a for a in before.actions if a.kind == "haproxy")
    bring(before, store, small)
    artifact = sum(path.stat().st_size for path in (store / "artifacts" / str(build.digest)).iterdir())
    used = shutil.disk_usage(small).used
    room(small, used + artifact // 2)
    ran = run(*GCM, store=small)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.ERROR, Reason.EXHAUSTED)
    assert f"the store {small} cannot be written: No space left on device" in cell.message
    assert ran.record.run.exit_code == 4
    (failed,) = (a for a in ran.record.actions if a.kind == "haproxy")
    assert "matrixctl clean --store --max-size" in failed.message
    assert not list(ran.folder.glob("internal-*"))
    assert list((small / "artifacts").glob(f"{build.digest}*")) == []
    assert [path.name for path in (small / "tmp").iterdir()] == []
    assert [path for path in small.rglob(".*") if path.is_file()] == []
