"""Sources that move, built and probed: a branch that goes on, a tree, a binary, a package of Debian."""

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from git_samples import Repository

from orchestrator.arch import ARCHES, find_arch
from orchestrator.execute.engine.archive import read_member
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images import image_content
from orchestrator.execute.images.workshop import find_existing
from orchestrator.execute.store.store import Store
from orchestrator.outcome import Outcome, Reason

pytestmark = pytest.mark.containers

GCM = "TLS_AES_128_GCM_SHA256"
MATRIX = """
version: 1
axes:
  arch: [{arch}]
  haproxy: [{{name: moving, version: "{version}", {where}}}]
  tls: [openssl-distro]
  cipher: [TLS_AES_128_GCM_SHA256]
"""


def matrix(folder: Path, where: str, *, arch: str = "amd64", version: str = "3.0.11") -> Path:
    path = folder / "matrix.yaml"
    path.write_text(MATRIX.format(arch=arch, version=version, where=where))
    return path


def actions(ran: Any, kind: str) -> list[Any]:
    return [action for action in ran.record.actions if action.kind == kind]


def source(ran: Any) -> Any:
    (one,) = [one for one in ran.record.components if one.kind == "source"]
    return one


@pytest.fixture(scope="module")
def tarball(run_once: Any, store: Path) -> Path:
    """HAProxy's tarball out of the store, where an ordinary run of it has put it."""
    run_once("arch=amd64", f"cipher={GCM}")
    (found,) = store.glob("sources/*/haproxy-3.0.11.tar.gz")
    return found


@pytest.fixture
def upstream(tarball: Path, tmp_path: Path) -> Repository:
    """A git repository made of HAProxy's tarball."""
    made = Repository(tmp_path / "upstream")
    with tarfile.open(tarball) as tar:
        tar.extractall(tmp_path, filter="data")
    shutil.copytree(tmp_path / "haproxy-3.0.11", made.folder, dirs_exist_ok=True)
    made.commit()
    return made


def test_a_branch_that_goes_on_is_built_again(run: Any, upstream: Repository, tmp_path: Path) -> None:
    one = matrix(tmp_path, f"git: 'file://{upstream.folder} master', make_flags: ['EXTRAVERSION=-mine']")
    first = run(profile="full", matrix=one)
    commit = upstream.git("rev-parse", "HEAD")
    moved = upstream.commit(VERSION="3.0.12\n")
    second, third = (run(profile="full", matrix=one) for _ in range(2))
    for ran, version, at in ((first, "3.0.11", commit), (second, "3.0.12", moved), (third, "3.0.12", moved)):
        (cell,) = ran.record.cells
        assert cell.outcome is Outcome.PASS, cell.message
        assert cell.attestation.haproxy_version.startswith(version)
        assert "-mine" in cell.attestation.haproxy_version
        assert source(ran).origin == f"git: file://{upstream.folder} master -> {at}"
        assert source(ran).version == "3.0.11"
    digests = [actions(ran, "haproxy")[0].digest for ran in (first, second, third)]
    assert digests[0] != digests[1] == digests[2]
    assert source(first).digest != source(second).digest == source(third).digest
    assert [actions(ran, "haproxy")[0].status for ran in (second, third)] == ["succeeded", "cached"]


def test_a_working_tree_with_a_change_that_nobody_committed(
    run: Any, upstream: Repository, tmp_path: Path
) -> None:
    (upstream.folder / "VERSION").write_text("3.0.13\n")
    ran = run(profile="full", matrix=matrix(tmp_path, "path: upstream"))
    (cell,) = ran.record.cells
    assert cell.outcome is Outcome.PASS, cell.message
    assert cell.attestation.haproxy_version.startswith("3.0.13")
    assert source(ran).origin == f"path: {upstream.folder}"


def test_a_branch_of_another_series_is_misbuilt(run: Any, upstream: Repository, tmp_path: Path) -> None:
    upstream.commit(VERSION="3.1.0\n")
    ran = run(profile="full", matrix=matrix(tmp_path, f"git: '{upstream.folder} master'"))
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.MISBUILT, Reason.WRONG_VERSION)
    assert "Set `version` of moving" in cell.message


def test_a_repository_that_does_not_answer_blocks_its_cells(run: Any, tmp_path: Path) -> None:
    ran = run(profile="full", matrix=matrix(tmp_path, "git: './gone master'"))
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)
    assert str(tmp_path / "gone") in cell.message
    (action,) = actions(ran, "haproxy")
    assert action.status == "blocked"


def test_a_package_of_debian_and_a_binary_of_ours_are_probed_and_not_compiled(
    run: Any, engine: DockerEngine, store: Path, tmp_path: Path
) -> None:
    ours = run(f"cipher={GCM}")
    host = find_arch(engine.describe().arch)
    dist = tmp_path / "dist"
    dist.mkdir()
    version = debian(engine, host.name, dist / f"haproxy_{host.name}")
    (build,) = [one for one in actions(ours, "haproxy") if one.name.endswith("arm64")]
    artifact = Store(store).find_artifact(build.digest)
    assert artifact is not None
    (dist / "haproxy_arm64").write_bytes(read_member([artifact.path.read_bytes()], "haproxy"))

    where = "prebuilt: 'dist/haproxy_{arch}'"
    ran = run(profile="full", matrix=matrix(tmp_path, where, arch="amd64, arm64", version=version))
    assert [cell.outcome for cell in ran.record.cells] == [Outcome.PASS] * 2, ran.record.cells
    package = ran.cell("amd64").attestation
    assert "libjemalloc.so.2" in package.needed
    assert package.tls_prefix_found is None
    assert not actions(ran, "tls")

    shutil.copy(dist / "haproxy_arm64", dist / "haproxy_amd64")
    wrong = run("arch=amd64", profile="full", matrix=matrix(tmp_path, where, arch="amd64", version=version))
    (cell,) = wrong.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.MISBUILT, Reason.WRONG_ARCH), cell.message


def debian(engine: DockerEngine, arch: str, to: Path) -> str:
    """Debian's own package, as the image has it; its upstream version."""
    image = find_existing(engine, ARCHES[arch], [ARCHES[arch]])["runtime", arch]
    name, content = image_content.read_haproxy(engine, image)
    to.write_bytes(content)
    return name.split("_")[1].partition("-")[0]
