"""Where the base image comes from: a registry, what is here already, or a bootstrap of Debian."""

from orchestrator.errors import MatrixctlError
from orchestrator.execute.images import bootstrap, dockerfiles, workshop
from orchestrator.execute.images.dockerfiles import REGISTRY_IMAGE
from orchestrator.execute.images.workshop import ImageRef, Workshop
from orchestrator.execute.system.host import is_debian

BRING_BASE = (
    f"Bring the base image from a machine that has a registry. There: docker pull {REGISTRY_IMAGE} && "
    f"docker save -o base.tar {REGISTRY_IMAGE}; here: docker load -i base.tar"
)


def ensure_base(shop: Workshop) -> ImageRef:
    """Return the base image: from a registry where one answers, else what is here, else bootstrapped.

    :raises MatrixctlError: where nothing of that is possible, with the remedy.
    """
    digest = shop.engine.find_digest(REGISTRY_IMAGE)
    if digest is not None:
        return _ensure_base_from(shop, f"{REGISTRY_IMAGE}@{digest}", digest)
    known = _find_newest_base(shop)
    if known is not None:
        return known
    brought = shop.engine.find_image(REGISTRY_IMAGE)
    if brought is not None:
        return _ensure_base_from(shop, REGISTRY_IMAGE, brought.id)
    return _bootstrap_base(shop)


def _ensure_base_from(shop: Workshop, image: str, digest: str) -> ImageRef:
    dockerfile = dockerfiles.render_base(image)
    key = workshop.make_key("base", shop.arch, dockerfile, digest)
    origin = image if "@" in image else f"{image}, loaded by hand"
    recipe = workshop.ImageRecipe(
        name="base", arch=shop.arch, target=shop.arch, key=key, dockerfile=dockerfile
    )
    return workshop.ensure(shop, recipe, origin=origin, digest=digest)


def _bootstrap_base(shop: Workshop) -> ImageRef:
    if not is_debian(shop.host):
        raise MatrixctlError(
            f"no registry answers for the base image {REGISTRY_IMAGE}, and this machine is not Debian",
            resolution=BRING_BASE,
        )
    dockerfile = dockerfiles.render_base()
    key = workshop.make_key("base", shop.arch, dockerfile, bootstrap.SUITE)
    return workshop.ensure(
        shop,
        workshop.ImageRecipe(
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


def _find_newest_base(shop: Workshop) -> ImageRef | None:
    """Return the base of an earlier day: another one's versions would make every build again."""
    kept = workshop.find_newest(shop.engine, "base", shop.arch)
    return None if kept is None else workshop.prove_image(shop.engine, kept, shop.arch, shop.arch)
