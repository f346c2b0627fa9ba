"""kill -9 at random moments of a run, resumed each time: the same verdicts, nothing lost, nothing left.

A run builds HAProxy (its compiler's cache is warm; its artifacts are there unless the build is to be killed)
and probes the cells of one build. The moments are drawn from three phases, whose lengths an undisturbed run
gives: from the first compile to the first cell, to the last cell, and from there to the end of the process.
The session ends with a line of what was counted. It and every failure name the seed; MATRIXCTL_TEST_SEED
repeats the moments of an earlier time.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from conftest import Runner, Tell, link_store

from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.check_count import find_complaints
from orchestrator.record.fold import fold
from orchestrator.record.journal import (
    JOURNAL,
    ActionChanged,
    CellJudged,
    Event,
    RunFinished,
    RunResumed,
    RunStarted,
    read,
)
from orchestrator.record.model import RunRecord

pytestmark = pytest.mark.containers

SEED = int(os.environ.get("MATRIXCTL_TEST_SEED") or random.SystemRandom().randrange(10**6))
AGAIN = f"again with MATRIXCTL_TEST_SEED={SEED}"
WARM = ("sources", "ccache", "images")
BUILT = (*WARM, "artifacts")
"""What of a store a run starts with."""
PHASES = ("build", "probe", "report")
MATRIX = """\
version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro]
  cipher: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, default]
"""
Verdicts = dict[str, tuple[Outcome | None, Reason | None]]


@dataclass
class Bed:
    """Where the runs of one trial lie, with a store, reports and temporary files of its own."""

    folder: Path

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """`matrixctl run`, its output in a file beside."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "run", *args],
                stdout=said,
                stderr=said,
                env={**os.environ, "TMPDIR": str(self.folder / "tmp")},
            )

    def begin(self) -> subprocess.Popen[bytes]:
        """A new run."""
        places = ("--out", self.folder / "reports", "--store", self.folder / "store")
        return self.start("--matrix", str(self.folder / "matrix.yaml"), *map(str, places))

    def resume(self) -> subprocess.Popen[bytes]:
        return self.start("--resume", "latest", "--out", str(self.folder / "reports"))

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text("utf-8", "replace")

    @property
    def run(self) -> Path:
        """The folder of the one run."""
        (journal,) = self.folder.glob(f"reports/*/{JOURNAL}")
        return journal.parent

    def events(self) -> list[Event]:
        try:
            return list(read(self.run / JOURNAL))
        except ValueError:  # there is none yet
            return []


@dataclass
class Tally:
    """What the docs reprint."""

    phases: Counter[str] = field(default_factory=Counter)
    again: int = 0
    """How many were killed a second time."""
    lost: int = 0
    twice: int = 0
    left: int = 0

    def __str__(self) -> str:
        spread = ", ".join(f"{self.phases[phase]} in the {phase}" for phase in PHASES)
        return (
            f"{self.phases.total()} runs killed ({spread}), {self.again} of them again while they were"
            f" resumed; {self.lost} cells lost, {self.twice} judged twice, {self.left} things left behind;"
            f" {AGAIN}"
        )


def bed(folder: Path, store: Path, parts: Sequence[str] = WARM) -> Bed:
    """With these parts of a store."""
    folder.mkdir(exist_ok=True)
    (folder / "matrix.yaml").write_text(MATRIX)
    link_store(store, folder / "store", *parts)
    return Bed(folder)


@dataclass(frozen=True)
class Undisturbed:
    """What an undisturbed run came to, and how many seconds each of its phases took."""

    verdicts: Verdicts
    seconds: dict[str, float]
    store: Path
    engine: DockerEngine
    tally: Tally = field(default_factory=Tally)


@pytest.fixture(scope="module")
def undisturbed(
    engine: DockerEngine,
    store: Path,
    run_once: Runner,
    tmp_path_factory: pytest.TempPathFactory,
    tell: Tell,
) -> Iterator[Undisturbed]:
    run_once("arch=amd64", "cipher=default")  # fills the shared store, and its compiler's cache, if it has to
    calm = bed(tmp_path_factory.mktemp("calm"), store)
    process = calm.begin()
    assert process.wait(timeout=600) == 0, calm.said
    ended = time.time()
    events = calm.events()
    compiled, judged = moment(events, "build"), [one for one in events if isinstance(one, CellJudged)]
    assert compiled is not None
    seconds = {
        "build": stamp(judged[0]) - compiled,
        "probe": max(0.1, stamp(judged[-1]) - stamp(judged[0])),
        "report": max(0.1, ended - stamp(judged[-1])),
    }
    made = Undisturbed(verdicts(fold(events)), seconds, calm.folder / "store", engine)
    yield made
    if made.tally.phases:
        tell(str(made.tally))


def verdicts(record: RunRecord) -> Verdicts:
    return {cell.id: (cell.outcome, cell.reason) for cell in record.cells}


def stamp(event: Event) -> float:
    return datetime.fromisoformat(event.at).timestamp()


def moment(events: list[Event], phase: str) -> float | None:
    """When a phase began, as seconds since the epoch; ``None`` before."""
    judged = [stamp(one) for one in events if isinstance(one, CellJudged)]
    if phase == "build":
        changes = [one for one in events if isinstance(one, ActionChanged) and one.action.kind == "haproxy"]
        return next((stamp(one) for one in changes if one.action.status == "running"), None)
    if phase == "probe":
        return judged[0] if judged else None
    planned = next((len(one.record.cells) for one in events if isinstance(one, RunStarted)), -1)
    return judged[-1] if len(judged) == planned else None


