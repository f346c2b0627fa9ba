"""Files that several machines share: a bucket, a folder on a file server, whatever fsspec reaches.

fsspec's file systems differ in what they promise, https://filesystem-spec.readthedocs.io/en/latest/api.html.
What is asked of each here: a file is seen whole or not at all, and the first one of a name stays.
"""

import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator import bounds
from orchestrator.errors import MatrixctlError, UsageError

INSTALL = "In a checkout: .venv/bin/pip install '.[distributed]'"
"""What brings fsspec and s3fs. ``matrixctl`` on PyPI is another program."""
_OBJECTS = frozenset({"abfs", "gcs", "gs", "memory", "s3", "s3a"})
"""Object stores: what is written appears whole. Elsewhere it is written beside, and renamed."""
_S3 = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}}
_PASSWORD = re.compile(r"[^/]*://[^@]*:.*@")
"""As in ``s3://KEY:SECRET@BUCKET``; a secret may have a slash in it."""
_PROBES, _SCRATCH = "probe", "tmp"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file there; ``put`` is when, in seconds since the epoch."""

    name: str
    size: int
    put: float


@dataclass(kw_only=True)
class Remote:
    """The files below one URL, by name. Safe for several threads.

    :ivar url: without anything secret.
    :ivar writable: whether files can be put there.
    :ivar exclusive: whether the first of several that put one name at the same time is sure to stay.
    """

    url: str
    writable: bool = False
    exclusive: bool = False
    _files: Any
    """An ``fsspec.AbstractFileSystem``."""
    _root: str
    _names: set[str] | None = None
    _listing: threading.Lock = field(default_factory=threading.Lock)

    def has(self, name: str) -> bool:
        """Return whether it seemed to be there when this process first asked; for estimates.

        :raises MatrixctlError: where the place does not answer, as for all that follows.
        """
        with self._listing:
            if self._names is None:
                self._names = {stored.name for stored in self.find_all()}
            return name in self._names

    def holds(self, name: str) -> bool:
        """Return whether it is there now."""
        with self._answering():
            return bool(self._files.exists(self._locate(name)))

    def get(self, name: str, to: Path, *, most: int) -> bool:
        """Copy a file from there; return false where there is none.

        :param most: bytes that it may have.
        """
        with self._answering():
            try:
                size = int(self._files.info(self._locate(name))["size"])
                if size > most:
                    raise MatrixctlError(f"{self.url}: {name} has more than {bounds.format_size(most)}")
                self._files.get_file(self._locate(name), str(to))
            except FileNotFoundError:
                return False
        return True

    def put(self, name: str, file: Path) -> bool:
        """Copy a file there; return false where one of that name is there, which stays."""
        with self._answering():
            kept = not self._files.exists(self._locate(name)) and self._create(name, file)
        with self._listing:
            if self._names is not None:
                self._names.add(name)
        return kept

    def remove(self, name: str) -> None:
        """Remove a file from there; one that is gone is no fault."""
        with self._answering(), suppress(FileNotFoundError):
            self._files.rm_file(self._locate(name))

    def find_all(self) -> Iterator[Stored]:
        """Yield every file that was put there, and what processes that died left of theirs."""
        with self._answering():
            try:
                found = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                found = {}
        for path, entry in sorted(found.items()):
            name = path.removeprefix(self._root).lstrip("/")
            yield Stored(name=name, size=int(entry.get("size") or 0), put=_read_time(entry))

    def _locate(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _create(self, name: str, file: Path) -> bool:
        """Write a file where there seemed to be none; return false where another was faster."""
        try:
            if self.exclusive and not self._is_local:
                self._files.put_file(str(file), self._locate(name), mode="create")
            else:
                self._write_beside(name, file)
        except FileExistsError:
            return False
        except OSError:
            if self._files.exists(self._locate(name)):  # SeaweedFS: EINVAL in place of EEXIST
                return False
            raise
        return True

    def _write_beside(self, name: str, file: Path) -> None:
        beside = self._locate(f"{_SCRATCH}/{secrets.token_hex(8)}")
        for path in (beside, self._locate(name)):
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self._files.put_file(str(file), beside)
            if self._is_local:
                os.link(beside, self._locate(name))
            else:
                self._files.mv(beside, self._locate(name))
        finally:
            with suppress(FileNotFoundError):
                self._files.rm_file(beside)

    @property
    def _is_local(self) -> bool:
        return "file" in self._protocols

    @property
    def _protocols(self) -> set[str]:
        protocol = self._files.protocol
        return {protocol} if isinstance(protocol, str) else set(protocol)

    def try_out(self) -> None:
        """Find out whether files can be put there, and whether the first one of a name stays.

        :raises MatrixctlError: where what was put there does not come back.
        """
        name = f"{_PROBES}/{secrets.token_hex(8)}"
        with tempfile.TemporaryDirectory() as folder:
            first, second, back = (Path(folder, part) for part in ("first", "second", "back"))
            first.write_bytes(b"first")
            second.write_bytes(b"second")
            self.exclusive = bool(self._protocols & _OBJECTS) or self._is_local
            try:
                with self._answering():
                    self._create(name, first)
            except MatrixctlError as error:
                if not isinstance(error.__cause__, PermissionError):
                    raise
                self._try_reading()
                return
            self.writable = True
            with self._answering():
                self._create_again(name, second)
            came = self.get(name, back, most=1 << 20)
            self.remove(name)
            content = back.read_bytes() if came else b""
            if content not in {b"first", b"second"}:
                raise MatrixctlError(f"{self.url} does not give back what was just put there")
            self.exclusive &= content == b"first"

    def _try_reading(self) -> None:
        """:raises MatrixctlError: where nothing can be read either: the credentials are wrong."""
        with self._answering(), suppress(FileNotFoundError):
            self._files.ls(self._root)

    def _create_again(self, name: str, file: Path) -> None:
        """Put another file of the name, as one would who has not seen the first."""
        if self.exclusive:
            self._create(name, file)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """:raises MatrixctlError: for whatever a file system raises; each has errors of its own."""
        try:
            yield
        except MatrixctlError:
            raise
        except Exception as error:  # botocore's, aiohttp's, whatever is beneath a file system
            said = bounds.cut(" ".join(str(error).split()) or type(error).__name__, bounds.WORDS)
            raise MatrixctlError(
                f"{self.url} cannot be used: {said}",
                resolution="Credentials come from the environment, or from the files of the store's own "
                "tools; for an S3 that is not Amazon's, set AWS_ENDPOINT_URL, too.",
            ) from error


def connect_remote(url: str) -> Remote:
    """Return the files below a URL: ``s3://BUCKET/PREFIX``, ``file:///DIR``; nothing is asked of it yet.

    :raises UsageError: where it is no such URL, has a password in it, or a package for it is missing.
    """
    check_url(url)
    try:
        import fsspec  # noqa: PLC0415 - heavy, and an extra
        import fsspec.core  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "--remote-store needs the package fsspec, which is not installed", resolution=INSTALL
        ) from None
    scheme = urlsplit(url).scheme
    try:
        options = _S3 if scheme in {"s3", "s3a"} else {}
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    except ImportError as error:
        raise UsageError(
            f"{url} needs a package that is not installed: {error}", resolution=INSTALL
        ) from None
    except ValueError as error:
        raise UsageError(f"{url} cannot be a store: {error}") from None
    return Remote(url=url, _files=files, _root=root.rstrip("/"))


def check_url(url: str) -> None:
    """:raises UsageError: where it is none, or has something in it that no record may keep."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"that is no URL: {error}") from None
    if _PASSWORD.match(url):
        raise UsageError(
            "the URL has a password in it, and the record of a run keeps its command line",
            resolution="Credentials come from the environment, or from the files of the store's own tools.",
        )
    if not parts.scheme or "::" in url or parts.query or parts.fragment:
        raise UsageError(
            f"{re.split('[?#]', url)[0]} is no URL of a store",
            resolution="Write s3://BUCKET/PREFIX or file:///DIR, without ? and #.",
        )


def _read_time(entry: dict[str, Any]) -> float:
    """Return when a file was put there; each file system has a name of its own for it."""
    for key in ("LastModified", "mtime", "created", "updated", "last_modified"):
        value = entry.get(key)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
    return datetime.now(UTC).timestamp()
