"""The faults that tests plant: ``@pytest.mark.fault(WHAT, THEN)``, read from the tests themselves.

``python tests/faults.py`` prints the table of docs/reliability.md; a run of the tests ends with the counts.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "reliability.md"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One planted fault, and the test that proves what happens then."""

    what: str
    then: str
    test: str
    """``containers/test_faults.py::test_x``, below tests/."""
    soak: bool


@cache
def planted() -> tuple[Fault, ...]:
    """Every fault, by the files' names and then in their order."""
    return tuple(fault for path in sorted(TESTS.rglob("test_*.py")) for fault in _in(path))


def _in(path: Path) -> Iterator[Fault]:
    tree = ast.parse(path.read_text())
    module = any(_marks(node.value, "soak") for node in tree.body if isinstance(node, ast.Assign))
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            soak = module or any(_is_mark(one, "soak") for one in function.decorator_list)
            for decorator in function.decorator_list:
                for call in _marks(decorator, "fault"):
                    if isinstance(call, ast.Call):
                        what, then = (ast.literal_eval(argument) for argument in call.args)
                        test = f"{path.relative_to(TESTS)}::{function.name}"
                        yield Fault(what=what, then=then, test=test, soak=soak)


def _marks(node: ast.AST, name: str) -> list[ast.AST]:
    """Calls of, or else mentions of, ``pytest.mark.NAME`` below a node, so that a parameter's marks count."""
    calls: list[ast.AST] = [
        one for one in ast.walk(node) if isinstance(one, ast.Call) and _is_mark(one.func, name)
    ]
    return calls or [one for one in ast.walk(node) if _is_mark(one, name)]


def _is_mark(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == f"pytest.mark.{name}"


def table() -> str:
    """The Markdown table."""
    lines = ["| fault | what happens | test |", "|---|---|---|"]
    for fault in planted():
        soak = " (soak)" if fault.soak else ""
        lines.append(f"| {fault.what} | {fault.then} | `{fault.test}`{soak} |")
    return "\n".join(lines)


def counted(results: Mapping[str, set[str]]) -> str:
    """One line from the results of each fault's tests: ``passed``, ``failed``, ``error``, ``skipped``."""
    tried = {what: found for what, found in results.items() if found - {"skipped"}}
    lost = [what for what, found in tried.items() if found & {"failed", "error"}]
    said = f"{len(tried)} faults tried, {len(tried) - len(lost)} survived, {len(lost)} lost something"
    untried = len(results) - len(tried)
    return said + (f"; {untried} not tried here" if untried else "")


def told() -> str:
    """The counts that the page tells."""
    found = re.search(r"<!-- counts: .*?-->\n(.*?)\n<!-- /counts -->", PAGE.read_text(), re.DOTALL)
    return found[1].strip() if found else ""


def contradiction(results: Mapping[str, set[str]], line: str) -> str:
    """What is wrong with the page's line, once a session has tried every fault that is planted; else empty.

    Sessions that try some of them alone say nothing of the others.
    """
    every = {fault.what for fault in planted()}
    tried = {what for what, found in results.items() if found - {"skipped"}}
    if tried != every or counted(results) == line:
        return ""
    return f"{PAGE.name} tells {line!r}, and these results are {counted(results)!r}"


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
