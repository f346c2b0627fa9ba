"""The container images: few, from plain Dockerfiles, each tagged with a hash of all that went into it.

Made on demand and kept: base, toolchain and client for the host's architecture, one runtime (and for
``--build emulated`` one emulated toolchain) per target. No program of a foreign architecture runs while
they are made. Nothing is handed out before its architecture was proved by running it.
"""

import hashlib
import io
import json
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

import docker
import docker.errors
from docker.models.images import Image

from orchestrator.arch import Arch
from orchestrator.errors import EngineError, MatrixctlError
from orchestrator.execute import bootstrap, emulation, image_build, image_files, owner
from orchestrator.execute.host import Host
from orchestrator.execute.image_files import REGISTRY_IMAGE
from orchestrator.value import Value

BRING_BASE = (
    f"Bring the base image from a machine that has a registry. There: docker pull {REGISTRY_IMAGE} && "
    f"docker save -o base.tar {REGISTRY_IMAGE}; here: docker load -i base.tar"
)

_SCHEMA = 1
"""Part of every key: raise it when an image changes in a way that its text does not show."""

_REGISTRY_DEADLINE = 8
"""Seconds that a registry has to say the digest of a tag."""

_PULL_DEADLINE = 30


class ImageRef(Value):
    """An image that is there and was proved to be of its architecture."""

    name: str
    arch: str
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


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What image builds need around them. ``arch`` is the daemon's; ``proxies`` go in as build arguments."""

    client: docker.DockerClient
    host: Host
    arch: Arch
    say: Callable[[str], None]
    proxies: Mapping[str, str] = field(default_factory=dict)
    limit: float = 900
    """Seconds for making one image: the matrix's limit ``image``."""


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    name: str
    arch: Arch
    key: str
    dockerfile: str
    root_name: str = "root.tar"

    @property
    def tag(self) -> str:
        return f"matrixctl/{self.name}:{self.key[:16]}"


def ensure_base(shop: Workshop) -> ImageRef:
    """The base image: from a registry where one answers, else what is here already, else bootstrapped.

    :raises MatrixctlError: where nothing of that is possible, with the remedy.
    """
    digest = registry_digest(shop.client)
    if digest is not None:
        return _base_from(shop, f"{REGISTRY_IMAGE}@{digest}", digest)
    known = _newest_base(shop)
    if known is not None:
        return known
    if loaded_by_hand(shop.client):
        return _base_from(shop, REGISTRY_IMAGE, shop.client.images.get(REGISTRY_IMAGE).id or "")
    return _bootstrapped_base(shop)


def loaded_by_hand(client: docker.DockerClient) -> bool:
    """Whether somebody brought the base image by ``docker load``."""
    try:
        return bool(client.images.get(REGISTRY_IMAGE))
    except docker.errors.ImageNotFound:
        return False


def registry_digest(client: docker.DockerClient) -> str | None:
    """The digest that a registry has for the base image's tag now; ``None`` where no registry answers.

    The daemon is asked, since it is the one that would pull; ``requests`` is used below the ``docker``
    package because its own calls have no deadline but the client's. A daemon's registry mirrors are not
    consulted by this question, only by a pull.
    """
    try:
        answer = client.api.get(
            _api(client, f"distribution/{REGISTRY_IMAGE}/json"), timeout=_REGISTRY_DEADLINE
        )
        if answer.ok:
            return str(answer.json()["Descriptor"]["digest"])
        return _pulled_digest(client) if client.info()["RegistryConfig"]["Mirrors"] else None
    except (OSError, ValueError, KeyError, docker.errors.ImageNotFound):  # requests' errors are OSErrors
        return None


def _api(client: docker.DockerClient, path: str) -> str:
    return f"{client.api.base_url}/v{client.api.api_version}/{path}"


def _pulled_digest(client: docker.DockerClient) -> str | None:
    """Pull by tag through the daemon's mirrors. The deadline holds for each pause between two lines."""
    name, tag = REGISTRY_IMAGE.split(":")
    url = _api(client, "images/create")
    with client.api.post(
        url, params={"fromImage": name, "tag": tag}, stream=True, timeout=_PULL_DEADLINE
    ) as answer:
        if not answer.ok or any(b'"error"' in line for line in answer.iter_lines()):
            return None
    digests: list[str] = client.images.get(REGISTRY_IMAGE).attrs["RepoDigests"]
    return next((digest.partition("@")[2] for digest in digests), None)


def _base_from(shop: Workshop, image: str, digest: str) -> ImageRef:
    dockerfile = image_files.base_dockerfile(image)
    key = _key("base", shop.arch, dockerfile, digest)
    origin = image if "@" in image else f"{image}, loaded by hand"
    recipe = _Recipe(name="base", arch=shop.arch, key=key, dockerfile=dockerfile)
    return _ensure(shop, recipe, origin=origin, digest=digest)


