"""The form of ``matrix.yaml``: its models, and the JSON Schema that editors use."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.arch import ARCHES
from orchestrator.errors import UsageError
from orchestrator.matrix.capabilities import CLIENT_LACKS, DISTRO, FAMILIES, SUITES
from orchestrator.matrix.model import (
    ArchValue,
    AxisValue,
    CipherValue,
    ClientValue,
    HaproxyValue,
    Limits,
    TlsValue,
)
from orchestrator.matrix.names import CONFIGURE_FLAG, MAKE_FLAG, NAME, NAME_LENGTH, listed, nearest, quoted
from orchestrator.matrix.select import FULL, parse
from orchestrator.versions import Version

DEFAULT_CIPHER = "default"
CIPHERS = (*SUITES, DEFAULT_CIPHER)
CLIENTS = tuple(CLIENT_LACKS)
DISTRO_VERSION = "distro"

SHORT, RECORD = "<short>", "<record>"
"""Tags of the two ways to write a value; no key of a file looks like that."""

_DAY = 86_400


def _fault(message: str) -> PydanticCustomError:
    # Braces are placeholders in pydantic's templates, and the text is the user's.
    return PydanticCustomError("matrix", "{text}", {"text": message})


def _one_of(names: Collection[str], what: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise _fault(f"no {what} {quoted(name)}{nearest(name, names)} ({what}: {listed(names)})")
        return name

    return AfterValidator(check)


def _check_version(text: str) -> str:
    try:
        Version.parse(text)
    except ValueError as error:
        raise _fault(str(error)) from None
    return text


def _check_tls(text: str) -> str:
    family, version = split_tls(text)
    if not family:
        wrong = text.rpartition("-")[0] or text
        raise _fault(
            f"{quoted(text)} is no <family>-<version>{nearest(wrong, FAMILIES)} (family: {listed(FAMILIES)})"
        )
    _check_tls_version(family, version)
    return text


def _check_tls_version(family: str, version: str) -> None:
    if version != DISTRO_VERSION:
        _check_version(version)
    elif family not in DISTRO:
        raise _fault(f"the base image has no development package of {family}; only of {listed(DISTRO)}")


def _check_filter(text: str) -> str:
    try:
        parse(text)
    except UsageError as error:
        raise _fault(str(error).replace("\n", "; ")) from None
    return text


def _check_profile(name: str) -> str:
    if name == FULL:
        raise _fault("the profile 'full' is built in and has no filters; take another name")
    return name


def _form(value: object) -> str:
    return RECORD if isinstance(value, Mapping) else SHORT


def split_tls(text: str) -> tuple[str, str]:
    """``("aws-lc", "5.1.0")`` of ``aws-lc-5.1.0``; the family is empty if none of FAMILIES fits."""
    for family in FAMILIES:
        if text.startswith(f"{family}-"):
            return family, text[len(family) + 1 :]
    return "", text


Name = Annotated[str, Field(pattern=NAME, max_length=NAME_LENGTH)]
VersionText = Annotated[Name, AfterValidator(_check_version)]
TlsShort = Annotated[
    Name, AfterValidator(_check_tls), Field(json_schema_extra={"examples": ["openssl-3.5.7"]})
]
ArchName = Annotated[str, _one_of(ARCHES, "arch"), Field(json_schema_extra={"enum": list(ARCHES)})]
CipherName = Annotated[str, _one_of(CIPHERS, "cipher"), Field(json_schema_extra={"enum": list(CIPHERS)})]
ClientName = Annotated[str, _one_of(CLIENTS, "client"), Field(json_schema_extra={"enum": list(CLIENTS)})]
Family = Annotated[str, _one_of(FAMILIES, "family"), Field(json_schema_extra={"enum": list(FAMILIES)})]
MakeFlags = tuple[Annotated[str, Field(pattern=MAKE_FLAG, max_length=256)], ...]
ConfigureFlags = tuple[Annotated[str, Field(pattern=CONFIGURE_FLAG, max_length=256)], ...]
Seconds = Annotated[float, Field(strict=True, gt=0, le=_DAY)]


class Spec(BaseModel):
    """A part of the file."""

    # Not strict as a whole: a YAML list must serve as a tuple.
    model_config = ConfigDict(frozen=True, extra="forbid")


class HaproxyRecord(Spec):
    """A HAProxy spelled out."""

    name: Name
    family: Literal["haproxy"] = "haproxy"
    version: VersionText
    make_flags: MakeFlags = ()


class TlsRecord(Spec):
    """A TLS library spelled out; version ``distro`` is the base image's development package."""

    name: Name
    family: Family
    version: Name
    source: Literal["distro", "tarball"] | None = None
    configure_flags: ConfigureFlags = ()
    make_flags: MakeFlags = ()

    @field_validator("version")
    @classmethod
    def _version_fits(cls, version: str, info: ValidationInfo) -> str:
        if "family" in info.data:
            _check_tls_version(info.data["family"], version)
        return version

    @field_validator("source")
    @classmethod
    def _source_fits(cls, source: str | None, info: ValidationInfo) -> str | None:
        version = info.data.get("version")
        if version is not None and (version == DISTRO_VERSION) != (source == "distro"):
            raise _fault(f"source {source} does not go with version {version}")
        return source


