"""What texts in tests name of templates and modules is still there, also in those of `make soak` alone."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import resources

HERE = Path(__file__).parent
TEMPLATES = resources.find_root() / "templates"


def find_plants() -> Iterator[tuple[str, str, str]]:
    """Yield test, template and text of each ``edit(TEMPLATE, (TEXT, ...), ...)`` that is spelled out."""
    for path in sorted((HERE / "containers").glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "edit"
            ):
                continue
            name, *changes = call.args
            for change in changes:
                old = change.elts[0] if isinstance(change, ast.Tuple) else change
                if isinstance(name, ast.Constant) and isinstance(old, ast.Constant):
                    yield path.name, str(name.value), str(old.value)


PLANTS = tuple(find_plants())


def test_the_plants_are_found() -> None:
    assert len(PLANTS) >= 20


@pytest.mark.parametrize(("test", "template", "text"), PLANTS)
def test_a_plant_has_its_place(test: str, template: str, text: str) -> None:
    """A template that changed leaves a test without its fault, which else only `make soak` would notice."""
    assert text in (TEMPLATES / template).read_text(), f"{test} plants nothing in {template}"


IMPORT = re.compile(r"^from (orchestrator[\w.]*) import (\w+(?:, \w+)*)", re.MULTILINE)


def find_imports() -> Iterator[tuple[str, str, str]]:
    """Yield test, module and name of each import from us in a text, which another process runs."""
    for path in sorted(HERE.rglob("*.py")):
        for part in ast.walk(ast.parse(path.read_text())):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                for module, names in IMPORT.findall(part.value):
                    yield from ((path.name, module, name) for name in names.split(", "))


IMPORTS = tuple(find_imports())


def test_the_imports_are_found() -> None:
    assert len(IMPORTS) >= 15


@pytest.mark.parametrize(("test", "module", "name"), IMPORTS)
def test_what_a_text_imports_is_there(test: str, module: str, name: str) -> None:
    found = importlib.import_module(module)
    assert hasattr(found, name) or importlib.import_module(f"{module}.{name}"), (
        f"{test}: {module} has no {name}"
    )
