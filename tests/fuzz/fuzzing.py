"""Feeds random input to one reader until its share of the time is over, against an oracle.

The oracle: a value, or an error for people (``MatrixctlError``); the same one when asked again; soon; in
little memory. ``--fuzz-seconds`` is spread over the targets of a session, which ends with what was tried.
docs/fuzzing.md tells how to get a failure again.
"""

import resource
import secrets
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy

from orchestrator.errors import MatrixctlError

T = TypeVar("T")

BOUND_S = 5.0
"""CPU seconds for one input: a busy machine fails no test, and an expression that backtracks forever does.

Python's regular expressions look at signals while they run, so that those are interrupted too.
"""
GROWTH = 512 << 20
"""Bytes of memory that one input may take; more ends in a ``MemoryError``."""
BRIEF, WHOLE = 4_000, 2_000_000
"""Longest texts of an error."""
_ROUND = 200
"""Inputs from one seed."""

_PROFILE = settings(
    max_examples=_ROUND,
    database=None,  # each run has its own seed, which is printed
    deadline=None,  # BOUND_S instead: it interrupts, and counts no time of other processes
    phases=(Phase.generate, Phase.shrink),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


class HangError(BaseException):
    """One input took longer than BOUND_S. No ``Exception``: making it small would take as long each time."""


class _OverError(BaseException):
    """The time is over. Hypothesis takes every ``Exception`` for a failure of what it tests."""


@dataclass(kw_only=True)
class Tally:
    """What became of the inputs of one target."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Fuzz:
    """One target, with ``share`` seconds to spend."""

    target: str
    share: float
    seed: int
    tally: Tally = field(default_factory=Tally)

    def __call__(
        self,
        inputs: SearchStrategy[T],
        call: Callable[[T], object],
        *,
        refuses: tuple[type[Exception], ...] = (),
    ) -> None:
        """Call ``call`` with inputs until the share is spent, each twice.

        :param refuses: errors that are part of its contract, beside ``MatrixctlError``.
        """
        started = time.monotonic()
        try:
            for number in count():
                self._round(number, started + self.share, inputs, call, refuses)
        except _OverError:
            pass
        finally:
            self.tally.seconds = time.monotonic() - started

    def _round(
        self,
        number: int,
        until: float,
        inputs: SearchStrategy[T],
        call: Callable[[T], object],
        refuses: tuple[type[Exception], ...],
    ) -> None:
        @seed(f"{self.seed} {self.target} {number}")
        @_PROFILE
        @given(inputs)
        def one(given_input: T) -> None:
            if time.monotonic() > until and self.tally.inputs and not self.tally.failed:
                raise _OverError
            self.tally.inputs += 1
            try:
                first = outcome(call, given_input, refuses)
                self.tally.refused += first[0] == "refused"
                second = outcome(call, given_input, refuses)
                assert second == first or repr(second) == repr(first), "asked twice, it gives two answers"
            except HangError as error:
                raise HangError(f"{error} with {given_input!r:.2000}") from error
            except BaseException:
                self.tally.failed = True  # it is asked again, to make it small, however late it is
                raise

        with warnings.catch_warnings():  # it warns of a failing input that is long
            warnings.simplefilter("ignore", HypothesisWarning)
            one()


def outcome(
    call: Callable[[T], object], given_input: T, refuses: tuple[type[Exception], ...] = ()
) -> tuple[str, Any]:
    """``("value", ...)`` or ``("refused", text)``; any other error is the caller's."""
    with bounded():
        try:
            return "value", call(given_input)
        except MatrixctlError as error:
            _check(error)
            return "refused", str(error)
        except refuses as error:
            return "refused", str(error)


def _check(error: MatrixctlError) -> None:
    text = str(error)
    assert error.brief.strip(), "an error without a word"
    assert len(error.brief) <= BRIEF, f"the first line has {len(error.brief)} characters"
    assert len(text) <= WHOLE, f"the error has {len(text)} characters"
    assert "Traceback (most recent call last)" not in text


@contextmanager
def bounded() -> Iterator[None]:
    """At most BOUND_S of CPU time and GROWTH of memory for what stands inside."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise HangError(f"no end after {BOUND_S:g} s of CPU time")

    pages = int(Path("/proc/self/statm").read_text().partition(" ")[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GROWTH, hard))
    previous = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, BOUND_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_SEED = pytest.StashKey[int]()
_SHARE = pytest.StashKey[float]()
_TALLIES = pytest.StashKey[dict[str, Tally]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, default=3.0, help="for all fuzz targets together [3]")
    parser.addoption("--fuzz-seed", type=int, default=None, help="the inputs of an earlier session again")


def pytest_collection_finish(session: pytest.Session) -> None:
    targets = [item for item in session.items if "fuzz" in getattr(item, "fixturenames", ())]
    given = session.config.getoption("--fuzz-seed")
    session.config.stash[_SEED] = secrets.randbits(32) if given is None else given
    session.config.stash[_SHARE] = session.config.getoption("--fuzz-seconds") / max(1, len(targets))
    session.config.stash[_TALLIES] = {}
    for item in targets:  # a failure is made small before it is told
        item.add_marker(pytest.mark.timeout(session.config.stash[_SHARE] + 400))


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Fuzz:
    """The target has the name of its test."""
    stash, name = request.config.stash, request.node.name.removeprefix("test_")
    made = Fuzz(target=name, share=stash[_SHARE], seed=stash[_SEED])
    stash[_TALLIES][name] = made.tally
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tallies = config.stash.get(_TALLIES, {})
    if not tallies:
        return
    terminalreporter.section(f"fuzzing, again with --fuzz-seed {config.stash[_SEED]}")
    width = max(map(len, tallies))
    for name, tally in tallies.items():
        told = f"{tally.inputs:9,} inputs, {tally.refused:9,} refused, {tally.seconds:7.1f} s"
        terminalreporter.write_line(f"{name:{width}}  {told}")
    whole = sum(tally.inputs for tally in tallies.values())
    seconds = sum(tally.seconds for tally in tallies.values())
    terminalreporter.write_line(f"{whole:,} inputs in {seconds:.0f} s, {len(tallies)} targets")
