"""Compiles a TLS library, HAProxy or the AEAD self-test, or finds it in the store."""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from orchestrator.app.context import Context
from orchestrator.app.demand import find_build_demand
from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError, PrerequisiteError
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.engine.engine import WORK
from orchestrator.execute.store.store import Store
from orchestrator.matrix import packages
from orchestrator.plan.action import Action, BuildAction, BuildKind, Recipe
from orchestrator.plan.plan import Plan
from orchestrator.record.model import ActionStatus

_EMULATED_COMPILER = 8
"""A compiler under QEMU takes 13 times as long (docs/performance.md). The limit, long beside a native build,
grows by less: it stays below the six hours after which GitHub ends a job by force."""


def do(context: Context, action: BuildAction, plan: Plan, find_source: Callable[[str], Path]) -> ActionStatus:
    """Compile it, unless the store has it.

    :param find_source: returns where the source lies that the action of a key has fetched.

    :raises PrerequisiteError: where matrixctl has no recipe for it.
    :raises MatrixctlError: see ``compile_once``.
    """
    if action.problem:
        raise PrerequisiteError(action.problem)
    recipe, digest = action.recipe, action.digest
    if recipe is None or digest is None:
        raise MatrixctlError(f"{action.name} has no recipe; this is a fault of matrixctl.")
    if context.store.find_artifact(digest) is not None:
        return "cached"
    parents = (find_library(context.store, plan.actions[action.library]),) if action.library else ()
    source = find_source(action.source) if action.source else None
    task = make_task(context, action.kind, recipe, digest=digest, source=source, parents=parents)
    made = compile_once(context.engine, context.store, task)
    return "succeeded" if made.meta.get("name") == task.name else "cached"  # another run made it meanwhile


def make_task(
    context: Context,
    kind: BuildKind,
    recipe: Recipe,
    *,
    digest: str,
    source: Path | None,
    parents: tuple[Path, ...],
) -> Compile:
    """Return what is compiled, in which image, and what it may take there."""
    emulated = recipe.compiler_arch != context.host
    name, target, extra = name_toolchain(recipe, context.host)
    image = context.images.get(name, target, extra)
    caches, kept = choose_caches(recipe)
    allowed = find_build_demand(kind, compiles=recipe.compiles, jobs=context.options.jobs)
    return Compile(
        name=f"matrixctl-{context.run_id}-{kind}-{secrets.token_hex(3)}",
        run_id=context.run_id,
        digest=digest,
        image=image.tag,
        platform=recipe.compiler_arch.platform,
        script=context.renderer.render(recipe.template, recipe.list_values(WORK)),
        source_file=recipe.source.file if recipe.source else "",
        source=source,
        patches=recipe.patches,
        packages=extra,
        parents=parents,
        output=kind,
        caches=caches,
        kept_cache=kept,
        jobs=allowed.cpus,
        memory_bytes=allowed.memory,
        timeout=context.limits.build * (_EMULATED_COMPILER if emulated else 1),
        keep=context.options.keep,
    )


def name_toolchain(recipe: Recipe, host: Arch) -> tuple[str, Arch, tuple[str, ...]]:
    """Return the image in which it is compiled, the architecture that it serves, and its further packages."""
    name = "toolchain" if recipe.compiler_arch == host else "emulated-toolchain"
    target = recipe.target if recipe.compiles else host
    return name, target, packages.list_build_packages(recipe.haproxy, recipe.tls)


def find_library(store: Store, action: Action) -> Path:
    """Return the archive of a library that was built.

    Without it the compiler would find the toolchain's own, and the result would be kept under our digest.

    :raises MatrixctlError: where it was removed since its action ended.
    """
    artifact = store.find_artifact(action.digest) if action.digest else None
    if artifact is None:
        raise MatrixctlError(
            f"the artifact of {action.name} is gone from the store",
            resolution="Run again: it is built again. Does something else remove files there?",
        )
    return artifact.path


def choose_caches(recipe: Recipe) -> tuple[tuple[str, ...], str | None]:
    """Return the compiler caches that a build may read, best first, and the one that it may fill.

    The author of a patch or a tree can run anything in its build, and so put any object under any key of the
    cache. So a patched build fills none, and what comes from a place that moves fills one of its own.
    """
    if recipe.source is None or not recipe.compiles:  # it is one small file
        return (), None
    common = f"{recipe.source.component}-{recipe.compiler_arch.name}-{recipe.target.name}"
    place = str(recipe.moving).encode() if recipe.moving else None
    own = common if place is None else f"{common}-{hashlib.sha256(place).hexdigest()[:12]}"
    return tuple(dict.fromkeys((own, common))), None if recipe.patches else own
