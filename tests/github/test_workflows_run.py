"""Steps of the workflows as GitHub runs them, on an engine in memory; test_three_nights.py has real cells."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from fake_github import TOKEN, FakeGitHub
from hosted import Hosted, HostedError, read_outputs
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


def test_a_shard_that_fails_and_one_that_is_lost_are_named_in_the_merged_run(github: Hosted) -> None:
    """A green night, and what follows it: test_three_nights.py."""
    tree = github.repositories[REPOSITORY]
    (tree / "breaks").write_text("TLS_CHACHA20\n")
    commit(tree)
    github.loses = lambda job: job.startswith("2/3")
    ran = github.run("matrix.yml", profile="nightly", shards="3")
    assert ran.result == "failure"
    assert [job.name.partition(":")[0] for job in ran.jobs["shard"]] == [
        "1/3 amd64",
        "2/3 amd64",
        "3/3 arm64",
    ]
    assert [job.result for job in ran.jobs["shard"]] == ["success"] * 3, "which the merge judges"
    (merged,) = ran.jobs["merge"]
    assert ran.outputs["exit-code"] == "1", merged.log
    assert "shard 2/3 is missing" in " ".join(merged.log.split()), merged.log
    assert "handshake-then-hang" in merged.summary
    folder = github.folder / "artifacts" / str(4_000_000_001) / "run"
    record = json.loads((folder / "run.json").read_text())
    verdicts = {cell["id"]: cell["verdict"] for cell in record["cells"]}
    assert len(verdicts) == 8
    assert sorted(verdicts.values()) == ["as-expected"] * 3 + ["not-judged"] * 2 + ["regression"] * 3
    assert len(list(folder.parent.glob("shard-*"))) == 2


def test_one_shard_alone_is_merged_and_judged_as_asked(github: Hosted) -> None:
    """Its artifact is unpacked without a folder of its own."""
    ran = github.run("matrix.yml", shards="1", **{"fail-on": "flaky"})
    assert ran.result == "success", [job.log for jobs in ran.jobs.values() for job in jobs]
    artifacts = github.folder / "artifacts" / str(4_000_000_001)
    assert (artifacts / "run" / "index.html").is_file()
    pins = json.loads((artifacts / "pins" / "pins.json").read_text())
    settings = json.loads((artifacts / "shard-0" / "journal.jsonl").read_text().splitlines()[0])["settings"]
    assert settings["fail_on_flaky"] is True
    assert settings["pins"] == pins


def test_a_run_that_never_was_is_no_run_that_may_fail(github: Hosted) -> None:
    tree = github.repositories[REPOSITORY]
    (tree / "no-engine").touch()
    commit(tree)
    for fail_on in ("never", "regression"):
        job = http3(github.run(caller(**{"fail-on": fail_on, "cache": "false"}), event="push"))
        assert (job.outputs["code"], job.result) == ("4", "failure"), job.log


def test_a_users_step_gives_report_summary_and_outputs(github: Hosted) -> None:
    tree = github.folder / "repositories" / "haproxy"
    tree.mkdir()
    (tree / "matrix.yaml").write_text(MATRIX)
    (tree / "breaks").write_text("TLS_CHACHA20\n")
    github.repositories = {USER: tree, **github.repositories}
    begin(tree)
    ran = github.run(caller(filter="cipher=*GCM*,*CHACHA*\narch=amd64"), event="push")
    job = http3(ran)
    assert job.outputs == {"code": "1", "regressions": "1"}, job.log
    assert job.result == "failure"
    assert "handshake-then-hang" in job.summary
    report = github.folder / "artifacts" / str(4_000_000_001) / "matrixctl-report"
    assert (report / "index.html").is_file()
    settings = json.loads((report / "journal.jsonl").read_text().splitlines()[0])["settings"]
    assert settings["filters"] == ["cipher=*GCM*,*CHACHA*", "arch=amd64"]
    assert settings["profile"] == "quick"
    assert settings["confirm"] == 2
    assert len(github.saved_caches()) == 1, "what was built is built, whatever came out"


@pytest.mark.parametrize(
    ("inputs", "code", "result"),
    [
        ({"fail-on": "never", "cache": "false"}, "1", "success"),
        ({"fail-on": "sometimes"}, "", "failure"),
        ({"filter": "arch=amd64; touch pwned $(touch pwned)", "fail-on": "never"}, "2", "failure"),
        ({"with": "--help", "fail-on": "never"}, "2", "failure"),
    ],
)
def test_what_makes_the_step_fail(github: Hosted, inputs: dict[str, str], code: str, result: str) -> None:
    tree = github.repositories[REPOSITORY]
    (tree / "breaks").write_text("TLS_CHACHA20\n")
    commit(tree)
    job = http3(github.run(caller(**inputs), event="push"))
    assert (job.outputs["code"] or "", job.result) == (code, result), job.log
    assert "Traceback" not in job.log
    assert not list(github.folder.rglob("pwned"))
    assert len(github.saved_caches()) == 0


def test_a_pull_request_reads_the_store_and_keeps_none(github: Hosted) -> None:
    before = http3(github.run(caller(), event="push"))
    assert before.result == "success", before.log
    assert len(github.saved_caches()) == 1
    job = http3(github.run(caller(), event="pull_request", ref="refs/pull/1/merge"))
    assert job.result == "success", job.log
    assert re.search(r"cached +\d+ actions: .*haproxy 1", job.log), "the store of main is read"
    assert len(github.saved_caches()) == 1
    assert github.saved_caches("refs/pull/1/merge") == []


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
