"""Who may join a cluster: Dask's own TLS, with the certificates that a site has.

Anyone who reaches an open scheduler can run code on each of its machines, other users of this one included:
https://distributed.dask.org/en/stable/tls.html.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from distributed.security import Security

from orchestrator.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a process shows who it is: its certificate, its key, and the authority of all others."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    insecure: bool

    def make_security(self, address: str) -> Security | None:
        """Return what Dask is to connect to the scheduler with; ``None``: without TLS.

        :raises UsageError: where address and options do not fit, or a file is missing.
        """
        scheme, files = _find_scheme(address), (self.ca, self.cert, self.key)
        if scheme not in {"tcp", "tls"}:
            raise UsageError(
                f"{address} is no scheduler", resolution="Write tls://HOST:8786, or tcp:// with --insecure."
            )
        if scheme == "tcp" and not self.insecure:
            raise UsageError(
                f"{address} has no TLS: anyone who reaches it can run code on each of its machines",
                resolution="Write tls://HOST:8786 and give --tls-ca, --tls-cert and --tls-key; or add "
                "--insecure where no one else can reach it, no other user of its machine either.",
            )
        if scheme == "tcp":
            return None
        if not all(files):
            raise UsageError("a scheduler with TLS needs --tls-ca, --tls-cert and --tls-key")
        for file in files:
            if file and not file.is_file():
                raise UsageError(f"{file} is no file")
        return _make(*map(str, files))


def _find_scheme(address: str) -> str:
    """Return an empty one where no host or no port is in it: Dask would try to reach that without end."""
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.hostname and parts.port:
            return parts.scheme
    return ""


def _make(ca: str, cert: str, key: str) -> Security:
    own: dict[str, Any] = {
        f"tls_{role}_{kind}": path
        for role in ("client", "worker", "scheduler")
        for kind, path in (("cert", cert), ("key", key))
    }
    made: Security = cast("Any", Security)(tls_ca_file=ca, require_encryption=True, **own)
    return made
