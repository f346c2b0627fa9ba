"""The text of every Dockerfile and script that makes an image: pure, and complete enough to use by hand."""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache

from jinja2 import Environment, FileSystemLoader

from orchestrator.arch import Arch
from orchestrator.execute.engine.engine import UID
from orchestrator.execute.images import bootstrap, emulation, wheels
from orchestrator.matrix.packages import is_library
from orchestrator.plan.render import make_environment
from orchestrator.resources import find_root

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
CAPTURE_PACKAGES = ("tshark",)
"""With dumpcap and editcap, of wireshark-common, which it depends on."""
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
"""What a HAProxy may ask for: ours, Debian's, or a prebuilt one."""
OWN_CLIENT, OWN_TAR = "/opt/client", "client.tar"
"""In a client image: where what the matrix' own client comes from lies; and the tar that it is added by."""
PACKAGE = "/usr/share/matrixctl/haproxy.deb"
"""In a runtime: the .deb of Debian's own HAProxy for the architecture that it serves; beside it its name."""
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
RUNTIMES = ("runtime", "emulated-runtime")
DEBUGGERS: Mapping[str, Sequence[str]] = {
    "debugger": (*RUNTIME_PACKAGES, "gdb"),
    "emulated-debugger": (*_SHELL, "qemu-user", "gdb-multiarch"),
}
"""As ROOTS: a runtime with gdb in it, for a server that crashed. They are made when one is first needed."""
EMULATORS = ("emulated-runtime", "emulated-debugger")
"""The images of the host's architecture that have an emulator for another one, and its libraries."""
_EMULATED_LINKS = {
    "/usr/bin/aclocal": "aclocal-1.17",
    "/usr/bin/automake": "automake-1.17",
    "/usr/bin/awk": "mawk",
    "/usr/bin/c++": "g++",
    "/usr/bin/cc": "gcc",
}
"""What ``update-alternatives`` would have linked."""


@cache
def _make_environment() -> Environment:
    return make_environment(FileSystemLoader(find_root() / "images"), trim_blocks=True, lstrip_blocks=True)


def _render(template: str, **values: object) -> str:
    return _make_environment().get_template(template).render(suite=bootstrap.SUITE, uid=UID, **values)


def render_base(registry_image: str = "") -> str:
    """Render the base: from a registry's image where one is named, else from a bootstrapped root."""
    return _render("base.Dockerfile.j2", registry_image=registry_image)


def render_toolchain(base: str) -> str:
    """Render what compiles for the host, and has the tools that are the same for each target."""
    script = (find_root() / "images" / "extract.sh").read_text().splitlines()
    extract = [shlex.quote(line) for line in script]
    return _render("toolchain.Dockerfile.j2", base=base, packages=TOOLCHAIN_PACKAGES, extract=extract)


def render_variant(toolchain: str, extra: Sequence[str]) -> str:
    """Render the host's own toolchain with packages that values of the matrix name."""
    return _render("variant.Dockerfile.j2", toolchain=toolchain, packages=extra)


def render_cross(target: Arch, toolchain: str, extra: Sequence[str] = ()) -> str:
    """Render the host's toolchain with what compiling for ``target`` needs besides.

    One image for each target, so that one whose packages cannot be obtained takes no other with it. In
    ``extra`` libraries are the target's, and programs the host's.
    """
    gnu = target.gnu.replace("_", "-")
    return _render(
        "cross.Dockerfile.j2",
        toolchain=toolchain,
        target=target,
        compilers=(
            f"g++-{gnu}",
            f"gcc-{gnu}",
            f"libc6-dev-{target.name}-cross",
            *(one for one in extra if not is_library(one)),
        ),
        libraries=("libcrypt-dev", "libssl-dev", *filter(is_library, extra)),
        clang=any(re.fullmatch(r"clang(-\d+)?", one) for one in extra),
    )


def render_client(base: str, *, aioquic: str) -> str:
    """Render the clients; ``aioquic`` is the digest of its lock; empty for an image without it."""
    return _render("client.Dockerfile.j2", base=base, packages=CLIENT_PACKAGES, aioquic=aioquic)


def render_capture(base: str) -> str:
    """Render what takes packet captures and reads them."""
    return _render("capture.Dockerfile.j2", base=base, packages=CAPTURE_PACKAGES)


