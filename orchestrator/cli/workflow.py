"""A step of a workflow of GitHub Actions: what a command leaves there beside its report.

https://docs.github.com/actions: workflow commands, and the environment files of a step.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from orchestrator.analyse.compare import Comparison
from orchestrator.cli import common
from orchestrator.cli.group import find_exit
from orchestrator.errors import Exit, MatrixctlError, UsageError
from orchestrator.outcome import ALARMS
from orchestrator.record.model import RunRecord
from orchestrator.report import annotations, github_summary, summary
from orchestrator.report.annotations import Annotation, FileLine
from orchestrator.report.step_summary import LIMIT, write_code

_SUMMARY, _OUTPUT = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"


AS_STEP = "--github"
"""The command is a step of GitHub Actions, and leaves there what it has to say."""


class StepCommand(click.Command):
    """A command with the option ``--github``: with it, every error that ends it is told in the step.

    A bad option, too: it ends the command before its function is called.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with tell_in_step() if AS_STEP in args and _is_step() else nullcontext():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with tell_in_step() if ctx.params["github"] and _is_step() else nullcontext():
            return super().invoke(ctx)


@contextmanager
def tell_in_step() -> Iterator[None]:
    """Write an error that ends the command as an annotation, and its exit code as an output."""
    try:
        yield
    except (SystemExit, click.exceptions.Exit):  # the command has ended by itself, and told what there is
        raise
    except BaseException as error:
        WorkflowStep().tell_error(error)
        raise


@contextmanager
def open_step() -> Iterator["WorkflowStep"]:
    """Enter a step: until it is left, GitHub obeys no line of the log, no matter who wrote it.

    :raises UsageError: outside GitHub Actions.
    """
    if not _is_step():
        raise UsageError(
            f"{AS_STEP} is for a step of GitHub Actions, and this is none: GITHUB_ACTIONS is not `true`",
            resolution="Leave it out; `matrixctl github summary RUN` prints the same Markdown anywhere.",
        )
    step = WorkflowStep()
    step.stop_commands()
    try:
        yield step
    finally:
        step.resume_commands()


def _is_step() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


class WorkflowStep:
    """What goes to the step's log and files. Nothing of it fails: what cannot be written is a sentence."""

    def __init__(self) -> None:
        """Take a token that no text from outside can know."""
        self._token = secrets.token_hex(16)
        self._stopped = False

    def stop_commands(self) -> None:
        """Make GitHub obey no line of the log from here on."""
        self._stopped = True
        click.echo(f"::stop-commands::{self._token}")

    def resume_commands(self) -> None:
        """Make GitHub obey again."""
        if self._stopped:
            self._stopped = False
            click.echo(f"::{self._token}::")

    def tell_run(
        self, record: RunRecord, folder: Path, compared: Comparison | None, matrix: Path | None
    ) -> None:
        """Append the summary, print the annotations, and write the outputs of a run that has ended.

        :param matrix: its matrix file, where it is known.
        """
        self.resume_commands()
        alarms = sum(summary.find_verdict(cell) in ALARMS for cell in record.cells)
        ended = Exit.HARNESS if record.run.exit_code is None else record.run.exit_code
        _try("summary", lambda: _append_summary(record, compared))
        _try("annotations", lambda: print_annotations(record, compared, matrix))
        outputs = {"report": str(folder), "exit-code": str(int(ended)), "regressions": str(alarms)}
        _try("outputs", lambda: _write_outputs(outputs))

    def tell_error(self, error: BaseException) -> None:
        """Say why the command ended without a record, and write its exit code."""
        ended = find_exit(error)
        said = _say_why(error)
        one = Annotation("error", f"matrixctl ended with exit code {ended}", (said,))
        _try("annotations", lambda: _print_lines([one], None))
        _try("summary", lambda: _append(_SUMMARY, f"## ✕ {one.title}\n\n{write_code(said)}\n"))
        outputs = {"report": "", "exit-code": str(ended), "regressions": ""}
        _try("outputs", lambda: _write_outputs(outputs))


def _say_why(error: BaseException) -> str:
    match error:
        case MatrixctlError():
            return error.brief
        case click.ClickException():
            return error.format_message()
        case _:
            return str(error) or type(error).__name__


def print_annotations(record: RunRecord, compared: Comparison | None, matrix: Path | None) -> None:
    """Print the annotations of a run, with the lines of its rules where the repository has its matrix."""
    _print_lines(annotations.annotate(record, compared), matrix)


def find_page() -> str:
    """Return the address of the workflow's run that this is a step of; empty elsewhere."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, number = (os.environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{number}" if server and repository and number else ""


def _print_lines(these: Sequence[Annotation], matrix: Path | None) -> None:
    file = _find_in_repository(matrix) if matrix else None

    def find(place: str) -> FileLine | None:
        name, _, line = place.rpartition(":")
        return FileLine(file, int(line)) if file and Path(file).name == name and line.isdecimal() else None

    for written in annotations.write(these, find):
        click.echo(written)


def _find_in_repository(path: Path) -> str | None:
    """Return the path of a file as its repository has it; ``None`` for one that lies elsewhere.

    A checkout may lie in a folder of the workspace, as with `path:` of actions/checkout.
    """
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    found = path.resolve()
    if not (found.is_relative_to(workspace) and found.is_file()):
        return None
    checkouts = (folder for folder in found.parents if (folder / ".git").exists())
    root = next(checkouts, workspace)
    return str(found.relative_to(root if root.is_relative_to(workspace) else workspace))


def _append_summary(record: RunRecord, compared: Comparison | None) -> None:
    path = Path(_find(_SUMMARY))
    used = path.stat().st_size if path.exists() else 0
    _append(_SUMMARY, github_summary.render(record, compared, limit=LIMIT - used))


def _write_outputs(outputs: Mapping[str, str]) -> None:
    """Write outputs of the step, each between delimiters that no text from outside can know."""
    lines = []
    for name, value in outputs.items():
        mark = f"end-{secrets.token_hex(16)}"
        lines.append(f"{name}<<{mark}\n{value}\n{mark}\n")
    _append(_OUTPUT, "".join(lines))


def _find(name: str) -> str:
    """:raises MatrixctlError: for a variable that is not set."""
    if found := os.environ.get(name):
        return found
    raise MatrixctlError(f"{name} is not set")


def _append(name: str, text: str) -> None:
    path = _find(name)
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:  # a NUL in the path
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise MatrixctlError(f"{name} names {path}, which cannot be written: {why}") from None


def _try(what: str, do: Callable[[], None]) -> None:
    """Do something for the step; whatever goes wrong there changes nothing of the run."""
    try:
        do()
    except Exception as error:  # noqa: BLE001 - the run has its exit code
        common.say(f"the step has no {what}: {error or type(error).__name__}")
