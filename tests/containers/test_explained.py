"""Faults of one suite, on all architectures or one, alone or two together: each is explained exactly.

HAProxy is Debian's own, so nothing is compiled; tests/containers/test_selftest.py has a library's fault.
"""

from pathlib import Path
from typing import Any

import pytest
from conftest import Overlay, Ran, Runner
from test_faults import signalled

from orchestrator.analyse.explain import Cluster, explain
from orchestrator.matrix.model import Limits

pytestmark = pytest.mark.containers

GCM, AES256, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"
YAML = f"""
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: [distro]
  tls: [openssl-distro]
  cipher: [{GCM}, {AES256}, {CHACHA}]
  client: [curl, gtlsclient]
"""
SHORT = Limits(ready=10, request=5)


@pytest.fixture
def run_planted(run: Runner, tmp_path: Path) -> Any:
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(YAML)
    return lambda overlay: run(profile="full", matrix=matrix, overlay=overlay.folder, limits=SHORT)


def clusters(ran: Ran) -> dict[str, Cluster]:
    """Return the clusters by reason; each failure must be in one."""
    found = explain([ran.record])
    assert found.unexplained == ()
    assert sum(len(one.cells) + len(one.maybe) for one in found.clusters) == found.failing
    assert len({one.reason for one in found.clusters}) == len(found.clusters)
    return {str(one.reason): one for one in found.clusters}


def test_a_fault_on_all_architectures(run_planted: Any, overlay: Overlay) -> None:
    ran = run_planted(signalled(overlay, "SEGV", "/1k"))
    (cluster,) = clusters(ran).values()
    assert (cluster.reason, cluster.when) == ("server-crashed", (f"cipher={CHACHA}",))
    assert {"arch", "client"} <= {*cluster.irrelevant}
    assert len(cluster.cells) == sum(one.axes.cipher.name == CHACHA for one in ran.record.cells) == 4
    assert (cluster.passing, cluster.others_failing) == (0, 0)


def test_two_faults_together(run_planted: Any, overlay: Overlay) -> None:
    planted = signalled(signalled(overlay, "SEGV", "/1k"), "STOP", "/1k", AES256, arch="arm64")
    found = clusters(run_planted(planted))
    assert {reason: cluster.when for reason, cluster in found.items()} == {
        "server-crashed": (f"cipher={CHACHA}",),
        "handshake-then-hang": ("arch=arm64", f"cipher={AES256}"),
    }
    assert "arch" in found["server-crashed"].irrelevant
    assert found["handshake-then-hang"].irrelevant == ("client",)
    assert all(cluster.passing == 0 for cluster in found.values())
