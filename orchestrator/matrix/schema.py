"""The form of ``matrix.yaml``: its models, and the JSON Schema that editors use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.json_schema import GenerateJsonSchema

from orchestrator.arch import ALIASES, ARCHES
from orchestrator.matrix import records
from orchestrator.matrix.capability_table import FAMILIES, SUITES
from orchestrator.matrix.clients import CLIENTS
from orchestrator.matrix.model import (
    ArchValue,
    AxisValue,
    CipherValue,
    ClientValue,
    ExecutionValue,
    HaproxyValue,
    Limits,
)
from orchestrator.matrix.records import (
    DEFAULT_EXECUTION,
    DISTRO_VERSION,
    EXECUTIONS,
    ClientRecord,
    ExecutionRecord,
    HaproxyRecord,
    Name,
    Spec,
    TlsRecord,
    check_haproxy_version,
    check_tls_version,
    make_fault,
)
from orchestrator.matrix.rulespec import Expect, FilterText, one_of
from orchestrator.matrix.select import FULL
from orchestrator.phrases import join_names, quote, suggest

DEFAULT_CIPHER = "default"
CIPHERS = (*SUITES, DEFAULT_CIPHER)

SHORT, RECORD = "<short>", "<record>"
"""Tags of the two ways to write a value; no key of a file looks like that."""

_DAY = 86_400


def _check_tls(text: str) -> str:
    family, version = split_tls(text)
    if not family:
        wrong = text.rpartition("-")[0] or text
        raise make_fault(
            f"{quote(text)} is no <family>-<version>{suggest(wrong, FAMILIES)}"
            f" (family: {join_names(FAMILIES)})"
        )
    check_tls_version(family, version)
    return text


def _check_profile(name: str) -> str:
    if name == FULL:
        raise make_fault("the profile 'full' is built in and has no filters; take another name")
    return name


def _find_form(value: object) -> str:
    return RECORD if isinstance(value, Mapping) else SHORT


def split_tls(text: str) -> tuple[str, str]:
    """Return ``("aws-lc", "5.1.0")`` of ``aws-lc-5.1.0``; the family is empty if none of FAMILIES fits."""
    for family in FAMILIES:
        if text.startswith(f"{family}-"):
            return family, text[len(family) + 1 :]
    return "", text


TlsShort = Annotated[
    Name, AfterValidator(_check_tls), Field(json_schema_extra={"examples": ["openssl-3.5.7"]})
]
ArchName = Annotated[str, one_of(ARCHES, "arch", ALIASES), Field(json_schema_extra={"enum": list(ARCHES)})]
CipherName = Annotated[str, one_of(CIPHERS, "cipher"), Field(json_schema_extra={"enum": list(CIPHERS)})]
ClientName = Annotated[str, one_of(CLIENTS, "client"), Field(json_schema_extra={"enum": list(CLIENTS)})]
Client = Annotated[
    Annotated[ClientName, Tag(SHORT)] | Annotated[ClientRecord, Tag(RECORD)], Discriminator(_find_form)
]
ExecutionName = Annotated[
    str, one_of(EXECUTIONS, "execution"), Field(json_schema_extra={"enum": list(EXECUTIONS)})
]
Execution = Annotated[
    Annotated[ExecutionName, Tag(SHORT)] | Annotated[ExecutionRecord, Tag(RECORD)], Discriminator(_find_form)
]


def _allow_name(axis: str) -> WrapValidator:
    """Accept a short form, or the name of a value that this file spells out on the axis: it is then meant."""

    def check(given: Any, short: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        context: Mapping[str, Any] = info.context or {}
        names = context.get("names", {}).get(axis, ())
        if isinstance(given, str) and given in names:
            return given
        try:
            return short(given)
        except ValidationError as error:
            if isinstance(given, str) and (hint := suggest(given, names)):
                raise make_fault(f"{error.errors()[0]['msg']}{hint}") from None
            raise

    return WrapValidator(check)


Seconds = Annotated[float, Field(strict=True, gt=0, le=_DAY)]


HaproxyShort = Annotated[Name, AfterValidator(check_haproxy_version)]
Haproxy = Annotated[
    Annotated[HaproxyShort, Tag(SHORT)] | Annotated[HaproxyRecord, Tag(RECORD)], Discriminator(_find_form)
]
Tls = Annotated[
    Annotated[TlsShort, Tag(SHORT)] | Annotated[TlsRecord, Tag(RECORD)], Discriminator(_find_form)
]


class Axes(Spec):
    """The product's factors, each a list of short names or records."""

    arch: Annotated[tuple[ArchName, ...], Field(min_length=1)]
    haproxy: Annotated[tuple[Haproxy, ...], Field(min_length=1)]
    tls: Annotated[tuple[Tls, ...], Field(min_length=1)]
    cipher: Annotated[tuple[CipherName, ...], Field(min_length=1)]
    client: Annotated[tuple[Client, ...], Field(min_length=1)] | None = None
    execution: Annotated[tuple[Execution, ...], Field(min_length=1)] | None = None


