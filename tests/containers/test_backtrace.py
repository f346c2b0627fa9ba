"""A planted SIGSEGV comes with a backtrace that names the function, and so does the text for an issue."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import Ran, Runner

from orchestrator.cli.main import main
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord

pytestmark = pytest.mark.containers

PATCH = Path(__file__).parent / "patches" / "haproxy-crashes-on-chacha20.diff"
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"


def crash(run: Runner, folder: Path, arch: str) -> tuple[Ran, CellRecord]:
    axes = {
        "arch": [arch],
        "haproxy": [{"name": "planted", "version": "3.0.11", "patches": [str(PATCH)]}],
        "tls": ["openssl-distro"],
        "cipher": [CHACHA],
        "client": ["curl"],
    }
    matrix = folder / "matrix.yaml"
    matrix.write_text(yaml.safe_dump({"version": 1, "axes": axes}))
    ran = run(profile="full", matrix=matrix, limits=Limits(ready=5, request=4), backtraces=True)
    return ran, ran.cell(CHACHA)


def names_the_function(ran: Ran, cell: CellRecord) -> None:
    assert (cell.outcome, cell.reason, len(cell.attempts)) == (Outcome.FAIL, Reason.SERVER_CRASHED, 1)
    found = cell.backtrace
    assert found is not None
    assert (found.signal, found.problem) == ("SIGSEGV", ""), found
    # Where gcc inlines what is called there, its frames stand above it: two for arm64.
    (named,) = (frame for frame in found.frames[:3] if "ha_quic_set_encryption_secrets (" in frame)
    assert named.endswith("at src/quic_ssl.c:247")
    assert "its .text is the probed one's" in found.symbols
    asked = ["report", str(ran.folder), "--cell", cell.id, "--format", "issue"]
    text = CliRunner().invoke(main, asked).stdout
    for part in ("\nHAProxy version 3.0.11", "\nfrontend probe\n", f"\n{named}"):
        assert part in text


def test_a_native_crash_is_traced_to_its_line(run: Runner, tmp_path: Path) -> None:
    names_the_function(*crash(run, tmp_path, "amd64"))


@pytest.mark.soak
def test_a_crash_under_qemu_is_traced_to_its_line(run: Runner, tmp_path: Path) -> None:
    names_the_function(*crash(run, tmp_path, "arm64"))
