"""Where the base image comes from: a registry, what is here already, or a bootstrap of Debian."""

import docker
import docker.errors

from orchestrator.errors import MatrixctlError
from orchestrator.execute.images import bootstrap, dockerfiles, workshop
from orchestrator.execute.images.dockerfiles import REGISTRY_IMAGE
from orchestrator.execute.images.workshop import ImageRef, Workshop

BRING_BASE = (
    f"Bring the base image from a machine that has a registry. There: docker pull {REGISTRY_IMAGE} && "
    f"docker save -o base.tar {REGISTRY_IMAGE}; here: docker load -i base.tar"
)

_REGISTRY_DEADLINE = 8
"""Seconds that a registry has to say the digest of a tag."""

_PULL_DEADLINE = 30


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
    dockerfile = dockerfiles.base_dockerfile(image)
    key = workshop.key_of("base", shop.arch, dockerfile, digest)
    origin = image if "@" in image else f"{image}, loaded by hand"
    recipe = workshop.Recipe(name="base", arch=shop.arch, target=shop.arch, key=key, dockerfile=dockerfile)
    return workshop.ensure(shop, recipe, origin=origin, digest=digest)


def _bootstrapped_base(shop: Workshop) -> ImageRef:
    if not bootstrap.is_debian(shop.host):
        raise MatrixctlError(
            f"no registry answers for the base image {REGISTRY_IMAGE}, and this machine is not Debian",
            resolution=BRING_BASE,
        )
    dockerfile = dockerfiles.base_dockerfile()
    key = workshop.key_of("base", shop.arch, dockerfile, bootstrap.SUITE)
    return workshop.ensure(
        shop,
        workshop.Recipe(
            name="base",
            arch=shop.arch,
            target=shop.arch,
            key=key,
            dockerfile=dockerfile,
            root_name="base.tar",
        ),
        origin=f"bootstrap {bootstrap.SUITE}",
        make_root=lambda into: bootstrap.make_base_root(shop.host, shop.arch, into),
    )


def _newest_base(shop: Workshop) -> ImageRef | None:
    """A base of an earlier day: better than another one whose versions would make every build anew."""
    kept = workshop.newest(shop.client, "base", shop.arch)
    return None if kept is None else workshop.proved(shop.client, kept, shop.arch, shop.arch)
