"""Actions: repeatable units of work, shared by the cells that need them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.arch import Arch
from orchestrator.frozen_value import Value
from orchestrator.matrix.catalog import Moving, Source
from orchestrator.matrix.model import ClientValue, HaproxyValue, Patch, TlsValue

ActionKind = Literal["image", "source", "tls", "haproxy", "selftest", "probe"]
BuildKind = Literal["tls", "haproxy", "selftest"]

PREFIX = "/opt/matrixctl"
"""Below it lies the prefix of every TLS library that is built; nothing is ever installed there."""


class Recipe(Value):
    """How one component is compiled: a template of ``templates/build`` and what it is rendered with."""

    template: str
    source: Source | None
    """``None``: the script brings along what it compiles, as the self-test's does."""
    moving: Moving | None
    """The place that the source comes from, where that is one that moves."""
    target: Arch
    compiler_arch: Arch
    """The architecture of the build container: the host's, or with ``--build emulated`` the target's."""
    haproxy: HaproxyValue | None
    tls: TlsValue
    flags: tuple[str, ...]
    """HAProxy's make flags."""
    prefix: str
    """Where a source-built TLS library believes to be installed: its mark in the binary."""
    patches: tuple[Patch, ...]
    """Applied to the source in this order."""
    packages: tuple[tuple[str, str], ...]
    """Exact versions of compiler, libc and development packages, sorted; of what is only unpacked none."""

    @property
    def compiles(self) -> bool:
        """Whether it compiles anything: a HAProxy that is prebuilt is only unpacked."""
        return self.haproxy is None or self.haproxy.is_compiled

    def list_values(self, work: str) -> dict[str, Any]:
        """Return what the template is rendered with; ``work`` is the folder in which it is built."""
        return {"work": work, **{name: getattr(self, name) for name in type(self).model_fields}}


class _Action(Value):
    """One node of the plan.

    ``key`` is unique in a plan; ``needs`` are keys; ``cells`` are the ids that it serves. ``digest`` is
    ``None`` where no output is kept (image, probe) or where the toolchain's versions are not known yet.
    """

    key: str
    name: str
    digest: str | None = None
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """The needs that are waited for, and whose failure does not block it."""
    cells: tuple[str, ...] = ()
    problem: str = ""
    """Why it cannot be done at all: a source without entry or digest, a library without a recipe."""


class ImageAction(_Action):
    """Makes a container image."""

    kind: Literal["image"] = "image"
    image: str
    """``toolchain``, ``client``, ``runtime``, ``emulated-runtime`` or ``emulated-toolchain``."""
    arch: str
    """The architecture that the image serves; a toolchain compiles for it."""
    extra: tuple[str, ...] = ()
    """Packages that values of the matrix name, beside the image's own."""
    client: ClientValue | None = None
    """Of a client image: the matrix' own client that is in it, beside ours."""


class SourceAction(_Action):
    """Fetches a source."""

    kind: Literal["source"] = "source"
    source: Source | None = None
    moving: Moving | None = None
    """Of a source that moves; ``source`` is ``None`` until it is resolved."""


class BuildAction(_Action):
    """Compiles a TLS library, HAProxy or the AEAD self-test. The names of other actions are their keys."""

    kind: BuildKind
    recipe: Recipe | None
    toolchain: str
    source: str = ""
    library: str = ""
    """The TLS library that it is linked with, where that is built here."""
    compiles: bool = True
    """As in ``Recipe``, which may not be known yet."""


class ProbeAction(_Action):
    """Probes the cells of one HAProxy build. The names of other actions are their keys."""

    kind: Literal["probe"] = "probe"
    build: str
    selftest: str = ""
    rounds: tuple[str, ...] = ()
    """Why there is each attempt, where they confirm earlier ones; empty: as often as ``--repeat`` says."""
    traced: bool = False
    """The one cell is judged, and run again to see what it does."""


Action = Annotated[ImageAction | SourceAction | BuildAction | ProbeAction, Field(discriminator="kind")]


def make_key(kind: ActionKind, name: str) -> str:
    """Return the key of an action, which is never taken apart again."""
    return f"{kind}:{name}"
