"""Three nights in a row with real cells: a good one, one with a regression, one in which a machine is lost.

Debian's own HAProxy is judged within seconds, so the whole road is walked: plan, two shards, merge,
comparison, dashboard, history.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_github import FakeGitHub
from hosted import ROOT, Hosted, Job
from small_github import REPOSITORY, commit, host, http3, with_issues

GCM, CHACHA = "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
MATRIX = f"""\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: [distro]
  tls: [openssl-distro]
  cipher: [{GCM}, {CHACHA}]
  client: [curl]
profiles:
  nightly: {{filters: [client=curl]}}
"""
CONFIG = Path("templates/probe/haproxy.cfg.j2")
BACKEND = "    default_backend origin"
DENIED = f"""\
{{% if cell.cipher.name == "{CHACHA}" %}}
    http-request deny if {{ req.ver 3.0 }}
{{% endif %}}
"""
"""What the commit of the second day does to it: one suite is refused, and at once."""
LEFT_OUT: dict[str, str] = {}
"""Steps of the four files that no test runs, by their place, with the reason."""
NOT_RUN = {
    "ci.yml": "it runs `make lint` and these very tests",
    "release.yml": "it needs a tag, GitHub's registry and signatures; test_wheel.py builds the wheel,"
    " test_image_of_release.py the image",
}
"""Workflows that are checked as text alone (test_workflow_checks.py, test_supply.py)."""


@dataclass
class Nights:
    """GitHub after each night, and what the nights left."""

    github: Hosted
    ran: list[Job]
    issues: FakeGitHub

    def job(self, night: int, name: str) -> Job:
        (found,) = self.ran[night].jobs[name]
        return found

    def record(self, night: int) -> dict[str, Any]:
        folder = self.github.folder / "artifacts" / str(4_000_000_001 + night) / "run"
        found: dict[str, Any] = json.loads((folder / "run.json").read_text())
        return found

    def verdicts(self, night: int) -> dict[str, str]:
        return {cell["id"]: cell["verdict"] for cell in self.record(night)["cells"]}


def three_nights(github: Hosted, issues: FakeGitHub) -> Nights:
    tree = github.repositories[REPOSITORY]
    nights = Nights(github, [github.run("nightly.yml", shards="2")], issues)
    healthy = (tree / CONFIG).read_text()
    assert BACKEND in healthy
    (tree / CONFIG).write_text(healthy.replace(BACKEND, DENIED + BACKEND))
    commit(tree)
    nights.ran.append(github.run("nightly.yml", event="schedule", shards="2"))
    (tree / CONFIG).write_text(healthy)
    commit(tree)
    github.loses = lambda job: job.startswith("2/2")
    nights.ran.append(github.run("nightly.yml", shards="2"))
    for run in nights.ran:
        print(describe(run))  # noqa: T201 - what pytest shows of a failure
    return nights


def describe(run: Job) -> str:
    """Return the logs of all jobs of a run."""
    said = "" if run.jobs else f"# {run.name}: {run.result}\n{run.log}\n"
    return said + "".join(describe(job) for jobs in run.jobs.values() for job in jobs)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    folder = tmp_path_factory.mktemp("github")
    hosted, issues = host(folder, MATRIX, program="-m orchestrator"), FakeGitHub(REPOSITORY)
    with with_issues(hosted, issues):
        return three_nights(hosted, issues)


@pytest.mark.containers
def test_the_first_night_is_good(nights: Nights) -> None:
    assert nights.ran[0].result == "success", "\n".join(job.log for job in nights.ran[0].jobs["night"])
    assert set(nights.verdicts(0).values()) == {"as-expected"}
    assert len(nights.verdicts(0)) == 4
    assert [shard["shard"] for shard in nights.record(0)["shards"]] == ["1/2", "2/2"]
    night = nights.job(0, "night")
    assert "the history begins with this night" in night.log
    said = " ".join(night.log.split())
    assert "nothing to compare with: no run of the series 'nightly' below reports" in said
    assert nights.job(0, "pages").result == "success"


@pytest.mark.containers
def test_the_second_has_a_regression_which_is_news(nights: Nights) -> None:
    broken = {cell for cell, verdict in nights.verdicts(1).items() if verdict == "regression"}
    assert broken == {cell for cell in nights.verdicts(1) if CHACHA in cell}
    assert set(nights.verdicts(1).values()) == {"as-expected", "regression"}
    night = nights.job(1, "night")
    assert night.result == nights.ran[1].result == "failure"
    assert re.search(r"regression|new failure", night.summary)
    assert nights.record(0)["run"]["id"] in night.summary, "held against the good night"
    assert nights.job(1, "pages").result == "success", "a dashboard is there to show it"


@pytest.mark.containers
def test_the_regression_has_an_issue_that_stays_while_a_machine_is_lost(nights: Nights) -> None:
    (issue,) = nights.issues.issues
    assert CHACHA in issue["body"]
    assert issue["state"] == "open", "one of its cells was not judged"
    (matrix,) = nights.ran[1].jobs["matrix"]
    (merged,) = matrix.jobs["merge"]
    assert "::error" in merged.log


@pytest.mark.containers
def test_the_third_loses_a_machine_and_says_which_cells(nights: Nights) -> None:
    assert sorted(nights.verdicts(2).values()) == ["as-expected"] * 2 + ["not-judged"] * 2
    assert nights.record(2)["run"]["exit_code"] == 4
    (matrix,) = nights.ran[2].jobs["matrix"]
    (merged,) = matrix.jobs["merge"]
    assert "shard 2/2" in " ".join(merged.log.split())
    night = nights.job(2, "night")
    assert night.result == "failure"
    assert nights.record(0)["run"]["id"] in night.summary, "the first is still the last good one"


@pytest.mark.containers
def test_the_history_has_all_three(nights: Nights) -> None:
    tree = nights.github.repositories[REPOSITORY]
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "matrixctl-history"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    ids = [nights.record(night)["run"]["id"] for night in range(3)]
    assert listed.stdout.split() == ["history.db.gz", *(f"runs/{one}.jsonl.gz" for one in ids)]
    assert nights.github.pages is not None
    shown = "".join(path.read_text() for path in nights.github.pages.glob("*.html"))
    assert all(one in shown for one in ids)


@pytest.mark.containers
def test_a_later_night_builds_on_what_an_earlier_one_kept(nights: Nights) -> None:
    shards = [job for run in nights.ran for called in run.jobs["matrix"] for job in called.jobs["shard"]]
    assert len(shards) == 6
    assert len(nights.github.saved_caches()) == 2, "one for each shard: no night needs anything else"
    steps = [{step.place.partition(" ")[2]: step.outcome for step in job.steps} for job in shards]
    kept = [one.get("5 Import the store") == "success" for one in steps]
    lost = 5
    assert kept == [False] * 2 + [shard != lost for shard in range(2, 6)]
    assert all(re.search(r"cached +\d+ actions?: .*selftest", shards[shard].log) for shard in range(2, lost))


@pytest.mark.soak
@pytest.mark.containers
def test_the_action_installs_what_it_needs_from_its_own_checkout(tmp_path: Path) -> None:
    github = host(tmp_path, MATRIX, program="")
    step = f"uses: {REPOSITORY}@main, with: {{filter: 'arch=amd64', profile: nightly, cache: 'false'}}"
    text = f"on: push\njobs:\n  http3: {{runs-on: ubuntu-24.04, steps: [{{{step}}}]}}\n"
    job = http3(github.run(text, event="push"))
    assert job.result == "success", job.log
    assert "pip install --quiet --require-hashes -r requirements.lock" in job.log
    assert "All 2 judged cells pass" in job.summary


@pytest.mark.containers
def test_every_step_was_run(nights: Nights) -> None:
    """But those that are named with a reason: one more is a failure."""
    found = set()
    for file in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        if file.name in NOT_RUN:
            continue
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            found |= {f"{file.name} {name} {number}" for number in range(1, len(job.get("steps", ())) + 1)}
    action = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    found |= {f"action.yml {number}" for number in range(1, len(action) + 1)}
    assert found - nights.github.done == set(LEFT_OUT)
    assert all(LEFT_OUT.values())
