"""What is spelled out in ``matrix.yaml``, and the values that they become."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from orchestrator.errors import UsageError
from orchestrator.matrix import origins
from orchestrator.matrix.capabilities import DISTRO, DISTRO_HAPROXY
from orchestrator.matrix.capability_table import FAMILIES, SUITES
from orchestrator.matrix.clients import CLIENTS, OWN
from orchestrator.matrix.environment import VALUE as VARIABLE_VALUE
from orchestrator.matrix.environment import VARIABLES
from orchestrator.matrix.model import (
    ClientSource,
    ClientValue,
    ExecutionValue,
    HaproxyValue,
    Patch,
    SourceKind,
    TlsValue,
)
from orchestrator.matrix.name_rules import (
    CONFIGURE_FLAG,
    CPU_MODEL,
    FLAG_LENGTH,
    MAKE_FLAG,
    NAME,
    NAME_LENGTH,
    PACKAGE,
    PACKAGE_LENGTH,
)
from orchestrator.matrix.patches import read_patch
from orchestrator.phrases import join_names, quote, suggest
from orchestrator.versions import Version

DISTRO_VERSION = "distro"
DEFAULT_EXECUTION = "default"
EXECUTIONS = (DEFAULT_EXECUTION, "aes-on", "aes-off")
PLACES: tuple[SourceKind, ...] = ("git", "path", "prebuilt", "tarball")
"""The keys that name another place than ``sources.yaml``; each is a kind of source, too."""
_UNCOMPILED = {"source": "source distro", "prebuilt": "prebuilt"}
"""The keys of a HAProxy that is not compiled here, and how a fault names them."""


def make_fault(message: str) -> PydanticCustomError:
    """Return a fault of the file, in the user's words."""
    # Braces are placeholders in pydantic's templates, and the text is the user's.
    return PydanticCustomError("matrix", "{text}", {"text": message})


def check_version(text: str) -> str:
    try:
        Version.parse(text)
    except ValueError as error:
        raise make_fault(str(error)) from None
    return text


def check_haproxy_version(text: str) -> str:
    """Accept a version, or ``distro`` for Debian's own package."""
    return text if text == DISTRO_VERSION else check_version(text)


def check_family(name: str) -> str:
    if name not in FAMILIES:
        raise make_fault(f"no family {quote(name)}{suggest(name, FAMILIES)} (family: {join_names(FAMILIES)})")
    return name


def check_tls_version(family: str, version: str) -> None:
    """Accept a version, or ``distro`` where the base image has a development package of the family."""
    if version != DISTRO_VERSION:
        check_version(version)
    elif family not in DISTRO:
        raise make_fault(
            f"the base image has no development package of {family}; only of {join_names(DISTRO)}"
        )


def _check_git(text: str) -> str:
    return _accept(text, origins.check_git(text))


def _check_path(text: str) -> str:
    return _accept(text, origins.check_folder(text))


def _check_prebuilt(text: str) -> str:
    return _accept(text, origins.check_prebuilt(text))


def _accept(text: str, problem: str | None) -> str:
    if problem:
        raise make_fault(problem)
    return text


def _check_patch(text: str, info: ValidationInfo) -> str:
    """Read the file, as is done once more when it becomes a value: a fault of it has a line that way."""
    _check_path(text)
    try:
        read_patch(Path(origins.locate(text, find_folder(info))))
    except UsageError as error:
        raise make_fault(error.brief) from None
    return text


def _make_list(given: object) -> object:
    """Return one text alone as a list of it."""
    return (given,) if isinstance(given, str) else given


def _split(flags: object) -> object:
    """Return flags in one text, as they stand on a command line, as a list; nothing in it is expanded."""
    if not isinstance(flags, str):
        return flags
    try:
        return shlex.split(flags)
    except ValueError as error:
        raise make_fault(f"{quote(flags)} is no line of flags: {str(error).lower()}") from None


def find_folder(info: ValidationInfo) -> Path:
    """Return the folder of the file that is validated."""
    context: dict[str, Path] = info.context or {}
    return context.get("folder", Path())


