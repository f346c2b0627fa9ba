import json

import pytest
from click.testing import CliRunner
from docker.errors import DockerException
from fake_host import FakeHost, done
from fakes import FakeEngine

from orchestrator.cli.doctor import command
from orchestrator.errors import EngineError, MatrixctlError
from orchestrator.execute.engine import docker_engine
from orchestrator.execute.engine.docker_errors import explain_unreachable
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.setup import doctor, fix
from orchestrator.execute.setup.doctor import CheckState
from orchestrator.record.model import EngineInfo

INSTALL = "apt-get install -y --no-install-recommends docker.io git mmdebstrap"
REFUSED = "Error while fetching server API version: ('Connection aborted.', {}(2, 'x'))"


def patient(
    host: FakeHost, *, docker_host: str = "", error: str = "FileNotFoundError", engine: Engine | None = None
) -> doctor.Patient:
    def connect() -> Engine:
        if not host.daemon:
            raise explain_unreachable(DockerException(REFUSED.format(error)))
        return engine or FakeEngine()

    return doctor.Patient(
        host=host,
        connect=connect,
        docker_host=docker_host,
        proxies={},
        fix_command="FIX",
    )


def changes(host: FakeHost) -> list[str]:
    """What was done to the machine, without what was only asked of it."""
    return [line for line in host.commands if not line.startswith("apt-cache")]


def fresh() -> FakeHost:
    return FakeHost()


def ready() -> FakeHost:
    return FakeHost(programs={"dockerd", "git", "mmdebstrap"}, daemon=True)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ("20.10.24+dfsg1", CheckState.OK),
        ("28.2.2", CheckState.OK),
        ("29.0.0-rc.1", CheckState.OK),
        ("20.9.1", CheckState.MISSING),
        ("19.03.15", CheckState.MISSING),
        ("garbage", CheckState.MISSING),
    ],
)
def test_versions_are_compared_as_numbers(found: str, state: CheckState) -> None:
    assert doctor.check_version(found, "docker").state is state


def test_podman_has_versions_of_its_own() -> None:
    assert doctor.check_version("4.3.1", "podman").state is CheckState.OK
    old = doctor.check_version("3.4.4", "podman")
    assert (old.name, old.found) == ("podman version", "3.4.4, older than 4.3")
    assert old.remedy.endswith("podman")


@pytest.mark.parametrize(
    ("components", "name"),
    [
        ([{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "Conmon"}], "podman"),
        ([{"Name": "Engine", "Version": "20.10.24"}, {"Name": "containerd"}], "docker"),
        (None, "docker"),
    ],
)
def test_podman_is_known_by_its_answer(components: object, name: str) -> None:
    assert docker_engine.find_engine_name({"Version": "1", "Components": components}) == name


def test_memory_below_two_gigabytes_is_missing() -> None:
    assert doctor.check_memory(1_900_000_000).state is CheckState.MISSING
    assert doctor.check_memory(2_000_000_000).state is CheckState.OK


@pytest.mark.parametrize(
    ("free", "docker_host", "state"),
    [
        (6 * 10**9, "", CheckState.OK),
        (4 * 10**9, "", CheckState.MISSING),
        (None, "", CheckState.WARNING),
        (4 * 10**9, "ssh://somewhere", CheckState.WARNING),
    ],
)
def test_disk_is_judged_where_it_is_visible(free: int | None, docker_host: str, state: CheckState) -> None:
    assert (
        doctor.check_disk(patient(FakeHost(free=free), docker_host=docker_host), "/var/lib/docker").state
        is state
    )


class Elsewhere(FakeEngine):
    """An engine on a machine that nothing can be compiled on."""

    def describe(self) -> EngineInfo:
        raise EngineError("The engine runs on pdp11.", resolution="Name one on amd64 or arm64.")


def test_a_host_of_another_architecture_is_named() -> None:
    checks = {one.name: one for one in doctor.examine(patient(ready(), engine=Elsewhere()))}
    found = checks["architecture"]
    assert (found.state, found.found) == (CheckState.MISSING, "The engine runs on pdp11.")
    assert found.remedy == "Name one on amd64 or arm64."


def test_a_machine_with_all_that_a_run_needs_is_healthy() -> None:
    engine = FakeEngine()
    checks = doctor.examine(patient(ready(), engine=engine))
    assert {one.name: one.found for one in checks} == {
        "docker daemon": "local",
        "docker version": "20.10.24",
        "memory": "8.6 GB",
        "disk": "50 GB free in /var/lib/fake",
        "architecture": "amd64",
        "base image": f"debian:trixie-slim@{engine.digest}",
        "git": "/usr/bin/git",
    }
    assert doctor.is_healthy(checks)
    assert not {"create", "build_image", "run"} & {verb for verb, _ in engine.calls}, "it changes nothing"


