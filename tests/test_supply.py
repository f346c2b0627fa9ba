"""What we run of others is pinned by its bytes, and an exception from a security rule has a reason."""

import re
from pathlib import Path

import pytest

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


def test_a_strangers_change_runs_with_no_right_to_write_and_no_secret() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text()
        assert "permissions:\n  contents: read\n" in text
        assert not re.search(r"pull_request_target|secrets\.|contents: write|\$\{\{ *github\.event\.", text)


def test_an_action_is_pinned_by_its_commit_since_a_tag_can_move() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: *(.*)", workflow.read_text())
        assert used
        assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[0-9.]+", one)] == []


def test_the_workflow_audits_what_the_lock_files_name() -> None:
    assert "run: make audit" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    recipe = (ROOT / "Makefile").read_text().partition("\naudit:")[2].partition("\n\n")[0]
    assert all(lock in recipe for lock in LOCKS)
    assert "--strict" in recipe
