"""The images of a run on its workers: who makes one gives it to all, so that each has the same packages.

Digests of builds hold the versions of a toolchain's packages, and a record those of libraries and clients:
an image that a worker made of its own mirror might have others.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Self, cast

from orchestrator.app.actions import build
from orchestrator.app.context import Context
from orchestrator.app.once import Once
from orchestrator.arch import ARCHES, Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine.engine import Engine
from orchestrator.execute.images import workshop
from orchestrator.execute.images.imageset import ImageSet
from orchestrator.execute.images.workshop import ImageRef
from orchestrator.execute.store.shared import SharedStore
from orchestrator.execute.store.store import Store
from orchestrator.matrix import packages
from orchestrator.matrix.model import Cell, ClientValue
from orchestrator.plan.action import ImageAction, Recipe
from orchestrator.plan.plan import choose_runtime_image


@dataclass(frozen=True, kw_only=True)
class WantedImage:
    """An image that a task is done in.

    :ivar arch: the name of the architecture that it serves.
    :ivar extra: packages that are in it beside its own.
    :ivar client: the matrix' own client that is in it; ``None``: only ours, or none.
    """

    name: str
    arch: str
    extra: tuple[str, ...] = ()
    client: ClientValue | None = None

    @classmethod
    def of(cls, action: ImageAction) -> Self:
        """Return what an action of the plan makes."""
        return cls(name=action.image, arch=action.arch, extra=action.extra, client=action.client)

    def make(self, images: ImageSet) -> ImageRef:
        """Return the image, made or found."""
        if self.client is not None:
            return images.get_client(self.client)
        return images.get(self.name, ARCHES[self.arch], self.extra)


@dataclass(frozen=True, kw_only=True)
class Given:
    """An image as it lies in the remote store, under the SHA-256 of the file."""

    ref: ImageRef
    sha256: str


def list_for_build(recipe: Recipe, host: Arch) -> tuple[WantedImage, ...]:
    """Return the images that a component is compiled in, on a machine of an architecture."""
    name, target, extra = build.name_toolchain(recipe, host)
    return (WantedImage(name=name, arch=target.name, extra=extra),)


def list_for_probe(cell: Cell, host: Arch) -> tuple[WantedImage, ...]:
    """Return the images that a cell is probed in: the server's, and the clients'."""
    extra = packages.list_runtime_packages(cell.haproxy, cell.tls)
    images = (
        WantedImage(name=choose_runtime_image(cell, host), arch=cell.arch.arch.name, extra=extra),
        WantedImage(name="client", arch=host.name),
    )
    own = (WantedImage(name="client", arch=host.name, client=cell.client),) if cell.client.is_own else ()
    return (*images, *own)


def give_image(context: Context, wanted: WantedImage) -> Given:
    """Make an image, or find it, and put it where all workers can take it.

    :raises MatrixctlError: where it cannot be made, or not be put there.
    """
    ref, engine = wanted.make(context.images), context.engine

    def save(into: IO[bytes]) -> None:
        engine.save_image(ref.tag, into)

    return Given(ref=ref, sha256=cast("SharedStore", context.store).give_image(ref.id, save))


@dataclass(kw_only=True)
class TaskImages(ImageSet):
    """The images of a task, as they were given; the worker's own for what decides nothing, as a capture.

    :ivar given: by what is wanted.
    :ivar take: loads what was given.
    :ivar own: makes images here.
    """

    given: Mapping[WantedImage, Given]
    take: Callable[[Given], ImageRef]
    own: ImageSet

    def get(self, name: str, arch: Arch, extra: tuple[str, ...] = ()) -> ImageRef:
        """Return the image that the run has, or one of this machine's own."""
        given = self.given.get(WantedImage(name=name, arch=arch.name, extra=extra))
        return self.take(given) if given else self.own.get(name, arch, extra)

    def get_client(self, client: ClientValue) -> ImageRef:
        """Return the image that the run has of a client, or one of this machine's own."""
        own = client if client.is_own else None
        given = self.given.get(WantedImage(name="client", arch=self.shop.arch.name, client=own))
        return self.take(given) if given else self.own.get_client(client)


@dataclass(kw_only=True)
class Taker:
    """Loads what others have made into the engine of this machine, each image once. Safe for threads."""

    engine: Engine
    store: Store
    _taken: defaultdict[str, Once[ImageRef]] = field(default_factory=lambda: defaultdict(Once))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, given: Given) -> ImageRef:
        """Return an image that is in the engine, by its id: no other one can have taken its tag.

        :raises MatrixctlError: where it is not in the remote store, or is another one than it should be.
        :raises EngineError, EmulationError: where it cannot be loaded, or does not run here.
        """
        with self._lock:
            once = self._taken[given.ref.id]
        return once.get(lambda: self._take(given))

    def _take(self, given: Given) -> ImageRef:
        ref = given.ref
        if self.engine.find_image(ref.id) is None:
            with cast("SharedStore", self.store).take_image(given.sha256) as file, file.open("rb") as saved:
                self.engine.load_image(saved)
        image = self.engine.find_image(ref.id)
        if image is None:
            raise MatrixctlError(
                f"the saved image {ref.tag} is not the one that it is called: {ref.id[:19]}",
                resolution="Does this worker's engine keep images in another way than the run's?",
            )
        ref = ref.model_copy(update={"tag": ref.id})
        workshop.prove_ref(self.engine, image, ref)
        return ref
