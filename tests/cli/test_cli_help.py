"""What ``--help`` shows: each summary whole, in the order of use, and an example that can be pasted."""

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.group import Later
from orchestrator.cli.main import main

COLUMNS = 80


def walk(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the group and all its commands, imported, with the words that call each."""
    yield path, group
    for name, command in group.commands.items():
        real = command.load() if isinstance(command, Later) else command
        if isinstance(real, click.Group):
            yield from walk(real, *path, name)
        else:
            yield (*path, name), real


ALL = {" ".join(path): command for path, command in walk(main)}
GROUPS = [name for name, command in ALL.items() if isinstance(command, click.Group)]
COMMANDS = [name for name in ALL if name not in GROUPS]


def read_help(name: str) -> list[str]:
    runner = CliRunner(env={"COLUMNS": str(COLUMNS)})
    return runner.invoke(main, [*name.split(), "--help"], prog_name="matrixctl").stdout.splitlines()


@pytest.mark.parametrize("name", GROUPS)
def test_a_list_of_commands_fits_80_columns_and_cuts_no_summary(name: str) -> None:
    lines = read_help(name)
    assert max(map(len, lines)) <= COLUMNS
    summaries = lines[lines.index("Commands:") + 1 :]
    assert [line for line in summaries if line.endswith("...")] == []
    listed = [line.split()[0] for line in summaries]
    group = ALL[name]
    assert isinstance(group, click.Group)
    assert listed == list(group.commands), "a line each, in the order of use"


def test_a_person_needs_plan_before_run_and_run_before_explain() -> None:
    order = list(main.commands)
    assert order.index("init") < order.index("plan") < order.index("run") < order.index("explain")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_ends_its_help_with_an_example_that_it_understands(name: str) -> None:
    *_, last = read_help(name)
    head, _, example = last.strip().partition(" ")
    assert head == "Example:"
    words = shlex.split(example)
    words = words[1:] if words[0] == "sudo" else words
    called = ["matrixctl", *name.split()]
    assert words[: len(called)] == called
    command = ALL[name]
    with click.Context(command) as context:
        command.make_parser(context).parse_args(words[len(called) :])
