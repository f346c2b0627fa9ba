"""The folders of cells as a run would take them now, for a person who runs them by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import __version__
from orchestrator.arch import Arch
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.sources import unpinned
from orchestrator.execute.sources.unpinned import ResolvedSource, ResolvedSources
from orchestrator.matrix.catalog import Catalog, Moving
from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.action import Action
from orchestrator.plan.plan import Plan
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.reproduce.folder import SCRIPT, Folder, find_needed, find_problem, make_folder


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """The folder of ``builds``, each below its name; ``left_out`` says why one is not among them."""

    folder: Folder
    builds: tuple[str, ...]
    left_out: tuple[str, ...]


def render(
    cells: Sequence[Cell],
    catalog: Catalog,
    limits: Limits,
    host: Arch,
    bring: Callable[[Moving], ResolvedSource],
) -> Rendered:
    """Return the files for these cells, also for unsupported ones: to prove the declaration.

    Moving sources are copied as they are now: other machines do not have our trees, and branches move.

    :param bring: gives a source that moves, kept in a file; see ``unpinned.fetch``.
    :param host: the architecture of the machine whose engine will run them.
    :raises SourceUnreachableError: if no build has its sources.
    :raises ChecksumMismatchError: where a patch has changed since it was read.
    """
    renderer = Renderer()
    planner = Planner(host=host, catalog=catalog, renderer=renderer, packages={})
    now = unpinned.bring_all(planner.plan(cells).actions.values(), bring)
    plan = replace(planner, moved=now.sources).plan(cells)
    files: dict[str, bytes] = {}
    copies: dict[str, Path] = {}
    builds, left_out = [], []
    for action in plan.actions.values():
        if action.kind != "probe":
            continue
        if problem := _find_problem(plan, action, now):
            left_out.append(" ".join(f"{action.name} is left out: {problem}".split()))
            continue
        made = make_folder(
            plan,
            action,
            renderer=renderer,
            limits=limits,
            host=host,
            sources=_take_along(plan, action, now),
        )
        files |= {f"{action.name}/{path}": content for path, content in made.files.items()}
        copies |= {f"{action.name}/{path}": file for path, file in made.copies.items()}
        builds.append((action.name, action.cells))
    if not builds:
        raise SourceUnreachableError("nothing can be rendered", details="\n".join(left_out))
    values = {"builds": builds, "left_out": left_out, "tool_version": __version__, "script": SCRIPT}
    files["README.md"] = renderer.render("reproduce/index.md.j2", values).encode()
    return Rendered(
        folder=Folder(files=files, copies=copies),
        builds=tuple(name for name, _ in builds),
        left_out=tuple(left_out),
    )


def _find_problem(plan: Plan, action: Action, now: ResolvedSources) -> str:
    lost = (str(now.lost.get(need.key, "")) for need in find_needed(plan, action))
    return find_problem(plan, action) or next((problem for problem in lost if problem), "")


def _take_along(plan: Plan, action: Action, now: ResolvedSources) -> dict[str, Path]:
    """Return the sources that move, by their name."""
    mine = [now.moved[need.key] for need in find_needed(plan, action) if need.key in now.moved]
    return {one.source.file: one.path for one in mine if one.path is not None}
