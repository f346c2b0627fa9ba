"""What we run of others is pinned by its bytes, and an exception from a security rule has a reason."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "images/aioquic.lock", ".ci/audit.lock")


def requirements(lock: str) -> list[str]:
    """Each requirement with its hashes, comments left out."""
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r" \\\n\s+", " ", "\n".join(lines)).split("\n")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_file_is_one_version_with_hashes(lock: str) -> None:
    found = [line for line in requirements(lock) if line.strip()]
    assert found
    pinned = re.compile(r"[a-zA-Z0-9._-]+==[0-9a-zA-Z.+!_-]+( ; [^;]+)?( --hash=sha256:[0-9a-f]{64})+")
    assert [line for line in found if not pinned.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_stands_in_a_lock_file(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|^--|^-[a-z]", text, re.MULTILINE)


def test_every_exception_from_a_security_rule_has_a_reason() -> None:
    files = [path for folder in ("orchestrator", "bench") for path in (ROOT / folder).rglob("*.py")]
    lines = [line for path in files for line in path.read_text("utf-8").splitlines() if "noqa: S" in line]
    assert lines
    assert [line for line in lines if not re.search(r"noqa: S[A-Z]*\d+ - \w+", line)] == []


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {
    "nightly.yml": {
        "night": {"contents": "write", "issues": "write"},
        "pages": {"pages": "write", "id-token": "write"},
    },
    "release.yml": {
        "build": {"contents": "read", "id-token": "write", "attestations": "write"},
        "release": {"contents": "write"},
        "image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
    },
}
"""Jobs that may do more than read. None of them runs code of a matrix or of a tree."""


def read_workflow(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_read_and_the_few_that_may_write_are_counted(path: Path) -> None:
    workflow = read_workflow(path)
    assert workflow["permissions"] == {"contents": "read"}
    asked = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert asked == WRITES.get(path.name, {})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_strangers_change_runs_with_no_right_to_write_and_no_secret(path: Path) -> None:
    assert not re.search(r"pull_request_target|workflow_run|secrets|issue_comment", path.read_text())
    if "pull_request" in read_workflow(path)[True]:  # YAML 1.1 takes the key `on` for true
        assert path.name not in WRITES
        assert "github.token" not in path.read_text()


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_no_shell_line_is_put_together_of_what_others_say(path: Path) -> None:
    """What `${{ }}` holds is text of the script by then: it goes through `env:`, as one value."""
    jobs = read_workflow(path).get("jobs", {"action": read_workflow(path).get("runs")})
    steps = [step for job in jobs.values() for step in job.get("steps", ())]
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_ends(path: Path) -> None:
    jobs = read_workflow(path)["jobs"]
    assert [name for name, job in jobs.items() if "uses" not in job and "timeout-minutes" not in job] == []
    called = "workflow_call" in read_workflow(path)[True]
    assert ("concurrency" in read_workflow(path)) is not called, "that is its caller's business"


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_since_a_tag_can_move(path: Path) -> None:
    used = re.findall(r"^[ -]*uses: *(.*)", path.read_text(), re.MULTILINE)
    assert used
    pinned = r"[\w./-]+@[0-9a-f]{40} # v[0-9.]+"
    others = [one for one in used if not re.fullmatch(pinned, one) and not one.startswith("./")]
    assert others == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_checkout_keeps_the_token(path: Path) -> None:
    steps = [step for job in read_workflow(path)["jobs"].values() for step in job.get("steps", ())]
    taken = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in taken if step["with"].get("persist-credentials") is not False] == []


def test_one_version_of_an_action_is_enough() -> None:
    texts = [path.read_text() for path in (*WORKFLOWS, ROOT / "action.yml")]
    used = {one for text in texts for one in re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(\S+)", text)}
    assert len({name for name, _ in used}) == len(used)


def test_the_parts_of_the_container_tests_have_each_file_once() -> None:
    parts = read_workflow(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["containers"]["strategy"]
    patterns = [part for part in parts["matrix"]["part"] if not part.startswith("--")]
    found = [path for pattern in patterns for path in ROOT.glob(pattern)]
    assert sorted(found) == sorted((ROOT / "tests" / "containers").glob("test_*.py"))
    assert [part for part in parts["matrix"]["part"] if part.startswith("--")] == [
        "--ignore=tests/containers tests"
    ]


def test_nothing_installs_matrixctl_by_its_name_which_is_another_project_s() -> None:
    files = [ROOT / "README.md", ROOT / "action.yml", *WORKFLOWS, *(ROOT / "docs").rglob("*.md")]
    by_name = r"(pip|pipx|uv|uvx)( tool)? (install|run) [^`\n]*(?<![./\w-])matrixctl(?![./\w-])"
    assert [path.name for path in files if re.search(by_name, path.read_text())] == []


def test_the_workflow_audits_what_the_lock_files_name() -> None:
    assert "run: make audit" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    recipe = (ROOT / "Makefile").read_text().partition("\naudit:")[2].partition("\n\n")[0]
    assert all(lock in recipe for lock in LOCKS)
    assert "--strict" in recipe
