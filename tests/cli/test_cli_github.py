"""``matrixctl github matrix``, and the shards that its jobs run."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_samples import matrixctl

SOME = ("--filter", "tls=openssl-distro,openssl-3.5.7")


def listed(cwd: Path, *args: str) -> tuple[list[dict[str, Any]], str]:
    done = matrixctl("github", "matrix", *args, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, "it goes into GITHUB_OUTPUT"
    return json.loads(done.stdout)["include"], done.stderr


def test_its_jobs_run_every_cell_once(tmp_path: Path) -> None:
    jobs, _ = listed(tmp_path, *SOME, "--shards", "5")
    assert [job["shard"] for job in jobs] == [f"{number}/5" for number in range(1, 6)]
    assert {job["runs-on"] for job in jobs} == {"ubuntu-24.04", "ubuntu-24.04-arm"}
    found: list[str] = []
    for job in jobs:
        done = matrixctl("cells", *SOME, "--shard", job["shard"], "--format", "ids", cwd=tmp_path)
        ids = done.stdout.splitlines()
        assert len(ids) == job["cells"]
        arches = {one.partition("--")[0] for one in ids}
        assert arches == {"arm64"} if job["runs-on"].endswith("-arm") else "arm64" not in arches
        assert job["name"].startswith(f"{job['shard']} {'arm64' if 'arm64' in arches else 'amd64'}: openssl-")
        found += ids
    whole = matrixctl("cells", *SOME, "--format", "ids", cwd=tmp_path).stdout.splitlines()
    assert sorted(found) == sorted(whole)


def test_a_plan_of_a_shard_has_its_cells_alone(tmp_path: Path) -> None:
    jobs, _ = listed(tmp_path, "--profile", "quick", "--shards", "2")
    told = json.loads(
        matrixctl("plan", "--profile", "quick", "--shard", "2/2", "--format", "json", cwd=tmp_path).stdout
    )
    assert jobs[1]["runs-on"] == "ubuntu-24.04-arm"
    builds = [one["name"] for one in told["actions"] if one["kind"] == "haproxy"]
    assert builds
    assert all(name.endswith("--arm64") for name in builds)


def test_the_budget_chooses_how_many(tmp_path: Path) -> None:
    jobs, said = listed(tmp_path, *SOME, "--budget-minutes", "12")
    assert said == ""
    assert max(job["minutes"] for job in jobs) <= 12
    more, _ = listed(tmp_path, *SOME, "--shards", str(len(jobs) - 1))
    assert max(job["minutes"] for job in more) > 12


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--profile", "quick", "--shards", "300"), "4 shards in place of 300: each has at least one build"),
        (("--profile", "quick", "--budget-minutes", "1"), "more than 1: it cannot be cut further"),
    ],
)
def test_too_much_is_a_warning(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    _, warned = listed(tmp_path, *args)
    assert said in " ".join(warned.split())


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("github", "matrix", "--shards", "2", "--budget-minutes", "9"), 2, "exclude each other"),
        (("github", "matrix", "--filter", "tls=openssl-9"), 2, "openssl-9"),
        (("cells", "--shard", "3/2"), 2, "names no shard"),
        (("cells", "--profile", "quick", "--shard", "1/9"), 2, "only into 4"),
    ],
)
def test_what_is_wrong_is_a_sentence(tmp_path: Path, args: tuple[str, ...], code: int, said: str) -> None:
    done = matrixctl(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())


def test_outside_github_a_command_says_which_repository_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    done = matrixctl("github", "issues", "latest", cwd=tmp_path)
    assert done.returncode == 2
    assert "Missing option '--repo' (env var: 'GITHUB_REPOSITORY')" in done.stderr
