"""The text of every Dockerfile and script that makes an image: pure, and complete enough to use by hand."""

import shlex
from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Environment, FileSystemLoader

from orchestrator.arch import Arch
from orchestrator.execute.engine.engine import UID
from orchestrator.execute.images import bootstrap, emulation, wheels
from orchestrator.plan.render import environment
from orchestrator.resources import root

REGISTRY_IMAGE = "debian:trixie-slim"

TOOLCHAIN_PACKAGES = (
    "autoconf",
    "automake",
    "binutils",
    "ccache",
    "cmake",
    "g++",
    "gcc",
    "libc6-dev",
    "libcrypt-dev",
    "libssl-dev",
    "libtool",
    "make",
    "mmdebstrap",
    "ninja-build",
    "patch",
    "perl",
    "xz-utils",
)
CLIENT_PACKAGES = ("curl", "nghttp2-server", "ngtcp2-client", "ngtcp2-server", "openssl", "python3")
"""Beside the clients gtlsserver and nghttpd, which they are proved against; openssl verifies certificates."""
_SHELL = ("base-files", "coreutils", "dash", "libc6")
"""What every server's container runs natively: the supervisor."""
_LIBRARIES = (
    "libatomic1",
    "libc6",
    "libcrypt1",
    "libgcc-s1",
    "libjemalloc2",
    "liblua5.4-0",
    "libopentracing-c-wrapper0t64",
    "libpcre2-8-0",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
)
"""What a HAProxy may ask for, ours or a prebuilt one."""
RUNTIME_PACKAGES = tuple(sorted({*_SHELL, *_LIBRARIES}))
EMULATED_PACKAGES = (
    *RUNTIME_PACKAGES,
    "autoconf",
    "automake",
    "binutils",
    "ccache",
    "cmake",
    "diffutils",
    "file",
    "findutils",
    "g++",
    "gcc",
    "grep",
    "gzip",
    "libc6-dev",
    "libcrypt-dev",
    "libssl-dev",
    "libtool",
    "make",
    "mawk",
    "ninja-build",
    "patch",
    "perl",
    "sed",
    "tar",
    "xz-utils",
)
ROOTS: Mapping[str, Sequence[str]] = {
    "runtime": RUNTIME_PACKAGES,
    # Of the host's architecture; the target's libraries have a root of their own in it.
    "emulated-runtime": (*_SHELL, "qemu-user"),
    "emulated-toolchain": EMULATED_PACKAGES,
}
"""The images that are assembled from extracted packages, and those packages."""
_EMULATED_LINKS = {
    "/usr/bin/aclocal": "aclocal-1.17",
    "/usr/bin/automake": "automake-1.17",
    "/usr/bin/awk": "mawk",
    "/usr/bin/c++": "g++",
    "/usr/bin/cc": "gcc",
}
"""What ``update-alternatives`` would have linked."""


@cache
def _templates() -> Environment:
    return environment(FileSystemLoader(root() / "images"), trim_blocks=True, lstrip_blocks=True)


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(suite=bootstrap.SUITE, uid=UID, **values)


def base_dockerfile(registry_image: str = "") -> str:
    """From a registry's image where one is named, else from a bootstrapped root."""
    return _render("base.Dockerfile.j2", registry_image=registry_image)


def toolchain_dockerfile(base: str) -> str:
    """Compiles for the host, and holds every tool that is the same whatever one compiles for."""
    script = (root() / "images" / "extract.sh").read_text().splitlines()
    extract = [shlex.quote(line) for line in script]
    return _render("toolchain.Dockerfile.j2", base=base, packages=TOOLCHAIN_PACKAGES, extract=extract)


def cross_dockerfile(target: Arch, toolchain: str) -> str:
    """The host's toolchain and what compiling for ``target`` needs besides.

    One image for each target, so that one whose packages cannot be had takes no other with it.
    """
    gnu = target.gnu.replace("_", "-")
    return _render(
        "cross.Dockerfile.j2",
        toolchain=toolchain,
        target=target,
        compilers=(f"g++-{gnu}", f"gcc-{gnu}", f"libc6-dev-{target.name}-cross"),
        libraries=("libcrypt-dev", "libssl-dev"),
    )


def client_dockerfile(base: str, *, aioquic: str) -> str:
    """``aioquic`` is the digest of its lock; empty for an image without it."""
    return _render("client.Dockerfile.j2", base=base, packages=CLIENT_PACKAGES, aioquic=aioquic)


def root_arch(name: str, host: Arch, target: Arch) -> Arch:
    """The architecture of an image's own programs: the host's where it has an emulator for the target's."""
    return host if name == "emulated-runtime" else target


def root_dockerfile(name: str, host: Arch, target: Arch) -> str:
    return _render(
        "root.Dockerfile.j2", name=name, target=target, platform=root_arch(name, host, target).platform
    )


def root_script(name: str, host: Arch, target: Arch) -> str:
    """Writes the root of an image that serves ``target``, with an engine on ``host``."""
    emulated = name == "emulated-runtime"
    return _render(
        "root.sh.j2",
        name=name,
        arch=root_arch(name, host, target),
        target=target,
        packages=ROOTS[name],
        links=_EMULATED_LINKS if name == "emulated-toolchain" else {},
        emulator=f"qemu-{target.qemu}" if emulated else "",
        libraries=("base-files", *_LIBRARIES) if emulated else (),
        below=emulation.ROOT,
    )


def roots(host: Arch, targets: Sequence[Arch]) -> tuple[tuple[str, Arch], ...]:
    """The images that may be asked for, each with the architecture that it serves."""
    return tuple((name, arch) for arch in targets for name in ROOTS if name != "runtime" or arch == host)


def rendered(host: Arch, targets: Sequence[Arch]) -> dict[str, str]:
    """Every Dockerfile and script, and a README with the ``docker`` commands, by file name."""
    files = {
        "base.Dockerfile": base_dockerfile(),
        "toolchain.Dockerfile": toolchain_dockerfile("matrixctl-base"),
        "client.Dockerfile": client_dockerfile("matrixctl-base", aioquic=wheels.lock_digest()),
        "aioquic.lock": wheels.lock().read_text("utf-8"),
    }
    for arch in targets:
        if arch != host:
            files[f"toolchain-{arch.name}.Dockerfile"] = cross_dockerfile(arch, "matrixctl-toolchain")
    for name, arch in roots(host, targets):
        files[f"{name}-{arch.name}.Dockerfile"] = root_dockerfile(name, host, arch)
        files[f"{name}-{arch.name}.sh"] = root_script(name, host, arch)
    command = shlex.join(bootstrap.mmdebstrap_argv(host, (), "base.tar"))
    files["README.md"] = _render(
        "README.md.j2",
        registry_image=REGISTRY_IMAGE,
        mmdebstrap=command,
        pip_options=shlex.join(wheels.pip_options(host)),
        host=host,
        targets=targets,
        roots=[(name, arch, root_arch(name, host, arch).platform) for name, arch in roots(host, targets)],
        machines=[(arch, shlex.join(emulation.diagnostics(arch, arch.cpus.default))) for arch in targets],
    )
    return files