def render_own_client(client: str, *, theirs: str, mark: str, debs: bool) -> str:
    """Render our client image and in it what the matrix' own client comes from.

    :param theirs: the image that it is in; empty where OWN_TAR holds it.
    :param mark: a hash of what is added.
    :param debs: what OWN_TAR holds are packages.
    """
    return _render(
        "own-client.Dockerfile.j2",
        client=client,
        theirs=theirs,
        mark=mark,
        debs=debs,
        below=OWN_CLIENT,
        tar=OWN_TAR,
    )


def render_own_client_script(packages: Sequence[str], arch: str) -> str:
    """Render the script that extracts packages of the archive, for the image of a client that they hold."""
    return _render("own-client.sh.j2", packages=[shlex.quote(one) for one in packages], arch=arch)


def find_root_arch(name: str, host: Arch, target: Arch) -> Arch:
    """Return the architecture of an image's own programs: the host's where it emulates the target."""
    return host if name in EMULATORS else target


def render_root(name: str, host: Arch, target: Arch) -> str:
    return _render(
        "root.Dockerfile.j2", name=name, target=target, platform=find_root_arch(name, host, target).platform
    )


def render_root_script(name: str, host: Arch, target: Arch, extra: Sequence[str] = ()) -> str:
    """Render the script that writes the root of an image that serves ``target``, with an engine on ``host``.

    :param extra: packages of the target beside the image's own.
    """
    emulated = name in EMULATORS
    return _render(
        "root.sh.j2",
        name=name,
        arch=find_root_arch(name, host, target),
        target=target,
        packages=(*{**ROOTS, **DEBUGGERS}[name], *(() if emulated else extra)),
        links=_EMULATED_LINKS if name == "emulated-toolchain" else {},
        emulator=f"qemu-{target.qemu}" if emulated else "",
        libraries=("base-files", *_LIBRARIES, *extra) if emulated else (),
        below=emulation.ROOT,
        package=PACKAGE if name in RUNTIMES else "",
    )


def list_roots(host: Arch, targets: Sequence[Arch]) -> tuple[tuple[str, Arch], ...]:
    """Return the images that may be asked for, each with the architecture that it serves."""
    return tuple((name, arch) for arch in targets for name in ROOTS if name != "runtime" or arch == host)


def name_variant(image: str, target: Arch, extra: Sequence[str]) -> str:
    """Return the name of an image for a person who makes it: ``runtime-amd64``, and a hash of ``extra``."""
    mark = f"-{hashlib.sha256(' '.join(extra).encode()).hexdigest()[:8]}" if extra else ""
    return f"{image}-{target.name}{mark}"


def render_variant_files(image: str, host: Arch, target: Arch, extra: Sequence[str]) -> dict[str, str]:
    """Render the files of an image with further packages, as ``render_dockerfiles`` does."""
    name = name_variant(image, target, extra)
    if image != "toolchain":
        return {
            f"{name}.Dockerfile": render_root(image, host, target),
            f"{name}.sh": render_root_script(image, host, target, extra),
        }
    plain = "matrixctl-toolchain"
    text = render_variant(plain, extra) if target == host else render_cross(target, plain, extra)
    return {f"{name}.Dockerfile": text}


def render_dockerfiles(host: Arch, targets: Sequence[Arch]) -> dict[str, str]:
    """Render every Dockerfile and script, by file name, with the parents' names as a person has them."""
    files = {
        "base.Dockerfile": render_base(),
        "toolchain.Dockerfile": render_toolchain("matrixctl-base"),
        "client.Dockerfile": render_client("matrixctl-base", aioquic=""),
        "client-aioquic.Dockerfile": render_client("matrixctl-base", aioquic=wheels.digest_lock()),
        "capture.Dockerfile": render_capture("matrixctl-base"),
        "aioquic.lock": wheels.find_lock().read_text("utf-8"),
    }
    for arch in targets:
        if arch != host:
            files[f"toolchain-{arch.name}.Dockerfile"] = render_cross(arch, "matrixctl-toolchain")
    for name, arch in list_roots(host, targets):
        files[f"{name}-{arch.name}.Dockerfile"] = render_root(name, host, arch)
        files[f"{name}-{arch.name}.sh"] = render_root_script(name, host, arch)
    return files
