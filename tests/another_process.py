"""Another process at work, for what the living and the dead leave behind."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def another_process(program: str, *args: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python that has said ``ready``; it is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *args], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
