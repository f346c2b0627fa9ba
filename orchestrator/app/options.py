"""What a person may choose of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.execute.system.host import Host, LocalHost
from orchestrator.matrix.pins import Pins
from orchestrator.probe import certificates
from orchestrator.probe.certificates import Certificates
from orchestrator.record.settings import CONFIRM_CELLS, CONFIRM_MINUTES, Evidence, Settings


@dataclass(frozen=True, kw_only=True)
class Exploring:
    """The run explains what it sees, and asks for more cells.

    :ivar pairwise: it begins with a few cells of the selection, and asks for others of it; else it begins
        with all of it, and asks for others of the matrix.
    :ivar minutes: of the whole run; ``None``: until nothing is left to ask.
    """

    pairwise: bool
    minutes: float | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line has the defaults.

    ``again`` are the options, beside ``--cell``, with which one cell of this run is run again.
    """

    profile: str
    filters: tuple[str, ...]
    out: Path
    store: Path
    jobs: int
    remote_store: str = ""
    """URL of what stands behind the store; empty: nothing."""
    elsewhere: bool = False
    """Whether other machines do the builds and probes: what they share goes to the remote store."""
    natives: frozenset[str] = frozenset()
    """The names of foreign architectures whose cells other machines probe natively. Others are emulated."""
    memory: int = 0
    """Bytes that containers may take at once; 0: what the engine's host can spare."""
    repeat: int = 1
    confirm: int | None = 0
    """How often a cell whose verdict is an alarm is probed again, alone; ``None``: once, if it failed under a
    heavy load."""
    confirm_cells: int = CONFIRM_CELLS
    """Of cells that fail alike, how many are confirmed."""
    confirm_minutes: float = CONFIRM_MINUTES
    """For all confirmations together."""
    fail_on_flaky: bool = False
    evidence: Evidence = "none"
    """Which cells are run a second time, to keep what they do: those that fail, or all."""
    backtraces: bool = False
    """A cell whose server crashed is run once more, under gdb."""
    mirrors: tuple[str, ...] = ()
    pins: Pins | None = None
    keep: bool = False
    fail_fast: bool = False
    allow_blocked: bool = False
    challenge_unsupported: bool = False
    emulated_build: bool = False
    remote_engine: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict)
    series: str = ""
    exploring: Exploring | None = None
    again: tuple[str, ...] = ()
    overlay: Path | None = None
    """Templates that replace ours, for tests that plant a fault."""
    settings: Settings | None = None
    """The command line, to be kept in the journal; a run without cannot be resumed by that command."""
    certificates: Callable[[], Certificates] = certificates.make
    here: Host = field(default_factory=LocalHost)
    """The machine that this runs on."""
