"""The container images: few, from plain Dockerfiles, each tagged with a hash of all that went into it.

Made on demand and kept, all of the host's architecture: base, toolchain, client, runtime; per foreign target
a toolchain that crosses to it and a runtime with an emulator. Only ``--build emulated`` wants one of the
target's own architecture. No program of a foreign architecture runs while they are made. Nothing is handed
out before its architecture was proved by running it.
"""

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import IO

from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import EngineError, SourceUnreachableError
from orchestrator.execute.engine.engine import Engine, Image
from orchestrator.execute.images import dockerfiles, emulation, image_build, wheels
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import Host
from orchestrator.frozen_value import Value

_log = logging.getLogger(__name__)

_SCHEMA = 1
"""Part of every key: raise it when an image changes in a way that its text does not show."""


class ImageRef(Value):
    """An image that is there and was proved to be of its architecture."""

    name: str
    arch: str
    """Of its programs."""
    target: str
    """The architecture that it serves: of a toolchain the one that it compiles for, else its own."""
    tag: str
    id: str
    key: str
    """SHA-256 of all that decides what is in it: rendered text, suite, the base's key."""
    origin: str
    """For people: a registry's image with its digest, ``bootstrap trixie``, or the base that it grew from."""
    digest: str | None
    """The registry's digest of the base image; ``None`` for what was made here."""
    new: bool = False
    """It was made just now; else it was there already."""
    client: str = ""
    """What the matrix' own client that is in it says it is."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What image builds need around them. ``arch`` is the engine's; ``proxies`` go in as build arguments."""

    engine: Engine
    host: Host
    arch: Arch
    proxies: Mapping[str, str] = field(default_factory=dict)
    store: Store | None = None
    """Keeps the wheels of the client image, and two runs from making one image twice: the second finds it."""
    limit: float = 900
    """Seconds for making one image: the matrix's limit ``image``."""


@dataclass(frozen=True, kw_only=True)
class ImageRecipe:
    """One image that can be made. ``arch`` is that of its programs, ``target`` the one that it serves."""

    name: str
    arch: Arch
    target: Arch
    key: str
    dockerfile: str
    root_name: str = "root.tar"

    @property
    def tag(self) -> str:
        return f"matrixctl/{self.name}:{self.key[:16]}"


def find_newest(engine: Engine, name: str, arch: Arch) -> Image | None:
    """Return the youngest image of that name and architecture that was made here, unproved, or ``None``."""
    found = engine.list_images(f"matrixctl.image={name}")
    # Without a tag is one that another took its tag from; without an architecture one that was made by hand.
    return next(
        (one for one in found if one.labels.get("matrixctl.arch") == arch.name and _list_tags(one)), None
    )


def _list_tags(image: Image) -> list[str]:
    """Return the tags that we gave it."""
    return [tag for tag in image.tags if tag.startswith("matrixctl/")]


def ensure_toolchain(shop: Workshop, base: ImageRef) -> ImageRef:
    """Return the image with the host's own compilers and all other tools."""
    return ensure(shop, _make_toolchain_recipe(shop.arch, base), origin=base.tag)


def ensure_cross(shop: Workshop, toolchain: ImageRef, target: Arch, extra: tuple[str, ...] = ()) -> ImageRef:
    """Return the host's toolchain with compiler and development packages for another architecture."""
    return ensure(shop, _make_cross_recipe(shop.arch, target, toolchain, extra), origin=toolchain.tag)


def ensure_variant(shop: Workshop, toolchain: ImageRef, extra: tuple[str, ...]) -> ImageRef:
    """Return the host's own toolchain with further packages."""
    return ensure(shop, _make_variant_recipe(shop.arch, toolchain, extra), origin=toolchain.tag)


def ensure_client(shop: Workshop, base: ImageRef) -> ImageRef:
    """Return the image of the clients and of what proves them; without aioquic where pip does not get it."""
    cache = shop.store.images / "wheels" if shop.store else None
    try:
        return ensure(
            shop,
            _make_client_recipe(shop.arch, base, aioquic=wheels.digest_lock()),
            origin=base.tag,
            make_root=lambda into: wheels.fetch(shop.host, shop.arch, cache, into),
        )
    except SourceUnreachableError as error:  # no reason to do without the others
        _log.warning("the client image gets no aioquic: %s", error.brief)
        return ensure(shop, _make_client_recipe(shop.arch, base, aioquic=""), origin=base.tag)


def ensure_capture(shop: Workshop, base: ImageRef) -> ImageRef:
    """Return the image that takes packet captures and reads them."""
    recipe = _make_recipe(shop.arch, base, "capture", dockerfiles.render_capture(base.tag))
    return ensure(shop, recipe, origin=base.tag)


