"""Where a history is: a file, or the URL of a database. No password of it is ever shown."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.errors import UsageError
from orchestrator.mask_passwords import mask_text
from orchestrator.phrases import quote

_POSTGRESQL = "postgresql+psycopg"


@dataclass(frozen=True, kw_only=True)
class HistoryPlace:
    """A database. ``file`` is that of SQLite, ``None`` for PostgreSQL."""

    url: URL = field(repr=False)
    file: Path | None

    def __str__(self) -> str:
        """Return how it is named to people."""
        if self.file:
            return str(self.file)
        shown = {key: "***" if "pass" in key.lower() else value for key, value in self.url.query.items()}
        return mask_text(self.url.set(query=shown).render_as_string(hide_password=True))


def parse_place(text: str) -> HistoryPlace:
    """Return the place that a person named: a path, ``sqlite:///FILE`` or ``postgresql+psycopg://...``.

    :raises UsageError: if it is none of them.
    """
    if "://" not in text:
        return _make_file_place(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _make_refusal(text) from None
    if url.drivername == "sqlite" and url.database and not url.query and not url.host:
        return _make_file_place(url.database)
    if url.drivername in {"postgresql", _POSTGRESQL}:
        return HistoryPlace(url=url.set(drivername=_POSTGRESQL), file=None)
    raise _make_refusal(text)


def _make_file_place(path: str) -> HistoryPlace:
    if not path or "\0" in path or path == ":memory:":
        raise _make_refusal(path)
    file = Path(path).absolute()
    return HistoryPlace(url=URL.create("sqlite", database=str(file)), file=file)


def _make_refusal(text: str) -> UsageError:
    # A password that does not parse is one all the same.
    scheme = f"{text.partition('://')[0]}://..." if "://" in text else text
    return UsageError(
        f"{quote(scheme)} names no history",
        resolution="Name a file, sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE.",
    )
