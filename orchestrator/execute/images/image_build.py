"""One image build or one container of an image build, through the ``docker`` package's classic builder."""

import io
import re
import secrets
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

import docker
import docker.errors
from docker.models.containers import Container
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout
from urllib3.exceptions import HTTPError

from orchestrator import bounds
from orchestrator.arch import Arch
from orchestrator.errors import DeadlineError, EngineError, EngineLostError
from orchestrator.execute.engine import owner
from orchestrator.execute.images import bootstrap
from orchestrator.execute.system.deadline import exceeded, within

CUT = (ReadTimeout, RequestsConnectionError, HTTPError)
"""How the end of a connection shows, whoever ended it."""
_ROOT = 4096 << 20
"""Bytes of one file out of a container; the largest root has 1 GiB."""
_SHOWN = 20
"""Lines of a failed build's output that an error carries."""
_RED = re.compile(r"\x1b\[(?:91|0)m")
_SEARCHED = 200
"""Lines of it that are searched for the cause."""


def build(
    client: docker.DockerClient,
    *,
    tag: str,
    dockerfile: str,
    arch: Arch,
    labels: Mapping[str, str],
    proxies: Mapping[str, str],
    root: IO[bytes] | None = None,
    root_name: str = "root.tar",
    limit: float,
) -> None:
    """Build and tag one image. ``root`` is a tarball that the Dockerfile ADDs as ``root_name``.

    :raises EngineError: with the last lines of the build's output.
    :raises SourceUnreachableError: where apt could not fetch what it needs, with apt's words.
    :raises DeadlineError: after ``limit`` seconds. The engine stops when it next says something, and finds
        nobody there.
    """

    def work(given_up: threading.Event) -> None:
        with tempfile.TemporaryFile() as context:
            _write_context(context, dockerfile, root, root_name)
            context.seek(0)
            events = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                platform=arch.platform,
                labels=dict(labels),
                buildargs=dict(proxies),
                rm=True,
                forcerm=True,
                decode=True,
                timeout=max(1, int(limit)),
            )
            _follow(events, tag, given_up)

    started = time.monotonic()
    try:
        within(limit, work, lambda: _too_slow(tag, limit))
    except docker.errors.APIError as error:
        raise EngineError(f"the engine refused to build {tag}", details=str(error)) from error
    except CUT as error:
        raise _cut(tag, started, limit) from error


def _write_context(context: IO[bytes], dockerfile: str, root: IO[bytes] | None, root_name: str) -> None:
    with tarfile.open(fileobj=context, mode="w") as tar:
        _add(tar, "Dockerfile", io.BytesIO(dockerfile.encode()))
        if root is not None:
            _add(tar, root_name, root)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = content.seek(0, io.SEEK_END)
    member.mode = 0o644
    content.seek(0)
    tar.addfile(member, content)


def _follow(events: Iterator[dict[str, Any]], tag: str, given_up: threading.Event) -> None:
    error = said = ""
    for event in events:  # to the end, even after an error: the connection goes back only then
        # The classic builder paints what comes from stderr red, word by word.
        said = (said + _RED.sub("", str(event.get("stream", ""))))[-_SEARCHED * bounds.WORDS :]
        error = error or bounds.cut(str(event.get("error", "")), bounds.WORDS)
        if given_up.is_set():
            return
    if error:
        last = [bounds.cut(line, bounds.WORDS) for line in said.splitlines() if line.strip()]
        bootstrap.blame_the_mirror(tag, last)
        raise EngineError(
            f"building the image {tag} failed: {error}",
            details="\n".join(last[-_SHOWN:]),
            resolution="If a mirror has moved on, start afresh: matrixctl clean --images",
        )


def _cut(what: str, started: float, limit: float) -> EngineError | DeadlineError:
    """What the end of a connection means: a time-out looks like a loss, but for the time that it took."""
    if time.monotonic() - started >= int(limit):
        return _too_slow(what, limit)
    return EngineLostError(f"the engine was lost while it made the image {what}")


def _too_slow(what: str, limit: float) -> DeadlineError:
    return exceeded(
        f"The image {what}",
        limit,
        "image",
        details="See whether the package mirror is reachable and quick: matrixctl doctor",
    )


def made_in_container(
    client: docker.DockerClient,
    *,
    what: str,
    image: str,
    script: str,
    path: str,
    proxies: Mapping[str, str],
    into: IO[bytes],
    limit: float,
) -> None:
    """Run a shell script as root in a throw-away container with network, and fetch the file that it made.

    ``what`` names that file to a person.

    :raises EngineError: with the last lines of its output.
    :raises SourceUnreachableError: where apt could not fetch what it needs, with apt's words.
    :raises DeadlineError: after ``limit`` seconds.
    """
    with _container(client, image, script, proxies) as container:
        container.start()
        started = time.monotonic()
        try:
            code = container.wait(timeout=limit)["StatusCode"]
        except CUT as error:
            raise _cut(what, started, limit) from error
        if code != 0:
            last = container.logs(tail=_SEARCHED).decode(errors="replace").splitlines()[-_SEARCHED:]
            last = [bounds.cut(line, bounds.WORDS) for line in last]
            bootstrap.blame_the_mirror(what, last)
            shown = "\n".join(last[-_SHOWN:])
            raise EngineError(
                f"the script that makes the image {what} ended with exit code {code}", details=shown
            )
        fetch(container, path, into)


@contextmanager
def _container(
    client: docker.DockerClient, image: str, script: str, proxies: Mapping[str, str]
) -> Iterator[Container]:
    container = client.containers.create(
        image,
        ["sh", "-c", script],
        name=f"matrixctl-images-{secrets.token_hex(4)}",
        labels=owner.labels("images"),
        environment=dict(proxies),
        user="0:0",
    )
    try:
        yield container
    finally:
        with suppress(docker.errors.NotFound):
            container.remove(force=True)


def fetch(container: Container, path: str, into: IO[bytes]) -> None:
    """Copy one file out of a container, running or not."""
    with tempfile.TemporaryFile() as archive:
        chunks, _ = container.get_archive(path)
        for chunk in chunks:
            if archive.tell() > _ROOT:
                raise EngineError(f"{path} in {container.name} is larger than {bounds.size(_ROOT)}")
            archive.write(chunk)
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            entry = tar.next()
            content = tar.extractfile(entry) if entry is not None and entry.isreg() else None
            if content is None or (entry is not None and entry.issparse()):
                raise EngineError(f"{path} is no file in {container.name}")
            while block := content.read(1 << 20):
                into.write(block)
    into.seek(0)
