"""What pruning takes and what it spares, while runs come, go and die beside it."""

import multiprocessing
import multiprocessing.synchronize
import os
import subprocess
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from another_process import another_process

from orchestrator.atomic_files import hash_file
from orchestrator.errors import MatrixctlError
from orchestrator.execute.store.prune import Item, choose, prune
from orchestrator.execute.store.store import Store

FIRST, SECOND, THIRD = "1" * 64, "2" * 64, "3" * 64
DAY = 24 * 3600.0
RUN = """
import sys, time
from pathlib import Path
from orchestrator.execute.store.store import Store
store = Store(Path(sys.argv[1]))
with store.in_use():
    for digest in sys.argv[2:]:
        store.find_artifact(digest)
    print("ready", flush=True)
    time.sleep(60)
"""


def run_with(store: Store, *digests: str) -> AbstractContextManager["subprocess.Popen[str]"]:
    """Another process whose run works with these digests."""
    return another_process(RUN, str(store.root), *digests)


def aged(path: Path, days: float) -> Path:
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An artifact with its log of 9 days ago, one of 5, one of 1; a compiler cache of 7."""
    made = Store(tmp_path)
    for digest, days in ((FIRST, 9), (SECOND, 5), (THIRD, 1)):
        made.put_artifact(digest, b"x" * 1000, {})
        made.locate_log(digest).write_bytes(b"y" * 500)
        aged(made.root / "artifacts" / digest, days)
    made.locate_ccache("haproxy").write_bytes(b"z" * 300)
    aged(made.locate_ccache("haproxy"), 7)
    return Store(tmp_path)


def names(items: tuple[Item, ...]) -> list[str]:
    return [item.path.name.partition(".")[0][:8] for item in items]


def days_ago(days: float) -> float:
    return time.time() - days * DAY


def test_what_no_run_used_for_days_goes_with_its_log_the_oldest_first(store: Store) -> None:
    assert names(prune(store, before=days_ago(6), max_size=None, keep=True).gone) == ["11111111", "haproxy"]
    assert store.find_artifact(FIRST) is not None, "a dry run only says"
    pruned = prune(store, before=days_ago(6), max_size=None)
    assert names(pruned.gone) == ["11111111", "haproxy"]
    assert not store.locate_log(FIRST).exists()
    left = {path.name for path in store.root.rglob("*") if path.is_file()}
    assert {path.partition(".")[0] for path in left} == {
        *("artifact", "meta", "leases"),
        *(SECOND, THIRD),
    }
    assert pruned.stays == sum(p.stat().st_size for p in store.root.rglob("*") if p.is_file())


def test_a_size_takes_the_least_recently_used_until_the_rest_fits(store: Store) -> None:
    total = prune(store, before=None, max_size=None, keep=True).stays
    assert names(prune(store, before=None, max_size=total, keep=True).gone) == []
    assert names(prune(store, before=None, max_size=total - 1, keep=True).gone) == ["11111111"]
    pruned = prune(store, before=None, max_size=total - 2000)
    assert names(pruned.gone) == ["11111111", "haproxy", "22222222"]
    assert pruned.stays <= total - 2000


def test_use_by_a_run_makes_young_and_a_look_does_not(store: Store) -> None:
    assert Store(store.root).find_artifact(FIRST) is not None
    assert "11111111" in names(prune(store, before=days_ago(6), max_size=None, keep=True).gone)
    with run_with(store, FIRST):
        pass
    assert names(prune(store, before=days_ago(6), max_size=None).gone) == ["haproxy"]


def test_what_a_living_run_works_with_stays_and_goes_when_it_was_killed(store: Store) -> None:
    with run_with(store, FIRST, SECOND) as first, run_with(store, SECOND):
        assert names(prune(store, before=time.time() + 1, max_size=0).gone) == ["haproxy", "33333333"]
        with pytest.raises(MatrixctlError, match="a run uses the store"):
            store.empty()
        first.kill()
        first.wait()
        assert names(prune(store, before=time.time() + 1, max_size=0).gone) == ["11111111"]
    assert list((store.root / "leases").iterdir()) != []
    assert names(prune(store, before=time.time() + 1, max_size=0).gone) == ["22222222"]
    assert list((store.root / "leases").iterdir()) == [], "what dead runs held is forgotten"


def test_the_log_of_a_build_that_goes_on_or_failed_in_a_living_run_stays(store: Store) -> None:
    failed = "4" * 64
    store.locate_log(failed).write_bytes(b"error")
    with run_with(store, failed):
        prune(store, before=time.time() + 1, max_size=None)
        assert store.locate_log(failed).exists()
    prune(store, before=time.time() + 1, max_size=None)
    assert not store.locate_log(failed).exists()


def test_tarballs_stay_and_what_moves_goes_unless_it_is_fetched_now(store: Store) -> None:
    kept = {}
    for origin in ("git: x master -> 1", "https://example.org/x"):
        with store.scratch() as scratch:
            (scratch / "x.tar").write_text(origin)
            sha256 = hash_file(scratch / "x.tar")
            kept[origin] = store.put_source(scratch / "x.tar", sha256=sha256, file="x.tar", origin=origin)
    busy, idle = "busy-0123456789ab.git", "idle-0123456789ab.git"
    for name in (busy, idle):
        (store.git / name).mkdir()
    with store.lock(f"git-{busy}", deadline=time.monotonic()):
        gone = names(prune(store, before=time.time() + 1, max_size=0).gone)
    assert idle[:8] in gone
    assert busy[:8] not in gone
    assert [held.path.exists() for held in kept.values()] == [False, True]
    with store.lock(f"git-{idle}", deadline=time.monotonic()):
        pass


def test_what_the_store_did_not_make_stays_whatever_folder_was_named_as_a_store(store: Store) -> None:
    """As with ``--store ~``."""
    strange = [
        store.root / name for name in ("git/haproxy", "git/x.git", "ccache/0", "artifacts/a", "sources/b")
    ]
    for folder in strange:
        folder.mkdir()
        (folder / "origin").write_text("git: x master -> 1")
    prune(store, before=time.time() + 1, max_size=0)
    store.empty()
    assert store.list_contents() == ()
    assert [(folder / "origin").exists() for folder in strange] == [True] * len(strange)


def test_the_order_is_that_of_use_and_age_counts_beside_size() -> None:
    items = [Item(path=Path(name), size=10, used=used) for name, used in (("c", 3), ("a", 1), ("b", 2))]
    assert names(choose(items, total=30, before=None, max_size=15)) == ["a", "b"]
    assert names(choose(items, total=30, before=2.5, max_size=None)) == ["a", "b"]
    assert names(choose(items, total=30, before=1.5, max_size=25)) == ["a"]
    assert names(choose(items, total=99, before=None, max_size=0)) == ["a", "b", "c"]
    assert names(choose(items, total=30, before=None, max_size=None)) == []


def test_a_run_waits_with_what_it_names_while_a_pruner_chooses(store: Store) -> None:
    found: list[object] = []
    run = Store(store.root)
    with run.in_use():
        asks = threading.Thread(target=lambda: found.append(run.find_artifact(FIRST)))
        with store.leases.alone() as used:
            assert used.runs == 1
            asks.start()
            asks.join(0.3)
            assert asks.is_alive(), "it would be told of an artifact that is about to go"
            store.discard([store.root / "artifacts" / FIRST])
        asks.join(10)
    assert found == [None]


def test_a_task_that_ends_takes_no_lease_from_the_others_of_its_process(store: Store) -> None:
    worker = Store(store.root)
    with worker.in_use():
        with worker.in_use():
            worker.find_artifact(FIRST)
        worker.find_artifact(SECOND)
        with store.leases.alone() as used:
            assert used.digests == {FIRST, SECOND}
            assert used.runs == 1
    with store.leases.alone() as used:
        assert used.runs == 0


ROUNDS = 12


def use_again_and_again(
    root: Path, found: "multiprocessing.SimpleQueue[str]", enough: "multiprocessing.synchronize.Event"
) -> None:
    """A run that takes an artifact for granted once it has asked for it, until enough was pruned."""
    wrong = rounds = 0
    while rounds < ROUNDS or not enough.is_set():
        store = Store(root)
        with store.in_use():
            artifact = store.find_artifact(FIRST) or store.put_artifact(FIRST, b"again", {})
            for _ in range(5):
                wrong += not artifact.path.exists()
                time.sleep(0.001)
        rounds += 1
    found.put(str(wrong))


@pytest.mark.whole
def test_a_pruner_never_takes_what_a_run_was_just_given(tmp_path: Path) -> None:
    """It ends by counts, not by the clock: each run has its rounds, and the pruner has taken some between."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    enough = context.Event()
    users = [
        context.Process(target=use_again_and_again, args=(tmp_path, found, enough), daemon=True)
        for _ in range(2)
    ]
    for user in users:
        user.start()
    store, taken = Store(tmp_path), 0
    while any(user.is_alive() for user in users):
        taken += len(prune(store, before=time.time() + 9, max_size=None).gone)
        if taken > 3:
            enough.set()
    assert [user.exitcode for user in users] == [0, 0]
    assert {found.get() for _ in users} == {"0"}
