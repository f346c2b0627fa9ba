"""What is inside an image: its packages with their exact versions, and where its apt installs from."""

import io
import re
import secrets

import docker

from orchestrator.execute.engine import owner
from orchestrator.execute.images import image_build
from orchestrator.execute.images.workshop import ImageRef


def packages(client: docker.DockerClient, image: ImageRef) -> dict[str, str]:
    """The exact version of every Debian package in an image, by name; ``name:arch`` for foreign ones.

    dpkg's own list is read through the archive API, so nothing of the image has to run.
    """
    container = client.containers.create(
        image.id, labels=owner.labels("images"), network_mode="none", use_config_proxy=False
    )
    try:
        status = io.BytesIO()
        image_build.fetch(container, "/var/lib/dpkg/status", status)
    finally:
        container.remove(force=True)
    return parse_status(status.getvalue().decode(errors="replace"), image.arch)


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
        use_config_proxy=False,
        remove=True,
    )
    text = bytes(said).decode(errors="replace")
    return "\n".join(
        f"{site} {suite}" for site, suite in re.findall(r"'(\S+)/dists/([^/\s]+)/InRelease'", text)
    )


_NAMED = {"Package", "Architecture", "Version"}


def parse_status(text: str, arch: str) -> dict[str, str]:
    """Names and versions from dpkg's status file, without packages that were removed."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Architecture|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(("installed", "unpacked")) and fields.keys() >= _NAMED:
            foreign = "" if fields["Architecture"] in {arch, "all"} else f":{fields['Architecture']}"
            found[fields["Package"] + foreign] = fields["Version"]
    return found
