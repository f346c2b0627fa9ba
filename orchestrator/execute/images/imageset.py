"""The images of one run: each made at most once, no matter who asks first."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute.images import base_image, emulation, image_content, own_client, workshop
from orchestrator.execute.images.workshop import ImageRef, Workshop
from orchestrator.execute.sources import release
from orchestrator.matrix.model import ClientValue
from orchestrator.plan.plan import choose_package_image

_Key = tuple[str, str, tuple[str, ...]]
"""Of an image: its name, the architecture that it serves, and the packages beside its own."""


@dataclass(kw_only=True)
class ImageSet:
    """Safe for several threads."""

    shop: Workshop
    _made: dict[_Key, ImageRef] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _locks: dict[_Key, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def get(self, name: str, arch: Arch, extra: tuple[str, ...] = ()) -> ImageRef:
        """Return an image that is there and was verified.

        :param arch: the architecture that it serves: a toolchain of the host's compiles for ``arch``.
        :param extra: packages that are in it beside its own.

        :raises EngineError, DeadlineError, EmulationError, MatrixctlError: see ``images``.
        """
        key = (name, arch.name, extra)
        with self._guard:
            lock = self._locks[key]
        with lock:  # of this image alone: toolchain and client are made side by side
            if key not in self._made:
                self._made[key] = self._make(name, arch, extra)
            return self._made[key]

    def get_client(self, client: ClientValue) -> ImageRef:
        """Return the image that has a client: ours, or the one that the matrix' own is added to.

        :raises EngineError, DeadlineError, SourceUnreachableError: also where it is no such client.
        """
        ours = self.get("client", self.shop.arch)
        if not client.is_own:
            return ours
        key = (f"client {client.name}", self.shop.arch.name, ())
        with self._guard:
            lock = self._locks[key]
        with lock:
            if key not in self._made:
                self._made[key] = own_client.ensure(
                    self.shop, ours, client, lambda: self.get("toolchain", self.shop.arch)
                )
            return self._made[key]

    def prove_cpu(self, name: str, arch: Arch, cpu: str, extra: tuple[str, ...] = ()) -> None:
        """:raises EmulationError: where QEMU has no such CPU for that image, with its words."""
        emulation.prove_cpu(self.shop.engine, self.get(name, arch, extra).tag, arch, cpu)

    def read_packages(self, name: str, arch: Arch, extra: tuple[str, ...] = ()) -> dict[str, str]:
        """Return the exact package versions inside an image."""
        return image_content.read_packages(self.shop.engine, self.get(name, arch, extra))

    def read_haproxy(self, arch: Arch) -> tuple[str, bytes]:
        """Return file name and content of the .deb of Debian's own HAProxy for ``arch``."""
        return image_content.read_haproxy(
            self.shop.engine, self.get(choose_package_image(arch, self.shop.arch), arch)
        )

    def list_debian_pools(self) -> tuple[str, ...]:
        """Return Debian's package pools, as this machine's apt has them; without one, the base image's."""
        own = release.find_apt_bases(self.shop.host)
        if own:
            return own
        try:
            base = self.get("base", self.shop.arch)
        except MatrixctlError:  # the image's own action says why; without it there are no pools
            return ()
        return release.list_pools(image_content.read_apt_targets(self.shop.engine, base))

    def _make(self, name: str, arch: Arch, extra: tuple[str, ...]) -> ImageRef:
        if name == "base":
            return base_image.ensure_base(self.shop)
        base = self.get("base", self.shop.arch)
        if name == "toolchain":
            return self._make_toolchain(base, arch, extra)
        if name == "client":
            return workshop.ensure_client(self.shop, base)
        if name == "capture":
            return workshop.ensure_capture(self.shop, base)
        toolchain = self.get("toolchain", self.shop.arch)
        return workshop.ensure_root(self.shop, base, toolchain, name, arch, extra=extra)

    def _make_toolchain(self, base: ImageRef, target: Arch, extra: tuple[str, ...]) -> ImageRef:
        if target != self.shop.arch:
            return workshop.ensure_cross(self.shop, self.get("toolchain", self.shop.arch), target, extra)
        if extra:
            return workshop.ensure_variant(self.shop, self.get("toolchain", target), extra)
        return workshop.ensure_toolchain(self.shop, base)