ONE, MANY = "<one>", "<many>"
"""Tags of an include's value and of a list of them."""

_T = TypeVar("_T")
Several = Annotated[
    Annotated[_T, Tag(ONE)] | Annotated[tuple[_T, ...], Field(min_length=1), Tag(MANY)],
    Discriminator(lambda given: MANY if isinstance(given, list | tuple) else ONE),
]

HaproxyOrName = Annotated[
    Annotated[HaproxyShort, _allow_name("haproxy"), Tag(SHORT)] | Annotated[HaproxyRecord, Tag(RECORD)],
    Discriminator(_find_form),
]
TlsOrName = Annotated[
    Annotated[TlsShort, _allow_name("tls"), Tag(SHORT)] | Annotated[TlsRecord, Tag(RECORD)],
    Discriminator(_find_form),
]
ClientOrName = Annotated[
    Annotated[
        Name,
        one_of(CLIENTS, "client"),
        _allow_name("client"),
        Field(json_schema_extra={"examples": list(CLIENTS)}),
        Tag(SHORT),
    ]
    | Annotated[ClientRecord, Tag(RECORD)],
    Discriminator(_find_form),
]
ExecutionOrName = Annotated[
    Annotated[
        Name,
        one_of(EXECUTIONS, "execution"),
        _allow_name("execution"),
        Field(json_schema_extra={"examples": list(EXECUTIONS)}),
        Tag(SHORT),
    ]
    | Annotated[ExecutionRecord, Tag(RECORD)],
    Discriminator(_find_form),
]


class Include(Spec):
    """A cell to add; an axis that has a default may be left out. A list of values means as many includes."""

    arch: Several[ArchName]
    haproxy: Several[HaproxyOrName]
    tls: Several[TlsOrName]
    cipher: Several[CipherName]
    client: Several[ClientOrName] | None = None
    execution: Several[ExecutionOrName] | None = None


class Exclude(Spec):
    """Names of values: a combination that has them all is removed."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})
    arch: Name | None = None
    haproxy: Name | None = None
    tls: Name | None = None
    cipher: Name | None = None
    client: Name | None = None
    execution: Name | None = None


class Profile(Spec):
    """A named selection."""

    filters: tuple[FilterText, ...]


class LimitSpec(Spec):
    """Seconds per action; ``emulated`` is the factor for what runs under QEMU.

    ``sessions``: how many probe sessions of an architecture run at once, at most.
    """

    fetch: Seconds = Limits().fetch
    image: Seconds = Limits().image
    build: Seconds = Limits().build
    ready: Seconds = Limits().ready
    request: Seconds = Limits().request
    emulated: Annotated[float, Field(strict=True, ge=1, le=1000)] = Limits().emulated
    sessions: dict[ArchName, Annotated[int, Field(strict=True, ge=1, le=1000)]] = Field(default_factory=dict)


class MatrixFile(Spec):
    """``matrix.yaml``."""

    version: Literal[1]
    axes: Axes | None = None
    include: tuple[Include, ...] = ()
    exclude: tuple[Exclude, ...] = ()
    expect: tuple[Expect, ...] = ()
    profiles: dict[Annotated[Name, AfterValidator(_check_profile)], Profile] = Field(default_factory=dict)
    limits: LimitSpec = LimitSpec()


def make_value(
    axis: str,
    entry: str | HaproxyRecord | TlsRecord | ClientRecord | ExecutionRecord,
    folder: Path = Path(),
) -> AxisValue:
    """Return the value of a validated entry of the file, which lies in ``folder``."""
    if isinstance(entry, HaproxyRecord):
        return records.make_haproxy(entry, folder)
    if isinstance(entry, TlsRecord):
        return records.make_tls(entry, folder)
    if isinstance(entry, ClientRecord):
        return records.make_client(entry, folder)
    if isinstance(entry, ExecutionRecord):
        return records.make_execution(entry)
    family, version = split_tls(entry)
    short: Mapping[str, Any] = {
        "arch": lambda: ArchValue(name=entry, arch=ARCHES[entry]),
        "haproxy": lambda: (
            records.make_distro_haproxy()
            if entry == DISTRO_VERSION
            else HaproxyValue(name=entry, version=entry)
        ),
        "tls": lambda: records.make_tls(TlsRecord(name=entry, family=family, version=version), folder),
        "cipher": lambda: CipherValue(name=entry, suite=None if entry == DEFAULT_CIPHER else entry),
        "client": lambda: ClientValue(name=entry, family=entry),
        "execution": lambda: ExecutionValue(name=entry, cpu="" if entry == DEFAULT_EXECUTION else entry),
    }
    made: AxisValue = short[axis]()
    return made


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file. It has the form; `load` checks more."""
    schema = MatrixFile.model_json_schema()
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": "matrix.yaml of matrixctl", **schema}
