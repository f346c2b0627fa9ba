"""GitHub's expressions, as far as our workflows use them; whatever else stands in one is an error.

https://docs.github.com/actions: Evaluate expressions in workflows and actions.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<name>[A-Za-z_][\w-]*)|(?P<op>==|!=|&&|\|\||[!().,]))"
)
_OPEN = {"inputs", "outputs", "env"}
"""Contexts in which a name that nobody set is an empty text; elsewhere it is a mistyped one."""
STATUS = {"always", "cancelled", "failure", "success"}


class ExpressionError(Exception):
    """An expression that is wrong, or that this evaluator does not know."""


@dataclass(frozen=True)
class Scope:
    """What an expression may name. ``status``: how it went so far, ``success`` or ``failure``."""

    contexts: Mapping[str, Any]
    status: str = "success"
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def fill(self, value: Any) -> Any:
        """Return a value of a workflow with its expressions replaced; one alone keeps its type."""
        if isinstance(value, Mapping):
            return {name: self.fill(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if not isinstance(value, str):
            return value
        parts = re.split(r"\$\{\{(.*?)\}\}", value, flags=re.DOTALL)
        if len(parts) == 3 and parts[0] == parts[2] == "":
            return self.evaluate(parts[1])
        return "".join(as_text(self.evaluate(part)) if i % 2 else part for i, part in enumerate(parts))

    def holds(self, condition: Any) -> bool:
        """Return what an ``if:`` comes to; without a status function it wants that all went well so far."""
        text = str(condition).strip()
        text = text[3:-2] if text.startswith("${{") and text.endswith("}}") else text
        asks = any(re.search(rf"\b{name}\(", text) for name in STATUS)
        return (asks or self.status == "success") and truth(self.evaluate(text))

    def evaluate(self, text: str) -> Any:
        reader = _Reader(text, self)
        found = reader.either()
        if reader.at < len(reader.tokens):
            raise ExpressionError(f"{text!r}: nothing is known of {reader.tokens[reader.at]!r}")
        return found


def truth(value: Any) -> bool:
    return value not in {None, False, ""} if not isinstance(value, dict | list) else True


def as_text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ExpressionError("a whole object stands in a text")
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def equal(one: Any, other: Any) -> bool:
    """Compare texts without regard to case, and values of different types as numbers."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    return bool(one == other) if type(one) is type(other) else _number(one) == _number(other)


def _contains(items: Any, wanted: str) -> bool:
    if not isinstance(items, list):
        raise ExpressionError("only a list is asked what it contains")
    return any(equal(one, wanted) for one in items)


def _number(value: Any) -> float:
    """Return nothing and an empty text as 0; what is no number is equal to nothing, not even to itself."""
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return math.nan


class _Reader:
    def __init__(self, text: str, scope: Scope) -> None:
        self.text, self.scope, self.at = text, scope, 0
        self.tokens: list[str] = []
        rest = text.strip()
        while rest:
            found = _TOKEN.match(rest)
            if not found:
                raise ExpressionError(f"{text!r}: nothing is known of {rest!r}")
            self.tokens.append(found[0].strip())
            rest = rest[found.end() :].lstrip()

    def take(self, *wanted: str) -> str:
        """Return the next token if it is one of these, else an empty text."""
        if self.at < len(self.tokens) and (not wanted or self.tokens[self.at] in wanted):
            self.at += 1
            return self.tokens[self.at - 1]
        return ""

    def either(self) -> Any:
        found = self.both()
        while self.take("||"):
            other = self.both()
            found = found if truth(found) else other
        return found

    def both(self) -> Any:
        found = self.compared()
        while self.take("&&"):
            other = self.compared()
            found = other if truth(found) else found
        return found

    def compared(self) -> Any:
        found = self.negated()
        while op := self.take("==", "!="):
            found = equal(found, self.negated()) == (op == "==")
        return found

    def negated(self) -> Any:
        return not truth(self.negated()) if self.take("!") else self.primary()

    def primary(self) -> Any:
        token = self.take()
        if token == "(":
            found = self.either()
            self.expect(")")
            return found
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token in {"true", "false", "null"}:
            return json.loads(token)
        if not re.match(r"[A-Za-z_]", token):
            raise ExpressionError(f"{self.text!r}: nothing is known of {token!r}")
        return self.call(token) if self.take("(") else self.look_up(token)

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise ExpressionError(f"{self.text!r}: {token} is missing")

    def call(self, name: str) -> Any:
        given = []
        while not self.take(")"):
            given.append(self.either())
            if not self.take(","):
                self.expect(")")
                break
        known: dict[str, Callable[..., Any]] = {
            "always": lambda: True,
            "cancelled": lambda: False,
            "contains": _contains,
            "failure": lambda: self.scope.status == "failure",
            "fromJSON": json.loads,
            "startsWith": lambda text, start: text.lower().startswith(start.lower()),
            "success": lambda: self.scope.status == "success",
            **self.scope.functions,
        }
        if name not in known:
            raise ExpressionError(f"{self.text!r}: nothing is known of the function {name}")
        return known[name](*given)

    def look_up(self, name: str) -> Any:
        if name not in self.scope.contexts:
            raise ExpressionError(f"{self.text!r}: there is no context {name} here")
        found, path = self.scope.contexts[name], name
        while self.take("."):
            step = self.take()
            if not isinstance(found, Mapping) or (step not in found and path.split(".")[-1] not in _OPEN):
                raise ExpressionError(f"{self.text!r}: {path} has no {step}")
            found, path = found.get(step), f"{path}.{step}"
        return found
