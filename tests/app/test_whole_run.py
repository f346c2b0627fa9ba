"""A whole run, composition included: real actions, on an engine that answers as a good one would."""

from pathlib import Path

import pytest
from engine_run import EngineRun, Programs, chosen
from whole_run import summed

from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import RunRecord

CELLS = chosen("arch=amd64", "tls=openssl-3.5.7", "cipher!=TLS_AES_128_CCM_SHA256")


def run_in(folder: Path, programs: Programs, *, name: str = "run") -> EngineRun:
    """A run whose sources have to be fetched."""
    return EngineRun(folder, CELLS, programs=programs, name=name, fetches=True)


def statuses(record: RunRecord) -> dict[str, str]:
    return {f"{one.kind} {one.name}": one.status for one in record.actions if one.kind != "image"}


NAMES = (
    *("source openssl-3.5.7", "tls openssl-3.5.7--amd64", "source haproxy-3.0.11"),
    *("haproxy haproxy-3.0.11--openssl-3.5.7--amd64", "selftest selftest--openssl-3.5.7--amd64"),
    "probe haproxy-3.0.11--openssl-3.5.7--amd64",
)


def test_everything_is_fetched_built_and_judged_once(tmp_path: Path) -> None:
    programs = Programs()
    made = run_in(tmp_path, programs)
    record = made.go()
    assert (summed(record), record.run.exit_code) == ([(Outcome.PASS, None)], 0)
    assert statuses(record) == dict.fromkeys(NAMES, "succeeded")
    assert sorted(programs.ran) == ["build"] * 3 + ["driver", "proof", "selftest"]
    assert all(one.digest for one in record.actions if one.kind in {"tls", "haproxy", "selftest"})
    assert {one.build.digest for one in record.cells} == {
        one.digest for one in record.actions if one.kind == "haproxy"
    }
    assert (made.engine.left, made.tracebacks) == (set(), [])


def test_a_second_run_finds_all_in_the_store(tmp_path: Path) -> None:
    run_in(tmp_path, Programs()).go()
    programs = Programs()
    record = run_in(tmp_path, programs, name="again").go()
    assert summed(record) == [(Outcome.PASS, None)]
    assert statuses(record) == {**dict.fromkeys(NAMES, "cached"), NAMES[-1]: "succeeded"}
    assert "build" not in programs.ran


@pytest.mark.parametrize(
    ("breaks", "reason", "exit_code"),
    [
        ("build", Reason.BUILD_FAILED, 1),
        ("proof", Reason.ENGINE_UNAVAILABLE, 4),
        ("driver", Reason.ENGINE_UNAVAILABLE, 4),
    ],
)
def test_what_breaks_reaches_every_cell(tmp_path: Path, breaks: str, reason: Reason, exit_code: int) -> None:
    made = run_in(tmp_path, Programs(breaks=breaks))
    record = made.go()
    assert {one.reason for one in record.cells} == {reason}
    assert (record.run.exit_code, made.engine.left) == (exit_code, set())


def test_what_each_build_says_of_itself_is_kept_once_and_named_by_its_cells(tmp_path: Path) -> None:
    made = run_in(tmp_path, Programs())
    record = made.go()
    (kept,) = (made.folder / "run" / "builds").iterdir()
    assert {one.build.vv for one in record.cells} == {f"builds/{kept.name}"}
    assert kept.read_text().startswith("HAProxy version 3.0.11")
