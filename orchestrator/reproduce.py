"""Everything that a run would use, as files: rerun by hand with ``docker`` alone, or by their own script.

Beside ``app`` a place that sees all rooms. Pure but for the certificates, which are made
anew each time, and for what is fetched through a function that it is handed.
"""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import __version__
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.engine.engine import UID, WORK
from orchestrator.execute.images import dockerfiles, emulation, own_client, wheels
from orchestrator.execute.sources import unpinned
from orchestrator.execute.sources.unpinned import Moved, Now
from orchestrator.matrix import capabilities, packages
from orchestrator.matrix.catalog import Catalog, Moving, Source
from orchestrator.matrix.model import Cell, Limits, Patch
from orchestrator.matrix.patches import to_apply
from orchestrator.plan.action import Action, BuildAction, ImageAction
from orchestrator.plan.plan import Plan, runtime_image, session_name
from orchestrator.plan.planner import Planner
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates, session
from orchestrator.probe.files import scaled, session_files

SCRIPT = "reproduce.sh"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """``files`` by path, and ``copies`` of files; ``left_out`` says why a build is not among them."""

    files: Mapping[str, bytes]
    copies: Mapping[str, Path]
    builds: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One compile of a reproducer. ``artifact`` changes with everything that goes into it."""

    name: str
    script: str
    text: str
    source: Source
    patches: tuple[Patch, ...]
    output: str
    artifact: str
    parent: str


def render(
    cells: Sequence[Cell], catalog: Catalog, limits: Limits, host: Arch, bring: Callable[[Moving], Moved]
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
    now = unpinned.now(planner.plan(cells).actions.values(), bring)
    plan = replace(planner, moved=now.sources).plan(cells)
    sessions = [action for action in plan.actions.values() if action.kind == "probe"]
    files: dict[str, bytes] = {
        f"images/{name}": text.encode()
        for name, text in dockerfiles.rendered(host, tuple(ARCHES.values())).items()
    }
    for image in plan.actions.values():
        if isinstance(image, ImageAction) and image.extra:
            made = dockerfiles.rendered_variant(image.image, host, ARCHES[image.arch], image.extra)
            files |= {f"images/{name}": text.encode() for name, text in made.items()}
    copies: dict[str, Path] = {}
    builds, left_out = [], []
    for action in sessions:
        if problem := _problem(plan, action, now):
            left_out.append(" ".join(f"{action.name} is left out: {problem}".split()))
            continue
        mine = [plan.cells[key] for key in action.cells]
        build = _build(renderer, _steps(plan, action, renderer, host), mine, limits, host)
        build |= _selftest(renderer, _needed(plan, action))
        files |= {f"{action.name}/{path}": content for path, content in build.items()}
        copies |= {f"{action.name}/{path}": file for path, file in _taken_along(plan, action, now).items()}
        builds.append((action.name, mine))
    if not builds:
        raise SourceUnreachableError("nothing can be rendered", details="\n".join(left_out))
    values = {"builds": builds, "left_out": left_out, "tool_version": __version__, "script": SCRIPT}
    files["README.md"] = renderer.render("reproduce/index.md.j2", values).encode()
    return Rendered(
        files=files, copies=copies, builds=tuple(name for name, _ in builds), left_out=tuple(left_out)
    )


def _needed(plan: Plan, action: Action) -> list[Action]:
    """Return the direct and indirect needs of the action, each after its own needs."""
    found: dict[str, Action] = {}
    for need in action.needs:
        found |= {one.key: one for one in _needed(plan, plan.actions[need])}
        found[need] = plan.actions[need]
    return list(found.values())


def _problem(plan: Plan, action: Action, now: Now) -> str:
    client = plan.cells[action.cells[0]].client
    if client.is_own:
        place = own_client.said(client)
        return f"the client {client.name} is one of your own, which is not taken along ({place})"
    problems = (need.problem or str(now.lost.get(need.key, "")) for need in _needed(plan, action))
    return next((problem for problem in problems if problem), "")


def _taken_along(plan: Plan, action: Action, now: Now) -> dict[str, Path]:
    """Return the path where reproduce.sh looks first."""
    mine = [now.moved[need.key] for need in _needed(plan, action) if need.key in now.moved]
    return {f"sources/{one.source.file}": one.path for one in mine if one.path is not None}


def _steps(plan: Plan, action: Action, renderer: Renderer, host: Arch) -> list[_Step]:
    # Its name stands for the packages that were added to the toolchain: the scripts do not name them.
    toolchain = _toolchain(plan.cells[action.cells[0]], host)
    steps: list[_Step] = []
    for need in _needed(plan, action):
        if isinstance(need, BuildAction) and need.recipe and need.recipe.source:
            recipe, source, parent = need.recipe, need.recipe.source, steps[-1].artifact if steps else ""
            text = renderer.render(recipe.template, recipe.values(WORK))
            inputs = json.dumps([text, source.sha256, toolchain, parent])
            step = _Step(
                name=need.name,
                script=f"build-{need.kind}.sh",
                text=text,
                source=source,
                patches=recipe.patches,
                output=need.kind,
                artifact=f"{need.kind}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}.tar",
                parent=parent,
            )
            steps.append(step)
    return steps


def _selftest(renderer: Renderer, needed: Sequence[Action]) -> dict[str, bytes]:
    """Return the self-test's script, which says how to run it by hand."""
    builds = (action for action in needed if isinstance(action, BuildAction) and action.kind == "selftest")
    recipe = next((action.recipe for action in builds), None)
    if recipe is None:
        return {}
    return {"build-selftest.sh": renderer.render(recipe.template, recipe.values(WORK)).encode()}


