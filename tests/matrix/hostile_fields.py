"""Every place of a file where somebody can write something, found by walking the file's own schema.

A field that is added to a model tomorrow is a place tomorrow; nothing here lists fields.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Node = Mapping[str, Any]
Build = Callable[[Any], Any]
"""The whole document with this value at one place."""

_SAMPLES: Mapping[str, str] = {
    "name": "sample",
    "version": "3.0.11",
    "haproxy": "3.0.11",
    "when": "haproxy=3.0.11",
    "because": "https://example.org/",
    "filters": "haproxy=3.0.11",
    "family": "openssl",
    "file": "sample.tar.gz",
    "sha256": "0" * 64,
}
"""What stands in required fields whose schema names no value; without a new one no base loads."""

KEYS = ("haproxy", "3.0.11")
"""Of mappings with free keys, by depth: what ``sources.yaml`` calls component and version."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a value goes: ``build`` puts it there, ``base`` is the document without that field."""

    path: tuple[str | int, ...]
    what: str
    """``value``, ``key`` (of a mapping with free keys) or ``unknown key``."""
    build: Build
    base: Any

    @property
    def name(self) -> str:
        """As in ``axes.tls[0].git``."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return text.removeprefix(".") + (f" ({self.what})" if self.what != "value" else "")


@dataclass(kw_only=True)
class Walk:
    """One schema. ``forms`` replaces what the schema says of a definition by how the file writes it.

    ``also``: keys of the whole file that a document needs although the schema lets each be left out.
    """

    schema: Node
    forms: Mapping[str, tuple[Build, ...]] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    _seen: set[str] = field(default_factory=set)

    def places(self) -> list[Place]:
        """Each field once, however many roads lead to the model that has it."""
        base = self.sample(self.schema, ())
        return list(self._in(self.schema, (), lambda value: value, base))

    def sample(self, node: Node, path: tuple[str | int, ...]) -> Any:
        """The smallest document that the node accepts."""
        node = self._named(node)
        for key in ("const", "default"):
            if node.get(key) is not None:
                return node[key]
        for key in ("examples", "enum"):
            if key in node:
                return node[key][0]
        for key in ("anyOf", "oneOf"):
            if key in node:
                return self.sample(node[key][0], path)
        if node["type"] == "object":
            # A source that moves may leave its version out; the others need it.
            wanted = {*node.get("required", ()), "version", *(() if path else self.also)}
            fields = [name for name in node.get("properties", ()) if name in wanted]
            return {name: self.sample(node["properties"][name], (*path, name)) for name in fields}
        if node["type"] == "array":
            return [self.sample(node["items"], path)] if node.get("minItems") else []
        return node["minimum"] if node["type"] == "integer" else _SAMPLES[str(path[-1])]

    def _named(self, node: Node) -> Node:
        name = node.get("$ref", "").rpartition("/")[2]
        found: Node = self.schema["$defs"][name] if name else node
        return found

    def _in(self, node: Node, path: tuple[str | int, ...], build: Build, base: Any) -> Iterator[Place]:
        name = node.get("$ref", "").rpartition("/")[2]
        if name in self._seen:
            return
        self._seen.update({name} - {""})
        if name in self.forms:
            for form in self.forms[name]:
                yield Place(path=path, what="value", build=_after(build, form), base=base)
            return
        node = self._named(node)
        for option in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            yield from self._in(option, path, build, base)
        match node.get("type"):
            case "object":
                yield from self._in_object(node, path, build, base)
            case "array":
                yield from self._in(node["items"], (*path, 0), _after(build, lambda value: [value]), base)
            case "null" | None:
                pass
            case _:
                yield Place(path=path, what="value", build=build, base=base)

    def _in_object(
        self, node: Node, path: tuple[str | int, ...], build: Build, around: Any
    ) -> Iterator[Place]:
        mine = self.sample(node, path)
        base = build(mine) if mine or not node.get("minProperties") else around
        for name, item in node.get("properties", {}).items():
            yield from self._in(item, (*path, name), _after(build, _with(mine, name)), base)
        if "properties" in node:
            put = _after(build, lambda value: {**mine, value: "x"})
            yield Place(path=path, what="unknown key", build=put, base=base)
        free = next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties"))
        if isinstance(free, Mapping):
            depth = sum(part in KEYS for part in path)
            key = node.get("propertyNames", {}).get("enum", KEYS[depth:])[0]
            inside = self.sample(free, (*path, key)) if "type" in self._named(free) else {}
            yield Place(path=path, what="key", build=_after(build, lambda value: {value: inside}), base=base)
            put = _after(build, lambda value: {key: value})
            yield from self._in(free, (*path, key), put, base)


def _with(record: Mapping[str, Any], name: str) -> Build:
    return lambda value: {**record, name: value}


def _after(outer: Build, inner: Build) -> Build:
    return lambda value: outer(inner(value))


def yaml_text(value: Any) -> str:
    """Any document as YAML in which each text is in double quotes, with everything unusual escaped."""
    match value:
        case dict():
            return (
                "{"
                + ", ".join(f"? {yaml_text(key)} : {yaml_text(item)}" for key, item in value.items())
                + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(map(yaml_text, value)) + "]"
        case str():
            return '"' + "".join(_char(char) for char in value) + '"'
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _char(char: str) -> str:
    plain = char.isascii() and char.isprintable() and char not in '"\\'
    return char if plain else f"\\U{ord(char):08x}"
