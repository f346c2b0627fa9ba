"""What is inside an image: its packages with their exact versions, and where its apt installs from."""

import io
import logging
import re

from orchestrator import bounds
from orchestrator.execute.engine.engine import Engine, ExecResult
from orchestrator.execute.images import dockerfiles
from orchestrator.execute.images.workshop import ImageRef

_log = logging.getLogger(__name__)

_APT_DEADLINE = 60
"""Seconds."""


def read_packages(engine: Engine, image: ImageRef) -> dict[str, str]:
    """Return the exact version of every Debian package in an image, by name; ``name:arch`` for foreign ones.

    dpkg's own list is read, so nothing of the image has to run.
    """
    status = io.BytesIO()
    engine.copy_file(image.id, "/var/lib/dpkg/status", status)
    return parse_status(status.getvalue().decode(errors="replace"), image.arch)


def read_haproxy(engine: Engine, image: ImageRef) -> tuple[str, bytes]:
    """Return file name and content of the .deb of Debian's own HAProxy in a server's image."""
    name, content = io.BytesIO(), io.BytesIO()
    engine.copy_file(image.id, f"{dockerfiles.PACKAGE}.name", name)
    engine.copy_file(image.id, dockerfiles.PACKAGE, content)
    return name.getvalue().decode(errors="replace").strip(), content.getvalue()


def read_apt_targets(engine: Engine, image: ImageRef) -> str:
    """Return what apt in an image installs from, as lines ``SITE CODENAME``; see ``release.list_pools``.

    Not ``indextargets``, which says nothing before the lists were downloaded. Where it fails, that is logged.
    """
    said = engine.run(image.tag, ("apt-get", "update", "--print-uris"), timeout=_APT_DEADLINE)
    if said.timed_out or said.exit_code:
        _log.warning("apt in %s does not say where it installs from: %s", image.tag, _describe_failure(said))
    found = re.findall(r"'(\S+)/dists/([^/\s]+)/InRelease'", said.stdout.decode(errors="replace"))
    return "\n".join(f"{site} {suite}" for site, suite in found)


def _describe_failure(said: ExecResult) -> str:
    if said.timed_out:
        return f"no end within {_APT_DEADLINE} s"
    words = said.stdout.decode(errors="replace").strip()
    return bounds.cut(words.splitlines()[-1], bounds.WORDS) if words else f"exit code {said.exit_code}"


_NAMED = {"Package", "Architecture", "Version"}


def parse_status(text: str, arch: str) -> dict[str, str]:
    """Return names and versions from dpkg's status file, without packages that were removed."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Architecture|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(("installed", "unpacked")) and fields.keys() >= _NAMED:
            foreign = "" if fields["Architecture"] in {arch, "all"} else f":{fields['Architecture']}"
            found[fields["Package"] + foreign] = fields["Version"]
    return found
