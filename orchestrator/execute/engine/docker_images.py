"""Images of a Docker daemon, and the containers of a moment that make and prove them.

They are built by the classic builder, which every engine has behind Docker's API.
"""

import json
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
from orchestrator.errors import EngineError, TooLargeError
from orchestrator.execute.engine import archive, owner
from orchestrator.execute.engine.docker_errors import ENGINE_ERRORS, Refusal, explain_errors, find_refusal
from orchestrator.execute.engine.engine import UID, ExecResult, Image
from orchestrator.execute.system.deadline import run_within

REGISTRY_DEADLINE = 8
"""Seconds that a registry has to say the digest of a tag."""
_PULL_DEADLINE = 30
_SAVING_DEADLINE = 600
"""Seconds in which it says nothing while it saves or loads an image."""
_CUT = (requests.Timeout, requests.ConnectionError, urllib3.exceptions.HTTPError, TimeoutError)
"""How the end of a connection shows, no matter who ended it."""
_FILE = 4096 << 20
"""Bytes of one file out of a container; the largest root has 1 GiB."""
_LINES = 200
"""Lines at the end of what a script, or a build, wrote."""
_RED = re.compile(r"\x1b\[(?:91|0)m")
_LATE = ExecResult(exit_code=137, stdout=b"", stderr=b"", timed_out=True)
_CANNOT_EXECUTE = ExecResult(exit_code=126, stdout=b"exec format error", stderr=b"", timed_out=False)
"""As the shell says it."""


class DockerImages:
    """The part of ``Engine`` that is about images."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client, self._api = client, client.api

    def find_image(self, name: str) -> Image | None:
        with explain_errors(f"look for the image {name}"):
            try:
                said = self._api.inspect_image(name)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None
        return Image(
            id=said["Id"],
            tags=tuple(map(_strip_registry, said.get("RepoTags") or ())),
            arch=said["Architecture"],
            labels=(said.get("Config") or {}).get("Labels") or {},
            created=said["Created"],
        )

    def list_images(self, label: str) -> tuple[Image, ...]:
        with explain_errors(f"list the images that bear {label}"):
            # One alone: Podman 4.3 has no image that bears two.
            listed = self._api.images(filters={"label": label})
        found = [image for one in listed if (image := self.find_image(one["Id"])) is not None]
        return tuple(sorted(found, key=lambda image: image.created, reverse=True))

    def find_digest(self, tag: str) -> str | None:
        """See ``Engine``.

        The daemon is asked, since it is the one that would pull; its package's own calls have no deadline but
        the client's. A daemon's registry mirrors are not consulted by this question, only by a pull.
        """
        try:
            answer = self._api.get(
                _make_url(self._api, f"distribution/{tag}/json"), timeout=REGISTRY_DEADLINE
            )
            if answer.ok:
                return str(answer.json()["Descriptor"]["digest"])
            mirrors = self._api.info()["RegistryConfig"]["Mirrors"]
            return _pull_digest(self._api, tag) if mirrors else None
        except (*ENGINE_ERRORS, OSError, ValueError, KeyError):
            return None

    def build_image(
        self,
        tag: str,
        context: IO[bytes],
        *,
        platform: str,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        timeout: float,
    ) -> ExecResult:
        """See ``Engine``. A build that is given up ends when it next says something."""

        def work(given_up: threading.Event) -> ExecResult:
            events = self._api.build(
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

        with explain_errors(f"build the image {tag}"):
            started = time.monotonic()
            try:
                return run_within(timeout, work, TimeoutError)
            except _CUT:
                if not _is_over(started, timeout):
                    raise
                return _LATE

    def save_image(self, tag: str, into: IO[bytes]) -> None:
        # The daemon says nothing before it has gathered all layers.
        asked = {"names": tag}
        with (
            explain_errors(f"save the image {tag}"),
            self._api.get(
                _make_url(self._api, "images/get"), params=asked, stream=True, timeout=_SAVING_DEADLINE
            ) as answer,
        ):
            _refuse_failure(answer, f"the image {tag} cannot be saved")
            for chunk in answer.iter_content(1 << 20):
                if into.tell() > bounds.IMAGE:
                    raise TooLargeError(
                        f"the saved image {tag} is larger than {bounds.format_size(bounds.IMAGE)}"
                    )
                into.write(chunk)

    def load_image(self, saved: IO[bytes]) -> None:
        with (
            explain_errors("load a saved image"),
            self._api.post(
                _make_url(self._api, "images/load"),
                params={"quiet": "1"},
                data=saved,
                headers={"Content-Type": "application/x-tar"},
                stream=True,
                timeout=_SAVING_DEADLINE,
            ) as answer,
        ):
            _refuse_failure(answer, "a saved image cannot be loaded")
            for line in answer.iter_lines():
                if error := json.loads(line).get("error"):
                    raise EngineError(f"a saved image cannot be loaded: {bounds.cut(error, bounds.WORDS)}")

    def remove_image(self, image: str) -> None:
        with explain_errors(f"remove the image {image}"):
            self._api.remove_image(image, force=True)

    def run(self, image: str, argv: tuple[str, ...], *, timeout: float) -> ExecResult:
        walls = self._api.create_host_config(
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            mem_limit="128m",
            pids_limit=32,
        )
        with (
            explain_errors(f"run {argv[0]} in {image}"),
            _container(self._api, image, argv, user=f"{UID}:{UID}", host_config=walls) as name,
        ):
            return _run_to_its_end(self._api, name, timeout, tail="all")

    def make_file(
        self,
        image: str,
        script: str,
        path: str,
        into: IO[bytes],
        *,
        environment: Mapping[str, str],
        timeout: float,
    ) -> ExecResult:
        """See ``Engine``. The one container with a network, and told of the user's proxy."""
        argv = ("sh", "-c", script)
        told: dict[str, Any] = {"environment": dict(environment), "use_config_proxy": True}
        with (
            explain_errors(f"run a script in {image}"),
            _container(self._api, image, argv, user="0:0", **told) as name,
        ):
            done = _run_to_its_end(self._api, name, timeout, tail=_LINES)
            if done.exit_code == 0:
                _copy(self._api, name, path, into)
        return done

    def copy_file(self, image: str, path: str, into: IO[bytes]) -> None:
        walls = self._api.create_host_config(network_mode="none")
        with (
            explain_errors(f"copy {path} out of {image}"),
            _container(self._api, image, (), host_config=walls) as name,
        ):
            _copy(self._api, name, path, into)


