"""Steps of the workflows as GitHub runs them, on an engine in memory; test_three_nights.py has real cells."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from expressions import Scope
from fake_github import TOKEN, FakeGitHub
from hosted import ROOT, Hosted, HostedError, Job, read_outputs
from small_github import MATRIX, REPOSITORY, USER, begin, commit, host, http3, with_issues


@pytest.fixture
def github(tmp_path: Path) -> Hosted:
    return host(tmp_path, MATRIX)


def caller(**inputs: str) -> str:
    """A workflow of a user, with one step."""
    given = "".join(f"          {name}: {json.dumps(value)}\n" for name, value in inputs.items())
    return f"""\
on: push
jobs:
  http3:
    runs-on: ubuntu-24.04
    outputs:
      code: ${{{{ steps.run.outputs.exit-code }}}}
      regressions: ${{{{ steps.run.outputs.regressions }}}}
    steps:
      - uses: actions/checkout@v7
      - uses: {REPOSITORY}@main
        id: run
        with:
          mirror: ""
{given}"""


def test_a_shard_that_was_lost_is_run_again_and_merged_with_the_others(github: Hosted) -> None:
    """The first merge has one artifact alone, which is unpacked without a folder of its own."""
    tree = github.repositories[REPOSITORY]
    (tree / "breaks").write_text("TLS_CHACHA20\n")
    commit(tree)
    github.loses = lambda job: job.startswith("2/2")
    first = github.run("matrix.yml", profile="nightly", shards="2")
    (merged,) = first.jobs["merge"]
    assert [job.result for job in first.jobs["shard"]] == ["success"] * 2, "which the merge judges"
    assert (first.result, first.outputs["exit-code"]) == ("failure", "1"), merged.log
    assert "shard 2/2 is missing" in " ".join(merged.log.split()), merged.log
    assert "handshake-then-hang" in merged.summary
    assert sorted(verdicts(github).values()) == ["as-expected"] * 2 + ["not-judged"] * 4 + ["regression"] * 2
    artifacts = github.folder / "artifacts" / "4000000001"
    pins = json.loads((artifacts / "pins-1" / "pins.json").read_text())
    settings = json.loads((artifacts / "shard-1-0" / "journal.jsonl").read_text().splitlines()[0])["settings"]
    assert (settings["pins"], settings["fail_on_flaky"]) == (pins, False)

    github.loses = lambda _: False
    assert first.again is not None
    second = first.again()
    assert [job.attempt for name in ("plan", "shard", "merge") for job in second.jobs[name]] == [1, 1, 2, 2]
    assert sorted(verdicts(github).values()) == ["as-expected"] * 4 + ["regression"] * 4
    assert second.outputs["run"] != first.outputs["run"]
    assert (artifacts / "run" / "index.html").is_file()


@pytest.mark.parametrize(("asked", "of_a_shard"), [("flaky", "flaky"), ("any", "never"), ("never", "never")])
def test_a_shard_fails_for_flaky_cells_alone(asked: str, of_a_shard: str) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/matrix.yml").read_text())
    given = workflow["jobs"]["shard"]["steps"][-1]["with"]["fail-on"]
    assert Scope({"inputs": {"fail-on": asked}}).fill(given) == of_a_shard


def matrix_of(night: Job) -> Job:
    (matrix,) = night.jobs["matrix"]
    return matrix


def verdicts(github: Hosted) -> dict[str, str]:
    """Of the cells of the merged run that a later job gets."""
    record = json.loads((github.folder / "artifacts" / "4000000001" / "run" / "run.json").read_text())
    return {cell["id"]: cell["verdict"] for cell in record["cells"]}


def test_a_run_that_never_was_is_no_run_that_may_fail(github: Hosted) -> None:
    tree = github.repositories[REPOSITORY]
    (tree / "no-engine").touch()
    commit(tree)
    job = http3(github.run(caller(**{"fail-on": "never"}), event="push"))
    assert (job.outputs["code"], job.result) == ("4", "failure"), job.log
    assert "::error title=matrixctl ended with exit code 4::no container engine answers" in job.log
    assert github.saved_caches() == []


def test_the_step_judges_as_asked(tmp_path: Path) -> None:
    """By the last step of the action alone: the exit code of the run, and whether there was one."""
    *_, judge = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    (tmp_path / "judge").write_text(judge["run"])
    every = {1, 2, 3, 4, 130}
    fails_on = {"any": every, "flaky": every, "regression": every - {4}, "never": every - {1, 4}}
    for fail_on, codes in fails_on.items():
        for code in (0, 1, 2, 3, 4, 130):
            for report in ("", "reports/x"):
                env = {"FAIL_ON": fail_on, "CODE": str(code), "REPORT": report}
                done = subprocess.run(["bash", "-e", tmp_path / "judge"], env=env, check=False)
                assert done.returncode == (code if not report or code in codes else 0), env


def test_a_users_step_gives_report_and_outputs_and_its_pull_requests_keep_no_store(github: Hosted) -> None:
    tree = github.folder / "repositories" / "haproxy"
    tree.mkdir()
    (tree / "matrix.yaml").write_text(MATRIX)
    (tree / "breaks").write_text("TLS_CHACHA20\n")
    github.repositories = {USER: tree, **github.repositories}
    begin(tree)
    step = caller(filter="cipher=*GCM*,*CHACHA*\narch=amd64")
    job = http3(github.run(step, event="push"))
    assert job.outputs == {"code": "1", "regressions": "1"}, job.log
    assert job.result == "failure"
    assert "handshake-then-hang" in job.summary
    report = github.folder / "artifacts" / "4000000001" / "matrixctl-report"
    assert (report / "index.html").is_file()
    settings = json.loads((report / "journal.jsonl").read_text().splitlines()[0])["settings"]
    assert settings["filters"] == ["cipher=*GCM*,*CHACHA*", "arch=amd64"]
    assert settings["profile"] == "quick"
    assert settings["confirm"] == 2
    (key,) = github.saved_caches()
    assert re.fullmatch(r"matrixctl-Linux-X64-quick--[0-9a-f]{32}-[0-9a-f]{32}", key), (
        "kept, whatever came out"
    )

    job = http3(github.run(step, event="pull_request", ref="refs/pull/1/merge"))
    assert re.search(r"matrixctl-store.tar.gz: 3 artifacts, 2 sources", job.log), job.log
    assert re.search(r"cached +\d+ actions: .*haproxy 1", job.log), "the store of main is read"
    assert github.saved_caches() == [key]
    assert github.saved_caches("refs/pull/1/merge") == []


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        ({"fail-on": "sometimes"}, "", "::error title=matrixctl::fail-on is any, flaky, regression or never"),
        (
            {"filter": "arch=amd64; touch pwned $(touch pwned)", "fail-on": "never"},
            "2",
            "::error title=matrixctl ended with exit code 2::",
        ),
    ],
)
def test_an_input_that_is_wrong_fails_the_step(
    github: Hosted, inputs: dict[str, str], code: str, said: str
) -> None:
    job = http3(github.run(caller(**inputs), event="push"))
    assert (job.outputs["code"] or "", job.result) == (code, "failure"), job.log
    assert said in job.log
    assert "Traceback" not in job.log
    assert not list(github.folder.rglob("pwned"))
    assert github.saved_caches() == []


@pytest.mark.soak
def test_failed_jobs_of_a_night_are_run_again(github: Hosted) -> None:
    """One shard fails, one is lost. When that is run again, its cells alone are judged."""
    tree = github.repositories[REPOSITORY]
    (tree / "breaks").write_text("TLS_CHACHA20\n")
    commit(tree)
    github.loses = lambda job: job.startswith("2/3")
    with with_issues(github, FakeGitHub(REPOSITORY)):
        first = github.run("nightly.yml", shards="3")
        before = verdicts(github)
        github.loses = lambda _: False
        assert first.again is not None
        second = first.again()
    assert [job.name.partition(":")[0] for job in matrix_of(first).jobs["shard"]] == [
        "1/3 amd64",
        "2/3 amd64",
        "3/3 arm64",
    ]
    assert [job.result for job in matrix_of(first).jobs["shard"]] == ["success"] * 3, "which the merge judges"
    (merged,) = matrix_of(first).jobs["merge"]
    assert "shard 2/3 is missing" in " ".join(merged.log.split()), merged.log
    assert "handshake-then-hang" in merged.summary
    assert sorted(before.values()) == ["as-expected"] * 3 + ["not-judged"] * 2 + ["regression"] * 3

    assert [job.attempt for job in matrix_of(second).jobs["shard"]] == [1, 2, 1]
    assert matrix_of(second).jobs["plan"][0].attempt == 1
    after = verdicts(github)
    assert sorted(after.values()) == ["as-expected"] * 4 + ["regression"] * 4
    assert {cell: after[cell] for cell in before if before[cell] != "not-judged"}.items() <= before.items()
    assert matrix_of(second).outputs["run"] != matrix_of(first).outputs["run"]
    (night,) = second.jobs["night"]
    assert night.outputs["site"] == "success", night.log
    (pages,) = second.jobs["pages"]
    assert pages.result == "success", pages.log
    assert github.pages is not None
    assert matrix_of(second).outputs["run"] in (github.pages / "index.html").read_text()
    assert second.result == "failure", "for the regression"


@pytest.mark.soak
def test_a_damaged_history_costs_no_report_and_is_not_pushed_over(github: Hosted) -> None:
    with with_issues(github, FakeGitHub(REPOSITORY)):
        spoil_a_night(github)


def spoil_a_night(github: Hosted) -> None:
    tree = github.repositories[REPOSITORY]
    assert github.run("nightly.yml").result == "success"
    subprocess.run(["git", "checkout", "-q", "matrixctl-history"], cwd=tree, check=True)
    (tree / "history.db.gz").write_bytes((tree / "history.db.gz").read_bytes()[:100])
    commit(tree)
    subprocess.run(["git", "checkout", "-q", "main"], cwd=tree, check=True)
    ran = github.run("nightly.yml")
    assert ran.result == "failure"
    (night,) = ran.jobs["night"]
    assert "the history is damaged: 'history.db.gz' of the branch cannot be unpacked" in night.log
    outcomes = {step.place.partition("night ")[2][2:].strip(): step.outcome for step in night.steps}
    assert outcomes["Say what is news"] == "success"
    assert outcomes["Keep the history"] == "skipped"
    assert (github.folder / "artifacts" / "4000000002" / "run" / "index.html").is_file()
    (pages,) = ran.jobs["pages"]
    assert pages.result == "skipped"


def test_outputs_are_read_as_github_reads_them() -> None:
    assert read_outputs("a=1=2\nb<<END\nx\ny\nEND\nc=\n") == {"a": "1=2", "b": "x\ny", "c": ""}
    with pytest.raises(HostedError):
        read_outputs("nothing\n")


def test_what_github_would_refuse_is_refused_here(github: Hosted) -> None:
    with pytest.raises(HostedError, match="has no inputs"):
        github.run("matrix.yml", filters="x")
    with pytest.raises(HostedError, match="nothing is known of"):
        github.run("on: push\njobs:\n  a: {runs-on: x, services: {}, steps: []}\n")
    with pytest.raises(KeyError):
        github.run("on: push\njobs:\n  a: {runs-on: x, steps: [{uses: who/knows@v1}]}\n")
    with pytest.raises(HostedError, match="prints the token"):
        github.run("on: push\njobs:\n  a: {runs-on: x, steps: [{run: echo " + TOKEN + "}]}\n")
    with pytest.raises(HostedError, match="changes the environment"):
        github.run("on: push\njobs:\n  a: {runs-on: x, steps: [{run: echo A=1 >> $GITHUB_ENV}]}\n")
