"""One file over HTTP: bounded in time, in size and in redirects, retried only if that can help."""

import hashlib
import http.client
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
)

from orchestrator.execute.system.deadline import run_within
from orchestrator.mask_passwords import mask_text

MAX_BYTES = 512 << 20
ATTEMPTS = 4
MAX_REDIRECTS = 5
SHARE_OVER = "took longer than its share of the time limit (`limits: fetch`)"
"""Of a place that is given up, so that the next one has its turn."""
_CONNECT_S = 10
_SILENCE_S = 30
_CHUNK = 1 << 16
_WAIT = wait_exponential(multiplier=0.3, max=5)


class FetchError(Exception):
    """Why one origin did not give the file, as a phrase that follows the origin's name."""


class OtherBytesError(FetchError):
    """The origin gave a file with another digest."""


class _PassingError(FetchError):
    """A failure that may not happen on the next attempt."""


def download(url: str, to: Path, *, deadline: float, max_bytes: int = MAX_BYTES) -> str:
    """Download ``url`` to the file ``to`` in up to ATTEMPTS attempts, and return its SHA-256.

    :param deadline: of ``time.monotonic()``; it also stops a server that sends byte by byte.
    :raises FetchError: with the last failure.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(_PassingError),
        wait=_WAIT,
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(deadline - time.monotonic()),
        reraise=True,
    )
    return retrying(_attempt, url, to, deadline, max_bytes)


def strip_login(url: str) -> str:
    """Return the URL without user name and password."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL, as `http://[`
        return mask_text(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _attempt(url: str, to: Path, deadline: float, max_bytes: int) -> str:
    return run_within(
        max(0.0, deadline - time.monotonic()),
        lambda given_up: _transfer(url, to, deadline, max_bytes, given_up),
        lambda: FetchError(SHARE_OVER),
    )


def _transfer(url: str, to: Path, deadline: float, max_bytes: int, given_up: threading.Event) -> str:
    digest = hashlib.sha256()
    size = 0
    with to.open("wb") as file, closing(_read_chunks(url, deadline, max_bytes)) as chunks:
        for chunk in chunks:
            size += len(chunk)
            if given_up.is_set():
                raise FetchError("given up")
            if size > max_bytes:
                raise FetchError(f"is larger than {max_bytes >> 20} MiB")
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _read_chunks(url: str, deadline: float, max_bytes: int) -> Generator[bytes, None, None]:
    """Yield the body as it was sent: a .tar.gz stays packed, even if it is labelled gzip-encoded."""
    left = max(0.1, deadline - time.monotonic())
    timeout = (min(_CONNECT_S, left), min(_SILENCE_S, left))
    try:
        with requests.Session() as session:
            session.max_redirects = MAX_REDIRECTS
            with session.get(
                url, stream=True, timeout=timeout, headers={"Accept-Encoding": "identity"}
            ) as response:
                _refuse(response, max_bytes)
                yield from response.raw.stream(_CHUNK, decode_content=False)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _PassingError(_explain(error)) from None
    except requests.RequestException as error:
        raise FetchError(_explain(error)) from None
    except ValueError:  # `Location: http://[`, which requests hands on as it is
        raise FetchError("redirects to no address") from None


def _refuse(response: requests.Response, max_bytes: int) -> None:
    status = response.status_code
    if status in {408, 429} or status >= requests.codes.internal_server_error:
        raise _PassingError(f"answered {status}")
    if status != requests.codes.ok:
        raise FetchError(f"answered {status}")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise FetchError(f"is larger than {max_bytes >> 20} MiB")


_PLAIN: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.InvalidSchema, "redirects to what is neither http nor https"),
    (requests.exceptions.InvalidURL, "redirects to no address"),
    (requests.TooManyRedirects, f"redirects more than {MAX_REDIRECTS} times"),
    (requests.exceptions.ProxyError, "the proxy does not let it through"),
    (requests.exceptions.SSLError, "its certificate cannot be verified"),
    (requests.ConnectTimeout, "does not accept a connection in time"),
    (requests.Timeout, "does not answer in time"),
    (urllib3.exceptions.ReadTimeoutError, "stopped sending"),
    (urllib3.exceptions.ProtocolError, "ended in the middle"),
)


def _explain(error: Exception) -> str:
    """Return a phrase for a person; the libraries' own texts repeat the address and show objects."""
    for kind, phrase in _PLAIN:
        if isinstance(error, kind):
            return phrase
    cause: Any = error
    while cause is not None:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return "its name cannot be resolved"
        if isinstance(cause, http.client.RemoteDisconnected):
            return "closed the connection without an answer"
        if isinstance(cause, http.client.HTTPException):
            return "its answer is not HTTP as it should be"
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error).split("\n", 1)[0]
