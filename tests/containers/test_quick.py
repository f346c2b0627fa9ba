"""The main job for real: two architectures, the distribution's OpenSSL, every cipher."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.execute.engine import owner
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record import journal
from orchestrator.record.fold import fold
from orchestrator.record.schema import make_json_schema

pytestmark = pytest.mark.containers

GCM, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"


@pytest.fixture(scope="module")
def labelled(engine: DockerEngine) -> Any:
    """What bears this process's label before, to be compared with what bears it after."""

    def look() -> tuple[set[str], set[str], set[str]]:
        client = engine.client
        ours: dict[str, str | list[str] | bool] = {"label": owner.make_own_label()}
        return (
            {container.name or "" for container in client.containers.list(all=True, filters=ours)},
            {volume.name for volume in client.volumes.list(filters=ours)},
            {network.name or "" for network in client.networks.list(filters=ours)},
        )

    return look


def test_quick_run_judges_both_architectures(run: Any, labelled: Any) -> None:
    before = labelled()
    ran = run(haproxy="distro,3.0.11")
    again = run(haproxy="distro,3.0.11")

    for arch, machine, elf in (("amd64", "x86_64", "EM_X86_64"), ("arm64", "aarch64", "EM_AARCH64")):
        for suite in (GCM, AES256, CHACHA):
            cell = ran.cell(f"{arch}--haproxy-3.0.11--openssl-distro--{suite}")
            assert (cell.outcome, cell.verdict) == (Outcome.PASS, Verdict.AS_EXPECTED), cell.message
            seen = cell.observations
            assert seen.negotiated_cipher == suite
            assert seen.negotiated_protocol == "TLSv1.3"
            assert [request.http_version for request in seen.h3.requests] == ["3", "3", "3"]
            assert [request.bytes_received for request in seen.h3.requests][:2] == [1024, 1 << 20]
            assert [request.http_version for request in seen.control.requests] == ["2", "2", "2"]
            assert {request.cipher for request in seen.control.requests} == {suite}
            proof = cell.attestation
            assert (proof.machine, proof.elf_machine, proof.quic_api) == (machine, elf, "compat")
            assert any(name.startswith("libssl.so") for name in proof.needed)
        default = ran.cell(f"{arch}--haproxy-3.0.11--openssl-distro--default")
        assert default.outcome is Outcome.PASS
        assert default.observations.negotiated_cipher in {GCM, AES256, CHACHA}
        ccm = ran.cell(f"{arch}--haproxy-3.0.11--openssl-distro--TLS_AES_128_CCM_SHA256")
        assert (ccm.outcome, ccm.reason) == (Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER)
        _debian_s_own_haproxy_passes(ran, arch)

    assert ran.record.run.exit_code == 0
    assert {cell.execution.mode for cell in ran.record.cells} == {"native", "emulated"}
    _emulation_is_recorded(ran)
    _record_on_disk_is_whole(ran.folder)
    _second_run_compiles_nothing(ran, again)
    assert labelled() == before


def _debian_s_own_haproxy_passes(ran: Any, arch: str) -> None:
    """Its package is named with Debian's version, of which the matrix compares upstream's."""
    cells = [one for one in ran.record.cells if f"{arch}--haproxy-distro" in one.id]
    judged = [one for one in cells if one.outcome is not Outcome.UNSUPPORTED]
    assert [one.outcome for one in judged] == [Outcome.PASS] * 4, [one.message for one in judged]
    (source,) = [one for one in ran.record.components if one.origin.endswith(f"_{arch}.deb")]
    version = source.origin.removeprefix(f"distro: {arch} -> haproxy_").removesuffix(f"_{arch}.deb")
    for one in judged:
        assert one.axes.haproxy.version == source.version == version.partition("-")[0]
        assert one.attestation.haproxy_version == version
        assert "libjemalloc.so.2" in one.attestation.needed, "which ours does not ask for"


def _emulation_is_recorded(ran: Any) -> None:
    emulated = [c for c in ran.record.cells if c.execution.mode == "emulated" and c.outcome is Outcome.PASS]
    assert emulated
    assert all(cell.execution.qemu_version for cell in emulated)
    kinds = {component.kind for component in ran.record.components}
    assert kinds == {"image", "source", "package", "emulator"}


def _record_on_disk_is_whole(folder: Path) -> None:
    written = json.loads((folder / "run.json").read_text())
    Draft202012Validator(make_json_schema()).validate(written)
    folded = fold(journal.read(folder / "journal.jsonl"))
    assert json.loads(folded.model_dump_json()) == written
    for cell in written["cells"]:
        assert all((folder / path).is_file() for path in cell["evidence"])
    assert "TLS_CHACHA20_POLY1305_SHA256" in (folder / "index.html").read_text()
    assert "testsuite" in (folder / "junit.xml").read_text()


def _second_run_compiles_nothing(first: Any, second: Any) -> None:
    builds = {a.name: a for a in second.record.actions if a.kind in {"tls", "haproxy"}}
    assert builds
    assert {action.status for action in builds.values()} == {"cached"}
    digests = {a.name: a.digest for a in first.record.actions if a.kind in {"tls", "haproxy"}}
    assert {name: action.digest for name, action in builds.items()} == digests
    assert second.record.run.exit_code == 0


def test_challenging_a_declaration_proves_it(run: Any) -> None:
    ran = run("arch=amd64", "cipher=TLS_AES_128_CCM_SHA256", challenge_unsupported=True)
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER)
    assert "challenged" in cell.message
    assert "no ciphers available" in cell.observations.h3.requests[0].error


def test_repeat_probes_every_cell_again(run: Any) -> None:
    ran = run("arch=amd64", "cipher=default", repeat=2)
    (cell,) = ran.record.cells
    assert [(one.why, one.outcome) for one in cell.attempts] == [
        ("first", Outcome.PASS),
        ("repeat 2", Outcome.PASS),
    ]


def test_source_build_holds_its_own_library(run: Any) -> None:
    ran = run("arch=amd64", "haproxy=3.0.11", "tls=openssl-3.5.7", f"cipher={CHACHA},default", profile="full")
    assert [cell.outcome for cell in ran.record.cells] == [Outcome.PASS, Outcome.PASS]
    proof = ran.record.cells[0].attestation
    assert proof.tls_prefix_found
    assert proof.tls_built == proof.tls_running
    assert "3.5.7" in proof.tls_built
    assert not [name for name in proof.needed if name.startswith(("libssl", "libcrypto"))]