def _build(
    renderer: Renderer, steps: Sequence[_Step], cells: Sequence[Cell], limits: Limits, host: Arch
) -> dict[str, bytes]:
    """Return the files of one build's folder."""
    target = cells[0].arch.arch
    mine = scaled(limits, emulated=cells[0].emulated_on(host))
    work = session_files(renderer, cells, mine, certificates.make())
    folders = [entry["folder"] for entry in json.loads(work["session.json"])["cells"]]
    values = {
        "name": session_name(cells[0]),
        "runtime": _runtime(cells[0], host),
        "cells": [
            (folder, cell, capabilities.unsupported(cell, host))
            for folder, cell in zip(folders, cells, strict=True)
        ],
        "steps": steps,
        "host": host,
        "target": target,
        "toolchain": _toolchain(cells[0], host),
        "uid": UID,
        "work": WORK,
        "script": SCRIPT,
        "registry_image": dockerfiles.REGISTRY_IMAGE,
        "pip_options": shlex.join(wheels.pip_options(host)),
        **_containers(cells, mine, host),
    }
    return {
        "README.md": renderer.render("reproduce/README.md.j2", values).encode(),
        SCRIPT: renderer.render("reproduce/reproduce.sh.j2", values).encode(),
        **{step.script: step.text.encode() for step in steps},
        **{f"patches/{patch.name}": to_apply(patch) for step in steps for patch in step.patches},
        **{f"work/{path}": content for path, content in work.items()},
    }


def _toolchain(cell: Cell, host: Arch) -> str:
    """Return the name of the image that compiles or unpacks the cell's HAProxy, as images/ has it."""
    target, extra = cell.arch.arch, packages.to_build(cell.haproxy, cell.tls)
    if not cell.haproxy.is_compiled or (target == host and not extra):
        return "toolchain"
    return dockerfiles.variant_name("toolchain", target, extra)


def _runtime(cell: Cell, host: Arch) -> str:
    extra = packages.to_run(cell.haproxy, cell.tls)
    return dockerfiles.variant_name(runtime_image(cell, host), cell.arch.arch, extra)


def _containers(cells: Sequence[Cell], limits: Limits, host: Arch) -> dict[str, object]:
    target = cells[0].arch.arch
    model = capabilities.cpu_model(cells[0], host)
    environment = cells[0].execution.environment
    before = emulation.before(target, model, environment)
    server, client = session.specs(
        session.Session(
            name="reproduce",
            run_id="reproduce",
            server_image=f"matrixctl-{_runtime(cells[0], host)}",
            client_image="matrixctl-client",
            platform=host.platform,
            haproxy=b"",
            files={},
            cells=len(cells),
            asan=capabilities.has_asan(cells[0].haproxy, cells[0].tls),
            limits=limits,
            cpus=1,
            keep=False,
            selftest=None,
            before=before,
            loader=emulation.loader(target, model),
        )
    )
    said = {
        "argv": shlex.join,
        "emulated": bool(model),
        "environment": environment,
        "before": before,
        "diagnostics": emulation.diagnostics(target, model, environment),
    }
    return {"server": server, "client": client, **said}
