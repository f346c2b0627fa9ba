"""What clean may take; with a real engine: tests/containers/test_leftovers.py."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_samples import matrixctl, process
from click.testing import CliRunner

from orchestrator.cli.clean import clean
from orchestrator.cli.main import main
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import owner
from orchestrator.execute.store.shared import open_store
from orchestrator.execute.store.store import Store
from orchestrator.report.units import format_size

DIGEST = "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "cache" / "matrixctl")
    made.put_artifact(DIGEST, b"tar", {})
    made.locate_ccache("haproxy").write_bytes(b"cache")
    with made.scratch() as scratch:
        (scratch / "h").write_text("hello")
        made.put_source(scratch / "h", sha256="2" * 64, file="h.tar.gz", origin="test")
    return made


def files(store: Store) -> set[str]:
    return {path.name for path in store.root.rglob("*") if path.is_file() and "locks" not in path.parts}


def test_the_store_is_emptied_of_artifacts_and_caches_alone(tmp_path: Path, store: Store) -> None:
    done = matrixctl("clean", "--store", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        f"removed {store.root}/artifacts/{DIGEST}",
        f"removed {store.root}/ccache/haproxy.tar",
    ]
    assert files(store) == {".gitignore", "origin", "h.tar.gz"}
    assert done.returncode == 4, "without an engine it cannot tell what containers there are"
    assert "No Docker engine answers" in done.stderr


def test_a_dry_run_only_says(tmp_path: Path, store: Store) -> None:
    before = files(store)
    done = matrixctl("clean", "--dry-run", "--store", str(store.root), cwd=tmp_path)
    assert [line.split(maxsplit=2)[:2] for line in done.stdout.splitlines()] == [["would", "remove"]] * 2
    assert files(store) == before


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--keep-days", "1")])
def test_where_there_is_no_store_none_is_made(tmp_path: Path, more: tuple[str, ...]) -> None:
    done = matrixctl("clean", "--store", str(tmp_path / "mistyped"), *more, cwd=tmp_path)
    assert f"there is no store in {tmp_path / 'mistyped'}" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "mistyped").exists()


def test_a_store_that_a_run_uses_stays(tmp_path: Path, store: Store) -> None:
    before = files(store)
    with store.in_use():
        done = matrixctl("clean", "--store", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (4, "")
        assert "a run uses the store" in done.stderr
        with Store(store.root).in_use(), pytest.raises(MatrixctlError):
            store.empty()
    assert files(store) == before
    assert len(store.empty()) == 2


def test_an_owner_is_alive_as_long_as_its_process() -> None:
    mine = owner.make_labels("run")
    assert mine["matrixctl"] == "run"
    assert owner.is_alive(mine) is True
    code = (
        "from orchestrator.execute.engine import owner; "
        "print(owner.make_labels('')[owner.OWNER], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        labels = {owner.OWNER: other.stdout.readline().strip()}
        assert owner.is_alive(labels) is True
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_alive(labels) is False, "a process that is dead and not yet waited for holds nothing"
    assert owner.is_alive(labels) is False


def test_a_process_that_proc_hides_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = owner.make_labels("run")

    def refuse(_: int, __: int) -> None:
        raise PermissionError

    with monkeypatch.context() as hidden:
        hidden.setattr(owner, "_PROC", tmp_path)  # as with hidepid=2
        hidden.setattr(os, "kill", refuse)
        assert owner.is_alive(label) is None
    assert owner.is_alive(label) is True


def test_a_process_id_that_is_used_again_is_another_owner() -> None:
    label = owner.make_labels("run")[owner.OWNER]
    assert owner.is_alive({owner.OWNER: label.rpartition(".")[0] + ".1"}) is False


@pytest.mark.parametrize("label", ["", "x", "..", "other-boot.1.2.3", "\0.\0.\0"])
def test_what_cannot_be_judged_from_here_is_not_taken_for_dead(label: str) -> None:
    assert owner.is_alive({owner.OWNER: label}) is None
    assert owner.is_alive({}) is None
    mine = owner.make_labels("run")[owner.OWNER].split(".")
    assert owner.is_alive({owner.OWNER: ".".join([mine[0], "1", *mine[2:]])}) is None, "another pid namespace"
    assert owner.is_alive({owner.OWNER: ".".join(mine[:2])}) is None


def prunes(tmp_path: Path, store: Store, *options: str) -> tuple[str, str]:
    done = matrixctl("clean", "--store", str(store.root), *options, cwd=tmp_path)
    return done.stdout.replace(str(store.root), "STORE"), done.stderr


def test_pruning_says_what_goes_its_size_and_the_sum(tmp_path: Path, store: Store) -> None:
    store.locate_log(DIGEST).write_bytes(b"x" * 2000)
    folder = store.root / "artifacts" / DIGEST
    os.utime(folder, (86400, 86400))
    size = sum(path.stat().st_size for path in folder.iterdir()) + 2000
    would, _ = prunes(tmp_path, store, "--keep-days", "30", "--dry-run")
    line = f"STORE/artifacts/{DIGEST} ({size / 1024:.1f} KiB, last used 1970-01-02)"
    assert would.splitlines() == [
        f"would remove {line}",
        f"would remove 1 thing, {size / 1024:.1f} KiB; 17 B stay",
    ]
    did, _ = prunes(tmp_path, store, "--keep-days", "30")
    assert did == would.replace("would remove", "removed")
    assert files(store) == {".gitignore", "origin", "h.tar.gz", "haproxy.tar"}


def test_a_size_that_tarballs_alone_exceed_is_said(tmp_path: Path, store: Store) -> None:
    stdout, stderr = prunes(tmp_path, store, "--max-size", "0")
    assert "removed 2 things" in stdout
    assert "the store is still larger than 0 B: tarballs, and what a run works with, stay" in stderr
    assert files(store) == {".gitignore", "origin", "h.tar.gz"}


@pytest.mark.parametrize(
    "text", ["", "x", "-1G", "20X", "1.G", "G", "1e9", "20 G B", "9" * 30, "\u0662G", "\x1b[2J"]
)
def test_no_size_is_an_error_with_an_example(store: Store, text: str) -> None:
    before = files(store)
    done = CliRunner().invoke(main, ["clean", "--store", str(store.root), "--max-size", text])
    assert done.exit_code == 2
    assert "is no size; write a number and a unit: 500M, 20G, 1.5T" in " ".join(done.stderr.split())
    assert "\x1b" not in done.stderr
    assert files(store) == before


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("12", 12), ("1k", 1024), ("1.5MiB", 3 << 19), (" 20 GB ", 20 << 30)]
)
def test_sizes_are_binary_as_they_are_shown(text: str, size: int) -> None:
    (option,) = [param for param in clean.params if param.name == "max_size"]
    assert option.process_value(click.Context(clean), text) == size


def test_days_and_size_are_of_the_store(tmp_path: Path) -> None:
    done = matrixctl("clean", "--keep-days", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert "Add --store" in done.stderr


def test_clean_takes_what_a_dead_process_left_half_made(tmp_path: Path, store: Store) -> None:
    run = tmp_path / "reports" / "20260102-030405-abcd"
    (run / "cells").mkdir(parents=True)
    (run / "journal.jsonl").write_bytes(b"")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    half = [run / "cells" / ".log.12-0123abcd", store.root / "logs" / ".1.log.12-0123abcd"]
    for path in half:
        path.write_bytes(b"half")
    folders = [place / "matrixctl-scratch-abcdefgh" for place in (store.root / "tmp", temporary)]
    for path in folders:
        path.mkdir()
    (temporary / "matrixctl-scratch").mkdir()
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(temporary)}
    said = process("clean", "--dry-run", cwd=tmp_path, env=env).stdout
    assert all(path.exists() for path in (*half, *folders))
    assert process("clean", cwd=tmp_path, env=env).stdout == said.replace("would remove", "removed")
    assert len(said.splitlines()) == 4
    assert not any(path.exists() for path in (*half, *folders))
    assert [path.name for path in temporary.iterdir()] == ["matrixctl-scratch"]


@pytest.mark.parametrize("pid", ["9" * 5000, "\u00b2", "-1", "", "1 "])
def test_a_label_that_names_no_process_tells_nothing(pid: str) -> None:
    boot, namespace, _, start = owner.make_labels("")[owner.OWNER].split(".")
    assert owner.is_alive({owner.OWNER: f"{boot}.{namespace}.{pid}.{start}"}) is None


def test_a_remote_store_is_pruned_without_an_engine(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/there"
    open_store(tmp_path / "mine", url).put_artifact(DIGEST, b"tar", {})
    kept = tmp_path / "there" / "artifacts" / DIGEST
    os.utime(kept, (86400, 86400))
    line = f"artifacts/{DIGEST} ({format_size(kept.stat().st_size)}, put there 1970-01-02)"
    for more, word in (("--dry-run", "would remove"), ("--keep-days=30", "removed")):
        done = matrixctl("clean", "--remote-store", url, "--keep-days", "30", more, cwd=tmp_path)
        assert done.stdout.splitlines()[0] == f"{word} {line}"
        assert done.returncode == 0
    assert not kept.exists()
    assert Store(tmp_path / "mine").find_artifact(DIGEST) is not None


def test_of_a_remote_store_it_must_be_said_what_goes(tmp_path: Path) -> None:
    done = matrixctl("clean", "--remote-store", f"file://{tmp_path}/there", cwd=tmp_path)
    assert done.returncode == 2
    assert "Add --keep-days N or --max-size SIZE" in done.stderr


def test_a_password_in_the_url_is_refused_and_never_shown(tmp_path: Path) -> None:
    done = matrixctl("clean", "--remote-store", "s3://key:se/cret@bucket", "--keep-days", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "the URL has a password in it" in done.stderr
    assert "cret" not in done.stdout + done.stderr
