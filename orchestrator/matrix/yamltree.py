"""YAML text to plain data, with the line and column of every value, bounded and without a traceback."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.errors import UsageError
from orchestrator.phrases import quote

MAX_NODES = 50_000
"""After the expansion of aliases: what stops a "billion laughs"."""
MAX_DEPTH = 20
"""The file itself needs five."""

_KINDS = {
    "string_type": "text",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
"""What belongs where pydantic found an error of this type."""
_PLAIN = {f"tag:yaml.org,2002:{tag}" for tag in ("str", "int", "float", "bool", "null", "seq", "map")}
_TEXT = {f"tag:yaml.org,2002:{tag}" for tag in ("str", "timestamp", "value")}
_MERGE = "tag:yaml.org,2002:merge"

_PLAIN_KEY = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.+~-]{0,63}")

Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, order=True)
class Fault:
    """One fault of a file; lines and columns count from 1."""

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.path}: {self.message}"


@dataclass(kw_only=True)
class Tree:
    """Plain data; ``marks`` of values, ``keys`` of the keys before them, ``raw`` the text of scalars."""

    data: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    raw: dict[Path, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def make_fault(self, path: Path, message: str, *, at_key: bool = False) -> Fault:
        """Return a fault at ``path``, or at the nearest value around it that has a place."""
        place = self.keys.get(path) if at_key else None
        inner = path
        while place is None:
            place = self.marks.get(inner, (1, 1) if not inner else None)
            inner = inner[:-1]
        return Fault(line=place[0], column=place[1], path=spell_path(path), message=message)

    def add(self, found: Iterable[Fault]) -> None:
        """Add faults of validation; one that YAML could not read is ``None`` by now, and has its fault."""
        told = {(fault.line, fault.column) for fault in self.faults}
        self.faults += [fault for fault in found if (fault.line, fault.column) not in told]


def join_faults(path: object, faults: Iterable[Fault], *, resolution: str = "") -> UsageError:
    """Return one error with a line ``file:line:column: path: fault`` per fault, in file order."""
    lines = [f"{path}:{fault}" for fault in sorted(set(faults))]
    count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
    return UsageError(f"{path}: {count}", details="\n".join(lines), resolution=resolution)


def explain_kind(error: str, given: object) -> str | None:
    """Return what belongs in the place of ``given``; ``None`` for an error of another type of pydantic's."""
    return f"{_KINDS[error]} belongs here, not {_describe(given)}" if error in _KINDS else None


def _describe(given: object) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, dict):
        return "a mapping"
    return "a list" if isinstance(given, list) else quote(given)


def spell_path(path: Path) -> str:
    """Return ``axes.tls[1].version``; the whole file is ``(file)``. A key that is no plain name is quoted."""
    text = "".join(_spell_step(part) for part in path)
    return text.removeprefix(".") or "(file)"


def _spell_step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN_KEY.fullmatch(part) else f"[{quote(part)}]"


def read(text: str) -> Tree:
    """Read one YAML document and return its tree, with all faults in ``faults``."""
    tree = Tree()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        tree.faults.append(_make_syntax_fault(error))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = {"line": before.count("\n") + 1, "column": len(before) - before.rfind("\n")}
        tree.faults.append(Fault(**place, path="(file)", message="a control character is no YAML text"))
    except RecursionError:
        tree.faults.append(Fault(line=1, column=1, path="(file)", message="nested too deeply"))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The scanner converts "\\UFFFFFFFF" and huge numbers in directives without a look.
        tree.faults.append(Fault(line=1, column=1, path="(file)", message=f"not YAML: {quote(str(error))}"))
    else:
        if node is not None:
            reader = _Reader(tree=tree, loader=loader)
            with suppress(_TooMuchError):
                tree.data = reader.read_value(node, ())
    return tree


def _make_syntax_fault(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    context = f" ({error.context})" if error.context else ""
    return Fault(line=line, column=column, path="(file)", message=f"not YAML: {error.problem}{context}")


class _TooMuchError(Exception):
    """The document is too large or too deep; the fault is noted already."""


@dataclass(kw_only=True)
class _Reader:
    tree: Tree
    loader: yaml.SafeLoader
    nodes: int = 0

    def read_value(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        self.tree.marks[path] = _find_place(node)
        if self.nodes > MAX_NODES:
            self._stop(path, f"more than {MAX_NODES} values, aliases included")
        if len(path) > MAX_DEPTH:
            self._stop(path[:MAX_DEPTH], "nested too deeply (or an alias of itself)")
        if node.tag not in _PLAIN | _TEXT:
            self._note(path, f"the YAML tag {quote(node.tag)} is not accepted")
            return None
        if isinstance(node, yaml.MappingNode):
            return {key: self.read_value(item, (*path, key)) for key, item in self._read_items(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.read_value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._read_scalar(node, path)

    def _read_items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key, item in node.value:
            place = dict(zip(("line", "column"), _find_place(key), strict=True))
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode) or key.tag not in _TEXT:
                shown = quote(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                message = f"a key must be text, not {shown}"
                self.tree.faults.append(Fault(**place, path=spell_path(path), message=message))
            elif key.value in seen:
                where = spell_path((*path, key.value))
                self.tree.faults.append(Fault(**place, path=where, message="the key stands here twice"))
            else:
                seen.add(key.value)
                self.tree.keys[(*path, key.value)] = _find_place(key)
                yield key.value, item

    def _read_scalar(self, node: yaml.Node, path: Path) -> Any:
        self.tree.raw[path] = node.value
        if node.tag in _TEXT:
            return node.value
        try:
            # PyYAML resolves "0b_" and thousands of digits to int and then cannot convert them.
            return self.loader.construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError):
            self._note(path, f"{quote(node.value)} cannot be read; write text in quotes")
            return None

    def _note(self, path: Path, message: str) -> None:
        self.tree.faults.append(self.tree.make_fault(path, message))

    def _stop(self, path: Path, message: str) -> None:
        self._note(path, message)
        raise _TooMuchError


def _find_place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
