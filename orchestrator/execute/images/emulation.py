"""Programs of other architectures on this machine: are they registered, do they run, with what."""

import re
import secrets
import time
from contextlib import suppress

import docker
import docker.errors
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout

from orchestrator.arch import Arch
from orchestrator.errors import DeadlineError, EmulationError, EngineError, EngineLostError
from orchestrator.execute.engine import owner
from orchestrator.execute.system.host import Host

BINFMT = "/proc/sys/fs/binfmt_misc"

_PROOF_DEADLINE = 60
"""Seconds. A native ``uname -m`` takes 0.5 s, an emulated one 0.7 s, on an idle machine."""


def registered(host: Host, arch: Arch) -> bool:
    """Whether the kernel hands programs of ``arch`` to QEMU, for containers as well.

    The flag F matters: without it the emulator is looked up inside the container, where there is none.
    Only the local kernel can be asked so; of a remote daemon ``proof`` tells the truth.
    """
    entry = host.read(f"{BINFMT}/qemu-{arch.qemu}") or ""
    flags = re.search(r"^flags:\s*(\w*)", entry, re.MULTILINE)
    return entry.startswith("enabled") and flags is not None and "F" in flags[1]


def on_cpu(host: Arch, arch: Arch, cpu: str) -> tuple[str, ...]:
    """What stands before a command so that it runs on QEMU's CPU ``cpu``; nothing if that is empty.

    A foreign program is handed to QEMU by the kernel, and QEMU takes its ``-cpu`` from QEMU_CPU
    (https://www.qemu.org/docs/master/user/main.html); one of the host's own architecture needs the emulator
    said, of the image ``emulated-runtime``, and the program by its path.
    """
    if not cpu:
        return ()
    return (f"/usr/bin/qemu-{arch.qemu}", "-cpu", cpu) if arch == host else ("env", f"QEMU_CPU={cpu}")


def cpu_proof(client: docker.DockerClient, image: str, host: Arch, arch: Arch, cpu: str) -> None:
    """Run a program in a container of ``image`` on QEMU's CPU ``cpu``.

    :raises EmulationError: with QEMU's words, where it has no such CPU.
    """
    code, output = _uname(client, image, on_cpu(host, arch, cpu))
    said = output.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if code != 0 or said[-1] != arch.machine:
        raise EmulationError(
            f"QEMU cannot run {arch.name} on the CPU {cpu!r}: {said[-1]}",
            details="\n".join(said),
            resolution=f"See which there are: qemu-{arch.qemu} -cpu help",
        )


def proof(client: docker.DockerClient, image: str, arch: Arch) -> str:
    """Run ``uname -m`` in a container of ``image`` and return what it says.

    :raises EmulationError: when programs of ``arch`` cannot run, or the machine is another one.
    :raises DeadlineError: when the container did not end in time.
    """
    code, output = _uname(client, image, ())
    machine = output.decode(errors="replace").strip()
    if code != 0 or machine != arch.machine:
        raise EmulationError(
            f"a container of {image} does not run as {arch.machine}",
            details=f"`uname -m` ended with exit code {code} and said: {machine or 'nothing'}",
            resolution="Register QEMU with the kernel of the Docker host: sudo matrixctl doctor --fix",
        )
    return machine


def _uname(client: docker.DockerClient, image: str, prefix: tuple[str, ...]) -> tuple[int, bytes]:
    container = client.containers.create(
        image,
        [*prefix, "/usr/bin/uname", "-m"],
        name=f"matrixctl-proof-{secrets.token_hex(4)}",
        labels=owner.labels("proof"),
        network_mode="none",
        use_config_proxy=False,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        user="65534:65534",
        mem_limit="128m",
        pids_limit=32,
    )
    started = time.monotonic()
    try:
        container.start()
        code = container.wait(timeout=_PROOF_DEADLINE)["StatusCode"]
        return code, container.logs()
    except (ReadTimeout, RequestsConnectionError) as error:
        if time.monotonic() - started < _PROOF_DEADLINE:
            raise EngineLostError(f"the engine was lost while `uname -m` ran in {image}") from error
        raise DeadlineError(f"`uname -m` in {image} did not end within {_PROOF_DEADLINE} s") from None
    except docker.errors.APIError as error:
        if "exec format error" in str(error):
            return 126, b"exec format error"
        raise EngineError(
            f"the engine cannot start a container of {image}",
            details=str(error),
            resolution="See the daemon's log: journalctl -u docker",
        ) from error
    finally:
        with suppress(docker.errors.NotFound):
            container.remove(force=True)


def qemu_version(host: Host, arch: Arch, *, remote: bool = False) -> str | None:
    """Version of the emulator that the local kernel uses for ``arch``; ``None`` where it cannot be known.

    :param remote: the daemon is on another machine, whose emulator cannot be asked.
    """
    program = None if remote else interpreter(host, arch)
    if program is None:
        return None
    said = host.run([program, "--version"], timeout=10).stdout.decode(errors="replace")
    match = re.search(r"version (\S+(?: \([^)]*\))?)", said)
    return match[1] if match else None


def interpreter(host: Host, arch: Arch) -> str | None:
    """The installed emulator. Debian's binfmt entry names a link of its own, which has no ``--version``."""
    return host.which(f"qemu-{arch.qemu}-static") or host.which(f"qemu-{arch.qemu}")
