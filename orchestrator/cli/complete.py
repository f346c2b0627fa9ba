"""What a shell completes: profiles, filters, cells and runs. Where it cannot be known, nothing is offered."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

from orchestrator.errors import MatrixctlError
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import AXES, Cell, Matrix
from orchestrator.matrix.select import FULL, find_values
from orchestrator.record.find import LAST_GOOD, LATEST, find_run, read_run
from orchestrator.record.runs import list_runs

_Find = Callable[[click.Context, str], Iterable[str]]


class _Bash(BashComplete):
    """bash takes ``arch=arm64`` for three words, and replaces the last of them alone."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ["COMP_WORDS"])[1 : int(os.environ["COMP_CWORD"]) + 1]
        words += [""] * (int(os.environ["COMP_CWORD"]) - len(words))
        joined: list[str] = []
        for word in words:
            if joined and (word == "=" or joined[-1].endswith("=")):
                joined[-1] += word
            else:
                joined.append(word)
        return joined[:-1], joined[-1] if joined else ""

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.rpartition('=')[2] or item.value}"


add_completion_class(_Bash)


def find_profiles(context: click.Context, _: str) -> Iterable[str]:
    """Return the profiles of the matrix file."""
    return (*_load_matrix(context).profiles, FULL)


def find_filters(context: click.Context, text: str) -> Iterator[str]:
    """Yield the axes, or the values of the axis that is named, with their families."""
    axis, operator, _ = text.partition("=")
    if not operator:
        yield from (f"{name}=" for name in AXES)
    elif (plain := axis.removesuffix("!")) in AXES:
        values = find_values(_list_cells(context), plain).values()
        families = {family for value in values if (family := getattr(value, "family", None))}
        yield from (
            f"{axis}={name}" for name in dict.fromkeys((*(v.name for v in values), *sorted(families)))
        )


def find_cells(context: click.Context, _: str) -> Iterable[str]:
    """Return the ids of the matrix."""
    return (cell.id for cell in _list_cells(context))


def find_judged_cells(context: click.Context, _: str) -> Iterable[str]:
    """Return the ids of the run that is named, or of the newest."""
    found = find_run(context.params.get("run") or LATEST, _find_reports(context))
    return (cell.id for cell in read_run(found).cells)


def find_runs(context: click.Context, _: str) -> Iterable[str]:
    """Return the words for runs, and the ids below ``--reports``."""
    return (LATEST, LAST_GOOD, *list_runs(_find_reports(context)))


def offer(find: _Find) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what click asks: those that begin with the text or, without any, have it in them in any case."""

    def complete(context: click.Context, _: click.Parameter, text: str) -> list[str]:
        try:
            found = list(find(context, text))
        except (MatrixctlError, OSError, ValueError):  # no place to explain anything
            return []
        part = text.casefold()
        return [one for one in found if one.startswith(text)] or [o for o in found if part in o.casefold()]

    return complete


profiles = offer(find_profiles)
filters = offer(find_filters)
cells = offer(find_cells)
judged_cells = offer(find_judged_cells)
run_names = offer(find_runs)
"""For ``shell_complete=``."""


def _load_matrix(context: click.Context) -> Matrix:
    from orchestrator.cli import common  # noqa: PLC0415 - it imports this module

    return load(common.find_matrix(context.params.get("matrix_file")))


def _list_cells(context: click.Context) -> tuple[Cell, ...]:
    return expand(_load_matrix(context))


def _find_reports(context: click.Context) -> Path:
    from orchestrator.cli import common  # noqa: PLC0415 - it imports this module

    given: Any = context.params.get("out") if "reports" not in context.params else context.params["reports"]
    return Path(given) if given else common.find_default_out()
