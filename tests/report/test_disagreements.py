"""Clients that disagree about one server."""

import samples

from orchestrator.matrix.model import ClientValue
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord
from orchestrator.report.disagreements import find_disagreements

QUICK = samples.quick()
CURL = next(cell for cell in QUICK.cells if cell.outcome is Outcome.PASS)


def by(client: str, outcome: Outcome | None, reason: Reason | None = None) -> CellRecord:
    """The same server, asked by another client."""
    axes = CURL.axes.model_copy(update={"client": ClientValue(name=client, family=client)})
    changed = {"id": f"{CURL.id}.{client}", "axes": axes, "outcome": outcome, "reason": reason}
    return CURL.model_copy(update=changed)


def among(*others: CellRecord) -> list[str]:
    record = QUICK.model_copy(update={"cells": (*QUICK.cells, *others)})
    return [one.sentence for one in find_disagreements(record)]


def test_without_another_client_nobody_disagrees() -> None:
    assert among() == []
    assert among(by("aioquic", Outcome.PASS)) == []


def test_a_client_that_sees_another_outcome_disagrees() -> None:
    others = (by("aioquic", Outcome.PASS), by("gtlsclient", Outcome.FAIL, Reason.BAD_STATUS))
    assert among(*others) == ["curl: pass; aioquic: pass; gtlsclient: fail (bad-status)"]
    (one,) = find_disagreements(QUICK.model_copy(update={"cells": (*QUICK.cells, *others)}))
    assert (one.arch, one.tls, one.cipher) == tuple(
        value.name for value in (CURL.axes.arch, CURL.axes.tls, CURL.axes.cipher)
    )
    assert [said.cell for said in one.said][1:] == [cell.id for cell in others]


def test_what_says_nothing_of_the_server_is_no_disagreement() -> None:
    assert among(by("aioquic", Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER)) == []
    assert among(by("aioquic", Outcome.ERROR, Reason.DEADLINE), by("gtlsclient", None)) == []


def test_another_server_is_not_compared() -> None:
    other = next(
        cell for cell in QUICK.cells if cell.axes.arch != CURL.axes.arch and cell.outcome is Outcome.PASS
    )
    failing = other.model_copy(update={"outcome": Outcome.FAIL, "reason": Reason.WRONG_BODY})
    record = QUICK.model_copy(update={"cells": (CURL, failing)})
    assert find_disagreements(record) == ()


def test_two_failures_for_different_reasons_agree() -> None:
    failed = [
        by("a", Outcome.FAIL, Reason.HANDSHAKE_REFUSED),
        by("b", Outcome.FAIL, Reason.HANDSHAKE_TIMEOUT),
    ]
    assert find_disagreements(QUICK.model_copy(update={"cells": tuple(failed)})) == ()
