"""The folder of one build: all that its script needs, and nothing that another build needs.

The same cells and sources give the same bytes: certificates and keys are made by the script when it runs.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.arch import Arch
from orchestrator.execute.compile import SHORT
from orchestrator.execute.engine.engine import UID, WORK
from orchestrator.execute.images import bootstrap, dockerfiles, emulation, own_client, wheels
from orchestrator.matrix import capabilities, packages
from orchestrator.matrix.catalog import Source
from orchestrator.matrix.model import Cell, Limits, Patch
from orchestrator.matrix.patches import read_fitted
from orchestrator.plan.action import Action, BuildAction
from orchestrator.plan.plan import Plan, choose_runtime_image, name_session
from orchestrator.plan.render import Renderer
from orchestrator.probe import session
from orchestrator.probe.certificates import SERVER_NAME
from orchestrator.probe.session_files import make_session_files, scale_limits

SCRIPT = "reproduce.sh"
_SCRIPTS = ("verdict.py", "certificates.sh")
"""Files of templates/reproduce that run in the client's container."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """``files`` by path, and ``copies`` of files that lie elsewhere."""

    files: Mapping[str, bytes]
    copies: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFindings:
    """What a run has found of the one cell of a folder.

    :ivar expected: what ``verdict.py`` holds the cell and its build against, beside what is declared.
    :ivar packages: image, package and version, of what the run's images had that decides what a cell shows.
    :ivar broken: the script that did not compile, so that this is the failure; empty if all did.
    :ivar report: Markdown that stands first in README.md.
    :ivar unlike: in which way the folder does not build as the run did, one sentence, or empty.
    """

    expected: Mapping[str, Any]
    packages: Sequence[tuple[str, str, str]]
    broken: str
    report: str
    unlike: str = ""


@dataclass(frozen=True, kw_only=True)
class _CompileStep:
    """One compile of a reproducer. ``artifact`` changes with everything that goes into it."""

    name: str
    script: str
    text: str
    source: Source
    patches: tuple[Patch, ...]
    output: str
    artifact: str
    parent: str
    compiles: bool


@dataclass(frozen=True, kw_only=True)
class _Images:
    """Names of the images, without ``matrixctl-``; their files lie in ``images/``."""

    toolchain: str
    runtime: str
    client: str


def describe_needs(cells: Sequence[Cell]) -> str:
    """Return what a machine needs to run the script of these cells, in words for a sentence."""
    aioquic = any(cell.client.family == "aioquic" for cell in cells)
    return f"sh, docker, curl{', tar, sha256sum, and Python with pip' if aioquic else ', tar and sha256sum'}"


def find_problem(plan: Plan, action: Action) -> str:
    """Return why the build of a session cannot be taken along, or nothing."""
    client = plan.cells[action.cells[0]].client
    if client.is_own:
        place = own_client.describe_origin(client)
        return f"the client {client.name} is one of your own, which is not taken along ({place})"
    return next((need.problem for need in find_needed(plan, action) if need.problem), "")


def find_needed(plan: Plan, action: Action) -> list[Action]:
    """Return the direct and indirect needs of the action, each after its own needs."""
    found: dict[str, Action] = {}
    for need in action.needs:
        found |= {one.key: one for one in find_needed(plan, plan.actions[need])}
        found[need] = plan.actions[need]
    return list(found.values())


def make_folder(
    plan: Plan,
    action: Action,
    *,
    renderer: Renderer,
    limits: Limits,
    host: Arch,
    sources: Mapping[str, Path],
    findings: RunFindings | None = None,
) -> Folder:
    """Return the folder of the build of one session.

    :param host: the architecture of the machine whose engine will run it.
    :param sources: files that are taken along, by their name.
    :raises ChecksumMismatchError: where a patch has changed since it was read.
    """
    cells = [plan.cells[key] for key in action.cells]
    first, needed = cells[0], find_needed(plan, action)
    images = _Images(
        toolchain=_name_toolchain(first, host),
        runtime=dockerfiles.name_variant(
            choose_runtime_image(first, host),
            first.arch.arch,
            packages.list_runtime_packages(first.haproxy, first.tls),
        ),
        client="client-aioquic" if any(cell.client.family == "aioquic" for cell in cells) else "client",
    )
    steps = _list_steps(needed, renderer, images.toolchain)
    mine = scale_limits(limits, emulated=first.is_emulated_on(host))
    work = dict(make_session_files(renderer, cells, mine, None))
    work["expected.json"] = _as_json(_list_expected(cells, host, findings))
    work |= {name: renderer.read_source(f"reproduce/{name}").encode() for name in _SCRIPTS}
    folders = [entry["folder"] for entry in json.loads(work["session.json"])["cells"]]
    values = {
        "name": name_session(first),
        "cells": [
            (folder, cell, capabilities.find_unsupported(cell, host))
            for folder, cell in zip(folders, cells, strict=True)
        ],
        "steps": steps,
        "host": host,
        "target": first.arch.arch,
        "images": images,
        "uid": UID,
        "work": WORK,
        "script": SCRIPT,
        "needs": describe_needs(cells),
        "short": SHORT.pattern.decode(),
        "server_name": SERVER_NAME,
        "suite": bootstrap.SUITE,
        "registry_image": dockerfiles.REGISTRY_IMAGE,
        "mmdebstrap": shlex.join(bootstrap.make_mmdebstrap_argv(host, (), "base.tar")),
        "pip_options": shlex.join(wheels.make_pip_options(host)),
        "client_command": make_client_command(first, folders[0]),
        "taken": sorted(sources),
        "past": findings,
        **_list_containers(cells, images, mine, host),
    }
    readme = renderer.render("reproduce/README.md.j2", values)
    files = {
        "README.md": f"{findings.report if findings else ''}{readme}".encode(),
        SCRIPT: renderer.render("reproduce/reproduce.sh.j2", values).encode(),
        **{step.script: step.text.encode() for step in steps},
        **_render_selftest(renderer, needed),
        **{f"patches/{patch.name}": read_fitted(patch) for step in steps for patch in step.patches},
        **{
            f"images/{name}": text.encode() for name, text in _render_image_files(first, images, host).items()
        },
        **{f"work/{path}": content for path, content in work.items()},
    }
    if findings:
        files["packages.txt"] = "".join(f"{' '.join(one)}\n" for one in sorted(findings.packages)).encode()
    return Folder(files=files, copies={f"sources/{name}": path for name, path in sources.items()})