def _bootstrapped_base(shop: Workshop) -> ImageRef:
    if not bootstrap.is_debian(shop.host):
        raise MatrixctlError(
            f"no registry answers for the base image {REGISTRY_IMAGE}, and this machine is not Debian",
            resolution=BRING_BASE,
        )
    dockerfile = image_files.base_dockerfile()
    key = _key("base", shop.arch, dockerfile, bootstrap.SUITE)
    return _ensure(
        shop,
        _Recipe(name="base", arch=shop.arch, key=key, dockerfile=dockerfile, root_name="base.tar"),
        origin=f"bootstrap {bootstrap.SUITE}",
        make_root=lambda into: bootstrap.make_base_root(shop.host, shop.arch, into),
    )


def _newest_base(shop: Workshop) -> ImageRef | None:
    """A base of an earlier day: better than another one whose versions would make every build anew."""
    kept = newest(shop.client, "base", shop.arch)
    return None if kept is None else _proved(shop.client, kept, shop.arch)


def newest(client: docker.DockerClient, name: str, arch: Arch) -> Image | None:
    """The youngest image of that name and architecture that was made here, unproved; ``None`` without any."""
    wanted = {"label": [f"matrixctl.image={name}", f"matrixctl.arch={arch.name}"]}
    return max(
        client.images.list(filters=wanted), key=lambda image: str(image.attrs["Created"]), default=None
    )


def ensure_toolchain(shop: Workshop, base: ImageRef, targets: Sequence[Arch]) -> ImageRef:
    """The compilers of the host's architecture, native and for every other one of ``targets``."""
    return _ensure(shop, _toolchain(shop.arch, targets, base), origin=base.tag)


def ensure_client(shop: Workshop, base: ImageRef) -> ImageRef:
    """curl with HTTP/3 and Python, for the host's architecture."""
    return _ensure(shop, _client(shop.arch, base), origin=base.tag)


def _toolchain(host: Arch, targets: Sequence[Arch], base: ImageRef) -> _Recipe:
    return _grown(host, base, "toolchain", image_files.toolchain_dockerfile(host, targets, base.tag))


def _client(host: Arch, base: ImageRef) -> _Recipe:
    return _grown(host, base, "client", image_files.client_dockerfile(base.tag))


def _grown(host: Arch, base: ImageRef, name: str, dockerfile: str) -> _Recipe:
    key = _key(name, host, dockerfile, base.key)
    return _Recipe(name=name, arch=host, key=key, dockerfile=dockerfile)


def ensure_runtime(shop: Workshop, base: ImageRef, toolchain: ImageRef, arch: Arch) -> ImageRef:
    """What HAProxy needs to run on ``arch``, and a shell."""
    return _extracted(shop, base, toolchain, "runtime", arch)


def ensure_emulated_toolchain(shop: Workshop, base: ImageRef, toolchain: ImageRef, arch: Arch) -> ImageRef:
    """Compilers of ``arch`` itself, for ``--build emulated``."""
    return _extracted(shop, base, toolchain, "emulated-toolchain", arch)


def _extracted(shop: Workshop, base: ImageRef, toolchain: ImageRef, name: str, arch: Arch) -> ImageRef:
    script = image_files.root_script(name, arch)
    return _ensure(
        shop,
        _root(name, arch, base),
        origin=base.tag,
        make_root=lambda into: image_build.made_in_container(
            shop.client,
            image=toolchain.id,
            script=script,
            path="/root.tar",
            proxies=shop.proxies,
            into=into,
            limit=shop.limit,
        ),
    )


def _root(name: str, arch: Arch, base: ImageRef) -> _Recipe:
    dockerfile, script = image_files.root_dockerfile(name, arch), image_files.root_script(name, arch)
    key = _key(name, arch, dockerfile + script, base.key)
    return _Recipe(name=name, arch=arch, key=key, dockerfile=dockerfile)


def existing(
    client: docker.DockerClient, host: Arch, targets: Sequence[Arch]
) -> dict[tuple[str, str], ImageRef]:
    """What a run would find here, by name and architecture: unproved, and without asking a registry."""
    newest_base = newest(client, "base", host)
    if newest_base is None:
        return {}
    base = _ref(newest_base, host)
    recipes = [_toolchain(host, targets, base), _client(host, base)]
    recipes += [_root(name, arch, base) for name in ("runtime", "emulated-toolchain") for arch in targets]
    found = {("base", host.name): base}
    for recipe in recipes:
        with suppress(docker.errors.ImageNotFound):
            found[recipe.name, recipe.arch.name] = _ref(client.images.get(recipe.tag), recipe.arch)
    return found


