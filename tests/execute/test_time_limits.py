"""A program that ends as ``timeout`` ends, before its time: that was no deadline."""

import io

import pytest
from test_docker_stream import engine, frame

from orchestrator.execute.engine.engine import ExecResult


def ended(exit_code: int, *, timeout: float) -> ExecResult:
    stream = io.BytesIO(frame(1, b"said\n"))
    return engine(stream, exit_code=exit_code).exec("c", ("program",), timeout=timeout, on_line=None)


@pytest.mark.parametrize("exit_code", [124, 137])
def test_an_exit_code_alone_is_no_deadline(exit_code: int) -> None:
    """A program may exit with 124 itself, and the kernel kills (137) whose memory is used up."""
    early = ended(exit_code, timeout=1000)
    assert (early.exit_code, early.timed_out, early.stdout) == (exit_code, False, b"said\n")
    assert ended(exit_code, timeout=0).timed_out


@pytest.mark.parametrize("exit_code", [0, 1, 139])
def test_a_program_that_ended_by_itself_was_not_ended(exit_code: int) -> None:
    assert not ended(exit_code, timeout=0).timed_out