def _as_json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _list_expected(cells: Sequence[Cell], host: Arch, findings: RunFindings | None) -> dict[str, Any]:
    """Return what ``verdict.py`` needs to know beside what the session asks."""
    declared = {cell.id: capabilities.find_unsupported(cell, host) for cell in cells}
    return {
        "machine": cells[0].arch.arch.machine,
        "cells": {key: {"declared": one.reason if one else None} for key, one in declared.items()},
        "no_quic": capabilities.find_quic_api(cells[0].haproxy, cells[0].tls) == "none",
        **(findings.expected if findings else {}),
    }


def make_client_command(cell: Cell, folder: str) -> str:
    """Return the command that asks once more, as the cell's client does, in the client's container."""
    if cell.client.family == "curl":
        return f"curl -v --config {WORK}/{folder}/h3.curlrc"
    return f"python3 {WORK}/driver.py {WORK}/session.json"


def _list_steps(needed: Sequence[Action], renderer: Renderer, toolchain: str) -> list[_CompileStep]:
    # Its name stands for the packages that were added to the toolchain: the scripts do not name them.
    steps: list[_CompileStep] = []
    for need in needed:
        if isinstance(need, BuildAction) and need.recipe and need.recipe.source:
            recipe, source, parent = need.recipe, need.recipe.source, steps[-1].artifact if steps else ""
            text = renderer.render(recipe.template, recipe.list_values(WORK))
            inputs = json.dumps([text, source.sha256, toolchain, parent])
            step = _CompileStep(
                name=need.name,
                script=name_script(need),
                text=text,
                source=source,
                patches=recipe.patches,
                output=need.kind,
                artifact=f"{need.kind}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}.tar",
                parent=parent,
                compiles=recipe.compiles,
            )
            steps.append(step)
    return steps


def _render_selftest(renderer: Renderer, needed: Sequence[Action]) -> dict[str, bytes]:
    """Return the self-test's script, which says how to run it by hand."""
    builds = (action for action in needed if isinstance(action, BuildAction) and action.kind == "selftest")
    recipe = next((action.recipe for action in builds), None)
    if recipe is None:
        return {}
    return {"build-selftest.sh": renderer.render(recipe.template, recipe.list_values(WORK)).encode()}


def _name_toolchain(cell: Cell, host: Arch) -> str:
    """Return the name of the image that compiles or unpacks the cell's HAProxy."""
    target, extra = cell.arch.arch, packages.list_build_packages(cell.haproxy, cell.tls)
    if not cell.haproxy.is_compiled or (target == host and not extra):
        return "toolchain"
    return dockerfiles.name_variant("toolchain", target, extra)


def _render_image_files(cell: Cell, images: _Images, host: Arch) -> dict[str, str]:
    """Return the files of the images that the script makes, and of no other."""
    target = cell.arch.arch
    known = {
        **dockerfiles.render_dockerfiles(host, [target]),
        **dockerfiles.render_variant_files(
            "toolchain", host, target, packages.list_build_packages(cell.haproxy, cell.tls)
        ),
        **dockerfiles.render_variant_files(
            choose_runtime_image(cell, host),
            host,
            target,
            packages.list_runtime_packages(cell.haproxy, cell.tls),
        ),
    }
    names = ["base", "toolchain", images.toolchain, images.runtime, images.client]
    wanted = {f"{name}.{kind}" for name in names for kind in ("Dockerfile", "sh")}
    if images.client == "client-aioquic":
        wanted.add("aioquic.lock")
    return {name: text for name, text in known.items() if name in wanted}


def _list_containers(cells: Sequence[Cell], images: _Images, limits: Limits, host: Arch) -> dict[str, object]:
    target = cells[0].arch.arch
    model = capabilities.find_cpu_model(cells[0], host)
    environment = cells[0].execution.environment
    before = emulation.make_prefix(target, model, environment)
    server, client = session.make_specs(
        session.Session(
            name="reproduce",
            run_id="reproduce",
            server_image=f"matrixctl-{images.runtime}",
            client_image=f"matrixctl-{images.client}",
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
            loader=emulation.find_loader(target, model),
        )
    )
    said = {
        "argv": shlex.join,
        "emulated": bool(model),
        "environment": environment,
        "before": before,
        "diagnostics": emulation.make_diagnostics(target, model, environment),
    }
    return {"server": server, "client": client, **said}


def name_script(action: Action) -> str:
    """Return the script of a build."""
    return f"build-{action.kind}.sh"
