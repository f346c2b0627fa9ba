"""The text of every Dockerfile and script that makes an image: pure, and complete enough to use by hand."""

import shlex
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.arch import Arch
from orchestrator.execute import bootstrap
from orchestrator.resources import root

UID = 65534
"""Debian's nobody: the user of every build, server and client container, and the owner of /work."""

REGISTRY_IMAGE = "debian:trixie-slim"

TOOLCHAIN_PACKAGES = (
    "binutils",
    "ccache",
    "cmake",
    "gcc",
    "libc6-dev",
    "libcrypt-dev",
    "libssl-dev",
    "make",
    "mmdebstrap",
    "ninja-build",
    "patch",
    "perl",
    "xz-utils",
)
CLIENT_PACKAGES = ("curl", "python3")
RUNTIME_PACKAGES = (
    "base-files",
    "coreutils",
    "dash",
    "libatomic1",
    "libc6",
    "libcrypt1",
    "libgcc-s1",
    "libpcre2-8-0",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
)
EMULATED_PACKAGES = (
    *RUNTIME_PACKAGES,
    "binutils",
    "ccache",
    "diffutils",
    "findutils",
    "gcc",
    "grep",
    "gzip",
    "libc6-dev",
    "libcrypt-dev",
    "libssl-dev",
    "make",
    "mawk",
    "patch",
    "perl",
    "sed",
    "tar",
    "xz-utils",
)
_EMULATED_LINKS = {"/usr/bin/awk": "mawk", "/usr/bin/cc": "gcc"}
"""What ``update-alternatives`` would have linked."""


@cache
def _templates() -> Environment:
    return Environment(  # noqa: S701 - Dockerfiles and shell, no HTML
        loader=FileSystemLoader(root() / "images"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(suite=bootstrap.SUITE, uid=UID, **values)


def base_dockerfile(registry_image: str = "") -> str:
    """From a registry's image where one is named, else from a bootstrapped root."""
    return _render("base.Dockerfile.j2", registry_image=registry_image)


def toolchain_dockerfile(host: Arch, targets: Sequence[Arch], base: str) -> str:
    foreign = [arch for arch in targets if arch != host]
    return _render(
        "toolchain.Dockerfile.j2",
        base=base,
        foreign=sorted(foreign, key=lambda arch: arch.name),
        packages=sorted({*TOOLCHAIN_PACKAGES, *(name for arch in foreign for name in _cross_packages(arch))}),
    )


def _cross_packages(arch: Arch) -> tuple[str, ...]:
    compiler = f"gcc-{arch.gnu.replace('_', '-')}"
    return (compiler, f"libc6-dev-{arch.name}-cross", f"libcrypt-dev:{arch.name}", f"libssl-dev:{arch.name}")


def client_dockerfile(base: str) -> str:
    return _render("client.Dockerfile.j2", base=base, packages=CLIENT_PACKAGES)


def root_dockerfile(name: str, arch: Arch) -> str:
    return _render("root.Dockerfile.j2", name=name, arch=arch)


def root_script(name: str, arch: Arch) -> str:
    emulated = name == "emulated-toolchain"
    return _render(
        "root.sh.j2",
        name=name,
        arch=arch,
        packages=EMULATED_PACKAGES if emulated else RUNTIME_PACKAGES,
        links=_EMULATED_LINKS if emulated else {},
    )


def rendered(host: Arch, targets: Sequence[Arch]) -> dict[str, str]:
    """Every Dockerfile and script, and a README with the ``docker`` commands, by file name."""
    files = {
        "base.Dockerfile": base_dockerfile(),
        "toolchain.Dockerfile": toolchain_dockerfile(host, targets, "matrixctl-base"),
        "client.Dockerfile": client_dockerfile("matrixctl-base"),
    }
    for arch in targets:
        for name in ("runtime", "emulated-toolchain"):
            files[f"{name}-{arch.name}.Dockerfile"] = root_dockerfile(name, arch)
            files[f"{name}-{arch.name}.sh"] = root_script(name, arch)
    command = shlex.join(bootstrap.mmdebstrap_argv(host, (), "base.tar"))
    files["README.md"] = _render(
        "README.md.j2", registry_image=REGISTRY_IMAGE, mmdebstrap=command, host=host, targets=targets
    )
    return files
