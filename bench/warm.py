"""What a run costs when there is nothing left to build, as its own record and journal say."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bench import command
from bench.figures import Section, check_target
from orchestrator.arch import Arch
from orchestrator.outcome import Outcome
from orchestrator.record.journal import ActionChanged, ClientsProved, Event
from orchestrator.record.model import RunRecord

ROUNDS = 5
TARGET_RUN_S = 7.5
TARGET_CELL_S = 0.55
# Ten cells: HAProxy 3.0.11 with Debian's OpenSSL on two architectures; of five offers curl cannot make one.
_OPTIONS = ("--profile", "quick", "--filter", "haproxy=3.0.11")
_TIMEOUT = 1800


class Warm(NamedTuple):
    """Seconds of one run, in the order of the table; of its cells the medians."""

    run_s: float
    proof_s: float
    native_s: float
    emulated_s: float


def measure(host: Arch, store: Path, *, say: Callable[[str], None], rounds: int = ROUNDS) -> Section:
    """Run once to make what is missing, then some times to measure."""
    say("warm: make what is missing")
    command.run(_OPTIONS, store=store, timeout=_TIMEOUT)
    found = []
    for number in range(rounds):
        say(f"warm: run {number + 1} of {rounds}")
        found.append(command.run_and_read(_OPTIONS, store=store, timeout=_TIMEOUT))
    return make_section(host, found)


def make_section(host: Arch, found: Sequence[tuple[RunRecord, Sequence[Event]]]) -> Section:
    """Return the table: the median of all runs, the least and the most."""
    runs = [_read(host, *one) for one in found]
    columns = list(zip(*runs, strict=True))
    middle = Warm(*map(statistics.median, columns))
    rows = {"median": middle, "least": map(min, columns), "most": map(max, columns)}
    return Section(
        key="warm",
        title="A warm run",
        header=(
            f"seconds, of {len(runs)} runs",
            f"{len(found[0][0].cells)} cells, as a whole",
            "the clients' proof",
            "a native cell",
            "an emulated cell",
        ),
        rows=tuple((name, *(f"{value:.2f}" for value in row)) for name, row in rows.items()),
        notes=(
            check_target("A warm run, `duration_s` of its `run.json`", middle.run_s, TARGET_RUN_S, "s"),
            check_target("An emulated cell", middle.emulated_s, TARGET_CELL_S, "s"),
        ),
    )


def _read(host: Arch, record: RunRecord, events: Iterable[Event]) -> Warm:
    ran = [cell for cell in record.cells if cell.outcome is Outcome.PASS]
    native = [cell.duration_s or 0.0 for cell in ran if cell.axes.arch.arch == host]
    emulated = [cell.duration_s or 0.0 for cell in ran if cell.axes.arch.arch != host]
    return Warm(
        run_s=record.run.duration_s or 0.0,
        proof_s=find_proof(events),
        native_s=statistics.median(native),
        emulated_s=statistics.median(emulated),
    )


def find_proof(events: Iterable[Event]) -> float:
    """Return the seconds from the start of the first session, which proves the clients, to their proof."""
    began = ended = None
    for event in events:
        if isinstance(event, ActionChanged) and event.action.kind == "probe":
            began = began or event.at
        if isinstance(event, ClientsProved):
            ended = ended or event.at
    if began is None or ended is None:
        raise ValueError("the journal has no proof of the clients")
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
