"""The group of commands: each is imported once it is asked for, and its errors are explained to a person.

``--version`` and ``--help`` answer at once, so this module imports nothing heavy; tests/cli/test_cli_light.py
says what that is.
"""

import errno
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from orchestrator.cli.log import show_log
from orchestrator.errors import Exit, MatrixctlError
from orchestrator.mask_passwords import mask_command

_BAD_PATH = {
    errno.EACCES,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""Somebody named a file or folder that cannot be used so."""
_TYPED = f"{__name__}.typed"
"""Under which the arguments lie in click's context."""
_READER_GONE = 128 + signal.SIGPIPE
"""As a shell reports a program that wrote to a closed pipe."""


AS_STEP = "--as-bisect"
"""The command is a step of ``git bisect run``."""
STEP_ABORTED = 128
"""What git-bisect(1) ends at: from here on an exit code says nothing of the commit."""
_STEP_CODES = frozenset({0, 1, 125})


class Ordered(click.Group):
    """Lists its commands in the order in which they were added: that of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(self.commands)


class Explaining(Ordered):
    """Shows an error of any of its commands to a person, without a traceback, and exits with its code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments for ``read_command_line`` before click takes them apart."""
        ctx.meta.setdefault(_TYPED, tuple(args))
        return super().parse_args(ctx, args)

    def main(self, args: Sequence[str] | None = None, *given: Any, **more: Any) -> Any:
        """Call it as a program; a step of ``git bisect run`` ends with what git understands.

        The words say whether it is one: the command line may be so bad that no command sees it.
        """
        words, stdout = sys.argv[1:] if args is None else args, sys.stdout
        if "_MATRIXCTL_COMPLETE" in os.environ:
            import_module("orchestrator.cli.complete")  # before click chooses what it does for the shell
        try:
            return super().main(args, *given, **more)
        except BrokenPipeError:  # what click had to say of a bad command line
            _end_unread(_READER_GONE)
        except SystemExit as end:
            if any(word.startswith(AS_STEP) for word in words) and not _is_of_a_step(end.code):
                sys.exit(STEP_ABORTED)
            if sys.stdout is not stdout:  # click puts another in its place where no one reads a help text
                sys.exit(_READER_GONE)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with show_log(_say):
                return super().invoke(ctx)
        except MatrixctlError as error:
            _explain(error.brief, error.details, error.resolution)
            sys.exit(find_exit(error))
        except KeyboardInterrupt as error:
            sys.exit(find_exit(error))
        except BrokenPipeError:  # the reader of our output went away: `matrixctl cells | head`
            _end_unread(_READER_GONE)
        except OSError as error:  # a folder that cannot be written, a disk that is full, an engine that left
            _explain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            sys.exit(find_exit(error))
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - Python's own exit code would be that of a regression
            _explain_fault(error)
            sys.exit(find_exit(error))


def find_exit(error: BaseException) -> int:
    """Return the exit code of a command that such an error ends."""
    match error:
        case MatrixctlError() | click.ClickException():
            return error.exit_code
        case SystemExit(code=int(code)):
            return code
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
        case OSError(errno=number) if number in _BAD_PATH:
            return Exit.USAGE
        case _:
            return Exit.HARNESS


def _is_of_a_step(code: object) -> bool:
    """Return whether git-bisect(1) understands the code as it is meant: all others below 128 mean "bad"."""
    return isinstance(code, int) and (code in _STEP_CODES or code > STEP_ABORTED)


def read_command_line(ctx: click.Context) -> str:
    """Return the whole command line as it was typed, without what may be a password."""
    return shlex.join(["matrixctl", *mask_command(ctx.meta.get(_TYPED, ()))])


class Later(click.Command):
    """Stands for a command in the list of commands until it is asked for."""

    def __init__(self, name: str, place: str, summary: str) -> None:
        """Take its place, as in ``package.module:attribute``, and the first paragraph of its help."""
        self.module, _, self.attribute = place.partition(":")
        super().__init__(name, help=summary)

    def load(self) -> click.Command:
        """Import the command itself."""
        command: click.Command = getattr(import_module(self.module), self.attribute)
        return command


class Lazy(Explaining):
    """Its commands may be such as are imported later."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments ask for, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Later) else command, rest


def leave(code: int) -> NoReturn:
    """End the process, at once where an action is still at work: Python would wait for its thread.

    A download or an image build cannot be told to stop, and may take a quarter of an hour.
    """
    if threading.active_count() > 1 and _is_working():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # its reader has left
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _is_working() -> bool:
    from orchestrator.execute.schedule.pool import THREADS  # noqa: PLC0415 - heavy, and rarely needed

    return any(thread.name.startswith(THREADS) for thread in threading.enumerate())


def _end_unread(code: int) -> NoReturn:
    """End with this code, though no one reads what was to be printed."""
    from orchestrator.cli.pipes import silence  # noqa: PLC0415 - see the top

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the other one may have its reader still
            silence(stream)
    sys.exit(code)


def _say(text: str) -> None:
    from orchestrator.cli.common import say  # noqa: PLC0415 - see the top

    say(text)


def _explain_fault(error: Exception) -> None:
    import tempfile  # noqa: PLC0415 - see the top

    from orchestrator import unexpected_error  # noqa: PLC0415

    try:
        folder = Path(tempfile.mkdtemp(prefix="matrixctl-internal-"))
    except OSError:
        folder = Path()
    _explain(
        f"error: internal: {unexpected_error.keep_traceback(folder, error)}",
        f"It lies in {folder.absolute()}.",
    )


def _explain(brief: str, *others: str) -> None:
    from rich.text import Text  # noqa: PLC0415 - see the top

    from orchestrator.cli.common import errors  # noqa: PLC0415
    from orchestrator.report.text import make_printable  # noqa: PLC0415

    errors.print(Text(f"matrixctl: {make_printable(brief)}", style="bold red"))
    for part in others:
        if part:
            errors.print(Text(make_printable(part)))
