"""The store: whole or absent, verified, shared by several runs."""

import hashlib
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from orchestrator.atomic_files import hash_file
from orchestrator.cli.log import show_log
from orchestrator.errors import DeadlineError, UsageError
from orchestrator.execute.store.store import Store

DIGEST = "ab" * 32
OTHER = "cd" * 32


def put_source(store: Store, content: bytes, file: str = "x.tar.gz") -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    with store.scratch() as scratch:
        (scratch / "new").write_bytes(content)
        store.put_source(scratch / "new", sha256=sha256, file=file, origin="https://example.org/x")
    return sha256


def test_an_artifact_comes_back_in_another_process(tmp_path: Path) -> None:
    put = Store(tmp_path).put_artifact(DIGEST, b"tar", {"kind": "haproxy", "packages": ["a=1"]})
    got = Store(tmp_path).find_artifact(DIGEST)
    assert got == put
    assert got is not None
    assert got.path.read_bytes() == b"tar"
    assert got.sha256 == hashlib.sha256(b"tar").hexdigest()
    assert got.meta == {"kind": "haproxy", "packages": ["a=1"]}
    assert Store(tmp_path).find_artifact(OTHER) is None


def test_an_artifact_can_come_from_a_file_that_stays(tmp_path: Path) -> None:
    (tmp_path / "out.tar").write_bytes(b"tar")
    artifact = Store(tmp_path / "store").put_artifact(DIGEST, tmp_path / "out.tar", {})
    assert artifact.path.read_bytes() == (tmp_path / "out.tar").read_bytes() == b"tar"


@pytest.mark.parametrize("harm", ["other bytes", "cut meta", "no meta", "meta of another shape", "no tar"])
def test_a_corrupt_artifact_is_absent_removed_and_said(tmp_path: Path, harm: str) -> None:
    folder = Store(tmp_path).put_artifact(DIGEST, b"tar", {}).path.parent
    match harm:
        case "other bytes":
            (folder / "artifact.tar").write_bytes(b"tax")
        case "cut meta":
            (folder / "meta.json").write_bytes(b'{"sha2')
        case "no meta":
            (folder / "meta.json").unlink()
        case "meta of another shape":
            (folder / "meta.json").write_text("[]")
        case _:
            (folder / "artifact.tar").unlink()
    said: list[str] = []
    store = Store(tmp_path)
    with show_log(said.append):
        assert store.find_artifact(DIGEST) is None
    assert said == [f"artifact {DIGEST[:12]} in the store was corrupt and was removed"]
    assert not folder.exists()
    assert store.put_artifact(DIGEST, b"new", {}).path.read_bytes() == b"new"


def test_the_first_artifact_of_a_digest_stands(tmp_path: Path) -> None:
    first = Store(tmp_path).put_artifact(DIGEST, b"first", {})
    second = Store(tmp_path).put_artifact(DIGEST, b"second", {})
    assert second == first
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_corrupt_artifact_gives_way_to_a_new_one(tmp_path: Path) -> None:
    Store(tmp_path).put_artifact(DIGEST, b"first", {}).path.write_bytes(b"harm")
    assert Store(tmp_path).put_artifact(DIGEST, b"second", {}).path.read_bytes() == b"second"