@pytest.mark.parametrize(
    ("programs", "docker_host", "error", "found", "remedy"),
    [
        (set(), "", "FileNotFoundError", "Docker is not installed", "FIX"),
        ({"dockerd"}, "", "FileNotFoundError", "Docker is installed and not running", "FIX"),
        ({"dockerd"}, "", "ConnectionRefusedError", "Docker is installed and not running", "FIX"),
        (
            {"dockerd"},
            "",
            "PermissionError",
            "it runs, but this user may not talk to it",
            "sudo usermod -aG docker $USER (then log in again), or run with sudo",
        ),
        (
            {"dockerd"},
            "ssh://box",
            "PermissionError",
            f"ssh://box: {REFUSED.format('PermissionError')}",
            "docker -H ssh://box info",
        ),
    ],
)
def test_why_the_daemon_is_out_of_reach(
    programs: set[str], docker_host: str, error: str, found: str, remedy: str
) -> None:
    who = patient(FakeHost(programs=programs), docker_host=docker_host, error=error)
    check = doctor.examine(who)[0]
    assert (check.state, check.found, check.remedy) == (CheckState.MISSING, found, remedy)


def test_without_a_daemon_the_rest_is_looked_at_all_the_same() -> None:
    checks = doctor.examine(patient(fresh()))
    assert [(check.name, check.state) for check in checks] == [
        ("docker daemon", CheckState.MISSING),
        ("git", CheckState.WARNING),
    ]
    assert not doctor.is_healthy(checks)


def test_warnings_do_not_make_a_machine_unfit() -> None:
    assert doctor.is_healthy([doctor.Check(name="disk", state=CheckState.WARNING, found="")])


def test_from_nothing_without_a_service_manager() -> None:
    host = fresh()
    fix.fix(patient(host))
    assert changes(host) == [
        "apt-get update",
        f"env DEBIAN_FRONTEND=noninteractive {INSTALL}",
        "/usr/bin/dockerd > /var/log/matrixctl-dockerd.log",
    ]


def test_systemd_starts_the_daemon_where_it_runs() -> None:
    host = fresh()
    host.folders.add("/run/systemd/system")
    fix.fix(patient(host))
    assert "systemctl enable --now docker" in host.commands
    assert not any("dockerd >" in line for line in host.commands)


def test_a_daemon_that_its_package_started_is_not_started_twice() -> None:
    host = FakeHost(starts_on_install=True)
    fix.fix(patient(host))
    assert not any("dockerd" in line for line in host.commands)


@pytest.mark.parametrize("folders", [set(), {"/run/systemd/system"}])
def test_a_ready_machine_is_left_alone(folders: set[str]) -> None:
    host = ready()
    host.folders |= folders
    fix.fix(patient(host))
    assert changes(host) == []


def test_a_second_fix_changes_nothing() -> None:
    host = fresh()
    fix.fix(patient(host))
    host.commands.clear()
    fix.fix(patient(host))
    assert changes(host) == []


def test_ubuntu_gets_no_mmdebstrap() -> None:
    host = FakeHost(os_id="ubuntu")
    fix.fix(patient(host))
    assert "mmdebstrap" not in " ".join(host.commands)


def test_a_failed_command_shows_its_last_lines() -> None:
    host = FakeHost(answers={"apt-get update": done("E: no network", 100)})
    with pytest.raises(MatrixctlError) as caught:
        fix.fix(patient(host))
    assert str(caught.value) == (
        "`apt-get update` ended with exit code 100\nE: no network\nRun it by hand, then once more: FIX"
    )


def test_a_user_gets_the_commands() -> None:
    host = FakeHost(root=False)
    with pytest.raises(MatrixctlError) as caught:
        fix.fix(patient(host))
    assert caught.value.resolution.splitlines() == [
        "Run: FIX",
        "or, by hand:",
        "  sudo apt-get update",
        f"  sudo {INSTALL}",
        "  sudo sh -c 'setsid dockerd >>/var/log/matrixctl-dockerd.log 2>&1 </dev/null &'",
    ]
    assert changes(host) == []


def test_a_daemon_that_refuses_a_user_is_not_started_again() -> None:
    host = FakeHost(root=False, programs={"dockerd", "git"})
    lacks = fix.look(patient(host, error="PermissionError"))
    assert not lacks.daemon
    assert not lacks.docker


@pytest.mark.parametrize("docker_host", ["ssh://box", "unix:///run/other.sock"])
def test_another_daemon_is_never_replaced_by_a_local_one(docker_host: str) -> None:
    host = fresh()
    with pytest.raises(MatrixctlError, match="DOCKER_HOST points at"):
        fix.fix(patient(host, docker_host=docker_host))
    assert changes(host) == []


def test_other_systems_are_told_what_to_install() -> None:
    host = FakeHost(os_id="fedora")
    with pytest.raises(MatrixctlError, match="Debian and Ubuntu only") as caught:
        fix.fix(patient(host))
    assert caught.value.resolution == "Install Docker Engine 20.10 or newer."
    assert changes(host) == []


@pytest.mark.containers
def test_this_machine_is_fit_and_fixing_it_changes_nothing() -> None:
    shown = CliRunner().invoke(command, ["--fix", "--format", "json"])
    assert shown.exit_code == 0, shown.output
    report = json.loads(shown.stdout)
    assert report["healthy"]
    assert {check["name"] for check in report["checks"]} >= {"docker daemon", "base image"}
    assert not [check for check in report["checks"] if "emul" in check["name"]]
    assert shown.stderr == ""


@pytest.mark.parametrize("found", ["20.10." + "9" * 5000, "9" * 5000, "\u00b2.\u0663"])
def test_a_version_of_any_length_is_a_finding(found: str) -> None:
    assert doctor.check_version(found, "docker").state in {CheckState.OK, CheckState.MISSING}
