"""Images of a Docker daemon, and the containers of a moment that make and prove them.

They are built by the classic builder, which every engine has behind Docker's API.
"""

import re
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal

import docker
import requests
import urllib3
from docker.errors import APIError, ImageNotFound, NotFound

from orchestrator import bounds
from orchestrator.errors import EngineError
from orchestrator.execute.engine import archive, owner
from orchestrator.execute.engine.docker_errors import ENGINE_ERRORS, explained
from orchestrator.execute.engine.engine import UID, ExecResult, Image
from orchestrator.execute.system.deadline import within

REGISTRY_DEADLINE = 8
"""Seconds that a registry has to say the digest of a tag."""
_PULL_DEADLINE = 30
_CUT = (requests.Timeout, requests.ConnectionError, urllib3.exceptions.HTTPError, TimeoutError)
"""How the end of a connection shows, whoever ended it."""
_FILE = 4096 << 20
"""Bytes of one file out of a container; the largest root has 1 GiB."""
_LINES = 200
"""Lines at the end of what a script, or a build, wrote."""
_RED = re.compile(r"\x1b\[(?:91|0)m")
_LATE = ExecResult(exit_code=137, stdout=b"", stderr=b"", timed_out=True)
_CANNOT_EXECUTE = ExecResult(exit_code=126, stdout=b"exec format error", stderr=b"", timed_out=False)
"""As the shell says it."""


def find(api: docker.APIClient, name: str) -> Image | None:
    """See ``Engine.find_image``."""
    with explained(f"look for the image {name}"):
        try:
            said = api.inspect_image(name)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return None
    return Image(
        id=said["Id"],
        tags=tuple(map(_tag, said.get("RepoTags") or ())),
        arch=said["Architecture"],
        labels=(said.get("Config") or {}).get("Labels") or {},
        created=said["Created"],
    )


def _tag(tag: str) -> str:
    """As it was given: Podman puts a registry's name before it."""
    return tag.removeprefix("localhost/").removeprefix("docker.io/")


def find_labelled(api: docker.APIClient, label: str) -> tuple[Image, ...]:
    """See ``Engine.list_images``."""
    with explained(f"list the images that bear {label}"):
        listed = api.images(filters={"label": label})  # one alone: Podman 4.3 has no image that bears two
    found = [image for one in listed if (image := find(api, one["Id"])) is not None]
    return tuple(sorted(found, key=lambda image: image.created, reverse=True))


def find_digest(api: docker.APIClient, tag: str) -> str | None:
    """See ``Engine.find_digest``.

    The daemon is asked, since it is the one that would pull; its own calls have no deadline but the client's.
    A daemon's registry mirrors are not consulted by this question, only by a pull.
    """
    try:
        answer = api.get(_url(api, f"distribution/{tag}/json"), timeout=REGISTRY_DEADLINE)
        if answer.ok:
            return str(answer.json()["Descriptor"]["digest"])
        return _pulled_digest(api, tag) if api.info()["RegistryConfig"]["Mirrors"] else None
    except (*ENGINE_ERRORS, OSError, ValueError, KeyError):
        return None


def _url(api: docker.APIClient, path: str) -> str:
    return f"{api.base_url}/v{api.api_version}/{path}"


def _pulled_digest(api: docker.APIClient, tag: str) -> str | None:
    """Pull through the daemon's mirrors. The deadline holds for each pause between two lines."""
    asked = dict(zip(("fromImage", "tag"), tag.split(":"), strict=True))
    with api.post(_url(api, "images/create"), params=asked, stream=True, timeout=_PULL_DEADLINE) as answer:
        if not answer.ok or any(b'"error"' in line for line in answer.iter_lines()):
            return None
    digests = api.inspect_image(tag)["RepoDigests"]  # type: ignore[no-untyped-call]
    return next((digest.partition("@")[2] for digest in digests), None)


def build(
    api: docker.APIClient,
    tag: str,
    context: IO[bytes],
    *,
    platform: str,
    labels: Mapping[str, str],
    arguments: Mapping[str, str],
    timeout: float,
) -> ExecResult:
    """See ``Engine.build_image``. A build that is given up ends when it next says something."""

    def work(given_up: threading.Event) -> ExecResult:
        events = api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            platform=platform,
            labels=dict(labels),
            buildargs=dict(arguments),
            rm=True,
            forcerm=True,
            decode=True,
            timeout=max(1, int(timeout)),
        )
        return _follow(events, given_up)

    with explained(f"build the image {tag}"):
        started = time.monotonic()
        try:
            return within(timeout, work, TimeoutError)
        except _CUT:
            if not _is_over(started, timeout):
                raise
            return _LATE


