"""A whole run in memory: real plan, scheduler, journal and reports; the work is played."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path

import pytest
from fake_host import FakeHost
from fakes import FakeEngine

from orchestrator import resources
from orchestrator.app import running
from orchestrator.app.actions import Actions
from orchestrator.app.options import Exploring, Options
from orchestrator.cli.log import show_log
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.matrix.select import select
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.judge import Judgement
from orchestrator.probe.prober import Circumstances
from orchestrator.record.journal import Event
from orchestrator.record.model import ActionStatus, RunRecord, utc_now
from orchestrator.record.recorder import Recorder

MATRIX = load(resources.find_root() / "matrix.yaml")
CELLS = select(
    expand(MATRIX),
    (
        "haproxy=3.0.11",
        "arch=amd64",
        "tls=openssl*",
        "client=curl",
        "cipher=*GCM*",
        "execution=default",
    ),
    known=expand(MATRIX),
)
PASSED = Judgement(outcome=Outcome.PASS, reason=None, message="fine")


class UnforeseenError(Exception):
    """What nobody foresaw."""


@dataclass(frozen=True, kw_only=True)
class FakeActions(Actions):
    """Does nothing, and judges every cell as its bench says, whose ``plant`` may raise in any action."""

    bench: "Bench"

    def do(self, action: Action, plan: Plan) -> ActionStatus:
        self.bench.recorder = self.context.recorder
        self.bench.plant(action)
        for key in action.cells if action.kind == "probe" and not self.bench.forgets else ():
            for number in range(1, self.bench.repeat + 1):
                why = "first" if number == 1 else f"repeat {number}"
                told = Circumstances(why=why, started_at=utc_now(), duration_s=0.1)
                judged = self.bench.judged_as(plan.cells[key])
                self.probing.record_attempt(plan.cells[key], judged, told)
        return "succeeded"


@dataclass
class Bench:
    """A whole run without an engine, with one plant."""

    folder: Path
    said: list[str] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)
    cells: Sequence[Cell] = CELLS
    engine: FakeEngine = field(default_factory=FakeEngine)
    plant: Callable[[Action], None] = lambda _: None
    judged_as: Callable[[Cell], Judgement] = lambda _: PASSED
    forgets: bool = False
    resume: bool = False
    """Go on with what lies in the folder."""
    repeat: int = 1
    listen: Callable[[Event], None] | None = None
    say: Callable[[str], None] | None = None
    cancel: Cancel = field(default_factory=Cancel)
    exploring: Exploring | None = None
    reserve: Sequence[Cell] = ()
    matrix: Matrix = MATRIX
    recorder: Recorder = field(init=False)
    """Of the run, once an action is done."""

    def go(self) -> RunRecord:
        options = Options(
            profile="full",
            filters=(),
            out=self.folder,
            store=self.folder / "store",
            jobs=2,
            repeat=self.repeat,
            exploring=self.exploring,
            certificates=lambda: Certificates(ca=b"", server=b""),
            here=FakeHost(),
        )
        with pytest.MonkeyPatch.context() as patch, show_log(self.say or self.said.append):
            patch.setattr(running, "begin", self._begin)
            record, _ = running.run_matrix(
                self.matrix,
                self.cells,
                Catalog(sources={}),
                self.engine,
                options,
                expectations=resolve(self.matrix, expand(self.matrix), date(2026, 11, 1)),
                listen=self.listen or self.heard.append,
                cancel=self.cancel,
                reserve=self.reserve,
                resume=self.folder / "run" if self.resume else None,
                actions=partial(FakeActions, bench=self),
            )
        return record

    def _begin(self, out: Path, _: datetime) -> Path:
        """A run of a known id."""
        folder = out / "run"
        folder.mkdir(parents=True)
        return folder

    @property
    def tracebacks(self) -> list[str]:
        return [path.read_text() for path in sorted((self.folder / "run").glob("internal-*.txt"))]


def summed(record: RunRecord) -> list[tuple[Outcome | None, Reason | None]]:
    return sorted({(cell.outcome, cell.reason) for cell in record.cells}, key=str)
