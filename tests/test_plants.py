"""What tests with containers replace in our templates is still there, also for those of `make soak` alone."""

import ast
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