Haproxy = Annotated[
    Annotated[VersionText, Tag(SHORT)] | Annotated[HaproxyRecord, Tag(RECORD)], Discriminator(_form)
]
Tls = Annotated[Annotated[TlsShort, Tag(SHORT)] | Annotated[TlsRecord, Tag(RECORD)], Discriminator(_form)]


class Axes(Spec):
    """The product's factors, each a list of short names or records."""

    arch: Annotated[tuple[ArchName, ...], Field(min_length=1)]
    haproxy: Annotated[tuple[Haproxy, ...], Field(min_length=1)]
    tls: Annotated[tuple[Tls, ...], Field(min_length=1)]
    cipher: Annotated[tuple[CipherName, ...], Field(min_length=1)]
    client: Annotated[tuple[ClientName, ...], Field(min_length=1)] | None = None


_SOME_AXIS = ConfigDict(json_schema_extra={"minProperties": 1})


class Include(Spec):
    """Values to add: to the combinations that they fit, else as a new combination."""

    model_config = _SOME_AXIS
    arch: ArchName | None = None
    haproxy: Haproxy | None = None
    tls: Tls | None = None
    cipher: CipherName | None = None
    client: ClientName | None = None


class Exclude(Spec):
    """Names of values: a combination that has them all is removed."""

    model_config = _SOME_AXIS
    arch: Name | None = None
    haproxy: Name | None = None
    tls: Name | None = None
    cipher: Name | None = None
    client: Name | None = None


class Profile(Spec):
    """A named selection."""

    filters: tuple[Annotated[str, AfterValidator(_check_filter)], ...]


class LimitSpec(Spec):
    """Seconds per action; ``emulated`` is the factor for what runs under QEMU."""

    fetch: Seconds = Limits().fetch
    image: Seconds = Limits().image
    build: Seconds = Limits().build
    ready: Seconds = Limits().ready
    request: Seconds = Limits().request
    emulated: Annotated[float, Field(strict=True, ge=1, le=1000)] = Limits().emulated


class MatrixFile(Spec):
    """``matrix.yaml``."""

    version: Literal[1]
    axes: Axes
    include: tuple[Include, ...] = ()
    exclude: tuple[Exclude, ...] = ()
    profiles: dict[Annotated[Name, AfterValidator(_check_profile)], Profile] = Field(default_factory=dict)
    limits: LimitSpec = LimitSpec()


def value(axis: str, entry: str | HaproxyRecord | TlsRecord) -> AxisValue:
    """The record of a validated entry of the file."""
    if isinstance(entry, HaproxyRecord):
        return HaproxyValue(**entry.model_dump())
    if isinstance(entry, TlsRecord):
        return _tls(**entry.model_dump(exclude={"source"}))
    family, version = split_tls(entry)
    short: Mapping[str, Any] = {
        "arch": lambda: ArchValue(name=entry, arch=ARCHES[entry]),
        "haproxy": lambda: HaproxyValue(name=entry, version=entry),
        "tls": lambda: _tls(name=entry, family=family, version=version),
        "cipher": lambda: CipherValue(name=entry, suite=None if entry == DEFAULT_CIPHER else entry),
        "client": lambda: ClientValue(name=entry, family=entry),
    }
    made: AxisValue = short[axis]()
    return made


def _tls(*, version: str, **others: Any) -> TlsValue:
    return TlsValue(source="distro" if version == DISTRO_VERSION else "tarball", version=version, **others)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file. It knows the form; `load` knows names and versions as well."""
    schema = MatrixFile.model_json_schema()
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": "matrix.yaml of matrixctl", **schema}