def _strip_registry(tag: str) -> str:
    """Return a tag as it was given: Podman puts a registry's name before it."""
    return tag.removeprefix("localhost/").removeprefix("docker.io/")


def _refuse_failure(answer: requests.Response, what: str) -> None:
    if not answer.ok:
        raise EngineError(f"{what}: {bounds.cut(answer.text, bounds.WORDS)}")


def _make_url(api: docker.APIClient, path: str) -> str:
    return f"{api.base_url}/v{api.api_version}/{path}"


def _pull_digest(api: docker.APIClient, tag: str) -> str | None:
    """Pull through the daemon's mirrors for a digest. The deadline holds for each pause between two lines."""
    asked = dict(zip(("fromImage", "tag"), tag.split(":"), strict=True))
    with api.post(
        _make_url(api, "images/create"), params=asked, stream=True, timeout=_PULL_DEADLINE
    ) as answer:
        if not answer.ok or any(b'"error"' in line for line in answer.iter_lines()):
            return None
    digests = api.inspect_image(tag)["RepoDigests"]  # type: ignore[no-untyped-call]
    return next((digest.partition("@")[2] for digest in digests), None)


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
            labels=owner.make_labels("images"),
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
        if find_refusal(error) is not Refusal.CANNOT_EXECUTE:
            raise
        return _CANNOT_EXECUTE
    return ExecResult(exit_code=code, stdout=api.logs(name, tail=tail), stderr=b"", timed_out=False)


def _copy(api: docker.APIClient, name: str, path: str, into: IO[bytes]) -> None:
    with tempfile.TemporaryFile() as whole:
        chunks, _ = api.get_archive(name, path)
        for chunk in chunks:
            if whole.tell() > _FILE:
                raise TooLargeError(f"{path} in {name} is larger than {bounds.format_size(_FILE)}.")
            whole.write(chunk)
        whole.seek(0)
        archive.copy_member(whole, path.rpartition("/")[2], into)
