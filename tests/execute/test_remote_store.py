"""What stands behind a store: whole or absent, held against its digest, and no reason for a run to fail."""

import hashlib
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3fs
from seaweed import Bucket, bucket

from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.store import bundle, remote, shared
from orchestrator.execute.store.bundle import WantedItems, export
from orchestrator.execute.store.remote import Remote, connect_remote
from orchestrator.execute.store.shared import Bounds, open_store, prune_remote
from orchestrator.execute.store.store import Store

__all__ = ["bucket"]
BUILD, OTHER = "1" * 64, "2" * 64
CONTENT = b"a library" * 1000
TARBALL = b"a tarball"
SHA256 = hashlib.sha256(TARBALL).hexdigest()
DAY = 24 * 3600


_S3 = pytest.param("s3", marks=pytest.mark.whole)


@pytest.fixture(params=["memory", "file", _S3])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place where nothing is yet."""
    where = f"{os.urandom(6).hex()}/store"
    match request.param:
        case "memory":
            yield f"memory://{where}"
            fsspec.filesystem("memory").store.clear()
        case "file":
            yield f"file://{tmp_path}/{where}"
        case _:
            _log_in(monkeypatch, request.getfixturevalue("bucket"), "writer")
            yield f"s3://matrixctl/{where}"
            s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def folder_url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/there"


def _log_in(monkeypatch: pytest.MonkeyPatch, bucket: Bucket, user: str, *, secret: str = "secret") -> None:
    for name, value in bucket.environment(user, secret=secret).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()


def put_source(store: Store) -> None:
    with store.scratch() as scratch:
        (scratch / "x").write_bytes(TARBALL)
        store.put_source(scratch / "x", sha256=SHA256, file="x-1.tar.gz", origin="https://x.test/x-1.tar.gz")


def names(url: str) -> list[str]:
    return [stored.name for stored in connect_remote(url).find_all()]


# There and back


def test_what_one_machine_makes_another_takes(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = (open_store(tmp_path / name, url) for name in ("first", "second"))
    with first.in_use():
        made = first.put_artifact(BUILD, CONTENT, {"name": "matrixctl-1"})
        put_source(first)
    assert f"{url}: 0 taken from there, 2 put there" in caplog.text
    with second.in_use():
        assert second.has(BUILD)
        assert not second.has(OTHER)
        taken, source = second.find_artifact(BUILD), second.find_source(SHA256, "x-1.tar.gz")
    assert f"{url}: 2 taken from there, 0 put there" in caplog.text
    assert taken is not None
    assert source is not None
    assert (taken.path.read_bytes(), taken.sha256, taken.meta) == (CONTENT, made.sha256, made.meta)
    assert source.path.read_bytes() == TARBALL
    assert source.origin == "https://x.test/x-1.tar.gz"
    assert second.find_artifact(OTHER) is None
    alone = Store(tmp_path / "second")  # it is a copy
    assert alone.find_artifact(BUILD) is not None


def test_a_run_does_not_ask_again_for_what_it_has(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(tmp_path / "first", folder_url).put_artifact(BUILD, CONTENT, {})
    asked: list[str] = []
    get = Remote.get

    def count(self: Remote, name: str, to: Path, *, most: int) -> bool:
        asked.append(name)
        return get(self, name, to, most=most)

    second = open_store(tmp_path / "second", folder_url)
    monkeypatch.setattr(Remote, "get", count)
    assert second.find_artifact(BUILD) == second.find_artifact(BUILD)
    assert asked == [f"artifacts/{BUILD}"]


def test_what_is_there_is_not_put_again(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    open_store(tmp_path / "first", url).put_artifact(BUILD, CONTENT, {})
    second = open_store(tmp_path / "second", url)
    with second.in_use():
        second.put_artifact(BUILD, b"made again, with another time stamp", {})
    assert "0 taken from there, 0 put there" in caplog.text
    third = open_store(tmp_path / "third", url).find_artifact(BUILD)
    assert third is not None
    assert third.path.read_bytes() == CONTENT


def _put_at_once(url: str, folder: Path, content: bytes, start: Any, bar: Any) -> None:
    store = open_store(folder, url)
    bar.wait()
    start.wait()
    store.put_artifact(BUILD, content, {})


def test_of_several_that_make_the_same_at_once_one_stays_and_all_is_whole(url: str, tmp_path: Path) -> None:
    contents = [bytes([number]) * 300_000 for number in range(8)]
    start, bar = threading.Event(), threading.Barrier(9)
    threads = [
        threading.Thread(target=_put_at_once, args=(url, tmp_path / str(number), content, start, bar))
        for number, content in enumerate(contents)
    ]
    for thread in threads:
        thread.start()
    bar.wait()
    start.set()
    for thread in threads:
        thread.join()
    taken = [open_store(tmp_path / f"reader-{number}", url).find_artifact(BUILD) for number in range(2)]
    assert all(taken)
    (content,) = {one.path.read_bytes() for one in taken if one}
    assert content in contents
    assert names(url) == [f"artifacts/{BUILD}"]


def _put_slowly(url: str, folder: Path) -> None:
    place = connect_remote(url)
    place.try_out()
    (folder / "large").write_bytes(os.urandom(64 << 20))
    (folder / "begun").touch()
    place.put(f"artifacts/{BUILD}", folder / "large")


@pytest.mark.parametrize("url", ["file", _S3], indirect=True)
def test_half_a_put_is_never_seen(url: str, tmp_path: Path) -> None:
    spawned = multiprocessing.get_context("spawn").Process(target=_put_slowly, args=(url, tmp_path))
    spawned.start()
    while not (tmp_path / "begun").exists():
        assert spawned.is_alive()
        time.sleep(0.005)
    place = connect_remote(url)
    seen: set[int] = set()
    while spawned.is_alive() and not seen:
        seen = {one.size for one in place.find_all() if one.name == f"artifacts/{BUILD}"}
        if len(list(place.find_all())) == 1 and not seen:  # it is being written, beside
            break
    spawned.kill()
    spawned.join()
    seen |= {one.size for one in place.find_all() if one.name == f"artifacts/{BUILD}"}
    assert seen <= {64 << 20}


# Nothing is believed


HARMS: dict[str, Callable[[Path, Path], object]] = {
    "other bytes": lambda file, _: file.write_bytes(file.read_bytes()[:-40] + bytes(40)),
    "cut": lambda file, _: file.write_bytes(file.read_bytes()[:100]),
    "empty": lambda file, _: file.write_bytes(b""),
    "no export": lambda file, _: file.write_bytes(b"<html>"),
    "another's": lambda file, other: file.write_bytes(other.read_bytes()),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_not_what_it_is_called_is_said_removed_and_made_again(
    harm: str, folder_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_store(tmp_path / "first", folder_url)
    first.put_artifact(BUILD, CONTENT, {})
    first.put_artifact(OTHER, b"another", {})
    there = tmp_path / "there/artifacts"
    HARMS[harm](there / BUILD, there / OTHER)
    second = open_store(tmp_path / "second", folder_url)
    assert second.find_artifact(BUILD) is None
    assert f"{folder_url} has something else as artifacts/{BUILD} and is not believed" in caplog.text
    assert not (there / BUILD).exists()
    assert Store(tmp_path / "second").find_artifact(OTHER) is None  # nothing that was not asked for
    second.put_artifact(BUILD, CONTENT, {})
    assert open_store(tmp_path / "third", folder_url).find_artifact(BUILD) is not None


def test_a_source_of_another_digest_is_not_taken(folder_url: str, tmp_path: Path) -> None:
    put_source(open_store(tmp_path / "first", folder_url))
    wrong = hashlib.sha256(b"what a build expects").hexdigest()
    (tmp_path / "there/sources" / SHA256).rename(tmp_path / "there/sources" / wrong)
    assert open_store(tmp_path / "second", folder_url).find_source(wrong, "x-1.tar.gz") is None


def test_a_file_beyond_the_limit_is_not_fetched(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(tmp_path / "first", folder_url).put_artifact(BUILD, os.urandom(5000), {})
    monkeypatch.setattr(shared, "_ROOM", 0)
    monkeypatch.setattr("orchestrator.execute.store.bundle.LARGEST", 4000)
    assert open_store(tmp_path / "second", folder_url).find_artifact(BUILD) is None
    assert "has more than" in caplog.text


# What fails costs no run


def _reset(*_: object, **__: object) -> None:
    raise ConnectionError("connection reset by peer")


def test_a_place_that_no_longer_answers_is_said_once_and_the_run_goes_on(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path / "first", folder_url)

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.info", _reset)
    assert store.find_artifact(BUILD) is None
    assert store.find_artifact(OTHER) is None
    assert not store.has(OTHER)
    assert store.put_artifact(BUILD, CONTENT, {}).path.read_bytes() == CONTENT
    assert caplog.text.count("connection reset by peer") == 1
    assert "the run goes on without it" in caplog.text
    assert names(folder_url) == []


def test_the_next_task_of_a_worker_asks_again(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(tmp_path / "first", folder_url).put_artifact(BUILD, CONTENT, {})
    worker = open_store(tmp_path / "worker", folder_url)
    with monkeypatch.context() as patch, worker.in_use():
        patch.setattr("fsspec.implementations.local.LocalFileSystem.info", _reset)
        assert worker.find_artifact(BUILD) is None
        worker.put_artifact(OTHER, CONTENT, {})
    with worker.in_use():
        assert worker.find_artifact(BUILD) is not None
        assert worker.find_artifact(OTHER) is not None
    assert names(folder_url) == [f"artifacts/{digest}" for digest in (BUILD, OTHER)]


def test_what_was_made_before_there_was_such_a_place_is_put_there_when_it_is_used(
    url: str, tmp_path: Path
) -> None:
    alone = Store(tmp_path / "store")
    for digest in (BUILD, OTHER):
        alone.put_artifact(digest, CONTENT, {})
    put_source(alone)
    store = open_store(tmp_path / "store", url)
    with store.in_use():
        assert store.find_artifact(BUILD) is not None
        assert store.find_source(SHA256, "x-1.tar.gz") is not None
    assert names(url) == [f"artifacts/{BUILD}", f"sources/{SHA256}/x-1.tar.gz"]


def test_a_full_place_is_still_read(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(tmp_path / "first", folder_url).put_artifact(BUILD, CONTENT, {})
    store = open_store(tmp_path / "second", folder_url)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.put_file", refuse)
    store.put_artifact(OTHER, CONTENT, {})
    store.put_artifact("3" * 64, CONTENT, {})
    assert caplog.text.count("nothing more is put there") == 1
    assert store.find_artifact(BUILD) is not None


@pytest.mark.whole
def test_what_cannot_be_written_is_only_read(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    where = f"s3://matrixctl/{os.urandom(6).hex()}"
    _log_in(monkeypatch, bucket, "writer")
    open_store(tmp_path / "first", where).put_artifact(BUILD, CONTENT, {})
    _log_in(monkeypatch, bucket, "reader")
    store = open_store(tmp_path / "second", where)
    assert "can be read, not written: nothing is put there" in caplog.text
    assert store.find_artifact(BUILD) is not None
    store.put_artifact(OTHER, CONTENT, {})
    assert names(where) == [f"artifacts/{BUILD}"]


def test_who_has_to_write_there_is_refused_where_it_can_only_be_read(
    folder_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Remote, "_create", refuse)
    assert open_store(tmp_path / "store", folder_url).find_artifact(BUILD) is None
    with pytest.raises(MatrixctlError, match="can be read, not written") as caught:
        open_store(tmp_path / "store", folder_url, write=True)
    assert "may write there" in str(caught.value)


@pytest.mark.whole
def test_wrong_credentials_are_a_sentence(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _log_in(monkeypatch, bucket, "writer", secret="another")
    with pytest.raises(MatrixctlError, match="s3://matrixctl/x cannot be used: ") as caught:
        open_store(tmp_path / "store", "s3://matrixctl/x")
    assert "Credentials come from the environment" in str(caught.value)
    assert "another" not in str(caught.value)


@pytest.mark.whole
def test_a_server_that_is_not_there_is_a_sentence(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _log_in(monkeypatch, bucket, "writer")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(MatrixctlError, match="Could not connect to the endpoint"):
        open_store(tmp_path / "store", "s3://matrixctl/x")


def test_a_server_that_does_not_keep_the_first_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def overwrite(self: Remote, name: str, file: Path) -> bool:
        self._files.pipe_file(self._locate(name), file.read_bytes())
        return True

    monkeypatch.setattr(Remote, "_create", overwrite)
    open_store(tmp_path / "store", "memory://ignores-it")
    assert "does not keep the first of two files of one name" in caplog.text


def test_a_place_that_gives_back_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def garble(self: Remote, name: str, _: Path) -> bool:
        self._files.pipe_file(self._locate(name), b"something else")
        return True

    monkeypatch.setattr(Remote, "_create", garble)
    with pytest.raises(MatrixctlError, match="does not give back what was just put there"):
        open_store(tmp_path / "store", "memory://garbles")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:se/cret@bucket/x", "password"),
        ("s3://key:secret@bucket", "password"),
        ("bucket/prefix", "no URL of a store"),
        ("/a/folder", "no URL of a store"),
        ("", "no URL of a store"),
        ("simplecache::s3://bucket", "no URL of a store"),
        ("s3://bucket/x?token=secret", "no URL of a store"),
        ("gopher://bucket", "cannot be a store"),
        ("http://[::1", "no URL"),
    ],
)
def test_a_url_that_is_none_is_a_sentence(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        connect_remote(url)
    assert "secret" not in str(caught.value)
    assert "cret@" not in str(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match="fsspec, which is not installed") as caught:
        connect_remote("s3://bucket")
    assert remote.INSTALL in str(caught.value)
    assert "pip install matrixctl" not in str(caught.value)


@pytest.mark.whole
def test_nothing_of_it_is_imported_without_the_option() -> None:
    code = "import sys, orchestrator.cli.main, orchestrator.cli.run; sys.exit('fsspec' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


# What goes


def age(folder: Path, days: float) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - days * DAY,) * 2)


def test_pruning_takes_the_oldest_and_spares_a_day(folder_url: str, tmp_path: Path) -> None:
    store, there = open_store(tmp_path / "store", folder_url), tmp_path / "there"
    for number, days in enumerate((30, 10, 2)):
        store.put_artifact(str(number) * 64, os.urandom(10_000), {})
        age(there / "artifacts" / (str(number) * 64), days)
        os.utime(there / "artifacts" / (str(number) * 64), (time.time() - days * DAY,) * 2)
    store.put_artifact("9" * 64, os.urandom(10_000), {})
    dry = prune_remote(folder_url, Bounds(before=time.time() - 20 * DAY, max_size=None), keep=True)
    assert [item.path.name for item in dry.gone] == ["0" * 64]
    assert len(names(folder_url)) == 4
    assert prune_remote(folder_url, Bounds(before=time.time() - 20 * DAY, max_size=None)) == dry
    assert len(names(folder_url)) == 3
    large = prune_remote(folder_url, Bounds(before=None, max_size=22_000))
    assert [item.path.name for item in large.gone] == ["1" * 64]
    rest = prune_remote(folder_url, Bounds(before=time.time() + DAY, max_size=0))
    assert [item.path.name for item in rest.gone] == ["2" * 64]
    assert rest.stays > 10_000
    assert names(folder_url) == [f"artifacts/{'9' * 64}"]


def test_what_was_pruned_while_a_run_went_on_is_made_again(folder_url: str, tmp_path: Path) -> None:
    open_store(tmp_path / "first", folder_url).put_artifact(BUILD, CONTENT, {})
    second = open_store(tmp_path / "second", folder_url)
    assert second.has(BUILD)
    connect_remote(folder_url).remove(f"artifacts/{BUILD}")
    connect_remote(folder_url).remove(f"artifacts/{BUILD}")  # by somebody else, too
    assert second.find_artifact(BUILD) is None
    assert second.put_artifact(BUILD, CONTENT, {}).path.exists()


def test_an_export_of_one_thing_takes_no_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for digest in (BUILD, OTHER):
        store.put_artifact(digest, CONTENT, {})
    export(store, WantedItems(artifacts=[BUILD, OTHER], sources=(), caches=()), tmp_path / "both")
    with pytest.raises(UsageError, match=f"it has artifacts/{BUILD}, artifacts/{OTHER} in it"):
        bundle.import_(Store(tmp_path / "other"), tmp_path / "both", only=f"artifacts/{BUILD}")
