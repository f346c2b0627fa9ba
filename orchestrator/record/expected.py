"""What a record says is expected of a cell: by a rule of the matrix, or by what is declared."""

from orchestrator.arch import Arch
from orchestrator.matrix import capabilities
from orchestrator.matrix.expect import Expectations
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import Expected


def find_expected(cell: Cell, expectations: Expectations, host: Arch | None = None) -> Expected | None:
    """Return what the rule that counts says of the cell or, without one, what is declared of it.

    :param host: the architecture of the engine's machine. No rule counts for what its emulator cannot run.
    """
    rule = None if capabilities.find_emulator_lack(cell, host) else expectations.find_rule(cell)
    if rule is not None:
        return Expected(
            outcome=rule.outcome,
            reason=rule.reason,
            cipher=rule.cipher if cell.cipher.suite is None else None,
            because=rule.because,
            rule=rule.place,
            stale=expectations.explain_stale(rule, [cell]),
        )
    declared = capabilities.find_unsupported(cell, host)
    if declared is None:
        return None
    return Expected(
        outcome=Outcome.UNSUPPORTED,
        reason=Reason(declared.reason),
        cipher=None,
        because=declared.message,
        rule="",
        stale="",
    )
