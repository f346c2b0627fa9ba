"""A cell's record that another person may have written, checked against what a matrix file may say.

A run's folder travels. What its record says of a cell becomes names of files and text of scripts again, so
nothing of it is used before this has seen it.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import UsageError
from orchestrator.matrix import environment, origins, patches, records
from orchestrator.matrix.catalog import Source
from orchestrator.matrix.clients import CLIENTS
from orchestrator.matrix.model import ClientSource
from orchestrator.matrix.name_rules import CPU_MODEL, NAME, NAME_LENGTH
from orchestrator.phrases import join_names, quote
from orchestrator.record.model import ActionRecord, CellRecord


class _Part(BaseModel):
    """A part of the record; what it does not name is not used, or never leaves a quoted place."""

    model_config = ConfigDict(from_attributes=True)


def _require_arch(name: str) -> str:
    if name not in ARCHES:
        raise records.make_fault(f"no architecture {quote(name)} ({join_names(ARCHES)})")
    return name


def _require_known(arch: Arch) -> Arch:
    if ARCHES.get(arch.name) != arch:
        raise records.make_fault(
            f"{quote(arch.name)} is no architecture as it is known here ({join_names(ARCHES)})"
        )
    return arch


def _require_client(family: str) -> str:
    if family not in CLIENTS:
        raise records.make_fault(f"no client family {quote(family)} ({join_names(CLIENTS)})")
    return family


def _require_plain(name: str) -> str:
    if not patches.NAME.fullmatch(name):
        raise records.make_fault(f"{quote(name)} is no plain file name")
    return name


_ArchName = Annotated[str, AfterValidator(_require_arch)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Nothing = Literal[""]


class _Arch(_Part):
    name: _ArchName
    arch: Annotated[Any, AfterValidator(_require_known)]


class _Patch(_Part):
    name: Annotated[str, AfterValidator(_require_plain)]
    sha256: _Digest


class _Software(_Part):
    name: records.Name
    make_flags: tuple[records.MakeFlag, ...]
    build_packages: records.Packages
    runtime_packages: records.Packages
    patches: tuple[_Patch, ...]


class _Haproxy(_Software):
    family: Literal["haproxy"]
    version: records.VersionText


class _Tls(_Software):
    family: records.Family
    version: records.Name
    configure_flags: tuple[records.ConfigureFlag, ...]

    @field_validator("version")
    @classmethod
    def _check_version(cls, version: str, info: ValidationInfo) -> str:
        if "family" in info.data:
            records.check_tls_version(info.data["family"], version)
        return version


class _Cipher(_Part):
    name: records.Name
    suite: records.Suite | None


class _Client(_Part):
    name: records.Name
    family: Annotated[str, AfterValidator(_require_client)]
    source: ClientSource
    where: tuple[str, ...]
    declared_version: _Nothing | Annotated[str, Field(pattern=NAME, max_length=NAME_LENGTH)]
    lacks: tuple[records.Suite, ...] | None

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        check = {
            "package": origins.check_package,
            "path": origins.check_folder,
            "image": origins.check_image,
        }[self.source]
        for problem in filter(None, map(check, self.where)):
            raise records.make_fault(problem)
        return self


def _pair(variables: Any) -> Any:
    return dict(environment.split_pairs(variables))


class _Execution(_Part):
    name: records.Name
    cpu: _Nothing | Annotated[str, Field(pattern=CPU_MODEL, max_length=256)]
    environment: Annotated[dict[records.VariableName, records.VariableValue], BeforeValidator(_pair)]


class _Axes(_Part):
    arch: _Arch
    haproxy: _Haproxy
    tls: _Tls
    cipher: _Cipher
    client: _Client
    execution: _Execution


class _Engine(_Part):
    host_arch: _ArchName


class _Build(_Part):
    digest: _Digest | None


class _Cell(_Part):
    axes: _Axes
    execution: _Engine
    build: _Build


class _Action(_Part):
    digest: _Digest | None


class _Source(_Part):
    file: Annotated[str, AfterValidator(_require_plain)]
    sha256: _Digest | None
    strip: Annotated[int, Field(ge=0, le=9)]


def refuse_cell(record: CellRecord) -> None:
    """:raises UsageError: where the record has what no matrix file can say."""
    _refuse(_Cell, record, f"the record of {_show(record.id)}")


def refuse_action(action: ActionRecord) -> None:
    """:raises UsageError: where the digest of an artifact has another form."""
    _refuse(_Action, action, f"the run's record of {_show(action.key)}")


def refuse_source(source: Source) -> None:
    """:raises UsageError: where the file or digest of a source of the run's journal has another form."""
    _refuse(_Source, source, f"the run's record of the source of {_show(source.component)}")


def _refuse(form: type[_Part], value: object, what: str) -> None:
    try:
        form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        given = "" if first["type"] == "matrix" else f"{quote(first['input'])}: "
        raise UsageError(
            f"{what} cannot be used: {place}: {given}{first['msg']}",
            resolution="The run's folder was changed, or another version of matrixctl wrote it.",
        ) from None


def _show(text: str) -> str:
    return text if text.isprintable() and len(text) <= 200 else quote(text)  # noqa: PLR2004 - an id
