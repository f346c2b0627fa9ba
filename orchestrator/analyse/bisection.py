"""What is kept of a bisection: ``bisect.json``."""

from collections.abc import Mapping
from typing import Any, Literal

from orchestrator.analyse.bisect import Border, Mark, find_border
from orchestrator.frozen_value import Value, describe_schema
from orchestrator.outcome import Reason
from orchestrator.record.settings import Inputs, Settings


class Origin(Value):
    """What a bisection began with, beside its candidates: its steps are runs of the same."""

    matrix: str
    """The SHA-256 of the matrix file."""
    cell: str
    """The SHA-256 of what the cell is made of: its values, and the patches."""
    inputs: Inputs


class Candidate(Value):
    """A version or a commit that may be tried."""

    name: str
    """As the axis calls it: ``3.0.11``, ``libressl-3.9.2``, ``git-`` and twelve digits of the commit."""
    value: str
    """As ``--with`` takes it."""
    commit: str = ""
    """All its digits; empty for a version."""
    subject: str = ""
    """The first line of the commit's message."""

    @property
    def title(self) -> str:
        """Return it for a person."""
        return f"{self.commit[:12]} ({self.subject})" if self.commit else self.name


class Step(Value):
    """One candidate that was tried."""

    candidate: str
    mark: Mark
    message: str
    """How its cell ended, in one line."""
    runs: tuple[str, ...]
    """The folders of the runs, beside ``bisect.json``: the second one is that of a flaky cell."""
    rerun: str
    """The command that runs it again."""


class Bisection(Value):
    """The whole of it. Candidates stand in their order, the older ones first; times are UTC in ISO 8601."""

    schema_version: Literal[1] = 1
    id: str
    status: Literal["running", "interrupted", "finished"]
    """``interrupted``, or ``running`` without a process: ``--resume`` goes on."""
    started_at: str
    finished_at: str | None
    cell: str
    """The cell that was named; the cells of the steps differ from it on ``axis``."""
    axis: Literal["haproxy", "tls"]
    git: str
    """The folder of the clone, or empty."""
    reason: Reason | None
    """The only failure that is bad; ``null``: each."""
    bad_from: int
    """So many failures among ``attempts`` make a flaky cell bad."""
    attempts: int
    at_once: int
    """How many steps one run tries."""
    settings: Settings
    """With which each step is run."""
    origin: Origin
    notes: tuple[str, ...]
    """What was left out of the candidates, and why."""
    candidates: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    """In the order in which they were tried."""
    message: str
    """What was found, or why nothing was."""

    @property
    def marks(self) -> Mapping[int, Mark]:
        """Return what was tried, by position among the candidates."""
        position = {one.name: number for number, one in enumerate(self.candidates)}
        return {position[step.candidate]: step.mark for step in self.steps}

    @property
    def border(self) -> Border | None:
        """Return between which candidates it changes, as far as is known."""
        return find_border(self.marks, len(self.candidates))

    def find_step(self, position: int) -> Step:
        """Return the step that tried a candidate."""
        name = self.candidates[position].name
        return next(step for step in self.steps if step.candidate == name)


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of ``bisect.json``."""
    return describe_schema(Bisection, "matrixctl bisect: bisect.json")
