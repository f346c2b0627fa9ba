"""A working tree becomes a tar that its content decides alone."""

import os
import tarfile
import time
from pathlib import Path

import pytest
from git_samples import Repository

from orchestrator.atomic_files import SITE_MANIFEST, hash_file
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.sources import tree
from orchestrator.execute.sources.unpinned import fetch
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    (made / "src").mkdir(parents=True)
    (made / "src" / "main.c").write_text("int main;\n")
    (made / "configure").write_text("#!/bin/sh\n")
    (made / "configure").chmod(0o755)
    (made / "link").symlink_to("src/main.c")
    return made


def pack(folder: Path, to: Path) -> str:
    tree.pack(folder, to, prefix="haproxy", deadline=time.monotonic() + 30)
    return hash_file(to)


def names(to: Path) -> dict[str, str]:
    with tarfile.open(to) as tar:
        return {
            entry.name.removeprefix("haproxy/"): f"{entry.mode:o} {entry.linkname}".strip() for entry in tar
        }


def refusal(folder: Path, to: Path) -> str:
    with pytest.raises(SourceUnreachableError) as caught:
        pack(folder, to)
    return caught.value.brief


def test_what_is_ours_is_no_part_of_the_source(folder: Path, tmp_path: Path) -> None:
    before = pack(folder, tmp_path / "1.tar")
    (folder / "matrix.yaml").write_text("# what matrixctl init writes\n")
    (folder / "public").mkdir()
    (folder / "public" / SITE_MANIFEST).write_text("{}")
    (folder / "public" / "index.html").write_text("a dashboard")
    assert pack(folder, tmp_path / "2.tar") == before
    (folder / "src" / "matrix.yaml").write_text("a file of the source")
    assert pack(folder, tmp_path / "3.tar") != before


def test_content_decides_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path / "1.tar")
    assert names(tmp_path / "1.tar") == {"configure": "755", "link": "777 src/main.c", "src/main.c": "644"}
    os.utime(folder / "configure", (1, 1))
    (folder / "src" / "main.c").chmod(0o600)
    (folder / "src" / "main.o").write_bytes(b"an object")
    assert pack(folder, tmp_path / "2.tar") == first
    (folder / "src" / "main.c").write_text("int mein;\n")
    second = pack(folder, tmp_path / "3.tar")
    (folder / "src" / "main.c").chmod(0o755)
    assert len({first, second, pack(folder, tmp_path / "4.tar")}) == 3


def test_a_git_tree_is_what_git_would_see(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "work")
    repository.commit(tracked="1", gone="1", __gitignore="*.x\n")
    for name in ("untracked", "ignored.x", "untracked.o"):
        (repository.folder / name).write_text("1")
    (repository.folder / "gone").unlink()
    before = pack(repository.folder, tmp_path / "1.tar")
    assert set(names(tmp_path / "1.tar")) == {"tracked", "untracked", "untracked.o", ".gitignore"}
    (repository.folder / "ignored.x").write_text("2")
    repository.git("commit", "--quiet", "--allow-empty", "--message", "nothing in it")
    assert pack(repository.folder, tmp_path / "2.tar") == before, "neither ignored files nor commits count"
    (repository.folder / "untracked").write_text("2")
    assert pack(repository.folder, tmp_path / "3.tar") != before


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "src/../../outside", "src/up"])
def test_a_link_out_of_the_tree_is_refused(folder: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("secret")
    if target == "src/up":
        (folder / "src" / "up").symlink_to("../../outside")
    (folder / "bad").symlink_to(target)
    assert "a link that leads out of the tree" in refusal(folder, tmp_path / "x.tar")


def test_a_link_to_a_folder_stays_a_link(folder: Path, tmp_path: Path) -> None:
    (folder / "other").symlink_to("src")
    pack(folder, tmp_path / "x.tar")
    assert names(tmp_path / "x.tar")["other"] == "777 src"


def test_what_is_no_tree(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = tmp_path / "x.tar"
    assert "is no folder" in refusal(tmp_path / "gone", to)
    (tmp_path / "empty").mkdir()
    assert "has no files" in refusal(tmp_path / "empty", to)
    monkeypatch.setattr(tree, "MAX_FILES", 2)
    assert "is too large: 3 files" in refusal(folder, to)
    monkeypatch.setattr(tree, "MAX_FILES", 100)
    monkeypatch.setattr(tree, "MAX_BYTES", 3)
    assert "is too large" in refusal(folder, to)
    os.mkfifo(folder / "pipe")
    assert "neither a file nor a link" in refusal(folder, to)


def test_a_tree_that_changes_while_it_is_read_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an editor does between the first look and the second."""
    really = tree._write

    def disturbed(*args: object) -> None:
        really(*args)  # type: ignore[arg-type]
        (folder / "src" / "new.c").write_text("")

    monkeypatch.setattr(tree, "_write", disturbed)
    assert refusal(folder, tmp_path / "x.tar") == f"{folder} changes while it is read"


def test_a_file_that_grows_while_it_is_read_is_told(folder: Path, tmp_path: Path) -> None:
    (entry,) = [one for one in tree._look(folder, time.monotonic() + 30) if one.path == "src/main.c"]
    (folder / "src" / "main.c").write_text("int main; and more\n")
    with pytest.raises(SourceUnreachableError, match="changes while it is read"):
        tree._write(folder, [entry], tmp_path / "x.tar", "x")
    (tmp_path / "secret").write_text("x" * entry.size)
    (folder / "src" / "main.c").unlink()
    (folder / "src" / "main.c").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceUnreachableError, match="changes while it is read"):
        tree._write(folder, [entry], tmp_path / "x.tar", "x")


def test_a_tree_in_the_store_and_its_origin(folder: Path, tmp_path: Path) -> None:
    what = Moving(component="haproxy", version="3.0.11", kind="path", where=str(folder), ref="")
    store = Store(tmp_path / "store")
    got = [
        fetch(
            what,
            store=store,
            mirrors=(),
            deadline=time.monotonic() + 30,
            package=pytest.fail,
        )
        for _ in "12"
    ]
    assert [one.new for one in got] == [True, False]
    assert got[0].source == got[1].source
    assert got[0].origin == f"path: {folder}"


def test_a_name_that_no_file_can_have_makes_no_long_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".git").mkdir()
    files = ["x" * 5000]
    monkeypatch.setattr("orchestrator.execute.sources.git.list_files", lambda _tree, **_: files)
    with pytest.raises(SourceUnreachableError, match="File name too long") as error:
        pack(folder, folder / "x.tar")
    assert len(error.value.brief) < 1000
