"""A whole run in memory: real plan, scheduler, journal and reports; the work is played."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

from fakes import FakeEngine

from orchestrator import app, resources
from orchestrator.app import guards
from orchestrator.app.run import _Run
from orchestrator.app.selftests import SelfTests
from orchestrator.app.sources import Sources
from orchestrator.app.work import Work
from orchestrator.arch import ARCHES
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.schedule.scheduler import Cancel
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell
from orchestrator.matrix.select import select
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.judge import Judged
from orchestrator.probe.prober import JudgedCell, Told
from orchestrator.record.journal import Event
from orchestrator.record.model import ActionStatus, RunRecord, utc_now
from orchestrator.record.past import read_past
from orchestrator.record.recorder import Recorder

MATRIX = load(resources.root() / "matrix.yaml")
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
PASSED = Judged(outcome=Outcome.PASS, reason=None, message="fine")


class UnforeseenError(Exception):
    """What nobody foresaw."""


class FakeImages:
    """Images that are there, with no package in them."""

    def packages(self, *_: Any) -> dict[str, str]:
        return {}


@dataclass(kw_only=True)
class FakeWork(Work):
    """Does nothing, and judges every cell as ``judged_as`` says; ``plant`` may raise in any action."""

    plant: Callable[[Action], None] = lambda _: None
    judged_as: Callable[[Cell], Judged] = lambda _: PASSED
    forgets: bool = False

    def do(self, action: Action, plan: Plan, judged: JudgedCell) -> ActionStatus:
        self.plant(action)
        for key in action.cells if action.kind == "probe" and not self.forgets else ():
            for number in range(1, self.options.repeat + 1):
                why = "first" if number == 1 else f"repeat {number}"
                told = Told(why=why, started_at=utc_now(), duration_s=0.1)
                judged(plan.cells[key], self.judged_as(plan.cells[key]), told)
        return "succeeded"


@dataclass
class Bench:
    """A whole run without an engine, with one plant."""

    folder: Path
    said: list[str] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)
    cells: Sequence[Cell] = CELLS
    engine: FakeEngine = field(default_factory=FakeEngine)
    images: Any = field(default_factory=FakeImages)
    selftests: type[SelfTests] = SelfTests
    plant: Callable[[Action], None] = lambda _: None
    judged_as: Callable[[Cell], Judged] = lambda _: PASSED
    forgets: bool = False
    resume: bool = False
    """Go on with what lies in the folder."""
    repeat: int = 1
    listen: Callable[[Event], None] | None = None
    say: Callable[[str], None] | None = None
    made: _Run = field(init=False)

    def go(self) -> RunRecord:
        options = app.Options(
            profile="full",
            filters=(),
            out=self.folder,
            store=self.folder / "store",
            jobs=2,
            memory=1 << 33,
            repeat=self.repeat,
        )
        say = guards.unbreakable(self.say or self.said.append)
        run = self.folder / "run"
        past = read_past(run, say=say) if self.resume else None
        recorder = Recorder(
            run,
            listen=guards.guarded(self.listen or self.heard.append, run, say),
            finish=guards.write_reports,
            before=past.events if past else (),
        )
        amd64, renderer = ARCHES["amd64"], Renderer()
        store = Store(self.folder / "store")
        work = FakeWork(
            run_id="run",
            host=amd64,
            engine=self.engine,
            store=store,
            images=cast("ImageSet", self.images),
            renderer=renderer,
            limits=MATRIX.limits,
            expectations=resolve(MATRIX, expand(MATRIX), date(2026, 11, 1)),
            options=options,
            recorder=recorder,
            say=say,
            cancel=Cancel(),
            certificates=Certificates(ca=b"", server=b""),
            selftests=self.selftests(recorder=recorder),
            sources=Sources(store=store, recorder=recorder, mirrors=(), limit=1, pools=tuple, say=say),
            plant=self.plant,
            judged_as=self.judged_as,
            forgets=self.forgets,
        )
        planner = Planner(host=amd64, catalog=Catalog(sources={}), renderer=renderer, packages={})
        self.made = _Run(
            past=past,
            matrix=MATRIX,
            cells=self.cells,
            engine=cast("DockerEngine", self.engine),
            planner=planner,
            work=work,
        )
        return self.made.go()

    @property
    def tracebacks(self) -> list[str]:
        return [path.read_text() for path in sorted((self.folder / "run").glob("internal-*.txt"))]


def summed(record: RunRecord) -> list[tuple[Outcome | None, Reason | None]]:
    return sorted({(cell.outcome, cell.reason) for cell in record.cells}, key=str)
