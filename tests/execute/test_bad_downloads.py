"""What a server can do wrong while it is fetched from: it ends soon, is told, and leaves nothing behind."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from bad_server import CONTENT, FILE, SHA256, Server, serving

from orchestrator.errors import ChecksumMismatchError, MatrixctlError, SourceUnreachableError
from orchestrator.execute.sources import release
from orchestrator.execute.sources.download import SHARE_OVER, FetchError, download
from orchestrator.execute.sources.release import fetch
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Source, SourceOrigin

ENOUGH_S = 300
"""A limit that no busy machine reaches, and a hang does."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as state:
        yield state


def fetched(root: Path, *urls: str, seconds: float) -> tuple[bytes, tuple[str, ...]]:
    """The file, and what was tried before."""
    source = Source(
        component="x",
        version="1.0",
        file=FILE,
        sha256=SHA256,
        strip=1,
        origins=tuple(SourceOrigin(kind="url", where=url) for url in urls),
    )
    got = fetch(
        source,
        store=Store(root),
        mirrors=(),
        deadline=time.monotonic() + seconds,
        apt_bases=(),
    )
    return got.path.read_bytes(), got.tried


def refusal(root: Path, url: str, *, seconds: float = ENOUGH_S) -> MatrixctlError:
    """The error, after which nothing lies in the store."""
    with pytest.raises(MatrixctlError) as caught:
        fetched(root, url, seconds=seconds)
    assert list((root / "sources").iterdir()) == []
    assert list((root / "tmp").iterdir()) == []
    return caught.value


@pytest.mark.fault(
    "a source's server redirects to a file, to another scheme, to no address, to a closed port, in a circle",
    "none is followed, five redirects at most; `blocked: source-unreachable` says which",
)
@pytest.mark.parametrize(
    ("how", "why", "attempts"),
    [
        ("to-file", "redirects to what is neither http nor https", 1),
        ("to-ftp", "redirects to what is neither http nor https", 1),
        ("to-data", "redirects to what is neither http nor https", 1),
        ("to-no-address", "redirects to no address", 1),
        ("to-a-closed-port", "connection refused", 4),
        ("endless", "redirects more than 5 times", 6),
        ("ping", "redirects more than 5 times", 3),
    ],
)
def test_where_a_redirect_may_lead(server: Server, tmp_path: Path, how: str, why: str, attempts: int) -> None:
    error = refusal(tmp_path, f"{server.base}/{how}/a")
    assert isinstance(error, SourceUnreachableError)
    assert error.details == f"{server.base}/{how}/a: {why}"
    assert server.times(f"/{how}/a") == attempts


@pytest.mark.fault(
    "a source's server closes at once, speaks another protocol, sends 10,000 headers or one of a megabyte",
    "four attempts, then `blocked: source-unreachable`",
)
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("closes", "closed the connection without an answer"),
        ("speaks-ssh", "its answer is not HTTP as it should be"),
        ("many-headers", "its answer is not HTTP as it should be"),
        ("long-header", "its answer is not HTTP as it should be"),
    ],
)
def test_what_is_no_answer(server: Server, tmp_path: Path, how: str, why: str) -> None:
    error = refusal(tmp_path, f"{server.base}/{how}/a")
    assert isinstance(error, SourceUnreachableError)
    assert error.details == f"{server.base}/{how}/a: {why}"
    assert server.times(f"/{how}/a") == 4


@pytest.mark.fault(
    "a source's server sends without end, in chunks or not",
    "ended at the limit of the size, whatever was announced",
)
@pytest.mark.parametrize("how", ["endless-body", "endless-chunks"])
def test_a_body_without_end_ends_at_the_limit(server: Server, tmp_path: Path, how: str) -> None:
    limit = 5 << 20
    deadline = time.monotonic() + ENOUGH_S
    with pytest.raises(FetchError, match="is larger than 5 MiB"):
        download(f"{server.base}/{how}/a", tmp_path / "x", deadline=deadline, max_bytes=limit)
    assert (tmp_path / "x").stat().st_size <= limit
    assert server.times(f"/{how}/a") == 1


@pytest.mark.fault(
    "a source's server hangs before the headers or in the body, or drips byte by byte, header or body",
    "ended at the place's share of the time, and the next place is asked",
)
@pytest.mark.parametrize("how", ["hanging", "stops-midway", "trickle", "trickle-headers"])
def test_a_server_that_hangs_leaves_time_for_the_next(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It would hang for longer than the test may last; the next one has all the time that it needs."""

    def share(_: float, *, last: bool) -> float:
        return time.monotonic() + (ENOUGH_S if last else 0.5)

    monkeypatch.setattr(release, "_share_time", share)
    bad = f"{server.base}/{how}/a"
    content, tried = fetched(tmp_path, bad, f"{server.base}/ok/a", seconds=ENOUGH_S)
    assert content == CONTENT
    # The reader's own limit ends at the same moment as the share: on a busy machine it may be the first.
    assert [why.removeprefix(f"{bad}: ") for why in tried] in [
        [why] for why in (SHARE_OVER, "does not answer in time", "stopped sending")
    ]
    assert server.times("/ok/a") == 1


def test_each_place_has_half_of_what_is_left_and_the_last_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    assert release._share_time(1180.0, last=False) == 1090.0
    assert release._share_time(1180.0, last=True) == 1180.0


def test_what_comes_after_the_announced_length_is_not_taken(server: Server, tmp_path: Path) -> None:
    error = refusal(tmp_path, f"{server.base}/more-than-announced/a")
    assert isinstance(error, ChecksumMismatchError)
    assert hashlib.sha256(CONTENT[:1000]).hexdigest() in error.details


@pytest.mark.fault(
    "a source's server answers 500, 503, 408 or 429, or cuts the body, and then has it right",
    "tried again with waits of its own choice, four times at most",
)
@pytest.mark.parametrize(("how", "attempts"), [("flaky", 3), ("busy-once", 2), ("cut-once", 2)])
def test_what_passes_is_tried_again(server: Server, tmp_path: Path, how: str, attempts: int) -> None:
    started = time.monotonic()
    assert fetched(tmp_path, f"{server.base}/{how}/a", seconds=ENOUGH_S) == (CONTENT, ())
    assert server.times(f"/{how}/a") == attempts
    assert time.monotonic() - started < ENOUGH_S, "a Retry-After of an hour is not waited for"


@pytest.mark.parametrize(("how", "status"), [("missing", 404), ("no-content", 204)])
def test_what_does_not_pass_is_not(server: Server, tmp_path: Path, how: str, status: int) -> None:
    content, tried = fetched(tmp_path, f"{server.base}/{how}/a", f"{server.base}/ok/a", seconds=ENOUGH_S)
    assert (content, tried) == (CONTENT, (f"{server.base}/{how}/a: answered {status}",))
    assert server.times(f"/{how}/a") == 1