def _follow(events: Iterator[dict[str, Any]], given_up: threading.Event) -> ExecResult:
    error = said = ""
    for event in events:  # to the end, even after an error: the connection goes back only then
        # The classic builder paints what comes from stderr red, word by word.
        said = (said + _RED.sub("", str(event.get("stream", ""))))[-_LINES * bounds.WORDS :]
        error = error or bounds.cut(str(event.get("error", "")), bounds.WORDS)
        if given_up.is_set():
            break
    code = 1 if error else 0
    return ExecResult(exit_code=code, stdout=said.encode(), stderr=error.encode(), timed_out=False)


def _is_over(started: float, seconds: float) -> bool:
    """Whether a cut connection means that: it looks like a lost engine's but for the time that it took."""
    return time.monotonic() - started >= int(seconds)


def run(api: docker.APIClient, image: str, argv: tuple[str, ...], *, timeout: float) -> ExecResult:
    """See ``Engine.run``."""
    walls = api.create_host_config(
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        mem_limit="128m",
        pids_limit=32,
    )
    with (
        explained(f"run {argv[0]} in {image}"),
        _container(api, image, argv, user=f"{UID}:{UID}", host_config=walls) as name,
    ):
        return _run_to_its_end(api, name, timeout, tail="all")


def make_file(
    api: docker.APIClient,
    image: str,
    script: str,
    path: str,
    into: IO[bytes],
    *,
    environment: Mapping[str, str],
    timeout: float,
) -> ExecResult:
    """See ``Engine.make_file``. The one container with a network, and told of the user's proxy."""
    with (
        explained(f"run a script in {image}"),
        _container(
            api,
            image,
            ("sh", "-c", script),
            user="0:0",
            environment=dict(environment),
            use_config_proxy=True,
        ) as name,
    ):
        done = _run_to_its_end(api, name, timeout, tail=_LINES)
        if done.exit_code == 0:
            _copy(api, name, path, into)
    return done


def copy_file(api: docker.APIClient, image: str, path: str, into: IO[bytes]) -> None:
    """See ``Engine.copy_file``."""
    with (
        explained(f"copy {path} out of {image}"),
        _container(api, image, (), host_config=api.create_host_config(network_mode="none")) as name,
    ):
        _copy(api, name, path, into)


@contextmanager
def _container(
    api: docker.APIClient,
    image: str,
    argv: tuple[str, ...],
    *,
    use_config_proxy: bool = False,
    **options: Any,
) -> Iterator[str]:
    """Create a container that is removed afterwards."""
    name = f"matrixctl-images-{secrets.token_hex(4)}"
    try:
        api.create_container(
            image,
            list(argv) or None,
            name=name,
            labels=owner.labels("images"),
            use_config_proxy=use_config_proxy,
            **options,
        )
        yield name
    finally:
        with suppress(NotFound):
            api.remove_container(name, force=True)


def _run_to_its_end(
    api: docker.APIClient, name: str, timeout: float, *, tail: int | Literal["all"]
) -> ExecResult:
    """Start a container and wait for its end; ``stdout`` has both of its streams."""
    started = time.monotonic()
    try:
        api.start(name)
        code = api.wait(name, timeout=max(1, int(timeout)))["StatusCode"]
    except _CUT:
        if not _is_over(started, timeout):
            raise
        return _LATE
    except APIError as error:
        if "exec format error" not in str(error):
            raise
        return _CANNOT_EXECUTE
    return ExecResult(exit_code=code, stdout=api.logs(name, tail=tail), stderr=b"", timed_out=False)


def _copy(api: docker.APIClient, name: str, path: str, into: IO[bytes]) -> None:
    with tempfile.TemporaryFile() as whole:
        chunks, _ = api.get_archive(name, path)
        for chunk in chunks:
            if whole.tell() > _FILE:
                raise EngineError(f"{path} in {name} is larger than {bounds.size(_FILE)}.")
            whole.write(chunk)
        whole.seek(0)
        archive.copy_member(whole, path.rpartition("/")[2], into)
