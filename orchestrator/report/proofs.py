"""What each client proved it can do against a server that is known to be good, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.record.model import ClientProof


@dataclass(frozen=True, kw_only=True)
class ProofRow:
    """One client in one version. ``slots`` has the proof of every column, ``None`` where none was asked."""

    client: str
    version: str
    slots: tuple[ClientProof | None, ...]


@dataclass(frozen=True, kw_only=True)
class ProofTable:
    """Columns are pairs of transport and suite, together by transport."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[ProofRow, ...]

    @property
    def transports(self) -> dict[str, int]:
        """Return every transport with the number of its columns."""
        found: dict[str, int] = {}
        for transport, _ in self.columns:
            found[transport] = found.get(transport, 0) + 1
        return found


def make_table(proofs: Sequence[ClientProof]) -> ProofTable:
    """Return the proofs, both sides in the order of their first appearance, HTTP/3 first."""
    suites = list(dict.fromkeys(proof.suite for proof in proofs))
    pairs = {(proof.transport, proof.suite) for proof in proofs}
    columns = [(t, suite) for t in ("h3", "h2") for suite in suites if (t, suite) in pairs]
    rows: dict[tuple[str, str], dict[tuple[str, str], ClientProof]] = {}
    for proof in proofs:
        rows.setdefault((proof.client, proof.version), {})[proof.transport, proof.suite] = proof
    return ProofTable(
        columns=tuple(columns),
        rows=tuple(
            ProofRow(client=client, version=version, slots=tuple(found.get(column) for column in columns))
            for (client, version), found in rows.items()
        ),
    )


def list_refusals(proofs: Sequence[ClientProof]) -> tuple[ClientProof, ...]:
    """Return what the clients could not do, for the list below the table."""
    return tuple(proof for proof in proofs if not proof.ok)
