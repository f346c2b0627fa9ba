"""What a run began with: enough to continue it, and to see what has changed since."""

from collections.abc import Mapping
from datetime import date
from typing import Literal

from orchestrator.frozen_value import Value
from orchestrator.matrix.pins import Pins

CONFIRM_CELLS, CONFIRM_MINUTES = 3, 15.0
"""The bounds of ``--confirm``, unless others are given."""


Evidence = Literal["none", "failing", "all"]
Only = Literal["", "native", "emulated"]
"""Which cells a run has: all, or those that are run natively, or under QEMU."""


class Settings(Value):
    """The command line of a run. Paths are as they were given, and relative to ``folder``."""

    folder: str
    """Where the command was called."""
    today: date
    """In UTC, once for the whole run: whether a rule with ``until`` is stale."""
    matrix: str | None
    profile: str
    filters: tuple[str, ...]
    cells: tuple[str, ...]
    patches: tuple[str, ...]
    """Each ``COMPONENT=FILE``."""
    sources: tuple[str, ...]
    store: str
    mirrors: tuple[str, ...]
    """Without those that have a password in them: a record is no place for that."""
    repeat: int
    jobs: int | None
    memory: float | None
    """GiB."""
    fail_fast: bool
    allow_blocked: bool
    challenge_unsupported: bool
    build: Literal["cross", "emulated"]
    keep: bool
    series: str = ""
    confirm: int | None = 0
    confirm_cells: int = CONFIRM_CELLS
    confirm_minutes: float = CONFIRM_MINUTES
    fail_on_flaky: bool = False
    evidence: Evidence = "none"
    backtraces: bool = False
    replacements: tuple[str, ...] = ()
    """Each ``--with``, its paths absolute."""
    explain: bool = False
    pairwise: bool = False
    """``--start pairwise``."""
    budget_minutes: float | None = None
    failed_of: str = ""
    """The id of the run whose cells that were not as expected these ``cells`` are; empty without one."""
    shard: str = ""
    """``K/N``: the K-th of N parts of the cells that the other options choose."""
    pins_file: str = ""
    """Of ``--pins``, absolute; for the reproducers."""
    pins: Pins | None = None
    """What it had in it: the run goes on with that, and is merged with runs of the same."""
    only: Only = ""
    """``--native-only`` or ``--emulated-only``; empty: neither."""
    remote_store: str = ""
    """Its URL, which has no password in it."""
    command: str = ""
    """The whole line as it was typed, with passwords masked."""

    @property
    def again(self) -> tuple[str, ...]:
        """Return the options that decide what a cell is, where its sources lie and how often it is asked.

        A rerun needs them.
        """
        options = ["--matrix", self.matrix] if self.matrix else []
        options += [word for text in self.replacements for word in ("--with", text)]
        options += [word for text in self.patches for word in ("--patch", text)]
        options += ["--pins", self.pins_file] if self.pins_file else []
        options += ["--build", self.build] if self.build != "cross" else []
        options += [f"--{self.only}-only"] if self.only else []
        options += ["--challenge-unsupported"] if self.challenge_unsupported else []
        options += [word for path in self.sources for word in ("--sources", path)]
        options += [word for where in self.mirrors for word in ("--mirror", where)]
        options += ["--repeat", str(self.repeat)] if self.repeat != 1 else []
        return tuple(options)


class Inputs(Value):
    """What decides the verdicts beside the cells themselves, which the record has whole."""

    version: str
    """matrixctl's."""
    files: Mapping[str, str]
    """matrixctl's own modules, templates and image recipes: name to SHA-256, cut to 16 digits."""
    sources: Mapping[str, str]
    """The entries of the catalogue that the plan uses: ``haproxy 3.0.11`` to its digest, cut likewise."""
