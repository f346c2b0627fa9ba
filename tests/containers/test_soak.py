"""What is longer than CI may be: the nightly profile of the default matrix as this machine can have it.

`make soak` runs it and prints the figures that docs/soak.md shows.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import Runner, Tell

from orchestrator.outcome import Outcome, Reason, Verdict

pytestmark = [pytest.mark.containers, pytest.mark.soak, pytest.mark.timeout(6 * 3600)]

REPEAT = 2
# A lost packet may end HAProxy there, a few times in a thousand attempts: docs/architectures.md says why.
BITS_32, CRASH = {"armhf", "i386"}, (Outcome.FAIL, Reason.SERVER_CRASHED)


def test_the_nightly_profile_again_and_again(run: Runner, tell: Tell) -> None:
    ran = run(profile="nightly", repeat=REPEAT)
    record = ran.record
    tell(figures(record, ran.folder))
    assert record.run.judged == record.run.planned == len(record.cells)
    for cell in record.cells:
        if cell.outcome is Outcome.BLOCKED:
            assert cell.reason is Reason.SOURCE_UNREACHABLE, cell.message
            continue
        ends = {(one.outcome, one.reason) for one in cell.attempts}
        if cell.axes.arch.name in BITS_32 and CRASH in ends:
            ends.discard(CRASH)
            assert all(outcome is Outcome.PASS for outcome, _ in ends), (cell.id, cell.attempts)
            continue
        assert cell.verdict in {Verdict.AS_EXPECTED, Verdict.KNOWN_FAILURE}, (cell.id, cell.message)
        assert len(ends) == 1, (cell.id, cell.attempts)
    built = {cell.axes.tls.family for cell in record.cells if cell.outcome is Outcome.PASS}
    assert built >= {"openssl", "wolfssl"}
    had = {(cell.axes.tls.name, cell.axes.arch.name) for cell in record.cells if cell.outcome is Outcome.PASS}
    # Those that test_libraries.py and test_arches.py leave to this test.
    assert had >= {("openssl-3.0.22", "amd64"), ("openssl-3.0.22", "arm64"), ("wolfssl-5.7.2", "amd64")}
    assert had >= {("openssl-distro", "i386"), ("openssl-distro", "riscv64")}
    assert not [one for one in record.selftests if one.problem and (one.tls, one.arch) in had]
    failed = {(one.tls, c.suite, c.check) for one in record.selftests for c in one.checks if c.ok is False}
    assert {one for one in failed if not documented(*one)} == set()


def documented(tls: str, suite: str, check: str) -> bool:
    """Failed checks whose cause is public; with a mirror this machine may have LibreSSL, too."""
    chacha = suite == "TLS_CHACHA20_POLY1305_SHA256"
    return (
        # CVE-2026-5479: wolfSSL before 5.9.1 opens forged packets, and Debian's stable suite has 5.7.2.
        (tls == "wolfssl-5.7.2" and chacha and check.startswith("reject-"))
        # haproxy#2569: mended in LibreSSL 4.0.
        or (tls == "libressl-3.9.2" and chacha and check.startswith("open-in-place"))
    )


def figures(record: Any, folder: Path) -> str:
    """A Markdown table: per library and architecture the cells by outcome, and what was done again."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for cell in record.cells:
        rows.setdefault((cell.axes.tls.name, cell.axes.arch.name), Counter())[str(cell.outcome)] += 1
    attempts = sum(len(cell.attempts) for cell in record.cells)
    lines = ["| library | architecture | pass | unsupported | blocked | other |", "|---|---|---|---|---|---|"]
    for (tls, arch), found in sorted(rows.items()):
        shown = [found.pop(name, 0) for name in ("pass", "unsupported", "blocked")]
        lines.append(f"| {tls} | {arch} | {' | '.join(map(str, shown))} | {dict(found) or 0} |")
    lines.append("")
    lines.append(
        f"{len(record.cells)} cells, {attempts} attempts, {len(record.selftests)} self-tests, "
        f"{record.run.duration_s / 60:.0f} min; {folder.name}"
    )
    return "\n".join(lines)