def _key(name: str, arch: Arch, text: str, base: str) -> str:
    parts = {"schema": _SCHEMA, "name": name, "arch": arch.name, "text": text, "base": base}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _ensure(
    shop: Workshop,
    recipe: _Recipe,
    *,
    origin: str,
    digest: str | None = None,
    make_root: Callable[[IO[bytes]], None] | None = None,
) -> ImageRef:
    with suppress(docker.errors.ImageNotFound):
        return _proved(shop.client, shop.client.images.get(recipe.tag), recipe.arch)
    shop.say(f"making the image {recipe.tag} ({origin})")
    labels = {"arch": recipe.arch.name, "key": recipe.key, "origin": origin, "digest": digest or ""}
    with tempfile.TemporaryFile() as root_tar:
        if make_root is not None:
            make_root(root_tar)
        image_build.build(
            shop.client,
            tag=recipe.tag,
            dockerfile=recipe.dockerfile,
            arch=recipe.arch,
            labels={f"matrixctl.{name}": value for name, value in labels.items()},
            proxies=shop.proxies,
            root=root_tar if make_root is not None else None,
            root_name=recipe.root_name,
            limit=shop.limit,
        )
    made = _proved(shop.client, shop.client.images.get(recipe.tag), recipe.arch)
    return made.model_copy(update={"new": True})


def _proved(client: docker.DockerClient, image: Image, arch: Arch) -> ImageRef:
    """Never trust a tag: the recorded architecture, and the one that a container of it sees, must be ours."""
    ref = _ref(image, arch)
    if image.attrs["Architecture"] != arch.platform.removeprefix("linux/"):
        raise EngineError(
            f"the image {ref.tag} is recorded as {image.attrs['Architecture']}, not as {arch.name}",
            resolution="Remove it and run again: matrixctl clean --images",
        )
    emulation.proof(client, ref.tag, arch)
    return ref


def _ref(image: Image, arch: Arch) -> ImageRef:
    return ImageRef(
        name=image.labels["matrixctl.image"],
        arch=arch.name,
        tag=next(tag for tag in image.tags if tag.startswith("matrixctl/")),
        id=image.id or "",
        key=image.labels["matrixctl.key"],
        origin=image.labels["matrixctl.origin"],
        digest=image.labels["matrixctl.digest"] or None,
    )


def packages(client: docker.DockerClient, image: ImageRef) -> dict[str, str]:
    """The exact version of every Debian package in an image, by name; ``name:arch`` for foreign ones.

    dpkg's own list is read through the archive API, so nothing of the image has to run.
    """
    return _packages_of(client, image.id, image.arch)


def _packages_of(client: docker.DockerClient, image_id: str, arch: str) -> dict[str, str]:
    container = client.containers.create(image_id, labels=owner.labels("images"), network_mode="none")
    try:
        status = io.BytesIO()
        image_build.fetch(container, "/var/lib/dpkg/status", status)
    finally:
        container.remove(force=True)
    return parse_status(status.getvalue().decode(), arch)


def apt_targets(client: docker.DockerClient, image: ImageRef) -> str:
    """What apt in an image installs from, as lines ``SITE CODENAME``; see ``sources.pools``.

    Not ``indextargets``, which says nothing before the lists were downloaded.
    """
    said = client.containers.run(
        image.tag,
        ["apt-get", "update", "--print-uris"],
        name=f"matrixctl-apt-{secrets.token_hex(4)}",
        labels=owner.labels("images"),
        network_mode="none",
        remove=True,
    )
    text = bytes(said).decode(errors="replace")
    return "\n".join(
        f"{site} {suite}" for site, suite in re.findall(r"'(\S+)/dists/([^/\s]+)/InRelease'", text)
    )


def parse_status(text: str, arch: str) -> dict[str, str]:
    """Names and versions from dpkg's status file, without packages that were removed."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Architecture|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(("installed", "unpacked")):
            foreign = "" if fields["Architecture"] in {arch, "all"} else f":{fields['Architecture']}"
            found[fields["Package"] + foreign] = fields["Version"]
    return found


def remove_images(client: docker.DockerClient) -> list[str]:
    """Remove every image that was made here; the answer is their tags."""
    for container in client.containers.list(all=True, filters={"label": ["matrixctl=images"]}):
        container.remove(force=True)
    found = _made_here(client)
    for image in found:
        client.images.remove(image.id or "", force=True)
    return [tag for image in found for tag in image.tags]


def tags(client: docker.DockerClient) -> list[str]:
    """The tags of every image that was made here."""
    return [tag for image in _made_here(client) for tag in image.tags]


def _made_here(client: docker.DockerClient) -> list[Image]:
    """Children before parents."""
    found = client.images.list(filters={"label": "matrixctl.image"})
    return sorted(found, key=lambda image: str(image.attrs["Created"]), reverse=True)
