"""The images of one run: each made at most once, whoever asks first."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.arch import Arch
from orchestrator.errors import MatrixctlError
from orchestrator.execute import images, sources
from orchestrator.execute.images import ImageRef, Workshop


@dataclass(kw_only=True)
class ImageSet:
    """``targets`` are all architectures that the toolchain must be able to compile for."""

    shop: Workshop
    targets: Sequence[Arch]
    _made: dict[tuple[str, str], ImageRef] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _locks: dict[tuple[str, str], threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def get(self, name: str, arch: Arch) -> ImageRef:
        """An image that is there and was verified.

        :raises EngineError, DeadlineError, EmulationError, MatrixctlError: see ``images``.
        """
        key = (name, arch.name)
        with self._guard:
            lock = self._locks[key]
        with lock:  # of this image alone: toolchain and client are made side by side
            if key not in self._made:
                self._made[key] = self._make(name, arch)
            return self._made[key]

    def packages(self, name: str, arch: Arch) -> dict[str, str]:
        """Exact package versions inside an image."""
        return images.packages(self.shop.client, self.get(name, arch))

    def debian_pools(self) -> tuple[str, ...]:
        """Debian's package pools as this machine's apt has them or, where it has none, the base image's."""
        own = sources.apt_bases()
        if own:
            return own
        try:
            base = self.get("base", self.shop.arch)
        except MatrixctlError:  # the image's own action says why; without it there are no pools
            return ()
        return sources.pools(images.apt_targets(self.shop.client, base))

    def _make(self, name: str, arch: Arch) -> ImageRef:
        if name == "base":
            return images.ensure_base(self.shop)
        base = self.get("base", self.shop.arch)
        if name == "toolchain":
            return images.ensure_toolchain(self.shop, base, self.targets)
        if name == "client":
            return images.ensure_client(self.shop, base)
        toolchain = self.get("toolchain", self.shop.arch)
        if name == "runtime":
            return images.ensure_runtime(self.shop, base, toolchain, arch)
        return images.ensure_emulated_toolchain(self.shop, base, toolchain, arch)
