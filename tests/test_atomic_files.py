"""Half-made files and scratch folders: gone when their process is dead, untouched while it lives."""

import os
import signal
import subprocess
import tempfile
import tracemalloc
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from another_process import another_process

from orchestrator import atomic_files
from orchestrator.atomic_files import (
    read_limited,
    scratch_folder,
    sweep_half_made,
    sweep_scratch,
    write_atomically,
)

WORKS = """
import sys, time
from pathlib import Path
from orchestrator import atomic_files
folder = Path(sys.argv[1])
opened = atomic_files._half_made(folder / "run.json")
with atomic_files.scratch_folder(folder) as scratch, opened as (file, path):
    (scratch / "deep").mkdir()
    (scratch / "deep" / "archive.tar").write_bytes(b"half")
    file.write(b"half"); file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


def at_work(folder: Path) -> AbstractContextManager["subprocess.Popen[str]"]:
    """Another process in the middle of a file and of a scratch folder."""
    return another_process(WORKS, str(folder))


def sweep(folder: Path) -> set[Path]:
    return {*sweep_scratch(folder), *sweep_half_made(folder.iterdir())}


def test_what_is_half_made_goes_when_its_process_was_killed_and_not_before(tmp_path: Path) -> None:
    strange = {tmp_path / ".run.json.swp", tmp_path / "matrixctl-scratch.d", tmp_path / ".run.json.12-xyz"}
    for path in strange:
        path.write_bytes(b"somebody's")
    with at_work(tmp_path) as process:
        made = set(tmp_path.iterdir()) - strange
        assert len(made) == 2
        assert sweep(tmp_path) == set()
        assert set(sweep_scratch(tmp_path, dry_run=True)) == set()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert set(sweep_scratch(tmp_path, dry_run=True)) < made
        assert set(tmp_path.iterdir()) == made | strange, "a dry run only says"
        assert sweep(tmp_path) == made
    assert set(tmp_path.iterdir()) == strange


def test_a_link_of_such_a_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"x")
    (tmp_path / "matrixctl-scratch-abcdefgh").symlink_to(tmp_path / "kept")
    (tmp_path / ".x.1-0123abcd").symlink_to(tmp_path / "kept" / "file")
    assert sweep(tmp_path) == set()
    assert (tmp_path / "kept" / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_stay(tmp_path: Path) -> None:
    (tmp_path / "matrixctl-scratch-abcdefgh").mkdir()
    (tmp_path / ".x.1-0123abcd").write_bytes(b"x")
    for path in tmp_path.iterdir():
        os.chown(path, 12345, 12345)
    assert sweep(tmp_path) == set()
    for path in tmp_path.iterdir():
        os.chown(path, os.geteuid(), -1)
    assert len(sweep(tmp_path)) == 2


def test_a_sweeper_that_comes_between_making_and_locking_costs_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = atomic_files._claim, []

    def claimed(descriptor: int, path: Path) -> bool:
        calls.append(path)
        if len(calls) == 1:
            assert sweep(tmp_path) == {path}
        return real(descriptor, path)

    monkeypatch.setattr(atomic_files, "_claim", claimed)
    with scratch_folder(tmp_path) as folder:
        assert folder.is_dir()
    calls.clear()
    write_atomically(tmp_path / "run.json", b"whole")
    assert (tmp_path / "run.json").read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]


def test_so_does_one_that_comes_before_the_folder_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.mkdtemp
    made: list[Path] = []

    def mkdtemp(**options: Any) -> str:
        made.append(Path(real(**options)))
        if len(made) == 1:
            assert sweep(tmp_path) == {made[0]}
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    with scratch_folder(tmp_path) as folder:
        assert folder == made[1]
        assert sweep(tmp_path) == set()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_behind_a_link_is_written_to_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link" / "x", b"1")
    assert (tmp_path / "real" / "x").read_bytes() == b"1"


@pytest.mark.parametrize(("limit", "size"), [(0, 1), (2, 3), (3, 3), (1 << 29, 3)])
def test_a_file_is_read_up_to_its_limit_and_takes_no_more_room_than_it_has(
    tmp_path: Path, limit: int, size: int
) -> None:
    (tmp_path / "small").write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert read_limited(tmp_path / "small", limit) == b"abc"[:size]
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


def test_a_file_of_several_pieces_is_read_whole(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "large").write_bytes(content)
    assert read_limited(tmp_path / "large", len(content)) == content
    assert read_limited(tmp_path / "large", len(content) - 1) == content
    assert read_limited(tmp_path / "large", (2 << 20) - 1) == content[: 2 << 20]