def test_an_artifact_is_hashed_once_per_process(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.put_artifact(DIGEST, b"tar", {}).path
    path.write_bytes(b"tax")
    assert store.find_artifact(DIGEST) is not None  # known to be good from before
    path.unlink()
    assert store.find_artifact(DIGEST) is None  # but never where it is gone


def test_threads_that_put_the_same_digest_agree(tmp_path: Path) -> None:
    content = {name: os.urandom(200_000) for name in range(8)}
    results = []

    def work(name: int) -> None:
        results.append(Store(tmp_path).put_artifact(DIGEST, content[name], {"name": name}))

    threads = [threading.Thread(target=work, args=(name,)) for name in content]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert {result.sha256 for result in results} == {results[0].sha256}
    assert results[0].path.read_bytes() == content[results[0].meta["name"]]


def test_a_source_is_verified_when_read(tmp_path: Path) -> None:
    sha256 = put_source(Store(tmp_path), b"source")
    held = Store(tmp_path).find_source(sha256, "x.tar.gz")
    assert held is not None
    assert (held.path.read_bytes(), held.origin) == (b"source", "https://example.org/x")
    assert Store(tmp_path).find_source(sha256, "other.tar.gz") is None
    held.path.write_bytes(b"soured")
    said: list[str] = []
    with show_log(said.append):
        assert Store(tmp_path).find_source(sha256, "x.tar.gz") is None
    assert said == ["x.tar.gz in the store had other bytes than its digest says and was removed"]
    assert not held.path.exists()


def test_a_corrupt_file_of_a_source_takes_no_other_with_it(tmp_path: Path) -> None:
    sha256 = put_source(Store(tmp_path), b"source", "a.tar.gz")
    put_source(Store(tmp_path), b"source", "b.tar.gz")
    (tmp_path / "sources" / sha256 / "a.tar.gz").write_bytes(b"soured")
    store = Store(tmp_path)
    assert store.find_source(sha256, "a.tar.gz") is None
    held = store.find_source(sha256, "b.tar.gz")
    assert held is not None
    assert (held.path.read_bytes(), held.origin) == (b"source", "https://example.org/x")


@pytest.mark.parametrize("file", ["origin", "Origin"])
def test_a_source_may_have_the_name_of_the_note_beside_it(tmp_path: Path, file: str) -> None:
    sha256 = put_source(Store(tmp_path), b"source", file)
    held = Store(tmp_path).find_source(sha256, file)
    assert held is not None
    assert (held.path.read_bytes(), held.origin) == (b"source", "https://example.org/x")


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a..b", "x\n"])
def test_no_name_leads_out_of_the_store(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="no safe file name"):
        store.locate_ccache(name)
    with pytest.raises(ValueError, match="no safe file name"):
        store.find_source(DIGEST, name)
    with pytest.raises(ValueError, match="no SHA-256"):
        store.find_artifact(name)
    with pytest.raises(ValueError, match="no SHA-256"):
        store.locate_log(name)


def test_where_things_lie(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.locate_log(DIGEST) == tmp_path / "logs" / f"{DIGEST}.log"
    assert store.locate_ccache("amd64") == tmp_path / "ccache" / "amd64.tar"
    assert store.images == tmp_path / "images"


def test_a_store_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written"):
        Store(tmp_path / "file" / "store")


def test_durations_are_remembered_and_a_broken_file_is_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find_duration("haproxy", "a") is None
    store.record_duration("haproxy", "a", 12.34567)
    store.record_duration("haproxy", "b", 1)
    store.record_duration("tls", "a", 2)
    assert Store(tmp_path).find_duration("haproxy", "a") == 12.346
    assert Store(tmp_path).find_duration("tls", "a") == 2
    for broken in ("{", "[]", '{"haproxy": 1}', '{"haproxy": {"a": "x"}}', '{"haproxy": {"a": -1}}'):
        (tmp_path / "durations.json").write_text(broken)
        assert store.find_duration("haproxy", "a") is None
        store.record_duration("haproxy", "a", 3)
        assert store.find_duration("haproxy", "a") == 3


def test_no_duration_is_lost_between_threads(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=Store(tmp_path).record_duration, args=("kind", str(number), number))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((tmp_path / "durations.json").read_bytes())["kind"].keys() == set(map(str, range(12)))


def hold(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with Store(root).lock(DIGEST, deadline=time.monotonic() + 5):
        ready.set()
        time.sleep(60)


def test_the_lock_excludes_another_process_until_it_dies(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready))
    other.start()
    try:
        assert ready.wait(30)
        said: list[str] = []
        store = Store(tmp_path)
        with (
            show_log(said.append),
            pytest.raises(DeadlineError, match="another run still works on"),
            store.lock(DIGEST, deadline=time.monotonic() + 0.3),
        ):
            pytest.fail("entered a lock that another process holds")
        assert said == [f"waiting for another run that works on {DIGEST}"]
        with store.lock(OTHER, deadline=time.monotonic()):
            pass
    finally:
        other.kill()
        other.join()
    with store.lock(DIGEST, deadline=time.monotonic() + 5):
        pass


def test_the_lock_excludes_another_thread(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with (
        store.lock("x", deadline=time.monotonic()),
        pytest.raises(DeadlineError),
        store.lock("x", deadline=time.monotonic()),
    ):
        pytest.fail("entered twice")


def test_what_moves_goes_with_the_artifacts_and_tarballs_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = {}
    for origin in ("git: x master -> 1", "path: ../x", "prebuilt: x.deb", "https://example.org/x", "mirror"):
        with store.scratch() as scratch:
            file = scratch / "x.tar"
            file.write_text(origin)
            sha256 = hash_file(file)
            kept[origin] = store.put_source(file, sha256=sha256, file="x.tar", origin=origin).path.parent
    (store.git / "x-0123456789ab.git").mkdir()
    gone = {store.git / "x-0123456789ab.git", *(kept[origin] for origin in list(kept)[:3])}
    assert set(store.list_contents()) == gone
    assert set(store.empty()) == gone
    assert {path.exists() for path in gone} == {False}
    assert {path.exists() for path in list(kept.values())[3:]} == {True}


def test_an_origin_that_a_crash_damaged_keeps_the_source(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.scratch() as scratch:
        (scratch / "x").write_bytes(b"source")
        sha256 = hash_file(scratch / "x")
        held = store.put_source(scratch / "x", sha256=sha256, file="x.tar", origin="mirror")
    (held.path.parent / "origin").write_bytes(b"\xff\0")
    found = Store(tmp_path).find_source(sha256, "x.tar")
    assert found is not None
    assert found.path == held.path
    assert Store(tmp_path).list_contents() == ()
