"""Reads a YAML file into a model; a bad file gets one message that lists every fault with line and column."""

import difflib
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from orchestrator.errors import UsageError

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_ALIASES = 100
MAX_NODES = 50_000
"""After aliases were followed: what a small file with nested aliases could otherwise blow up to."""

Location = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

_STRING = "tag:yaml.org,2002:str"
_READ_AS = {
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "timestamp": "a date",
    "null": "null",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong, and where: ``at`` is the path of keys and indexes from the top."""

    at: Location
    message: str
    on_key: bool = False
    """True where the key is wrong, not its value."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the name most like ``word``, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def parse(path: Path, model: type[M]) -> M:
    """The file as an instance of ``model``.

    :raises UsageError: with every fault of the file.
    """
    return read(path).parse(model)


def read(path: Path) -> "Document":
    """The file's bytes, data and positions, without a model yet.

    :raises UsageError: where the file cannot be read, is too large or is no YAML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES >> 10} KiB")
    try:
        text = raw.decode("utf-8")
        _limit(path, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not valid YAML", details=_syntax(path, error)) from None
    document = Document(path=path, raw=raw, root=node or _empty())
    document.data = document.value(document.root, (), 0)
    return document


@dataclass(kw_only=True)
class Document:
    """A parsed file that knows where each of its values stands."""

    path: Path
    raw: bytes
    root: Node
    data: Any = None
    faults: list[Fault] = field(default_factory=list)
    _visited: int = 0

    def parse(self, model: type[M]) -> M:
        """:raises UsageError: with the faults of the syntax and of the model together."""
        faults = list(self.faults)
        try:
            instance = model.model_validate(self.data)
        except ValidationError as error:
            faults += [_fault(model, details) for details in error.errors(include_url=False)]
            self.refuse(faults)
        if faults:
            self.refuse(faults)
        return instance

    def refuse(self, faults: Iterable[Fault]) -> None:
        """Raise one UsageError that lists ``faults`` in the order of the file; do nothing without any."""
        lines = sorted({(*self.position(fault), self._sentence(fault)) for fault in faults})
        if not lines:
            return
        count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        raise UsageError(
            f"{self.path} has {count}",
            details="\n".join(f"{self.path}:{line}:{column}: {text}" for line, column, text in lines),
        )

    def position(self, fault: Fault) -> tuple[int, int]:
        """Line and column, both from 1, of the nearest thing that the file really has."""
        node = self._find(fault.at)[1 if fault.on_key else 0]
        return node.start_mark.line + 1, node.start_mark.column + 1

    def _find(self, at: Location) -> tuple[Node, Node]:
        """The value at a location, and its key. Steps that the file lacks (pydantic names the
        branch of a union, and a missing key) are passed over."""
        node = key = self.root
        for step in at:
            if isinstance(node, MappingNode):
                pairs = [(v, k) for k, v in node.value if k.value == step]
                node, key = pairs[-1] if pairs else (node, key)
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = key = node.value[step]
        return node, key

    def _sentence(self, fault: Fault) -> str:
        shown = _shown(fault.at)
        node = self._find(fault.at)[0]
        message = fault.message
        if message == "Input should be a valid string" and isinstance(node, ScalarNode):
            message = _quote_it(node)
        return f"{shown}: {message}" if shown else message

    def value(self, node: Node, at: Location, depth: int) -> Any:
        """The Python value of a node; what is wrong with it goes to ``faults``."""
        self._visited += 1
        if self._visited > MAX_NODES or depth > MAX_DEPTH:
            raise UsageError(
                f"{self.path} grows beyond {MAX_NODES} values or {MAX_DEPTH} levels by its aliases"
            )
        if isinstance(node, MappingNode):
            return self._mapping(node, at, depth)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*at, index), depth + 1) for index, item in enumerate(node.value)]
        try:
            return _Scalars().construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            what = error.problem if isinstance(error, yaml.MarkedYAMLError) else str(error)
            self.faults.append(Fault(at=at, message=str(what)))
            return node.value

    def _mapping(self, node: MappingNode, at: Location, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.faults.append(Fault(at=at, message="a key has to be a plain name"))
                continue
            name = str(key.value)
            if key.tag != _STRING:
                self.faults.append(Fault(at=(*at, name), message=_quote_it(key), on_key=True))
            if name in result:
                message = f"the key stands in line {lines[name]} already"
                self.faults.append(Fault(at=(*at, name), message=message, on_key=True))
            lines[name] = key.start_mark.line + 1
            result[name] = self.value(value, (*at, name), depth + 1)
        return result


class _Scalars(yaml.constructor.SafeConstructor):
    """PyYAML's safe meaning of plain values."""


def _limit(path: Path, text: str) -> None:
    """Refuse by the stream of events what would exhaust the composer, which recurses."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            raise UsageError(f"{path} has more than {MAX_DEPTH} levels or {MAX_ALIASES} aliases")


def _empty() -> Node:
    mark = yaml.Mark("", 0, 0, 0, "", 0)
    return MappingNode("tag:yaml.org,2002:map", [], mark, mark)


def _syntax(path: Path, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{path}:{mark.line + 1}:{mark.column + 1}: {error.problem}"
    return f"{path}: {error}"


def _quote_it(node: ScalarNode) -> str:
    kind = _READ_AS.get(node.tag.rsplit(":", 1)[-1])
    if kind is None:
        return "has to be text"
    return f'{node.value or "nothing"} is read as {kind}; write it in quotes: "{node.value}"'


def _shown(at: Location) -> str:
    """``axes.haproxy[0].version``; a name with a dot in it stands in brackets."""
    text = ""
    for step in at:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def _fault(model: type[BaseModel], details: ErrorDetails) -> Fault:
    at, context = details["loc"], details.get("ctx", {})
    match details["type"]:
        case "missing":
            return Fault(at=at[:-1], message=f"{at[-1]!r} is missing")
        case "extra_forbidden":
            known = _names(model, at[:-1])
            hint = nearest(str(at[-1]), known) or f"; known here: {', '.join(known)}"
            return Fault(at=at, message=f"unknown key{hint}", on_key=True)
        case "literal_error" | "enum":
            known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            hint = nearest(str(details["input"]), known)
            return Fault(at=at, message=f"has to be {context.get('expected')}{hint}")
        case _:
            on_key = bool(at) and at[-1] == "[key]"
            message = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return Fault(at=at[:-1] if on_key else at, message=message, on_key=on_key)


def _names(annotation: Any, at: Sequence[str | int]) -> list[str]:
    """The keys that a model takes at a location; empty where it takes any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields: Mapping[str, Any] = {f.alias or n: f.annotation for n, f in annotation.model_fields.items()}
        if not at:
            return list(fields)
        return _names(fields[str(at[0])], at[1:]) if at[0] in fields else _names(annotation, at[1:])
    arguments = [a for a in get_args(annotation) if a not in (Ellipsis, types.NoneType)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [name for argument in arguments for name in _names(argument, at)]
    if not arguments:
        return []
    return _names(arguments[-1], at[1:])