def _make_toolchain_recipe(host: Arch, base: ImageRef) -> ImageRecipe:
    return _make_recipe(host, base, "toolchain", dockerfiles.render_toolchain(base.tag))


def _make_variant_recipe(host: Arch, toolchain: ImageRef, extra: tuple[str, ...]) -> ImageRecipe:
    return _make_recipe(host, toolchain, "toolchain", dockerfiles.render_variant(toolchain.tag, extra))


def _make_cross_recipe(
    host: Arch, target: Arch, toolchain: ImageRef, extra: tuple[str, ...] = ()
) -> ImageRecipe:
    dockerfile = dockerfiles.render_cross(target, toolchain.tag, extra)
    return replace(_make_recipe(host, toolchain, "toolchain", dockerfile), target=target)


def _make_client_recipe(host: Arch, base: ImageRef, *, aioquic: str) -> ImageRecipe:
    recipe = _make_recipe(host, base, "client", dockerfiles.render_client(base.tag, aioquic=aioquic))
    return replace(recipe, root_name="aioquic.tar")


def _make_recipe(host: Arch, parent: ImageRef, name: str, dockerfile: str) -> ImageRecipe:
    key = make_key(name, host, dockerfile, parent.key)
    return ImageRecipe(name=name, arch=host, target=host, key=key, dockerfile=dockerfile)


def ensure_root(
    shop: Workshop,
    base: ImageRef,
    toolchain: ImageRef,
    name: str,
    arch: Arch,
    *,
    extra: tuple[str, ...] = (),
) -> ImageRef:
    """Return an image of extracted packages that serves ``arch``.

    :param name: one of ``dockerfiles.ROOTS`` or ``DEBUGGERS``.
    """

    def make_root(into: IO[bytes]) -> None:
        script = dockerfiles.render_root_script(name, shop.arch, arch, extra)
        done = shop.engine.make_file(
            toolchain.id, script, "/root.tar", into, environment=shop.proxies, timeout=shop.limit
        )
        image_build.refuse_failure(done, f"{name} for {arch.name}", shop.limit)

    recipe = _make_root_recipe(name, shop.arch, arch, base, extra=extra)
    return ensure(shop, recipe, origin=base.tag, make_root=make_root)


def _make_root_recipe(
    name: str, host: Arch, target: Arch, base: ImageRef, *, extra: tuple[str, ...] = ()
) -> ImageRecipe:
    dockerfile = dockerfiles.render_root(name, host, target)
    arch = dockerfiles.find_root_arch(name, host, target)
    key = make_key(
        name, arch, dockerfile + dockerfiles.render_root_script(name, host, target, extra), base.key
    )
    return ImageRecipe(name=name, arch=arch, target=target, key=key, dockerfile=dockerfile)


def find_existing(engine: Engine, host: Arch, targets: Sequence[Arch]) -> dict[tuple[str, ...], ImageRef]:
    """Return what a run without further packages would find here, as ``find_images``."""
    others = [arch for arch in targets if arch != host]
    toolchains = [("toolchain", arch) for arch in (host, *others)]
    names = (*toolchains, ("client", host), *dockerfiles.list_roots(host, targets))
    return find_images(engine, host, [(name, arch, ()) for name, arch in names])


def find_images(
    engine: Engine, host: Arch, wanted: Iterable[tuple[str, Arch, tuple[str, ...]]]
) -> dict[tuple[str, ...], ImageRef]:
    """Return which of the wanted images a run would find here, and the base that they grow from.

    They are unproved, and no registry is asked. Keys are name, architecture and further packages.

    :param wanted: of each its name, the architecture that it serves, and the packages.
    """
    newest_base = find_newest(engine, "base", host)
    if newest_base is None:
        return {}
    base = _make_ref(newest_base, host, host)
    toolchain = find(engine, _make_toolchain_recipe(host, base))
    found: dict[tuple[str, ...], ImageRef] = {("base", host.name): base}
    for name, arch, extra in wanted:
        recipe = _find_recipe(host, base, toolchain, name=name, arch=arch, extra=extra)
        image = find(engine, recipe) if recipe else None
        if image is not None:
            found[name, arch.name, *extra] = image
    return found


def _find_recipe(
    host: Arch, base: ImageRef, toolchain: ImageRef | None, *, name: str, arch: Arch, extra: tuple[str, ...]
) -> ImageRecipe | None:
    """Return the recipe of an image, or ``None`` where it grows from a toolchain that is not here."""
    if name == "client":
        return _make_client_recipe(host, base, aioquic=wheels.digest_lock())
    if name != "toolchain":
        return _make_root_recipe(name, host, arch, base, extra=extra)
    if arch == host and not extra:
        return _make_toolchain_recipe(host, base)
    if toolchain is None:
        return None
    return (
        _make_variant_recipe(host, toolchain, extra)
        if arch == host
        else _make_cross_recipe(host, arch, toolchain, extra)
    )


