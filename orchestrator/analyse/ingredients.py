"""What a run, and each of its cells, was made of and ran on; and what of it differs between two runs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from typing import Literal, cast

from orchestrator.frozen_value import Value
from orchestrator.matrix.model import AXES
from orchestrator.plan.action import make_key
from orchestrator.plan.plan import name_session_of
from orchestrator.record.model import (
    ActionRecord,
    CellRecord,
    Component,
    EngineInfo,
    Host,
    Ingredient,
    RunRecord,
)

IngredientKind = Literal[
    "source",
    "patch",
    "package",
    "image",
    "emulator",
    "cpu",
    "engine",
    "host",
    "tool",
    "rule",
    "matrix",
    "build",
]


class Thing(Value):
    """A version and, where there is one, a digest."""

    version: str
    digest: str | None = None


class Difference(Value):
    """An ingredient that is not the same in two runs; ``null`` on the side where there is none."""

    kind: IngredientKind
    name: str
    was: Thing | None
    now: Thing | None


Slot = tuple[IngredientKind, str]
Made = Mapping[Slot, frozenset[tuple[str, str | None]]]
"""What fills each slot: versions with digests, several where a run has several."""


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """What one cell depended on in one run."""

    things: Made
    built_in: frozenset[Slot]
    """Those that are part of the digest of its build."""
    build: str | None
    """That digest."""


_COMPILES = {"source", "tls", "haproxy"}
"""The kinds of actions whose ingredients are part of a build's digest."""
_BUILT_IN: frozenset[Slot] = frozenset(
    {
        ("tool", "matrixctl"),
        ("matrix", "the declaration of haproxy"),
        ("matrix", "the declaration of tls"),
    }
)
"""The other ingredients that are part of it."""
_CPU: Slot = ("cpu", "CPU features")
_NO_CPU = frozenset({("", None)})


@dataclass(frozen=True, kw_only=True)
class _Where:
    """Where cells were probed, and what there was: a whole run, or one shard of a merged one.

    Of a shard that is missing, nothing is known.
    """

    host: Host | None
    engine: EngineInfo | None
    components: tuple[Component, ...]


