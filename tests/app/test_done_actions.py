"""Each action done, on an engine in memory: what is recorded, done again, skipped, and not believed."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_run import GCM, EngineRun, Programs, chosen
from fakes import DEB, ran

from orchestrator.errors import BuildError, EngineLostError
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.execute.images.dockerfiles import PACKAGE
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.journal import JOURNAL, ActionChanged, Event, read
from orchestrator.record.model import RunRecord

ONE = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
TWO_SUITES = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher=*GCM*")
TWO_ARCHES = chosen("arch=amd64,arm64", "tls=openssl-3.5.7", f"cipher={GCM}")


def statuses(record: RunRecord) -> dict[str, str]:
    return {f"{action.kind} {action.name.partition('--')[0]}": action.status for action in record.actions}


def test_a_whole_run_builds_once_probes_and_leaves_nothing(tmp_path: Path) -> None:
    run = EngineRun(tmp_path, TWO_SUITES)
    record = run.go()
    assert [(cell.outcome, cell.message) for cell in record.cells if cell.outcome is not Outcome.PASS] == []
    assert sorted(run.programs.probed) == sorted(cell.id for cell in TWO_SUITES)
    assert len(run.programs.built) == 3, "library, HAProxy, self-test"
    assert run.engine.left == set()


def test_the_packages_that_decide_are_recorded_and_no_others(tmp_path: Path) -> None:
    record = EngineRun(tmp_path, ONE).go()
    packages = {one.name: (one.version, one.origin) for one in record.components if one.kind == "package"}
    toolchain = {name for name, (_, origin) in packages.items() if origin == "toolchain image"}
    assert {"gcc-14-x86-64-linux-gnu", "binutils-x86-64-linux-gnu", "libc6-dev"} <= toolchain
    assert packages["gcc-14-x86-64-linux-gnu"] == ("14.2.0-19", "toolchain image")
    assert {name: told for name, told in packages.items() if name not in toolchain} == {
        "curl in client-amd64": ("8.14.1-2", "client image"),
        "libssl3t64 in client-amd64": ("3.5.7-1", "client image"),
        "libc6 in runtime-amd64": ("2.41-12", "runtime image"),
        "libssl3t64 in runtime-amd64": ("3.5.7-1", "runtime image"),
    }


def test_what_was_found_done_says_nothing_of_how_long_it_takes(tmp_path: Path) -> None:
    first = EngineRun(tmp_path, ONE)
    first.go()
    asked = [("tls", "openssl-3.5.7--amd64"), ("haproxy", "haproxy-3.0.11--openssl-3.5.7--amd64")]
    asked += [("image", f"{name}-amd64") for name in ("toolchain", "client", "runtime")]
    for kind, name in asked:
        assert first.store.find_duration(kind, name) is not None
        first.store.record_duration(kind, name, 777.0)
    again = EngineRun(tmp_path, ONE, name="again")
    again.engine.images = first.engine.images
    found = statuses(again.go())
    assert found.pop("probe haproxy-3.0.11") == "succeeded"
    assert set(found.values()) == {"cached"}
    assert again.engine.built == []
    assert [again.store.find_duration(*one) for one in asked] == [777.0] * 5
    assert again.store.find_duration("probe", "haproxy-3.0.11--openssl-3.5.7--amd64") is not None


def test_a_library_that_was_lost_is_said_and_nothing_is_built_without_it(tmp_path: Path) -> None:
    """Else the compiler would take the toolchain's own library, and the artifact would bear our digest."""

    def lose(event: Event) -> None:
        if isinstance(event, ActionChanged) and (event.action.kind, event.action.status) == (
            "tls",
            "succeeded",
        ):
            shutil.rmtree(tmp_path / "store" / "artifacts" / (event.action.digest or ""))

    run = EngineRun(tmp_path, ONE, listen=lose)
    record = run.go()
    assert len(run.programs.built) == 1, "the library alone"
    assert [(cell.outcome, cell.reason) for cell in record.cells] == [(Outcome.ERROR, Reason.INTERNAL)]
    (action,) = [one for one in record.actions if one.kind == "haproxy"]
    assert action.status == "failed"
    assert "the artifact of openssl-3.5.7--amd64 is gone from the store" in action.message


def test_images_are_made_once_and_told_with_what_is_in_them(tmp_path: Path) -> None:
    """For a foreign architecture a cross compiler and an emulator, and nothing else."""
    run = EngineRun(tmp_path, TWO_ARCHES)
    record = run.go()
    assert [(cell.outcome, cell.message) for cell in record.cells if cell.outcome is not Outcome.PASS] == []
    names = [tag.partition(":")[0].removeprefix("matrixctl/") for tag in run.engine.images]
    assert names[0] == "base"
    assert sorted(names) == sorted(
        ["base", "toolchain", "toolchain", "client", "runtime", "emulated-runtime"]
    )
    assert len(run.engine.built) == len(names)
    told = {one.name: (one.version, one.origin) for one in record.components if one.kind == "image"}
    assert set(told) == {
        *("base-amd64", "toolchain-amd64", "toolchain-arm64", "client-amd64"),
        *("runtime-amd64", "emulated-runtime-arm64"),
    }
    assert told["base-amd64"][1] == f"debian:trixie-slim@{run.engine.digest}"
    assert {version for version, _ in told.values()} == set(run.engine.images)
    (emulated,) = [cell for cell in record.cells if cell.axes.arch.name == "arm64"]
    assert emulated.execution.qemu_version == "10.0.13"
    proved = [image for verb, image in run.engine.calls if verb == "run"]
    assert set(proved) >= set(run.engine.images), "each was run before it was used"


