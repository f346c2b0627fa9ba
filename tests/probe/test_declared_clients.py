"""A client's limit that is declared is never told as one that nothing declares."""

import pytest
from fakes import cell

from orchestrator.matrix.capability_table import CCM, CHACHA20
from orchestrator.probe.proof import find_unproved
from orchestrator.record.model import ClientProof


def proof(suite: str) -> ClientProof:
    return ClientProof(
        client="curl", version="8", transport="h3", suite=suite, ok=False, message="no ciphers available"
    )


@pytest.mark.parametrize("haproxy", ["3.0.11", "2.6.12"])
def test_a_declared_limit_also_where_haproxy_has_no_quic(haproxy: str) -> None:
    """There the cell's own declaration is HAProxy's, and the client's holds nevertheless."""
    assert find_unproved(cell(haproxy=haproxy, cipher=CCM), [proof(CCM)]) is None


def test_a_limit_that_nothing_declares() -> None:
    said = find_unproved(cell(cipher=CHACHA20), [proof(CHACHA20)])
    assert said is not None
    assert "nothing declares that" in said