class Ingredients:
    """Those of one run."""

    def __init__(self, record: RunRecord) -> None:
        """Take a record of any version."""
        self.record = record
        self._actions = {action.key: action for action in record.actions}
        self._shared: dict[tuple[str, int], Made] = {}
        self._gathered: dict[tuple[int, ...], Made] = {}
        run = record.run
        self._wheres = [
            _Where(host=one.host, engine=one.engine, components=one.components) for one in record.shards
        ]
        self._wheres.append(
            _Where(host=None, engine=None, components=())
            if record.shards
            else _Where(host=run.host, engine=run.engine, components=record.components)
        )
        self._where_of = {cell: number for number, one in enumerate(record.shards) for cell in one.cells}
        self._declarations: dict[tuple[str, str], str] = {}
        self._name = cache(self._name_one)  # most cells have the same ones

    @cached_property
    def tells(self) -> bool:
        """Return whether the record says what each cell depends on; older ones do not."""
        return all(action.needs is not None for action in self.record.actions) and all(
            component.used_by is not None for component in self.record.components
        )

    @cached_property
    def whole(self) -> Made:
        """Return what the whole run had, images by their own digests."""
        found: dict[Slot, set[tuple[str, str | None]]] = {}
        for component in self.record.components:
            found.setdefault((component.kind, component.name), set()).add(_make_filling(component))
        for where in self._wheres:
            for slot, thing in self._list_surroundings(where):
                found.setdefault(slot, set()).add(thing)
        run = self.record.run
        found["matrix", "the matrix file"] = {("", run.matrix_digest)}
        for cell in self.record.cells:
            if cell.execution.mode == "native" and cell.execution.cpu_features:
                name = f"features of the {cell.execution.host_arch} CPU"
                found.setdefault(("cpu", name), set()).add(
                    (" ".join(sorted(cell.execution.cpu_features)), None)
                )
        return {slot: frozenset(things) for slot, things in found.items()}

    @cached_property
    def built_in(self) -> frozenset[Slot]:
        """Return the slots that are part of the builds' digests."""
        compiling = {action.key for action in self.record.actions if action.kind in _COMPILES}
        return _BUILT_IN | {
            (component.kind, component.name)
            for component in self.record.components
            if not compiling.isdisjoint(component.used_by or ())
        }

    def find_dependencies(self, cell: CellRecord) -> Dependencies:
        """Return what one cell depends on, where ``tells``."""
        things = {**self.list_shared(cell), **self.list_own(cell)}
        return Dependencies(things=things, built_in=self.built_in, build=cell.build.digest)

    def list_shared(self, cell: CellRecord) -> Made:
        """Return what the cell shares with all others of its session.

        An image counts by its packages: each that is recorded, and the rest of them as one. Its own digest
        changes whenever it is made again. A toolchain counts by the packages that it compiled with.
        """
        session = name_session_of(cell.build.name, cell.axes.execution, cell.axes.client)
        key = session, self._where_of.get(cell.id, -1)
        if key not in self._shared:
            reached, where = self._reach(cell.build.name, session), self._wheres[key[1]]
            used = [one for one in where.components if not reached.isdisjoint(one.used_by or ())]
            alike = key[1], *map(id, used)  # most sessions use the same; the record keeps the components
            if alike not in self._gathered:
                self._gathered[alike] = self._gather(used, where)
            self._shared[key] = self._gathered[alike]
        return self._shared[key]

    def list_own(self, cell: CellRecord) -> Made:
        """Return what is the cell's alone."""
        return {slot: frozenset({thing}) for slot, thing in (*_list_own(cell), *self._list_declared(cell))}

    def _list_declared(self, cell: CellRecord) -> Iterator[tuple[Slot, tuple[str, str | None]]]:
        """Return what the matrix declares of the cell's values; a name stands for one value in a run."""
        for axis in AXES:
            value = getattr(cell.axes, axis)
            key = axis, value.name
            if key not in self._declarations:
                self._declarations[key] = _declare(value)
            yield ("matrix", f"the declaration of {axis}"), (self._declarations[key], None)

    def list_sets(self) -> Mapping[str, tuple[frozenset[Ingredient], frozenset[Ingredient]]]:
        """Return what each cell shares with its session and what is its own; nothing where it is not told."""
        if not self.tells:
            return {}
        sessions: dict[int, frozenset[Ingredient]] = {}
        found = {}
        for cell in self.record.cells:
            shared = self.list_shared(cell)
            if id(shared) not in sessions:  # they are all kept, so none has the id of another
                sessions[id(shared)] = self._list(shared)
            found[cell.id] = sessions[id(shared)], self._list(self.list_own(cell))
        return found

    def _list(self, made: Made) -> frozenset[Ingredient]:
        return frozenset([self._name(slot, thing) for slot, things in made.items() for thing in things])

    def _name_one(self, slot: Slot, thing: tuple[str, str | None]) -> Ingredient:
        version, digest = thing
        return Ingredient(*slot, version, digest or "", slot in self.built_in)

    def _gather(self, used: Iterable[Component], where: _Where) -> Made:
        found: dict[Slot, set[tuple[str, str | None]]] = {}
        for component in used:
            if component.kind == "image":
                if component.rest is not None:
                    found["image", f"other packages of {component.name}"] = {("", component.rest)}
                continue
            found.setdefault((component.kind, component.name), set()).add(_make_filling(component))
        for slot, thing in self._list_surroundings(where):
            found[slot] = {thing}
        return {slot: frozenset(things) for slot, things in found.items()}

    def _list_surroundings(self, where: _Where) -> Iterator[tuple[Slot, tuple[str, str | None]]]:
        """Return what all cells share that were probed there."""
        run, host, engine = self.record.run, where.host, where.engine
        yield ("tool", "matrixctl"), (run.tool_version, run.tool_digest)
        if engine is not None:
            yield ("engine", engine.name), (engine.version, None)
        if host is not None:
            yield ("host", "kernel"), (host.kernel, None)
            yield ("host", "system"), (f"{host.system}, {host.arch}", None)
        if run.limits is not None:
            limits = run.limits.model_dump(exclude={"sessions"})
            yield ("matrix", "time limits"), (", ".join(f"{k} {v:g} s" for k, v in limits.items()), None)

    def _reach(self, build: str, session: str) -> frozenset[str]:
        """Return the keys of all actions that a session needs, over any number of steps."""
        waiting, found = [make_key("haproxy", build), make_key("probe", session)], set[str]()
        while waiting:
            key = waiting.pop()
            action = self._actions.get(key)
            if action is not None and key not in found:
                found.add(key)
                waiting += _list_needs(action)
        return frozenset(found)