Name = Annotated[str, Field(pattern=NAME, max_length=NAME_LENGTH)]
VersionText = Annotated[Name, AfterValidator(check_version)]
Family = Annotated[str, AfterValidator(check_family), Field(json_schema_extra={"enum": list(FAMILIES)})]
MakeFlag = Annotated[str, Field(pattern=MAKE_FLAG, max_length=FLAG_LENGTH)]
ConfigureFlag = Annotated[str, Field(pattern=CONFIGURE_FLAG, max_length=FLAG_LENGTH)]
MakeFlags = Annotated[
    tuple[MakeFlag, ...], BeforeValidator(_split, json_schema_input_type=tuple[MakeFlag, ...] | str)
]
ConfigureFlags = Annotated[
    tuple[ConfigureFlag, ...], BeforeValidator(_split, json_schema_input_type=tuple[ConfigureFlag, ...] | str)
]
Package = Annotated[str, Field(pattern=PACKAGE, max_length=PACKAGE_LENGTH, examples=["zlib1g-dev"])]
Packages = tuple[Package, ...]
Git = Annotated[str, AfterValidator(_check_git), Field(description="URL REF")]
Place = Annotated[str, AfterValidator(_check_path), Field(description="relative to this file")]
Prebuilt = Annotated[str, AfterValidator(_check_prebuilt), Field(description="a binary or .deb")]
PatchFile = Annotated[str, AfterValidator(_check_patch)]


class Spec(BaseModel):
    """A part of the file."""

    # Not strict as a whole: a YAML list must serve as a tuple.
    model_config = ConfigDict(frozen=True, extra="forbid")


class _SoftwareRecord(Spec):
    """What HAProxy and a TLS library have in common, and say first."""

    name: Name
    family: str
    version: str | None

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        """Require a version, unless the source is one that moves: that one says its version itself."""
        if self.version is None and all(getattr(self, place, None) is None for place in PLACES):
            raise make_fault(
                f"the key 'version' is missing; only with {join_names(PLACES)} it is read from the source"
            )
        return self


