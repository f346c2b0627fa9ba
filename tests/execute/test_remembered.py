"""What the store remembers of its files counts for as long as they are there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.atomic_files import hash_file
from orchestrator.execute.store.store import HeldSource, Store


def kept(store: Store) -> HeldSource:
    with store.scratch() as scratch:
        (scratch / "x.tar").write_bytes(b"the bytes")
        sha256 = hash_file(scratch / "x.tar")
        return store.put_source(scratch / "x.tar", sha256=sha256, file="x.tar", origin="here")


def lose_file(held: HeldSource) -> None:
    held.path.unlink()


def lose_folder(held: HeldSource) -> None:
    for path in held.path.parent.iterdir():
        path.unlink()
    held.path.parent.rmdir()


@pytest.mark.parametrize("lose", [lose_file, lose_folder])
@pytest.mark.parametrize("looked", [False, True], ids=["as it was put", "as it was found"])
def test_a_source_whose_file_is_gone_is_no_source(
    tmp_path: Path, lose: Callable[[HeldSource], None], *, looked: bool
) -> None:
    store = Store(tmp_path)
    held = kept(store)
    sha256 = held.path.parent.name
    if looked:
        store = Store(tmp_path)
        assert store.find_source(sha256, "x.tar") is not None
    lose(held)
    assert store.find_source(sha256, "x.tar") is None
    again = kept(store)
    assert store.find_source(sha256, "x.tar") == again


def test_an_artifact_whose_file_is_gone_is_no_artifact(tmp_path: Path) -> None:
    store, digest = Store(tmp_path), "ab" * 32
    store.put_artifact(digest, b"tar", {}).path.unlink()
    assert store.find_artifact(digest) is None
