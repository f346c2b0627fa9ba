"""A machine made of dictionaries: it records commands, and installing or starting really changes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.execute.system.process import Completed

_PROGRAMS = {
    "docker.io": ["dockerd"],
    "git": ["git"],
    "mmdebstrap": ["mmdebstrap"],
}


def done(stdout: str = "", exit_code: int = 0) -> Completed:
    return Completed(exit_code=exit_code, stdout=stdout.encode(), stderr=b"")


@dataclass(kw_only=True)
class FakeHost:
    os_id: str = "debian"
    root: bool = True
    programs: set[str] = field(default_factory=lambda: {"apt-get", "apt-cache"})
    files: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    available: set[str] = field(default_factory=lambda: set(_PROGRAMS))
    answers: dict[str, Completed] = field(default_factory=dict)
    """By the first words of a command; checked before anything else."""
    free: int | None = 50 * 10**9
    daemon: bool = False
    starts_on_install: bool = False
    """As System V init does: docker.io's own script starts the daemon."""
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files.setdefault("/etc/os-release", f'ID={self.os_id}\nVERSION_CODENAME="bookworm"\n')

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        assert timeout > 0
        line = " ".join(argv)
        self.commands.append(line)
        for start, answer in self.answers.items():
            if line.startswith(start):
                return answer
        handlers: dict[str, Callable[[Sequence[str]], Completed]] = {
            "apt-cache": self._policy,
            "env": self._install,
            "systemctl": self._systemctl,
        }
        handler = handlers.get(argv[0])
        return done() if handler is None else handler(argv)

    def _policy(self, argv: Sequence[str]) -> Completed:
        candidate = "1.0" if argv[-1] in self.available else "(none)"
        return done(f"{argv[-1]}:\n  Installed: (none)\n  Candidate: {candidate}\n")

    def _install(self, argv: Sequence[str]) -> Completed:
        for package in argv[6:]:
            if package not in self.available:
                return done(f"E: Unable to locate package {package}", 100)
            self.programs.update(_PROGRAMS[package])
            self.daemon = self.daemon or (package == "docker.io" and self.starts_on_install)
        return done()

    def _systemctl(self, _: Sequence[str]) -> Completed:
        self.daemon = "dockerd" in self.programs
        return done()

    def spawn_detached(self, argv: Sequence[str], log: Path) -> int:
        self.commands.append(f"{argv[0]} > {log}")
        self.daemon = True
        return 1

    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.folders

    def uid(self) -> int:
        return 0 if self.root else 1000

    def disk_free(self, path: str) -> int | None:
        assert path.startswith("/")
        return self.free