def find(engine: Engine, recipe: ImageRecipe) -> ImageRef | None:
    """Return the image of a recipe if it is here, unproved."""
    image = engine.find_image(recipe.tag)
    return None if image is None else _make_ref(image, recipe.arch, recipe.target)


def make_key(name: str, arch: Arch, text: str, base: str) -> str:
    """Return ``ImageRef.key``; ``base`` stands for what the text does not show."""
    parts = {"schema": _SCHEMA, "name": name, "arch": arch.name, "text": text, "base": base}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def ensure(
    shop: Workshop,
    recipe: ImageRecipe,
    *,
    origin: str,
    digest: str | None = None,
    make_root: Callable[[IO[bytes]], None] | None = None,
) -> ImageRef:
    """Return the image of a recipe: proved where it is here already, else made, by one run alone.

    :param make_root: writes the tarball that the Dockerfile adds.
    :raises DeadlineError: where another run makes it and does not come to an end.
    :raises EngineError, EmulationError: where it cannot be made, or is not of its architecture.
    """
    known = _find_known(shop, recipe)
    if known is not None:
        return known
    name, deadline = f"image-{recipe.key[:16]}", time.monotonic() + shop.limit
    alone = shop.store.lock(name, deadline=deadline) if shop.store else nullcontext()
    with alone:
        return _find_known(shop, recipe) or _make(
            shop, recipe, origin=origin, digest=digest, make_root=make_root
        )


def _find_known(shop: Workshop, recipe: ImageRecipe) -> ImageRef | None:
    image = shop.engine.find_image(recipe.tag)
    return None if image is None else prove_image(shop.engine, image, recipe.arch, recipe.target)


def _make(
    shop: Workshop,
    recipe: ImageRecipe,
    *,
    origin: str,
    digest: str | None,
    make_root: Callable[[IO[bytes]], None] | None,
) -> ImageRef:
    _log.info("making the image %s for %s (%s)", recipe.tag, recipe.target.name, origin)
    labels = {"arch": recipe.arch.name, "key": recipe.key, "origin": origin, "digest": digest or ""}
    with tempfile.TemporaryFile() as root_tar:
        if make_root is not None:
            make_root(root_tar)
        image_build.build(
            shop.engine,
            tag=recipe.tag,
            dockerfile=recipe.dockerfile,
            arch=recipe.arch,
            labels={f"matrixctl.{name}": value for name, value in labels.items()},
            proxies=shop.proxies,
            root=root_tar if make_root is not None else None,
            root_name=recipe.root_name,
            limit=shop.limit,
        )
    made = _find_known(shop, recipe)
    if made is None:
        raise EngineError(f"the image {recipe.tag} was made, and is not there")
    return made.model_copy(update={"new": True})


def prove_image(engine: Engine, image: Image, arch: Arch, target: Arch) -> ImageRef:
    """Return what an image is, once ``prove_ref`` has held it against that."""
    ref = _make_ref(image, arch, target)
    prove_ref(engine, image, ref)
    return ref


def prove_ref(engine: Engine, image: Image, ref: ImageRef) -> None:
    """Never trust a tag: the recorded architecture, and the one that a program in it sees, must be ours.

    :raises EngineError, EmulationError: where they are not.
    """
    arch, target = ARCHES[ref.arch], ARCHES[ref.target]
    if image.arch != arch.platform.split("/")[1]:
        raise EngineError(
            f"the image {ref.tag} is recorded as {image.arch}, not as {arch.name}",
            resolution="Remove it and run again: matrixctl clean --images",
        )
    if ref.name in dockerfiles.EMULATORS:  # its emulator is a program of ``arch``
        emulation.prove_cpu(engine, ref.tag, target, target.cpus.default)
    else:
        emulation.prove_machine(engine, ref.tag, arch)


def _make_ref(image: Image, arch: Arch, target: Arch) -> ImageRef:
    return ImageRef(
        name=image.labels["matrixctl.image"],
        arch=arch.name,
        target=target.name,
        tag=_list_tags(image)[0],
        id=image.id,
        key=image.labels["matrixctl.key"],
        origin=image.labels["matrixctl.origin"],
        digest=image.labels["matrixctl.digest"] or None,
    )


def remove_images(engine: Engine, *, dry_run: bool = False) -> list[str]:
    """Remove every image that was made here, children before their parents; return their tags."""
    found = engine.list_images("matrixctl.image")
    for image in () if dry_run else found:
        engine.remove_image(image.id)
    return [tag for image in found for tag in _list_tags(image)]