def kill(process: subprocess.Popen[bytes], made: Bed, phase: str, delay: float) -> bool:
    """End it ``delay`` seconds after its phase began; false where it was over before."""
    until = time.monotonic() + 300
    while process.poll() is None:
        assert time.monotonic() < until, made.said
        with suppress(ValueError):
            began = moment(made.events(), phase)
            if began is not None:
                time.sleep(max(0.0, began + delay - time.time()))
                break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def survive(made: Bed, calm: Undisturbed) -> None:
    """Resume until there is nothing left to do, and hold what came of it against the undisturbed run."""
    tally = calm.tally
    for _ in range(5):
        process = made.resume()
        if process.wait(timeout=300) in {0, 3}:
            break
    assert process.returncode in {0, 3}, made.said
    assert "Traceback" not in made.said
    events = made.events()
    record = fold(events)
    # What the harness damaged, and then did again, is no second judgement.
    judged = Counter(
        one.cell.id
        for one in events
        if isinstance(one, CellJudged) and one.final and one.cell.outcome and one.cell.outcome.judged_product
    )
    found = remains(calm.engine, made, record.run.id)
    tally.lost += len(calm.verdicts.keys() - judged.keys())
    tally.twice += sum(count > 1 for count in judged.values())
    tally.left += len(found)
    assert judged == Counter(calm.verdicts.keys()), made.said
    assert verdicts(record) == calm.verdicts
    assert (record.run.status, record.run.exit_code) == ("finished", 0)
    assert find_complaints(list(calm.verdicts), record) == ()
    assert found == []
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert sum(isinstance(one, RunResumed) for one in events) == len(record.run.resumed)
    assert RunRecord.model_validate_json((made.run / "run.json").read_bytes()) == record
    assert f"All {len(calm.verdicts)} judged cells pass" in (made.run / "index.html").read_text()
    assert 'errors="0"' in (made.run / "junit.xml").read_text()
    for path in (path for cell in record.cells for path in cell.evidence):
        assert (made.run / path).exists()


def remains(engine: DockerEngine, made: Bed, run_id: str) -> list[str]:
    """What is left of the run where nothing should be."""
    found = [f"{one.kind} {one.name}" for one in engine.find_leftovers() if one.run == run_id]
    found += [str(path) for path in made.run.rglob(".*")]
    found += [str(path) for place in ("tmp", "store/tmp") for path in (made.folder / place).iterdir()]
    return found


def killed_in(phase: str, rng: random.Random, folder: Path, calm: Undisturbed) -> Bed:
    """A run that was killed; one that was faster than the moment that was drawn does not count.

    The undisturbed run may have met a busier machine, so each try is drawn from half the time.
    """
    for number in range(5):
        made = bed(folder / str(number), calm.store, WARM if phase == "build" else BUILT)
        delay = rng.uniform(0, calm.seconds[phase] / 2**number)
        if kill(made.begin(), made, phase, delay):
            return made
    raise AssertionError(f"never killed in the {phase}: {made.said}")


@pytest.mark.fault(
    "kill -9 at a random moment of the build, the probe or the report; resumed",
    "the same cells with the same verdicts, none judged twice, nothing left behind",
)
@pytest.mark.parametrize(
    "number", [*range(5), *(pytest.param(number, marks=pytest.mark.soak) for number in range(5, 20))]
)
def test_a_killed_run_is_resumed_to_the_same_verdicts(
    tmp_path: Path, undisturbed: Undisturbed, number: int
) -> None:
    rng, phase = random.Random(SEED + number), PHASES[number % len(PHASES)]
    made = killed_in(phase, rng, tmp_path, undisturbed)
    undisturbed.tally.phases[phase] += 1
    if number % 4 == 3:  # and the resumed one, too, wherever it may be by then
        process = made.resume()
        time.sleep(rng.uniform(0.5, 1 + sum(undisturbed.seconds.values())))
        process.kill()
        undisturbed.tally.again += process.wait() == -signal.SIGKILL
    try:
        survive(made, undisturbed)
    except AssertionError as error:
        error.add_note(AGAIN)
        raise


@pytest.mark.fault(
    "a run is resumed while it still goes on, or with another matrix",
    "it is refused, with what differs, and goes on once that is mended",
)
def test_a_living_run_and_a_changed_one_are_refused(tmp_path: Path, undisturbed: Undisturbed) -> None:
    made = bed(tmp_path, undisturbed.store, BUILT)
    process = made.begin()
    until = time.monotonic() + 300
    while not made.events():
        assert process.poll() is None, made.said
        assert time.monotonic() < until, made.said
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)  # it must not end before the second one looks
    assert made.resume().wait(timeout=60) == 2
    assert "still goes on: another process writes to" in made.said
    process.kill()
    process.wait()
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(MATRIX.replace("default]", "default]\n  client: [curl, aioquic]"))
    before = (made.run / JOURNAL).read_bytes()
    assert made.resume().wait(timeout=60) == 2
    assert "matrix: its SHA-256 is " in made.said
    assert "was not selected" in made.said
    assert (made.run / JOURNAL).read_bytes() == before
    matrix.write_text(MATRIX)
    survive(made, undisturbed)
    assert made.resume().wait(timeout=60) == 3
    assert json.loads((made.run / "run.json").read_bytes())["run"]["status"] == "finished"
