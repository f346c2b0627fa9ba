"""The digest of an action: the hash of everything that decides its output, and of nothing else.

In it: digests of sources and patches, recipe, flags, exact versions of compiler, libc and development
packages, host and target. Not in it: run id, paths, image ids, tags, dates.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from orchestrator.arch import Arch

SCHEMA = 2
"""Raised when the meaning of an input changes, so that older artifacts are no longer found."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
_TOOLS = re.compile(r"(gcc|g\+\+|cpp|binutils)(-[0-9]+)?-(?P<gnu>[a-z0-9-]+-linux-gnu[a-z0-9]*)")
_LIBRARIES = ("libc6-dev", "libcrypt-dev", "linux-libc-dev", "libgcc-14-dev", "libstdc++-14-dev")


def compute_digest(kind: str, inputs: Mapping[str, Any], parents: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 (hex) of canonical JSON of the inputs and the sorted digests of the parents."""
    canonical = _CANONICAL.encode(
        {"schema": SCHEMA, "kind": kind, "inputs": inputs, "parents": sorted(parents)}
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def list_relevant_packages(
    packages: Mapping[str, str], compiler: Arch, target: Arch, *, distro_tls: bool
) -> tuple[tuple[str, str], ...]:
    """Return the packages that decide what a compile yields: compiler, binutils, libc, development files.

    ``packages`` maps ``name`` (of the image's own architecture) or ``name:arch`` to a version. A cross
    compiler has its libc in packages of their own, as in ``libc6-dev-arm64-cross``.
    """
    wanted = (*_LIBRARIES, "libssl-dev") if distro_tls else _LIBRARIES
    suffix = "" if compiler == target else f":{target.name}"
    names = {*(f"{name}{suffix}" for name in wanted), *(f"{name}-{target.name}-cross" for name in _LIBRARIES)}
    gnu = target.gnu.replace("_", "-")
    return tuple(
        (name, version)
        for name, version in sorted(packages.items())
        if name in names or ((tool := _TOOLS.fullmatch(name)) and tool["gnu"] == gnu)
    )
