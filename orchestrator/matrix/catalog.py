"""What ``sources.yaml`` says: per component and version a file, its digest and its origins.

And sources that move: ``matrix.yaml`` names them; their bytes are known only when a run has begun.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.errors import SourceUnreachableError
from orchestrator.frozen_value import Value
from orchestrator.matrix.model import HaproxyValue, Software
from orchestrator.matrix.origins import ARCH
from orchestrator.matrix.yamlfile import parse
from orchestrator.phrases import quote, suggest

_PLAIN = r"[0-9A-Za-z][0-9A-Za-z.+~_-]*"
_POOL = re.compile(rf"[a-z-]+/[a-z0-9]+/{_PLAIN}/{_PLAIN}")
_PINNED = re.compile(rf"{_PLAIN}=={_PLAIN}")
_URL = re.compile(
    r"https?://(?:[0-9A-Za-z][0-9A-Za-z.-]*|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?/[0-9A-Za-z._~:/?#@!$&'()*+,;=%\[\]-]*"
)
"""The characters of RFC 3986. No user or password: they would stand in every report."""
_LONGEST = 128
"""Of a name, which becomes part of file names."""
_HELP = "docs/sources.md describes the file"
_FORMS = "an origin is an http(s) URL, `debian-pool: main/h/haproxy/FILE` or `pypi: NAME==VERSION`"


class SourceOrigin(Value):
    """One place that has a source. The host of a pool or of PyPI comes from this machine's settings."""

    kind: Literal["url", "debian-pool", "pypi"]
    where: str

    def __str__(self) -> str:
        return self.where if self.kind == "url" else f"{self.kind}: {self.where}"


class Source(Value):
    """One entry. ``sha256`` is ``None`` if the digest is unknown: such a source is never used."""

    component: str
    version: str
    file: str
    """Its name in a mirror and in the store."""
    sha256: str | None
    strip: int
    """Leading path components of the archive to drop, as in ``tar --strip-components``."""
    origins: tuple[SourceOrigin, ...]

    @property
    def blocked(self) -> str | None:
        """Return why this source can never be downloaded, or ``None``."""
        if self.sha256 is None:
            return (
                f"the SHA-256 of {self.component} {self.version} is unknown, and nothing is used unverified"
            )
        return None


class Moving(Value):
    """A source that may be another one tomorrow; once per run it becomes a Source."""

    component: str
    version: str
    """The declared one."""
    kind: Literal["distro", "git", "path", "prebuilt", "tarball"]
    where: str
    """A URL or folder of git, a working tree, a file; of ``distro`` the name of the architecture."""
    ref: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}{' ' if self.ref else ''}{self.ref}"


def find_moving_source(software: Software, arch: str) -> Moving | None:
    """Return the moving source of HAProxy or a library for an architecture, or ``None``.

    Debian's own HAProxy moves: it is the package that the image has. Its TLS library is installed there.
    """
    kind, where = software.source, software.where
    match kind:
        case "tarball":
            if software.is_pinned:
                return None
        case "distro":
            if not isinstance(software, HaproxyValue):
                return None
            where = arch
        case "prebuilt":
            where = where.replace(ARCH, arch)
    return Moving(
        component=software.family, version=software.version, kind=kind, where=where, ref=software.ref
    )


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All sources that are known, by component and version."""

    sources: Mapping[tuple[str, str], Source] = field(default_factory=dict)

    def find(self, component: str, version: str) -> Source:
        """:raises SourceUnreachableError: where no file has an entry."""
        source = self.sources.get((component, version))
        if source is None:
            versions = [known for name, known in self.sources if name == component]
            names = {name for name, _ in self.sources}
            raise SourceUnreachableError(
                f"no entry for {component} {version} in sources.yaml",
                details=f"known versions of {component}: {', '.join(versions)}"
                if versions
                else f"unknown component {component!r}{suggest(component, names)}",
                resolution="Add it to a file of your own and pass that with --sources.",
            )
        return source


def load_catalog(paths: Sequence[Path]) -> Catalog:
    """Load the entries of all files; a later file replaces a whole entry of an earlier one.

    :raises UsageError: with every fault of the first file that has any.
    """
    sources: dict[tuple[str, str], Source] = {}
    for path in paths:
        for component, versions in parse(path, _File, help=_HELP).components.items():
            for version, entry in versions.items():
                sources[component, version] = _make_source(component, version, entry)
    return Catalog(sources=sources)


def _allow(pattern: str, what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > _LONGEST:
            raise ValueError(f"{what} has at most {_LONGEST} characters; this is {quote(text)}")
        if not re.fullmatch(pattern, text) or ".." in text:
            raise ValueError(f"{what} has to match {pattern}, without `..`; this is {quote(text)}")
        return text

    return check


def _check_digest(text: str) -> str:
    if text != "unknown" and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("has to be 64 lower-case hexadecimal digits, or `unknown`")
    return text


def _read_origin(given: Any) -> Any:
    """Return ``https://...`` or a mapping of one key as the fields of a SourceOrigin."""
    match given:
        case str() if _URL.fullmatch(given):
            return {"kind": "url", "where": given}
        case {"debian-pool": str(where)} if len(given) == 1 and _POOL.fullmatch(where) and ".." not in where:
            return {"kind": "debian-pool", "where": where}
        case {"pypi": str(where)} if len(given) == 1 and _PINNED.fullmatch(where):
            return {"kind": "pypi", "where": where}
    raise ValueError(f"{_FORMS}; this is {quote(given)}")


_Component = Annotated[str, AfterValidator(_allow(r"[a-z][a-z0-9-]*", "a component"))]
_Version = Annotated[str, AfterValidator(_allow(_PLAIN, "a version"))]
_FileName = Annotated[str, AfterValidator(_allow(_PLAIN, "a file name"))]


class _Entry(Value):
    file: _FileName
    sha256: Annotated[str, AfterValidator(_check_digest)]
    strip: int = Field(default=1, ge=0, le=5, strict=True)
    origins: tuple[Annotated[SourceOrigin, BeforeValidator(_read_origin)], ...] = ()


class _File(Value):
    version: Literal[1]
    components: dict[_Component, dict[_Version, _Entry]]


def _make_source(component: str, version: str, entry: _Entry) -> Source:
    return Source(
        component=component,
        version=version,
        file=entry.file,
        sha256=None if entry.sha256 == "unknown" else entry.sha256,
        strip=entry.strip,
        origins=entry.origins,
    )
