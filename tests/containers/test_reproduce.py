"""The scripts of ``matrixctl render`` and ``repro`` on a real engine; the compile is taken from the store."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Ran

from orchestrator.arch import ARCHES, find_arch
from orchestrator.cli.main import main
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.engine import ContainerSpec, volume
from orchestrator.execute.images.workshop import find_existing
from orchestrator.execute.store.store import Store
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord

pytestmark = pytest.mark.containers

BUILD = "haproxy-3.0.11--openssl-distro--amd64"
HARDENING = (
    "CapDrop",
    "Init",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "NetworkMode",
    "PidsLimit",
    "ReadonlyRootfs",
    "SecurityOpt",
    "Tmpfs",
    "Ulimits",
)


@pytest.fixture
def images_by_hand(engine: DockerEngine, run: Any) -> Iterator[None]:
    """Our own images under the names of a reproducer, as its README says; what a person has so stays."""
    run("arch=amd64", "cipher=default")
    host = find_arch(engine.describe().arch)
    found = find_existing(engine, host, tuple(ARCHES.values()))
    tagged = []
    for (name, arch), image in found.items():
        own = name in {"base", "client"} or (name, arch) == ("toolchain", host.name)
        tag = f"matrixctl-{name}" + ("" if own else f"-{arch}")
        for one in (tag, f"{tag}-aioquic") if name == "client" else (tag,):
            if not engine.client.images.list(name=one):
                engine.client.images.get(image.id).tag(one)
                tagged.append(one)
    yield
    for tag in tagged:
        engine.client.images.remove(tag)


def rendered(tmp_path: Path, store: Path) -> Path:
    """The folder of the build, with the source and the compiled HAProxy that the store has."""
    out = tmp_path / "made"
    args = ["render", "--out", str(out), "--filter", "tls=openssl-distro", "--filter", "arch=amd64"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    folder = out / BUILD
    plan = CliRunner().invoke(main, ["plan", "--store", str(store), "--format", "json", *args[3:]])
    actions = json.loads(plan.stdout)["actions"]
    (digest,) = [one["digest"] for one in actions if one["key"] == f"haproxy:{BUILD}"]
    bring(folder, store, digest)
    return folder


def bring(folder: Path, store: Path, digest: str) -> None:
    """Bring the source and the compiled HAProxy of a folder from the store."""
    artifact = Store(store).find_artifact(digest)
    assert artifact is not None
    (name,) = set(re.findall(r"haproxy-[0-9a-f]{12}\.tar", (folder / "reproduce.sh").read_text()))
    (folder / "out").mkdir()
    shutil.copy(artifact.path, folder / "out" / name)
    (folder / "sources").mkdir()
    (source,) = store.glob("sources/*/haproxy-3.0.11.tar.gz")
    shutil.copy(source, folder / "sources")


def reproduce(folder: Path, *, ends: int = 0, **env: str) -> tuple[list[dict[str, Any]], str, str]:
    """Run the script; return the lines of its result, and what it said to stdout and stderr."""
    done = subprocess.run(
        ["sh", folder / "reproduce.sh"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == ends, done.stdout + done.stderr
    lines = (folder / "result.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], done.stdout, done.stderr


def names(engine: DockerEngine) -> set[str]:
    containers = {entry["Names"][0].lstrip("/") for entry in engine.client.api.containers(all=True)}
    volumes = {entry["Name"] for entry in engine.client.api.volumes()["Volumes"] or ()}
    return {name for name in containers | volumes if name.startswith("matrixctl-reproduce")}


@pytest.mark.usefixtures("images_by_hand")
def test_by_hand_the_same_cells_answer_and_nothing_is_left(
    engine: DockerEngine, store: Path, tmp_path: Path
) -> None:
    before = names(engine)
    folder = rendered(tmp_path, store)
    (server, *cells), said, _ = reproduce(folder)
    assert said.count(": as it should be: ") == len(cells)
    assert server["machine"].strip() == "x86_64"
    session = json.loads((folder / "work" / "session.json").read_text())
    asked = {one["id"]: (one["client"], one["suite"]) for one in session["cells"]}
    answered = {asked[cell["id"]]: cell["h3"] for cell in cells}
    assert {client for client, _ in answered} >= {"curl", "gtlsclient"}
    for (client, suite), h3 in answered.items():
        if suite == "TLS_AES_128_CCM_SHA256":  # compat cannot, and of the clients gtlsclient alone can
            assert h3["exit_code"] != 0, client
            continue
        assert h3["exit_code"] == 0, (client, suite)
        assert {request["http_version"] for request in h3["requests"]} == {"3"}
        ciphers = {request["cipher"] for request in h3["requests"]}
        assert suite is None or ciphers == {suite}
    assert names(engine) == before


@pytest.mark.usefixtures("images_by_hand")
def test_kept_containers_are_as_hard_as_matrixctls_own(
    engine: DockerEngine, store: Path, tmp_path: Path
) -> None:
    folder = rendered(tmp_path, store)
    api = engine.client.api
    _, _, said = reproduce(folder, KEEP="1")
    (kept,) = set(re.findall(r"(matrixctl-reproduce-\d+)-server", said))
    try:
        by_hand = api.inspect_container(f"{kept}-server")
        config = by_hand["HostConfig"]
        spec = ContainerSpec(
            name="matrixctl-hardening",
            run_id="hardening",
            image=by_hand["Image"],
            platform="linux/amd64",
            argv=("true",),
            network="none",
            volume="matrixctl-hardening",
            memory_bytes=config["Memory"],
            cpus=config["NanoCpus"] / 1e9,
            pids=config["PidsLimit"],
        )
        with volume(engine, spec.volume, spec.run_id, keep=False):
            engine.create(spec)
            own = api.inspect_container(spec.name)
            engine.remove(spec.name)
        for limits in (config, own["HostConfig"]):
            limits["Ulimits"].sort(key=lambda limit: limit["Name"])
        assert {key: config[key] for key in HARDENING} == {key: own["HostConfig"][key] for key in HARDENING}
        assert by_hand["Config"]["User"] == own["Config"]["User"]
        assert not [mount for mount in by_hand["Mounts"] if mount["Type"] != "volume"]
    finally:
        for role in ("client", "server"):
            engine.remove(f"{kept}-{role}")
        engine.remove_volume(f"{kept}-work")


FAULT = Path(__file__).parent / "patches" / "haproxy-refuses-chacha20.diff"


def of_a_run(ran: Ran, cell: CellRecord, store: Path, out: Path) -> Path:
    """The folder of a cell of a run, with what it compiled."""
    where = ("--run", str(ran.folder), "--store", str(store), "--out", str(out))
    result = CliRunner().invoke(main, ["repro", cell.id, *where])
    assert result.exit_code == 0, result.output
    assert cell.build.digest
    bring(out, store, cell.build.digest)
    return out


@pytest.mark.usefixtures("images_by_hand")
def test_a_folder_ends_as_its_cell_did(engine: DockerEngine, run: Any, store: Path, tmp_path: Path) -> None:
    before = names(engine)
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(
        "version: 1\naxes:\n  arch: [amd64]\n  tls: [openssl-distro]\n"
        "  haproxy: ['3.0.11', {name: faulty, version: 3.0.11, patches: [" + str(FAULT) + "]}]\n"
        "  cipher: [TLS_CHACHA20_POLY1305_SHA256]\n  client: [curl]\n"
    )
    ran = run(matrix=matrix, profile="full")
    good, bad = (
        next(c for c in ran.record.cells if ("faulty" in c.id) is faulty) for faulty in (False, True)
    )
    assert (good.outcome, bad.reason) == (Outcome.PASS, Reason.HANDSHAKE_REFUSED)

    lines, said, _ = reproduce(of_a_run(ran, good, store, tmp_path / "good"))
    assert f"{good.id}: as it should be: HTTP/3 with TLS_CHACHA20_POLY1305_SHA256" in said
    assert {line["kind"] for line in lines} == {"server", "cell"}

    folder = of_a_run(ran, bad, store, tmp_path / "bad")
    packages = folder / "packages.txt"
    packages.write_text(re.sub(r"^(runtime libc6) .*$", r"\1 1.0", packages.read_text(), flags=re.MULTILINE))
    lines, said, _ = reproduce(folder, ends=1)
    assert f"{bad.id}: FAILS: the server ended the handshake (get-1k: curl " in said
    assert f"the run said: fail: handshake-refused: {bad.message}" in said
    assert "not quite as in the run, since these packages have other versions now:\n    libc6 of the " in said
    assert lines[-1]["kind"] == "package"
    assert names(engine) == before
