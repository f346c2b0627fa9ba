"""Everything that a run would use, as files: rerun by hand with ``docker`` alone, or by their own script.

Beside ``app`` a place that sees all rooms. Pure but for the certificates, which are made anew each time.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator import __version__
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute import image_files
from orchestrator.execute.engine import UID, WORK
from orchestrator.matrix import capabilities
from orchestrator.matrix.catalog import Catalog, Source
from orchestrator.matrix.model import Cell, Limits
from orchestrator.plan.action import Action, Recipe
from orchestrator.plan.plan import Plan, Planner
from orchestrator.plan.render import Renderer
from orchestrator.probe import certificates, session
from orchestrator.probe.files import scaled, session_files

SCRIPT = "reproduce.sh"
_LIFE = timedelta(days=3650)
"""Of the certificates: a reproducer is sent to others and kept."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """``files`` by path; ``left_out`` says of each build without a source why it is not among them."""

    files: Mapping[str, bytes]
    builds: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One compile of a reproducer. ``artifact`` changes with everything that goes into it."""

    name: str
    script: str
    text: str
    source: Source
    output: str
    artifact: str
    parent: str


def render(cells: Sequence[Cell], catalog: Catalog, limits: Limits, host: Arch) -> Rendered:
    """The files for these cells, those that are declared unsupported included: to prove the declaration.

    :param host: the architecture of the machine whose engine will run them.
    :raises SourceUnreachableError: where not one build has its sources.
    """
    renderer = Renderer()
    plan = Planner(host=host, catalog=catalog, renderer=renderer, packages={}).plan(cells)
    sessions = [action for action in plan.actions.values() if action.kind == "probe"]
    files: dict[str, bytes] = {
        f"images/{name}": text.encode()
        for name, text in image_files.rendered(host, tuple(ARCHES.values())).items()
    }
    builds, left_out = [], []
    for action in sessions:
        if problem := _problem(plan, action):
            left_out.append(f"{action.name} is left out: {problem}")
            continue
        mine = [plan.cells[key] for key in action.cells]
        made = _build(renderer, _steps(plan, action, renderer), mine, limits, host)
        files |= {f"{action.name}/{path}": content for path, content in made.items()}
        builds.append((action.name, mine))
    if not builds:
        raise SourceUnreachableError("nothing can be rendered", details="\n".join(left_out))
    values = {"builds": builds, "left_out": left_out, "tool_version": __version__, "script": SCRIPT}
    files["README.md"] = renderer.render("reproduce/index.md.j2", values).encode()
    return Rendered(files=files, builds=tuple(name for name, _ in builds), left_out=tuple(left_out))


def _needed(plan: Plan, action: Action) -> list[Action]:
    """What the action needs, directly or not, each after what it needs itself."""
    found: dict[str, Action] = {}
    for need in action.needs:
        found |= {one.key: one for one in _needed(plan, plan.actions[need])}
        found[need] = plan.actions[need]
    return list(found.values())


def _problem(plan: Plan, action: Action) -> str:
    return next((need.problem for need in _needed(plan, action) if need.problem), "")


def _steps(plan: Plan, action: Action, renderer: Renderer) -> list[_Step]:
    steps: list[_Step] = []
    for need in _needed(plan, action):
        if need.recipe is not None:
            steps.append(_step(need, need.recipe, renderer, steps[-1].artifact if steps else ""))
    return steps


def _step(action: Action, recipe: Recipe, renderer: Renderer, parent: str) -> _Step:
    values = {"work": WORK, **{name: getattr(recipe, name) for name in type(recipe).model_fields}}
    text = renderer.render(recipe.template, values)
    inputs = json.dumps([text, recipe.source.sha256, parent])
    return _Step(
        name=action.name,
        script=f"build-{action.kind}.sh",
        text=text,
        source=recipe.source,
        output=action.kind,
        artifact=f"{action.kind}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}.tar",
        parent=parent,
    )


def _build(
    renderer: Renderer, steps: Sequence[_Step], cells: Sequence[Cell], limits: Limits, host: Arch
) -> dict[str, bytes]:
    """The folder of one build."""
    target = cells[0].arch.arch
    mine = scaled(limits, emulated=target != host)
    work = session_files(renderer, cells, mine, certificates.make(life=_LIFE))
    folders = [entry["folder"] for entry in json.loads(work["session.json"])["cells"]]
    values = {
        "name": steps[-1].name,
        "cells": [
            (folder, cell, capabilities.unsupported(cell))
            for folder, cell in zip(folders, cells, strict=True)
        ],
        "steps": steps,
        "host": host,
        "target": target,
        "uid": UID,
        "work": WORK,
        "script": SCRIPT,
        "registry_image": image_files.REGISTRY_IMAGE,
        **_containers(cells, mine, host),
    }
    return {
        "README.md": renderer.render("reproduce/README.md.j2", values).encode(),
        SCRIPT: renderer.render("reproduce/reproduce.sh.j2", values).encode(),
        **{step.script: step.text.encode() for step in steps},
        **{f"work/{path}": content for path, content in work.items()},
    }


def _containers(cells: Sequence[Cell], limits: Limits, host: Arch) -> dict[str, object]:
    target = cells[0].arch.arch
    server, client = session.specs(
        session.Session(
            name="reproduce",
            run_id="reproduce",
            server_image=f"matrixctl-runtime-{target.name}",
            server_platform=target.platform,
            client_image="matrixctl-client",
            client_platform=host.platform,
            haproxy=b"",
            files={},
            cells=len(cells),
            limits=limits,
            cpus=1,
            keep=False,
        )
    )
    return {"server": server, "client": client, "argv": shlex.join}