def test_debian_s_own_haproxy_is_taken_from_its_image_and_unpacked_without_a_cross_compiler(
    tmp_path: Path,
) -> None:
    one = chosen("arch=arm64", f"cipher={GCM}", haproxy="distro")
    run = EngineRun(tmp_path, one, builder=lambda text: ran(exit_code=int("g++-aarch64" in text)))
    record = run.go()
    (build,) = [one for one in record.actions if one.kind == "haproxy"]
    assert build.status == "succeeded", build.message
    assert run.programs.built == ["build.sh src/haproxy_3.0.11-1_arm64.deb"]
    assert [cell.id for cell in run.cells] == run.programs.probed
    (source,) = [one for one in record.components if one.kind == "source"]
    assert (source.origin, source.digest) == (
        "distro: arm64 -> haproxy_3.0.11-1_arm64.deb",
        hashlib.sha256(DEB[PACKAGE]).hexdigest(),
    )
    assert next(one.status for one in record.actions if one.name == "toolchain-arm64") == "failed"


def failing(*errors: Exception, kind: str) -> Programs:
    """Programs of which those of one kind fail so often."""
    left: Iterator[Exception] = iter(errors)

    def before(now: str) -> None:
        if now == kind and (error := next(left, None)):
            raise error

    return Programs(before=before)


LOST = EngineLostError("The engine is away.")


@pytest.mark.parametrize("times", [1, 2])
def test_a_build_under_which_the_engine_was_lost_is_done_again(tmp_path: Path, times: int) -> None:
    run = EngineRun(tmp_path, ONE, programs=failing(*[LOST] * times, kind="build"))
    record = run.go()
    assert [cell.outcome for cell in record.cells] == [Outcome.PASS]
    (action,) = [one for one in record.actions if one.kind == "tls"]
    assert action.status == "succeeded"
    assert action.message.splitlines() == ["again: The engine is away."] * times
    assert run.engine.left == set()


def test_an_engine_that_is_lost_each_time_is_given_up_after_three(tmp_path: Path) -> None:
    run = EngineRun(tmp_path, ONE, programs=failing(*[LOST] * 9, kind="build"))
    record = run.go()
    assert [cell.reason for cell in record.cells] == [Reason.ENGINE_UNAVAILABLE]
    events = [
        event.action.message
        for event in read(tmp_path / "run" / JOURNAL)
        if isinstance(event, ActionChanged)
        and event.action.kind == "tls"
        and event.action.status == "running"
    ]
    assert events == ["", "again: The engine is away.", "again: The engine is away."]


def test_what_fails_by_itself_is_not_done_again(tmp_path: Path) -> None:
    run = EngineRun(tmp_path, ONE, programs=failing(BuildError("It does not compile."), kind="build"))
    assert [cell.reason for cell in run.go().cells] == [Reason.BUILD_FAILED]


def test_a_toolchain_that_failed_is_not_asked_again_and_costs_its_own_target_alone(tmp_path: Path) -> None:
    def builder(dockerfile: str) -> ExecResult:
        lacks = b"E: Unable to locate package gcc-aarch64-linux-gnu\n"
        return ran(exit_code=1, stdout=lacks) if "aarch64" in dockerfile else ran()

    run = EngineRun(tmp_path, TWO_ARCHES, builder=builder)
    record = run.go()
    found = {cell.id.partition("--")[0]: (cell.outcome, cell.reason) for cell in record.cells}
    assert found == {"amd64": (Outcome.PASS, None), "arm64": (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)}
    assert len([text for text in run.engine.built if "aarch64" in text]) == 1
    assert record.run.message == ""


def test_a_client_that_failed_its_proof_is_not_asked_and_its_neighbours_are(tmp_path: Path) -> None:
    run = EngineRun(
        tmp_path, TWO_SUITES, programs=Programs(proves=lambda client, suite: (client, suite) != ("curl", GCM))
    )
    record = run.go()
    found = {cell.axes.cipher.suite: (cell.outcome, cell.reason) for cell in record.cells}
    assert found.pop(GCM) == (Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER)
    assert set(found.values()) == {(Outcome.PASS, None)}
    assert run.programs.probed == [cell.id for cell in TWO_SUITES if cell.cipher.suite != GCM]
    assert {(one.suite, one.ok) for one in record.clients if one.client == "curl"} >= {(GCM, False)}