def read_sets(sets: Iterable[Iterable[Ingredient]], build: str) -> Dependencies:
    """Return what a cell depended on, as a history keeps it.

    :param build: the digest of its build; empty where it was never known.
    """
    things: dict[Slot, set[tuple[str, str | None]]] = {}
    built_in = set()
    for one in chain.from_iterable(sets):
        slot = cast("Slot", (one.kind, one.name))
        things.setdefault(slot, set()).add((one.version, one.digest or None))
        if one.built_in:
            built_in.add(slot)
    made = {slot: frozenset(every) for slot, every in things.items()}
    return Dependencies(things=made, built_in=frozenset(built_in), build=build or None)


def compare_whole(base: Ingredients, head: Ingredients) -> tuple[Difference, ...]:
    """Return what differs anywhere between two runs."""
    return tuple(_list_differences(base.whole, head.whole))


def compare_cells(was: Dependencies, now: Dependencies) -> tuple[Difference, ...]:
    """Return what differs of that which a cell depended on in two runs."""
    one, other = dict(was.things), dict(now.things)
    if _NO_CPU in (one.get(_CPU), other.get(_CPU)):  # a cell that was not probed shows none: no difference
        one.pop(_CPU, None)
        other.pop(_CPU, None)
    found = tuple(_list_differences(one, other))
    builds = was.build, now.build
    built_in = was.built_in | now.built_in
    if (
        None not in builds
        and len(set(builds)) > 1
        and not any(_name_slot(item) in built_in for item in found)
    ):
        # Nothing may be called the only difference while this one has no explanation.
        was_built, is_built = (Thing(version="", digest=digest) for digest in builds)
        found += (Difference(kind="build", name="the build of HAProxy", was=was_built, now=is_built),)
    return found


def _name_slot(item: Difference) -> Slot:
    return item.kind, item.name


def _list_needs(action: ActionRecord) -> tuple[str, ...]:
    return action.needs or ()


def _make_filling(component: Component) -> tuple[str, str | None]:
    if component.kind == "image":  # its tag names its recipe
        return "", component.digest
    version = component.version
    return (f"applied to {version}" if component.kind == "patch" else version), component.digest


def _list_own(cell: CellRecord) -> Iterator[tuple[Slot, tuple[str, str | None]]]:
    """Return what is the cell's alone."""
    execution, expected = cell.execution, cell.expected
    yield _CPU, (" ".join(sorted(execution.cpu_features)), None)
    yield ("cpu", "execution"), (f"{execution.mode} {execution.cpu_model or ''}".strip(), None)
    rule = f"{expected.outcome} {expected.reason or ''} {expected.cipher or ''}" if expected else "pass"
    yield ("rule", "what is expected"), (" ".join(rule.split()), None)


def _declare(value: Value) -> str:
    """Return a value of an axis in words, but for its name, its version and its patches."""
    told = value.model_dump(mode="json", exclude={"name", "version", "patches"})
    return ", ".join(f"{name} {_write_plain(item)}" for name, item in told.items() if item and name != "arch")


def _write_plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _list_differences(one: Made, other: Made) -> Iterator[Difference]:
    """Yield what differs; of several versions only those that are not on both sides."""
    for slot in sorted({*one, *other}):
        was, now = one.get(slot, frozenset()), other.get(slot, frozenset())
        if was != now:
            yield Difference(
                kind=slot[0], name=slot[1], was=_make_thing(was - now), now=_make_thing(now - was)
            )


def _make_thing(things: Iterable[tuple[str, str | None]]) -> Thing | None:
    found = sorted(things, key=str)
    if not found:
        return None
    digests = [digest for _, digest in found if digest]
    version = ", ".join(dict.fromkeys(version for version, _ in found if version))
    return Thing(version=version, digest=digests[0] if len(digests) == 1 else ", ".join(digests) or None)
