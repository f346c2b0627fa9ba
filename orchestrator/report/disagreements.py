"""Where clients disagree about one server. Pure: from a record to values."""

from collections.abc import Sequence

from orchestrator.frozen_value import Value
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord, RunRecord
from orchestrator.report import attempts


class ClientResult(Value):
    """What one client's cell came to."""

    client: str
    cell: str
    """The cell's id."""
    outcome: Outcome
    reason: Reason | None
    tally: str
    """How its attempts ended, where there were several."""

    @property
    def words(self) -> str:
        """Return reason and attempts in words; empty for a client that got all that it asked for."""
        return ", ".join(part for part in (self.reason or "", self.tally) if part)


class Disagreement(Value):
    """Cells that differ in nothing but their client, and came to different outcomes."""

    arch: str
    haproxy: str
    tls: str
    cipher: str
    execution: str
    said: tuple[ClientResult, ...]
    """In the order of the run's cells."""

    @property
    def sentence(self) -> str:
        """Return ``curl: pass; gtlsclient: fail (bad-status)``."""
        return "; ".join(
            f"{one.client}: {one.outcome}{f' ({one.words})' if one.words else ''}" for one in self.said
        )


def find_disagreements(record: RunRecord) -> tuple[Disagreement, ...]:
    """Return the groups of cells of one server whose clients saw different outcomes, in the run's order.

    Only cells that put the product to the test have a say: a client that cannot offer a suite, or a
    session that broke, says nothing of the server. Two failures with different reasons are no
    disagreement, since clients see the same failure in different ways.
    """
    groups: dict[tuple[str, ...], list[CellRecord]] = {}
    for cell in record.cells:
        if cell.outcome is not None and cell.outcome.judged_product:
            groups.setdefault(_name_server(cell), []).append(cell)
    return tuple(
        _make_disagreement(cells) for cells in groups.values() if len({cell.outcome for cell in cells}) > 1
    )


def _name_server(cell: CellRecord) -> tuple[str, ...]:
    axes = cell.axes
    return tuple(value.name for value in (axes.arch, axes.haproxy, axes.tls, axes.cipher, axes.execution))


def _make_disagreement(cells: Sequence[CellRecord]) -> Disagreement:
    arch, haproxy, tls, cipher, execution = _name_server(cells[0])
    said = tuple(
        ClientResult(
            client=cell.axes.client.name,
            cell=cell.id,
            outcome=cell.outcome,
            reason=cell.reason,
            tally=attempts.tally(cell),
        )
        for cell in cells
        if cell.outcome is not None
    )
    return Disagreement(arch=arch, haproxy=haproxy, tls=tls, cipher=cipher, execution=execution, said=said)