class HaproxyRecord(_SoftwareRecord):
    """A HAProxy spelled out."""

    family: Literal["haproxy"] = "haproxy"
    version: VersionText | None = None
    make_flags: MakeFlags = ()
    build_packages: Packages = ()
    runtime_packages: Packages = ()
    source: Literal["distro"] | None = None
    git: Git | None = None
    path: Place | None = None
    prebuilt: Prebuilt | None = None
    tarball: Place | None = None
    patches: tuple[PatchFile, ...] = ()

    @field_validator("source", *PLACES)
    @classmethod
    def _check_place(cls, where: str | None, info: ValidationInfo) -> str | None:
        _require_only_place(info)
        for key in ("make_flags", "build_packages"):
            if info.field_name in _UNCOMPILED and where and info.data.get(key):
                raise _make_uncompiled_fault(key, str(info.field_name))
        return where

    @field_validator("patches")
    @classmethod
    def _check_patches(cls, patches: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for key in _UNCOMPILED:
            if patches and info.data.get(key):
                raise _make_uncompiled_fault("patches", key)
        return _require_unlike(patches)


class TlsRecord(_SoftwareRecord):
    """A TLS library spelled out; version ``distro`` is the base image's development package."""

    family: Family
    version: Name | None = None
    source: Literal["distro", "tarball"] | None = None
    configure_flags: ConfigureFlags = ()
    make_flags: MakeFlags = ()
    build_packages: Packages = ()
    runtime_packages: Packages = ()
    git: Git | None = None
    path: Place | None = None
    tarball: Place | None = None
    patches: tuple[PatchFile, ...] = ()

    @field_validator("version")
    @classmethod
    def _check_version_of_family(cls, version: str | None, info: ValidationInfo) -> str | None:
        if version is not None and "family" in info.data:
            check_tls_version(info.data["family"], version)
        return version

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: str | None, info: ValidationInfo) -> str | None:
        version = info.data.get("version")
        if version is not None and (version == DISTRO_VERSION) != (source == "distro"):
            raise make_fault(f"source {source} does not go with version {version}")
        return source

    @field_validator("git", "path", "tarball")
    @classmethod
    def _check_place(cls, where: str | None, info: ValidationInfo) -> str | None:
        _require_compiled(info)
        _require_only_place(info)
        return where

    @field_validator("patches")
    @classmethod
    def _check_patches(cls, patches: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if patches:
            _require_compiled(info)
        return _require_unlike(patches)


def _check_variable(name: str) -> str:
    if name not in VARIABLES:
        only = f"only masks of the CPU: {join_names(VARIABLES)}"
        raise make_fault(f"{quote(name)} cannot be set{suggest(name, VARIABLES)} ({only})")
    return name


VariableName = Annotated[
    str, AfterValidator(_check_variable), Field(json_schema_extra={"enum": list(VARIABLES)})
]
VariableValue = Annotated[str, Field(pattern=VARIABLE_VALUE, max_length=256, examples=["~0x200000200000000"])]


class ExecutionRecord(Spec):
    """A CPU of QEMU's, variables that mask what a library uses of a CPU, or both."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "old", "cpu": "Haswell,-aes"}]})

    name: Name
    cpu: Annotated[str, Field(pattern=CPU_MODEL, max_length=256, examples=["Haswell,-aes"])] = ""
    environment: Annotated[dict[VariableName, VariableValue], Field(min_length=1)] | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name in EXECUTIONS:
            raise make_fault(f"{quote(name)} is built in; give this CPU its own name")
        return name

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if not self.cpu and self.environment is None:
            raise make_fault("an execution with a name of its own needs a cpu, an environment, or both")
        return self


_CLIENT_PLACES: tuple[ClientSource, ...] = ("package", "path", "image")


def check_own_family(name: str) -> str:
    if name in CLIENTS and name not in OWN:
        raise make_fault(
            f"no {name} of one's own: a script of ours drives it, and its lock file names its version"
        )
    if name not in OWN:
        raise make_fault(f"no client family {quote(name)}{suggest(name, OWN)} (family: {join_names(OWN)})")
    return name


def _check_suite(name: str) -> str:
    if name not in SUITES:
        raise make_fault(f"no cipher {quote(name)}{suggest(name, SUITES)} (cipher: {join_names(SUITES)})")
    return name


def _check_image(text: str) -> str:
    return _accept(text, origins.check_image(text))


def _check_package(text: str) -> str:
    return _accept(text, origins.check_package(text))


Suite = Annotated[str, AfterValidator(_check_suite), Field(json_schema_extra={"enum": list(SUITES)})]
ClientPackage = Annotated[
    str,
    AfterValidator(_check_package),
    Field(examples=["./curl_8.16.0-1_amd64.deb", "curl=8.14.1-2+deb13u7"]),
]


class ClientRecord(Spec):
    """A client of one's own: from packages, a path, or a container image."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "curl-8.16", "family": "curl", "path": "build/curl"}]}
    )

    name: Name
    family: Annotated[str, AfterValidator(check_own_family), Field(json_schema_extra={"enum": list(OWN)})]
    package: (
        Annotated[
            tuple[ClientPackage, ...],
            BeforeValidator(_make_list, json_schema_input_type=tuple[ClientPackage, ...] | ClientPackage),
            Field(min_length=1),
        ]
        | None
    ) = None
    path: Place | None = None
    image: Annotated[str, AfterValidator(_check_image), Field(examples=["example.org/curl:8.16"])] | None = (
        None
    )
    version: Annotated[str, Field(pattern=NAME, max_length=NAME_LENGTH)] | None = None
    lacks: tuple[Suite, ...] | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name in CLIENTS:
            raise make_fault(f"{quote(name)} is built in; give this client its own name")
        return name

    @field_validator("package")
    @classmethod
    def _check_kind(cls, packages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if packages and len({origins.is_deb(one) for one in packages}) > 1:
            raise make_fault("packages are either all .deb files, or all of the archive")
        return packages

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        given = [place for place in _CLIENT_PLACES if getattr(self, place) is not None]
        if len(given) != 1:
            raise make_fault(
                f"a client comes from one of {join_names(_CLIENT_PLACES)};"
                f" {join_names(given) or 'none'} is given"
            )
        return self


def _require_compiled(info: ValidationInfo) -> None:
    if info.data.get("version") == DISTRO_VERSION:
        raise make_fault(
            f"{info.field_name} does not go with version {DISTRO_VERSION}: nothing of it is compiled here"
        )


def _make_uncompiled_fault(what: str, key: str) -> PydanticCustomError:
    return make_fault(f"{what} do not go with {_UNCOMPILED[key]}: nothing of it is compiled here")


def _require_only_place(info: ValidationInfo) -> None:
    others: list[str] = [place for place in PLACES if info.data.get(place) is not None]
    others += (
        [f"source: {source}"] if info.field_name != "source" and (source := info.data.get("source")) else []
    )
    if others:
        raise make_fault(f"{info.field_name} does not go with {others[0]}: a source comes from one place")


def _require_unlike(patches: tuple[str, ...]) -> tuple[str, ...]:
    names = [Path(patch).name for patch in patches]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise make_fault(f"two patches are called {quote(name)}; rename one")
    return patches


def make_distro_haproxy() -> HaproxyValue:
    """Return Debian's own HAProxy, as the short name ``distro`` means it."""
    return HaproxyValue(name=DISTRO_VERSION, version=DISTRO_HAPROXY, source="distro")


def make_haproxy(record: HaproxyRecord, folder: Path) -> HaproxyValue:
    """:raises UsageError: where a patch can no longer be read."""
    return HaproxyValue(
        name=record.name,
        version=record.version or "",
        make_flags=record.make_flags,
        build_packages=record.build_packages,
        runtime_packages=record.runtime_packages,
        patches=_read_patches(record.patches, folder),
        **({"source": "distro"} if record.source else _read_place(record, folder)),
    )


def make_tls(record: TlsRecord, folder: Path) -> TlsValue:
    """:raises UsageError: where a patch can no longer be read."""
    return TlsValue(
        name=record.name,
        family=record.family,
        version=record.version or "",
        configure_flags=record.configure_flags,
        make_flags=record.make_flags,
        build_packages=record.build_packages,
        runtime_packages=record.runtime_packages,
        patches=_read_patches(record.patches, folder),
        **({"source": "distro"} if record.version == DISTRO_VERSION else _read_place(record, folder)),
    )


def make_execution(record: ExecutionRecord) -> ExecutionValue:
    """Return the value of a spelled out execution; its variables in the order of the file."""
    environment = tuple(f"{name}={value}" for name, value in (record.environment or {}).items())
    return ExecutionValue(name=record.name, cpu=record.cpu, environment=environment)


def make_client(record: ClientRecord, folder: Path) -> ClientValue:
    """Return the value of a client of one's own; files are those that the matrix in ``folder`` means."""
    values: dict[str, Any] = {"family": record.family, "lacks": record.lacks}
    values["declared_version"] = record.version or ""
    if record.package is not None:
        where = (origins.locate(one, folder) if origins.is_deb(one) else one for one in record.package)
        return ClientValue(name=record.name, source="package", where=tuple(where), **values)
    if record.path is not None:
        return ClientValue(
            name=record.name, source="path", where=(origins.locate(record.path, folder),), **values
        )
    image = record.image or ""
    where_image = origins.locate(image, folder) if origins.is_saved(image) else image
    return ClientValue(name=record.name, source="image", where=(where_image,), **values)


def _read_place(record: HaproxyRecord | TlsRecord, folder: Path) -> dict[str, Any]:
    if record.git is not None:
        where, ref = origins.split_git(record.git, folder)
        return {"source": "git", "where": where, "ref": ref}
    for kind in ("path", "prebuilt", "tarball"):
        if (given := getattr(record, kind, None)) is not None:
            return {"source": kind, "where": origins.locate(given, folder)}
    return {"source": "tarball"}


def _read_patches(files: tuple[str, ...], folder: Path) -> tuple[Patch, ...]:
    return tuple(read_patch(Path(origins.locate(file, folder))) for file in files)
