"""What an export of the store costs for some selections, and whether images are worth moving, too."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bench.figures import Section
from orchestrator import resources
from orchestrator.app.needs import find_needs
from orchestrator.arch import ARCHES, find_arch
from orchestrator.cli import common
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import docker_engine
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images import workshop
from orchestrator.execute.store import bundle
from orchestrator.execute.store.store import Store
from orchestrator.execute.system import process
from orchestrator.plan.action import ImageAction
from orchestrator.preview import Preview, preview

_MIB = 1 << 20
_TIMEOUT = 1800


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A selection to measure."""

    title: str
    profile: str
    filters: tuple[str, ...] = ()


CHOICES = (
    Choice(title="quick", profile="quick"),
    Choice(title="nightly, amd64", profile="nightly", filters=("arch=amd64",)),
)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One export and its import."""

    title: str
    items: int
    needed: int
    unpacked: int
    packed: int
    export_s: float
    import_s: float
    saved_s: float
    """What its builds took when they were last made with this store."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of a selection as one tar, compressed by zstd; bytes and seconds."""

    title: str
    count: int
    packed: int
    save_s: float
    load_s: float | None
    """Into an engine that had none of them; ``None`` where no such engine was named."""
    made_s: float
    """What making them took when they were last made with this store."""


def measure(
    store: Path, say: Callable[[str], None], choices: Sequence[Choice] = CHOICES, *, empty: str | None = None
) -> Section:
    """Export each selection from a store that has it, import it into a new one; save and load its images.

    :param empty: the DOCKER_HOST of an engine without images, which takes them, and loses them again.
    """
    engine, kept = docker_engine.connect(), Store(store)
    moved: list[Transfer] = []
    images: list[Images] = []
    for choice in choices:
        say(f"transfer: {choice.title}")
        found = _look(choice, kept, engine)
        moved += [_move(f"{choice.title}{title}", found, kept, caches=caches) for title, caches in _WAYS]
        images.append(_save(choice.title, found, kept, engine, empty))
    return make_section(moved, images)


_WAYS = (("", False), (", with compiler caches", True))


def make_section(moved: Sequence[Transfer], images: Sequence[Images]) -> Section:
    """Return the table, and a sentence for the images of each selection."""
    header = (
        "selection",
        "there, of what it needs",
        "unpacked (MiB)",
        "file (MiB)",
        "export (s)",
        "import (s)",
    )
    return Section(
        key="transfer",
        title="Export and import of the store",
        header=(*header, "its builds took (s)"),
        rows=tuple(
            (
                one.title,
                f"{one.items} of {one.needed}",
                f"{one.unpacked / _MIB:.0f}",
                f"{one.packed / _MIB:.0f}",
                f"{one.export_s:.1f}",
                f"{one.import_s:.1f}",
                f"{one.saved_s:.0f}",
            )
            for one in moved
        ),
        notes=(
            *(
                f"{one.title}: its {one.count} images are {one.packed / _MIB:.0f} MiB as one packed tar,"
                f" made in {one.save_s:.0f} s{_tell(one.load_s)}; making the images took {one.made_s:.0f} s."
                for one in images
            ),
            "Store and images were there.",
        ),
    )


def _tell(load_s: float | None) -> str:
    return "" if load_s is None else f", loaded into an engine without images in {load_s:.0f} s"


def _look(choice: Choice, store: Store, engine: Engine) -> Preview:
    selection = common.SelectionOptions(
        matrix_file=resources.find_root() / "matrix.yaml",
        profile=choice.profile,
        filters=choice.filters,
        ids=(),
        patch_files=(),
    ).select(date.today(), store.root, ())  # noqa: DTZ011 - which rules are stale changes no figure
    return preview(
        selection.cells,
        common.read_catalog(()),
        store,
        engine,
        find_arch(engine.describe().arch),
        expectations=selection.expectations,
        mirrors=(),
    )


def _move(title: str, found: Preview, store: Store, *, caches: bool) -> Transfer:
    needs = find_needs(found, caches=caches)
    with tempfile.TemporaryDirectory(dir=store.root / "tmp") as folder:
        file = Path(folder) / "export"
        started = time.perf_counter()
        made = bundle.export(Store(store.root), needs.wanted, file)  # another: it has verified nothing yet
        exported = time.perf_counter()
        bundle.import_(Store(Path(folder) / "store"), file)
        imported = time.perf_counter()
    there = {item.path for item in made.items}
    keys = {needs.names[path] for path in there}
    took = [
        store.find_duration(step.action.kind, step.action.name)
        for step in found.steps
        if step.action.key in keys and step.action.kind != "source"
    ]
    return Transfer(
        title=title,
        items=len(there),
        needed=len(needs.wanted.paths) + len(needs.unknown),
        unpacked=sum(item.size for item in made.items),
        packed=made.size,
        export_s=exported - started,
        import_s=imported - exported,
        saved_s=sum(seconds or 0 for seconds in took),
    )


def _save(title: str, found: Preview, store: Store, engine: Engine, empty: str | None) -> Images:
    actions = [step.action for step in found.steps if step.state == "present"]
    wanted = [action for action in actions if isinstance(action, ImageAction) and not action.extra]
    here = workshop.find_existing(engine, find_arch(engine.describe().arch), tuple(ARCHES.values()))
    host = find_arch(engine.describe().arch).name
    keys = {("base", host), *((one.image, one.arch) for one in wanted)}
    tags = sorted({here[key].tag for key in keys if key in here})
    took = [store.find_duration("image", one.name) for one in wanted]
    with tempfile.TemporaryDirectory(dir=store.root / "tmp") as folder:
        file = Path(folder) / "images.tar.zst"
        save_s = _time('docker image save "$@" | zstd --quiet -T0 -o "$FILE"', tags, FILE=str(file))
        load_s = None
        if empty:
            load_s = _time('zstd -dc "$FILE" | docker load', [], FILE=str(file), DOCKER_HOST=empty)
            _time('docker image rm --force "$@"', tags, DOCKER_HOST=empty)
        packed = file.stat().st_size
    return Images(
        title=title,
        count=len(tags),
        packed=packed,
        save_s=save_s,
        load_s=load_s,
        made_s=sum(seconds or 0 for seconds in took),
    )


def _time(script: str, args: Sequence[str], **env: str) -> float:
    """Return the seconds that a script of the shell takes.

    :raises MatrixctlError: where it fails.
    """
    started = time.perf_counter()
    argv = [
        "env",
        *(f"{name}={value}" for name, value in env.items()),
        "bash",
        "-o",
        "pipefail",
        "-c",
        script,
    ]
    done = process.run([*argv, "bash", *args], timeout=_TIMEOUT)
    if done.exit_code:
        raise MatrixctlError(f"`{script}` failed", details=done.stderr.decode(errors="replace"))
    return time.perf_counter() - started
