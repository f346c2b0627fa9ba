"""One image build or one container of an image build, through the ``docker`` package's classic builder."""

import io
import secrets
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

import docker
import docker.errors
from docker.models.containers import Container
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout

from orchestrator.arch import Arch
from orchestrator.errors import DeadlineError, EngineError
from orchestrator.execute import owner

_SHOWN = 20
"""Lines of a failed build's output that an error carries."""


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
    :raises DeadlineError: after ``limit`` seconds.
    """
    with tempfile.TemporaryFile() as context:
        _write_context(context, dockerfile, root, root_name)
        context.seek(0)
        try:
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
                timeout=int(limit),
            )
            _follow(events, tag, limit)
        except docker.errors.APIError as error:
            raise EngineError(f"the engine refused to build {tag}", details=str(error)) from error
        except (ReadTimeout, RequestsConnectionError):
            raise _too_slow(tag, limit) from None


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


def _follow(events: Iterator[dict[str, Any]], tag: str, limit: float) -> None:
    started, error = time.monotonic(), ""
    last: deque[str] = deque(maxlen=_SHOWN)
    for event in events:  # to the end, even after an error: the connection goes back only then
        last.extend(line for line in str(event.get("stream", "")).splitlines() if line.strip())
        error = error or str(event.get("error", ""))
        if time.monotonic() - started > limit:
            raise _too_slow(tag, limit)
    if error:
        raise EngineError(
            f"building the image {tag} failed: {error}",
            details="\n".join(last),
            resolution="If a mirror has moved on, start afresh: matrixctl clean --images",
        )


def _too_slow(what: str, limit: float) -> DeadlineError:
    return DeadlineError(
        f"{what} was not done within {limit:g} s",
        resolution="See whether the package mirror is reachable and quick: matrixctl doctor",
    )


def made_in_container(
    client: docker.DockerClient,
    *,
    image: str,
    script: str,
    path: str,
    proxies: Mapping[str, str],
    into: IO[bytes],
    limit: float,
) -> None:
    """Run a shell script as root in a throw-away container with network, and fetch the file that it made.

    :raises EngineError: with the last lines of its output.
    :raises DeadlineError: after ``limit`` seconds.
    """
    with _container(client, image, script, proxies) as container:
        container.start()
        try:
            code = container.wait(timeout=limit)["StatusCode"]
        except (ReadTimeout, RequestsConnectionError):
            raise _too_slow(f"the root made in {image}", limit) from None
        if code != 0:
            last = container.logs().decode(errors="replace").splitlines()[-_SHOWN:]
            raise EngineError(f"a script in {image} ended with exit code {code}", details="\n".join(last))
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
            archive.write(chunk)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            content = tar.extractfile(tar.getmembers()[0])
            if content is None:
                raise EngineError(f"{path} is no file in {container.name}")
            while block := content.read(1 << 20):
                into.write(block)
    into.seek(0)
