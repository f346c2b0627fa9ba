"""Every limit holds, and its error says which it is, how long it was and how to raise it."""

import re
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from fakes import action

from orchestrator.arch import ARCHES
from orchestrator.errors import DeadlineError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.failures import make_failure
from orchestrator.execute.images import image_build
from orchestrator.execute.system.deadline import explain_deadline, run_within
from orchestrator.outcome import Outcome, Reason


class SlowBuilder:
    """The part of the ``docker`` package that builds: it says something, and then nothing for long."""

    def __init__(self) -> None:
        self.goes_on, self.ended = threading.Event(), threading.Event()
        self.api = SimpleNamespace(build=self._build)

    def _build(self, **_: Any) -> Iterator[dict[str, Any]]:
        try:
            yield {"stream": "Step 1/2"}
            self.goes_on.wait(30)
            yield {"stream": "Step 2/2"}
            yield {"stream": "never heard"}
        finally:
            self.ended.set()


def build(builder: SlowBuilder, limit: float) -> None:
    image_build.build(
        DockerEngine(cast("docker.DockerClient", builder)),
        tag="matrixctl/x:1",
        dockerfile="FROM scratch\n",
        arch=ARCHES["amd64"],
        labels={},
        proxies={},
        limit=limit,
    )


@pytest.mark.fault(
    "an image build falls silent",
    "`error: deadline` at its limit, and the engine is let go",
)
def test_an_image_that_falls_silent_ends_at_its_limit_and_the_build_is_let_go() -> None:
    builder = SlowBuilder()
    started = time.monotonic()
    with pytest.raises(DeadlineError, match="`limits: image`") as caught:
        build(builder, 0.2)
    assert time.monotonic() - started < 25
    assert "matrixctl/x:1 did not end within 0.2 s" in caught.value.brief
    assert "raise `image` below `limits:`" in caught.value.resolution
    builder.goes_on.set()
    assert builder.ended.wait(10)  # the connection goes, and with it the engine's build


def test_an_image_in_time_is_no_error() -> None:
    builder = SlowBuilder()
    builder.goes_on.set()
    build(builder, 30)


def test_within_hands_on_what_the_work_gives_or_raises() -> None:
    def fail(_: threading.Event) -> int:
        raise ZeroDivisionError

    assert run_within(10, lambda _: 42, lambda: explain_deadline("It", 10, "build")) == 42
    with pytest.raises(ZeroDivisionError):
        run_within(10, fail, lambda: explain_deadline("It", 10, "build"))


def test_a_cell_is_told_which_limit_how_long_and_how_to_raise_it() -> None:
    built = action("tls:x", kind="tls", name="x")
    failure = make_failure(built, explain_deadline("The build", 18_000, "build", details="the log's end"))
    assert (failure.outcome, failure.reason) == (Outcome.ERROR, Reason.DEADLINE)
    assert failure.message == (
        "tls x: The build did not end within 18000 s, which come from `limits: build`, and was stopped. "
        "If it only needs more time, raise `build` below `limits:` in matrix.yaml."
    )
    assert not re.search("log's end", failure.message)
