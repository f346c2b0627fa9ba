"""The sources of a run: each fetched once, and what moves stays what it was when the run found it."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import MatrixctlError, SourceUnreachableError
from orchestrator.execute.sources import release, unpinned
from orchestrator.execute.sources.unpinned import Package, ResolvedSource
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.matrix.pins import Pins
from orchestrator.plan.action import SourceAction
from orchestrator.record.journal import SourcePinned
from orchestrator.record.model import ActionStatus
from orchestrator.record.recorder import Recorder


@dataclass(kw_only=True)
class Sources:
    """Safe for several threads: what is kept between actions is written once per key."""

    store: Store
    recorder: Recorder
    mirrors: tuple[str, ...]
    limit: float
    """Seconds for one of them: the matrix's limit ``fetch``."""
    pools: Callable[[], Sequence[str]]
    """Debian's package pools, where something of them is tried."""
    package: Package
    """Debian's own HAProxy for an architecture; the image that has it is made where it is not there."""
    pins: Pins | None = None
    """What those that move are to stand at; ``None``: at what they are when the run asks."""
    moved: dict[str, Source] = field(default_factory=dict)
    """What the sources that move are in this run, by their action's key."""
    _fetched: dict[str, Path] = field(default_factory=dict)
    _known: dict[Moving, ResolvedSource] = field(default_factory=dict)
    _moving: threading.Lock = field(default_factory=threading.Lock)

    def pin(self, pins: Sequence[SourcePinned], *, cancel: Callable[[], bool]) -> tuple[str, ...]:
        """Let the sources that move be what they were before; the answer is why that cannot be.

        :raises KeyboardInterrupt: once ``cancel`` says so: what was not asked for any more says nothing.
        """
        found = []
        for pin in pins:
            why = self._pin(pin)
            if cancel():
                raise KeyboardInterrupt
            found.append(why)
        return tuple(why for why in found if why)

    def fetch(self, action: SourceAction) -> ActionStatus:
        """Have the action's source in the store, and write down what it is.

        :raises SourceUnreachableError: where no place has it.
        :raises ChecksumMismatchError: where what came is something else.
        """
        if action.moving is not None:
            return self._move(action, action.moving)
        source = action.source
        if source is None or action.problem:
            raise SourceUnreachableError(action.problem)
        held = source.sha256 is not None and self.store.find_source(source.sha256, source.file) is not None
        got = release.fetch(
            source,
            store=self.store,
            mirrors=self.mirrors,
            deadline=time.monotonic() + self.limit,
            apt_bases=self.pools(),
        )
        self._fetched[action.key] = got.path
        self.recorder.add_component(
            "source", source.component, source.version, got.sha256, got.origin, used_by=[action.key]
        )
        return "cached" if held else "succeeded"

    def find_path(self, key: str) -> Path:
        """Return where the source lies that the action of that key has fetched."""
        return self._fetched[key]

    def _move(self, action: SourceAction, what: Moving) -> ActionStatus:
        # One after another, and each place asked once: two values that name one branch get one commit.
        with self._moving:
            place = what.model_copy(update={"version": ""})
            known = self._known.get(place)
            if known is None:
                known = self._known[place] = self._bring(what)
                pin = SourcePinned(moving=what, source=known.source, origin=known.origin)
                self.recorder.emit(pin)
        if known.path is None:
            raise MatrixctlError(f"{what} was resolved and not kept; this is a fault of matrixctl.")
        source = known.source.model_copy(update={"version": what.version})
        self._fetched[action.key] = known.path
        self.moved[action.key] = source
        self.recorder.add_component(
            "source", what.component, what.version, source.sha256, known.origin, used_by=[action.key]
        )
        return "succeeded" if known.new else "cached"

    def _pin(self, pin: SourcePinned) -> str:
        held = self.store.find_source(pin.source.sha256 or "", pin.source.file)
        place = pin.moving.model_copy(update={"version": ""})
        if held is not None:
            self._known[place] = ResolvedSource(
                source=pin.source, path=held.path, origin=pin.origin, new=False
            )
            return ""
        was = f"source {_describe(pin.origin, pin.source)} is no longer in the store"
        try:
            now = self._bring(pin.moving)
        except MatrixctlError as error:
            return f"{was}, and cannot be obtained again: {error.brief}"
        if now.source.sha256 != pin.source.sha256:
            return f"{was}, and what {pin.moving} has now is {_describe(now.origin, now.source)}"
        self._known[place] = now
        return ""

    def _bring(self, what: Moving) -> ResolvedSource:
        return unpinned.fetch(
            what,
            store=self.store,
            mirrors=self.mirrors,
            deadline=time.monotonic() + self.limit,
            package=self.package,
            at=self.pins.find(what) if self.pins else "",
        )


def _describe(origin: str, source: Source) -> str:
    return f"{origin} (SHA-256 {(source.sha256 or 'unknown')[:12]})"
