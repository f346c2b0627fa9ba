"""``matrixctl history pull`` and ``push``: the history on a branch, for machines that are thrown away."""

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_samples import RUN, a_run, matrixctl
from git_samples import Repository

from orchestrator import bounds
from orchestrator.record.find import read_run

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

    assert (
        f"Move {second}/reports/history.db away, pull, import the runs that it has and the branch lacks"
        in flat(done.stderr)
    )
    (second / "reports" / "history.db").rename(second / "away.db")
    matrixctl("history", "pull", BRANCH, cwd=second)
    assert matrixctl("history", "import", SECOND_RUN, cwd=second).returncode == 0
    assert matrixctl("history", "push", BRANCH, cwd=second).returncode == 0
    assert listed(second) == [SECOND_RUN, RUN]


def flat(text: str) -> str:
    return " ".join(text.split())


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_pull_loses_no_run_that_the_branch_lacks(server: Repository) -> None:
    """One was imported from a run.json alone: it is nowhere else."""
    here = machine(server, "here")
    night(here, RUN)
    assert matrixctl("history", "push", BRANCH, cwd=here).returncode == 0
    elsewhere = machine(server, "elsewhere")
    for day in range(3, 8):
        name = f"2026010{day}-030405-abcd"
        a_run(elsewhere / "reports", name)
        record = elsewhere / f"{name}.json"
        record.write_text(read_run(elsewhere / "reports" / name).model_dump_json())
        assert matrixctl("history", "import", str(record), cwd=here).returncode == 0
    shutil.rmtree(here / "reports" / RUN)
    before, known = everything(here / "reports"), listed(here)

    done = matrixctl("history", "pull", BRANCH, cwd=here)
    assert (done.returncode, done.stdout) == (4, "")
    said = flat(done.stderr)
    assert f"the history {here}/reports/history.db has 5 runs that branch {BRANCH} of origin lacks: " in said
    assert "'20260107-030405-abcd', '20260106-030405-abcd', '20260105-030405-abcd' and 2 more" in said
    assert f"matrixctl history push {BRANCH}" in said
    assert everything(here / "reports") == before
    assert listed(here) == known

    assert matrixctl("history", "push", BRANCH, cwd=here).returncode == 0
    assert matrixctl("history", "pull", BRANCH, cwd=here).returncode == 0
    assert listed(here) == known


def test_a_pull_over_the_same_history_or_an_older_one_goes(server: Repository) -> None:
    here, there = machine(server, "here"), machine(server, "there")
    night(here, RUN)
    assert matrixctl("history", "push", BRANCH, cwd=here).returncode == 0
    assert matrixctl("history", "pull", BRANCH, cwd=there).returncode == 0
    night(there, SECOND_RUN)
    assert matrixctl("history", "push", BRANCH, cwd=there).returncode == 0
    for _ in range(2):
        assert matrixctl("history", "pull", BRANCH, cwd=here).returncode == 0
        assert listed(here) == [SECOND_RUN, RUN]


@pytest.mark.parametrize("which", ["local", "branch"])
def test_what_cannot_be_compared_is_not_written_over(kept: Repository, which: str) -> None:
    """Nobody knows then which runs would be lost."""
    here = machine(kept, "here")
    night(here, SECOND_RUN)
    damaged = b"SQLite format 3\0, and then something that is none"
    if which == "local":
        (here / "reports" / "history.db").write_bytes(damaged)
    else:
        spoil(kept, "history.db.gz", gzip.compress(damaged))
    before = everything(here / "reports")
    done = matrixctl("history", "pull", BRANCH, cwd=here)
    assert (done.returncode, done.stdout) == (4, "")
    where = (
        f"the history {here}/reports/history.db" if which == "local" else f"the history on branch {BRANCH}"
    )
    assert where in flat(done.stderr)
    assert "Traceback" not in done.stderr
    assert everything(here / "reports") == before


def spoil(server: Repository, path: str, content: bytes) -> str:
    """Change one file of the branch; return its new commit."""
    server.git("checkout", "--quiet", BRANCH)
    (server.folder / path).parent.mkdir(exist_ok=True)
    (server.folder / path).write_bytes(content)
    server.git("add", "--all")
    server.git("commit", "--quiet", "--message", "damaged")
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
    assert "the history is damaged: 'history.db.gz' of the branch cannot be unpacked" in done.stderr
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
