"""``matrixctl history pull`` and ``push``: the history on a branch, for machines that are thrown away."""

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_samples import RUN, a_run, matrixctl
from git_samples import Repository

from orchestrator import bounds

BRANCH = "nights"
SECOND_RUN = "20260103-030405-abcd"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """git knows nobody here, as on a machine that was made a minute ago."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def server(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "server")
    made.commit(file="a tree")
    return made


def machine(server: Repository, name: str) -> Path:
    """A fresh clone, as a job has it."""
    folder = server.folder.parent / name
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{server.folder}", folder], check=True)
    return folder


def night(folder: Path, run: str) -> None:
    """One night on a machine: its run, and the history that has it."""
    a_run(folder / "reports", run)
    done = matrixctl("history", "import", run, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")


def listed(folder: Path) -> list[str]:
    done = matrixctl("history", "list", cwd=folder)
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_each_night_has_those_before_it(server: Repository) -> None:
    first = machine(server, "first")
    done = matrixctl("history", "pull", BRANCH, cwd=first)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "origin has no branch nights yet: the history begins with this night\n"
    night(first, RUN)
    done = matrixctl("history", "push", BRANCH, cwd=first)
    assert done.stdout == f"{first}/reports/history.db, and 1 run is on branch nights of origin\n", (
        done.stderr
    )

    second = machine(server, "second")
    done = matrixctl("history", "pull", BRANCH, cwd=second)
    assert done.stdout == f"{second}/reports/history.db, and 1 run: branch nights of origin\n", done.stderr
    night(second, SECOND_RUN)
    assert listed(second) == [SECOND_RUN, RUN]
    compared = matrixctl("compare", RUN, SECOND_RUN, cwd=second)
    assert (compared.returncode, compared.stderr) == (0, "")
    assert matrixctl("history", "push", BRANCH, cwd=second).returncode == 0
    assert server.git("rev-list", "--count", BRANCH) == "1", "a branch that does not grow"
    assert server.git("rev-parse", "--abbrev-ref", "HEAD") == "master"
    assert server.git("log", "--format=%an %s", BRANCH) == f"matrixctl Keep the history up to {SECOND_RUN}"
    assert (second / "file").read_text() == "a tree"
    assert (second / "reports" / ".gitignore").exists()


def test_only_the_last_nights_go_with_it(server: Repository) -> None:
    here = machine(server, "here")
    for day in range(1, 5):
        night(here, f"2026010{day}-030405-abcd")
    assert matrixctl("history", "push", BRANCH, "--keep-nights", "2", cwd=here).returncode == 0
    files = server.git("ls-tree", "-r", "--name-only", BRANCH).splitlines()
    assert files == [
        "history.db.gz",
        "runs/20260103-030405-abcd.jsonl.gz",
        "runs/20260104-030405-abcd.jsonl.gz",
    ]


def test_two_nights_at_once_lose_neither(server: Repository) -> None:
    first, second = machine(server, "first"), machine(server, "second")
    for folder in (first, second):
        matrixctl("history", "pull", BRANCH, cwd=folder)
    night(first, RUN)
    night(second, SECOND_RUN)
    assert matrixctl("history", "push", BRANCH, cwd=first).returncode == 0
    kept = server.git("rev-parse", BRANCH)
    done = matrixctl("history", "push", BRANCH, cwd=second)
    assert (done.returncode, done.stdout) == (4, "")
    assert "the history is not kept: 'nights' has changed meanwhile" in done.stderr
    assert server.git("rev-parse", BRANCH) == kept

    shutil.rmtree(second / "reports")
    matrixctl("history", "pull", BRANCH, cwd=second)
    night(second, SECOND_RUN)
    assert matrixctl("history", "push", BRANCH, cwd=second).returncode == 0
    assert listed(second) == [SECOND_RUN, RUN]


def spoil(server: Repository, path: str, content: bytes) -> str:
    """Change one file of the branch; return its new commit."""
    server.git("checkout", "--quiet", BRANCH)
    (server.folder / path).parent.mkdir(exist_ok=True)
    (server.folder / path).write_bytes(content)
    server.git("add", "--all")
    server.git("commit", "--quiet", "--message", "spoilt")
    server.git("checkout", "--quiet", "master")
    return server.git("rev-parse", BRANCH)


@pytest.fixture
def kept(server: Repository) -> Repository:
    """A server with a night on its branch."""
    folder = machine(server, "before")
    night(folder, RUN)
    matrixctl("history", "push", BRANCH, cwd=folder)
    return server


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_history_that_was_cut_is_a_sentence_and_stays(kept: Repository, cut: int) -> None:
    whole = subprocess.run(
        ["git", "cat-file", "blob", f"{BRANCH}:history.db.gz"],
        cwd=kept.folder,
        capture_output=True,
        check=True,
    ).stdout
    spoil(kept, "history.db.gz", whole[:cut] if cut else b"no gzip at all")
    here = machine(kept, "here")
    done = matrixctl("history", "pull", BRANCH, cwd=here)
    assert (done.returncode, done.stdout) == (4, "")
    assert "the history is spoilt: 'history.db.gz' of the branch cannot be unpacked" in done.stderr
    assert not (here / "reports").exists()


def test_a_history_of_a_newer_version_is_refused_by_what_reads_it(kept: Repository) -> None:
    spoil(kept, "history.db.gz", gzip.compress(b"SQLite format 3\0, and then something that is none"))
    here = machine(kept, "here")
    assert matrixctl("history", "pull", BRANCH, cwd=here).returncode == 0
    a_run(here / "reports", SECOND_RUN)
    done = matrixctl("history", "import", SECOND_RUN, cwd=here)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_a_bomb_is_refused(kept: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "UNPACKED", 1 << 20)
    spoil(kept, f"runs/{SECOND_RUN}.jsonl.gz", gzip.compress(bytes((1 << 20) + 1)))
    here = machine(kept, "here")
    done = matrixctl("history", "pull", BRANCH, cwd=here)
    assert done.returncode == 4
    assert "of the branch has more than 1 MiB" in done.stderr
    assert not (here / "reports").exists()


def test_what_is_no_run_of_the_branch_is_not_written(kept: Repository) -> None:
    packed = gzip.compress(b"{}\n")
    for path in ("runs/..jsonl.gz", "runs/x.jsonl.gz", "elsewhere.gz", f"runs/{RUN}/journal.jsonl.gz"):
        spoil(kept, path, packed)
    here = machine(kept, "here")
    done = matrixctl("history", "pull", BRANCH, cwd=here)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (here / "reports").iterdir()) == [".gitignore", RUN, "history.db"]


def test_a_run_that_is_here_stays_as_it_is(kept: Repository) -> None:
    here = machine(kept, "here")
    a_run(here / "reports")
    before = (here / "reports" / RUN / "journal.jsonl").stat().st_mtime_ns
    assert matrixctl("history", "pull", BRANCH, cwd=here).returncode == 0
    assert (here / "reports" / RUN / "journal.jsonl").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("pull", "../x"), 2, "is no name for the branch"),
        (("pull", "--", "--upload-pack=x"), 2, "is no name for the branch"),
        (
            ("pull", BRANCH, "--remote", "nowhere"),
            4,
            "the history cannot be fetched: branch nights of nowhere",
        ),
        (("push", BRANCH), 2, "there is no history"),
        (("pull", BRANCH, "--history", "postgresql://h/d"), 2, "only a history in a file goes to a branch"),
    ],
)
def test_what_is_wrong_is_a_sentence(server: Repository, args: tuple[str, ...], code: int, said: str) -> None:
    here = machine(server, "here")
    done = matrixctl("history", *args, cwd=here)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())


def test_a_push_that_the_server_refuses_is_a_sentence(server: Repository) -> None:
    here = machine(server, "here")
    night(here, RUN)
    hook = server.folder / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho you may not >&2\nexit 1\n")
    hook.chmod(0o755)
    done = matrixctl("history", "push", BRANCH, cwd=here)
    assert (done.returncode, done.stdout) == (4, "")
    assert "the history is not kept: branch nights of origin: git:" in " ".join(done.stderr.split())
