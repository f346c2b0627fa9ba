"""Debian packages that images need beside their own: what a cell's values name, what sanitizers bring.

Pure. ``execute/images`` installs them, in an image of its own beside the plain one.
"""

from collections.abc import Mapping

from orchestrator.matrix import capabilities
from orchestrator.matrix.model import HaproxyValue, TlsValue

SANITIZERS: Mapping[str, str] = {
    # https://packages.debian.org/trixie/gcc-14: libraries of its compiler, which links them dynamically.
    "address": "libasan8",
    "undefined": "libubsan1",
}
"""The sanitizers of the compiler that are known here, each with the package of its runtime library."""


def is_library(package: str) -> bool:
    """Return whether it is a development package: of the target's architecture, unlike all others."""
    return package.endswith("-dev")


def list_build_packages(haproxy: HaproxyValue | None, tls: TlsValue) -> tuple[str, ...]:
    """Return what compiling HAProxy with a library needs or, without HAProxy, what the library needs."""
    if haproxy is not None and not haproxy.is_compiled:
        return ()
    own = haproxy.build_packages if haproxy is not None else ()
    return tuple(sorted({*own, *tls.build_packages}))


def list_runtime_packages(haproxy: HaproxyValue, tls: TlsValue) -> tuple[str, ...]:
    """Return what the server needs, of the target's architecture.

    A development package depends on the library that a program linked with it asks for.
    """
    libraries = (package for package in list_build_packages(haproxy, tls) if is_library(package))
    sanitizers = capabilities.list_sanitizers(haproxy, tls)
    brought = (package for name, package in SANITIZERS.items() if name in sanitizers)
    return tuple(sorted({*haproxy.runtime_packages, *tls.runtime_packages, *libraries, *brought}))
