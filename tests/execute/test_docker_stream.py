"""Docker's multiplexed stream under a program that writes without end: bounded, and read to its end."""

import io
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, Self, cast

import docker
import pytest

from orchestrator import bounds
from orchestrator.errors import DeadlineError, EngineError, TooLargeError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.docker_exec import read_frames

MIB = 1 << 20


def frame(number: int, data: bytes) -> bytes:
    return bytes([number, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


class Api:
    """An engine's API with one container; its program has written ``frames``."""

    base_url, api_version = "http://docker", "1.41"

    def __init__(self, frames: Any, *, exit_code: int = 0, archive: Iterator[bytes] | None = None) -> None:
        self.fp, self._exit_code, self._archive = frames, exit_code, archive or iter(())

    def exec_create(self, *_: object, **__: object) -> dict[str, str]:
        return {"Id": "1"}

    def exec_inspect(self, _: str) -> dict[str, object]:
        return {"Running": False, "ExitCode": self._exit_code}

    def inspect_container(self, _: str) -> dict[str, object]:
        return {"State": {"Running": True}}

    def post(self, *_: object, **__: object) -> "Api":
        return self

    def get_archive(self, *_: object) -> tuple[Iterator[bytes], object]:
        return self._archive, None

    def raise_for_status(self) -> None:
        """All is well."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    @property
    def raw(self) -> "Api":
        return self

    @property
    def _fp(self) -> "Api":
        return self

    @property
    def api(self) -> "Api":
        return self


def engine(frames: Any, **kwargs: Any) -> DockerEngine:
    return DockerEngine(cast("docker.DockerClient", Api(frames, **kwargs)))


class Flood:
    """A frame of ``size`` bytes that nobody ever held in memory."""

    def __init__(self, size: int, byte: bytes = b"x", number: int = 1) -> None:
        self._head, self._left, self._byte = bytes([number, 0, 0, 0]) + size.to_bytes(4, "big"), size, byte
        self.largest = 0

    def read(self, size: int) -> bytes:
        self.largest = max(self.largest, size)
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        size = min(size, self._left)
        self._left -= size
        return self._byte * size


def test_both_streams_come_whole_and_apart() -> None:
    said = frame(1, b"out") + frame(2, b"err") + frame(1, b"put")
    done = engine(io.BytesIO(said), exit_code=3).exec("c", ("x",), timeout=5, on_line=None)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"output", b"err")


@pytest.mark.parametrize("number", [1, 2])
def test_a_gibibyte_of_output_is_read_to_its_end_and_its_beginning_kept(number: int) -> None:
    flood = Flood(1024 * MIB, number=number)
    tracemalloc.start()
    done = engine(flood).exec("c", ("yes",), timeout=5, on_line=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = done.stdout if number == 1 else done.stderr
    assert kept == b"x" * bounds.OUTPUT + b"\n(cut after 1 MiB; 1072693248 more bytes)\n"
    assert peak < 16 * MIB
    assert flood.largest <= 1 << 16, "a frame is never read at once"


def test_lines_are_handed_on_and_not_kept_as_well() -> None:
    heard: list[bytes] = []
    said = frame(1, b'{"a":') + frame(2, b"warning") + frame(1, b"1}\n{}\nrest")
    done = engine(io.BytesIO(said)).exec("c", ("x",), timeout=5, on_line=heard.append)
    assert (heard, done.stdout, done.stderr) == ([b'{"a":1}', b"{}"], b"", b"warning")


def test_a_line_without_an_end_is_an_error_of_the_harness() -> None:
    with pytest.raises(EngineError, match="python3 in a container wrote a line of more than 32 MiB"):
        engine(Flood(100 * MIB)).exec("c", ("python3",), timeout=5, on_line=lambda _: None)


def test_a_program_that_never_stops_writing_meets_its_deadline() -> None:
    endless = Flood(1 << 31)
    with pytest.raises(DeadlineError, match="outlived its deadline"):
        for _ in read_frames(endless, time.monotonic() - 1):
            pass


def test_a_stream_that_breaks_off_in_a_frame_ends() -> None:
    soon = time.monotonic() + 600
    assert list(read_frames(io.BytesIO(frame(1, b"abc")[:-1]), soon)) == [(1, b"ab")]
    assert list(read_frames(io.BytesIO(b"\1\0\0"), soon)) == []


def test_an_archive_without_an_end_is_given_up() -> None:
    def endless() -> Iterator[bytes]:
        block = bytes(2 * MIB)
        while True:
            yield block

    taken: list[int] = []
    blocks = map(len, engine(None, archive=endless()).get("c", "/work/out"))
    with pytest.raises(TooLargeError, match=r"/work/out in c is larger than 1024 MiB"):
        taken.extend(blocks)
    assert sum(taken) == bounds.ARCHIVE
