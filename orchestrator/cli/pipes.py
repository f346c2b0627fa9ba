"""What to do where the program that read our output through a pipe has ended, as ``head`` does."""

import os
import sys
from typing import TextIO

from rich.console import Console


def silence(stream: TextIO) -> None:
    """Let what is written to the stream from now on go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Answer(Console):
    """Prints the answer of a command to stdout: without a reader there is no reason to go on."""

    def on_broken_pipe(self) -> None:
        """Raise it again, in place of an end with 1, which is that of a regression.

        :raises BrokenPipeError: the one that is being handled.
        """
        raise BrokenPipeError


class Aside(Console):
    """Prints to stderr what is no answer: a command goes on without it, and its exit code tells the rest."""

    def on_broken_pipe(self) -> None:
        """Say nothing from now on."""
        self.quiet = True
        silence(sys.stderr)
