"""The direction of the road: a room looks at the rooms before it; some things happen in one place alone."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import orchestrator
from orchestrator.app.running import STAGES

PACKAGE = Path(orchestrator.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))

VOCABULARY = {
    "bounds",
    "closecode",
    "frozen_value",
    "errors",
    "phrases",
    "arch",
    "outcome",
    "unexpected_error",
    "mask_passwords",
    "versions",
    "atomic_files",
    "resources",
}
VOCABULARY |= {"__init__"}
# In the order in which data walks through them; docs/concepts.md says what each holds.
ROOMS = (
    VOCABULARY,
    {"matrix"},
    {"record.model"},  # the shape of run.json is vocabulary too: rooms before `record` fill it in
    {"plan"},
    {"execute"},
    {"probe"},
    {"record"},
    {"analyse"},
    {"report"},
    {"site"},
    {"app", "preview", "reproduce"},
    {"serve"},
    {"cli", "__main__"},
)
# The same within `execute`: each looks at itself and at the ones before it.
EXECUTE = (
    {"__init__"},
    {"system"},
    {"store"},
    {"engine"},
    {"sources"},
    {"schedule"},
    {"buildlog", "compile", "failures"},
    {"images"},
    {"setup"},
)
NEVER = {
    "execute": {"probe"},
    "analyse": {"execute", "probe"},
    "report": {"execute", "probe"},
    "site": {"execute", "probe"},
}


@cache
def nodes(module: Path) -> tuple[ast.AST, ...]:
    """Everything in the source of a module."""
    return tuple(ast.walk(ast.parse((PACKAGE / module).with_suffix(".py").read_text("utf-8"))))


@cache
def imports(module: Path) -> tuple[str, ...]:
    """Every module that a module imports, dotted, wherever the import stands."""
    found: list[str] = []
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def rank(dotted: str) -> int:
    """The place of a module (without ``orchestrator.``) on the road."""
    parts = dotted.split(".")
    for name in (".".join(parts[:2]), parts[0]):
        for place, names in enumerate(ROOMS):
            if name in names:
                return place
    raise AssertionError(f"{dotted} stands in no room: give it a place in ROOMS and in docs/concepts.md")


def inside(module: Path) -> list[str]:
    found = [
        name.removeprefix("orchestrator.") for name in imports(module) if name.startswith("orchestrator.")
    ]
    return ["__init__" if name == "__version__" else name for name in found]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_room_looks_only_at_the_rooms_before_it(module: Path) -> None:
    own = rank(".".join(module.parts))
    assert [name for name in inside(module) if rank(name) > own] == []


CONCEPTS = (PACKAGE.parent / "docs" / "concepts.md").read_text()


def test_the_page_of_concepts_has_the_stages_of_a_run_in_their_order() -> None:
    names = [getattr(stage, "__name__", str(stage)) for stage in STAGES]
    shown = CONCEPTS.partition("open_run ─> ")[2].partition(" ─> close_run")[0]
    assert re.split(r"\s+─>\s+", shown) == names


@pytest.mark.parametrize("name", sorted(set().union(*EXECUTE) - {"__init__"}))
def test_the_page_of_concepts_names_each_sub_room_of_execute(name: str) -> None:
    (row,) = (line for line in CONCEPTS.splitlines() if line.startswith("| `execute/` |"))
    assert f"`{name}`" in row or f"`{name}/`" in row


def sub_rank(parts: tuple[str, ...]) -> int:
    """The place of a module of ``execute``."""
    name = parts[1] if len(parts) > 1 else "__init__"
    for place, names in enumerate(EXECUTE):
        if name in names:
            return place
    raise AssertionError(f"execute.{name} stands nowhere: give it a place in EXECUTE and in docs/concepts.md")


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "execute"], ids=str)
def test_a_room_of_execute_looks_only_at_the_ones_before_it(module: Path) -> None:
    seen = [tuple(name.split(".")) for name in inside(module) if name.startswith("execute.")]
    assert [name for name in seen if sub_rank(name) > sub_rank(module.parts)] == []


@pytest.mark.parametrize("room", NEVER)
def test_some_rooms_do_not_know_each_other(room: str) -> None:
    found = {name for module in MODULES if module.parts[0] == room for name in inside(module)}
    assert {name for name in found if name.split(".")[0] in NEVER[room]} == set()


def test_one_module_alone_starts_processes() -> None:
    starters = {"subprocess", "multiprocessing", "pty"}
    found = {str(module) for module in MODULES if {name.split(".")[0] for name in imports(module)} & starters}
    assert found == {"execute/system/process"}


def test_docker_is_behind_the_engine() -> None:
    """And what knows it is imported when an engine is connected to, by the protocol's own module."""
    room = PACKAGE / "execute" / "engine"
    docker = {module for module in MODULES if (PACKAGE / module).match(f"{room}/docker_*")}
    names = {".".join(("orchestrator", *module.parts)) for module in docker}
    assert docker
    tops = {module: {name.split(".")[0] for name in imports(module)} for module in MODULES}
    assert {module for module in MODULES if "docker" in tops[module]} <= docker
    knows = {str(one) for one in MODULES if any(name.startswith(tuple(names)) for name in imports(one))}
    assert knows - set(map(str, docker)) == {"execute/engine/engine"}


def test_the_command_line_alone_reads_the_environment_and_one_module_hands_it_on() -> None:
    def reads(module: Path) -> bool:
        names = {node.attr for node in nodes(module) if isinstance(node, ast.Attribute)}
        return bool({"environ", "getenv", "environb"} & names) or "os.environ" in imports(module)

    found = {str(module) for module in MODULES if reads(module) and module.parts[0] != "cli"}
    assert found == {"execute/system/process"}


def test_messages_are_logged_and_the_command_line_alone_shows_them() -> None:
    """Nothing is handed down the rooms to talk with: each module has a logger of its own."""

    def problems(module: Path) -> Iterator[str]:
        for node in nodes(module):
            if isinstance(node, ast.arg | ast.keyword) and node.arg == "say":
                yield f"{module}:{node.lineno}: say"
            if isinstance(node, ast.Attribute) and node.attr in {"addHandler", "basicConfig", "setLevel"}:
                yield f"{module}:{node.lineno}: {node.attr}"
            if isinstance(node, ast.Call) and ast.unparse(node).startswith("logging.getLogger("):
                yield from [] if ast.unparse(node) == "logging.getLogger(__name__)" else [ast.unparse(node)]

    others = [module for module in MODULES if module.parts[0] != "cli"]
    assert [found for module in others for found in problems(module)] == []
