"""Patches in real builds: applied, recorded, and told where they do not apply."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.outcome import Outcome, Reason

pytestmark = pytest.mark.containers

GCM = "TLS_AES_128_GCM_SHA256"
MATRIX = """
version: 1
axes:
  arch: [amd64]
  haproxy: [{{name: patched, version: "3.0.11", patches: [{patch}]}}]
  tls: [openssl-distro]
  cipher: [TLS_AES_128_GCM_SHA256]
"""
GOOD = """--- VERSION\t1 Nov 2026 00:00:00 -0000\t1.2
+++ VERSION\t2 Nov 2026 00:00:00 -0000\t1.3
@@ -1 +1 @@
-3.0.11
+3.0.11-mended
"""


def patched(folder: Path, text: str, name: str = "mend.diff") -> Path:
    (folder / name).write_text(text)
    path = folder / "matrix.yaml"
    path.write_text(MATRIX.format(patch=name))
    return path


def test_a_patched_build_shows_its_patch_and_where_it_came_from(run: Any, tmp_path: Path) -> None:
    ran = run(profile="full", matrix=patched(tmp_path, GOOD))
    (cell,) = ran.record.cells
    assert cell.outcome is Outcome.PASS, cell.message
    assert cell.attestation.haproxy_version.startswith("3.0.11-mended")
    (patch,) = cell.axes.haproxy.patches
    (component,) = [one for one in ran.record.components if one.kind == "patch"]
    digest = hashlib.sha256(GOOD.encode()).hexdigest()
    assert (component.name, component.version, component.digest) == ("mend.diff", "patched", digest)
    assert patch.sha256 == digest
    assert (ran.folder / "patches" / "mend.diff").read_text() == GOOD
    assert "mend.diff" in (ran.folder / "index.html").read_text()


def test_a_patch_that_does_not_apply_is_named(run: Any, tmp_path: Path) -> None:
    ran = run(profile="full", matrix=patched(tmp_path, GOOD.replace("-3.0.11\n", "-9.9.9\n"), "bad-1.diff"))
    (cell,) = ran.record.cells
    assert (cell.outcome, cell.reason) == (Outcome.FAIL, Reason.BUILD_FAILED)
    assert "The patch bad-1.diff does not apply: hunk 1 of VERSION finds its lines nowhere." in cell.message
    (log,) = cell.evidence
    assert "1 out of 1 hunk" in (ran.folder / log).read_text()
