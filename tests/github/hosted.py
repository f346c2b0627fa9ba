"""GitHub on this machine: the jobs of our workflows, step by step, each job in a folder of its own.

Each ``run:`` is run as GitHub runs it. The actions of others are played: a checkout is a clone, artifacts and
caches are folders. A key, an expression or an action that is not known here is an error, so that no part of a
workflow is passed over in silence.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from expressions import Scope, as_text
from fake_github import TOKEN

ROOT = Path(__file__).resolve().parent.parent.parent
HANDED_ON = re.compile(r"DOCKER_HOST|(https?|no)_proxy|(HTTPS?|NO)_PROXY|MATRIXCTL_MIRROR|PIP_\w+|LANG|TZ")
"""Variables of this machine that a job sees."""
_KEYS = {
    "workflow": {"name", "on", "permissions", "concurrency", "jobs"},
    "job": {
        *("name", "needs", "if", "runs-on", "timeout-minutes", "outputs", "strategy", "steps", "permissions"),
        *("env", "environment", "continue-on-error", "uses", "with"),
    },
    "step": {"name", "id", "if", "uses", "with", "run", "env", "shell", "working-directory"},
}
_SHELLS = {None: ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]}
"""As GitHub documents `jobs.<job_id>.steps[*].shell`."""
_NO_NAME = re.compile(r'["\\/:<>|*?\r\n]')
"""What no name of an artifact may have."""


class HostedError(Exception):
    """A workflow does what GitHub would refuse, or what is not known here."""


@dataclass
class Step:
    """One step that was run."""

    place: str
    outcome: str
    log: str = ""
    seconds: float = 0


@dataclass
class Job:
    """One job that was run: its result, and what it handed on."""

    name: str
    result: str
    conclusion: str = ""
    """What GitHub shows of it: a job that may fail has still failed."""
    outputs: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    summary: str = ""
    jobs: dict[str, list["Job"]] = field(default_factory=dict)
    """Of a job that calls a workflow."""
    attempt: int = 1
    """Of the workflow's run, in which it ran last."""
    again: "Callable[[], Job] | None" = None
    """Of a whole workflow: runs its failed jobs again, and what needs them."""

    @property
    def log(self) -> str:
        return "\n".join(
            f"## {step.place}: {step.outcome}, {step.seconds:.1f} s\n{step.log}" for step in self.steps
        )


@dataclass
class Hosted:
    """What outlives a job. ``repositories`` are working trees by owner/name; the first has the workflows."""

    folder: Path
    repositories: dict[str, Path]
    program: str = "-m orchestrator"
    """What `.venv/bin/matrixctl` has Python run; empty: the jobs install matrixctl themselves."""
    variables: dict[str, str] = field(default_factory=dict)
    """More variables that each job sees."""
    loses: Callable[[str], bool] = lambda _job: False
    """Whether this job's machine goes away before its first step."""
    done: set[str] = field(default_factory=set)
    """The places of all steps that were run, as ``nightly.yml night 3``."""
    pages: Path | None = None
    number: Iterator[int] = field(default_factory=lambda: itertools.count(4_000_000_001))

    @property
    def repository(self) -> str:
        return next(iter(self.repositories))

    def run(
        self, file: str, *, event: str = "workflow_dispatch", ref: str = "refs/heads/main", **inputs: str
    ) -> Job:
        """Run a workflow of the first repository, or the text of one that stands nowhere yet."""
        return self._attempt(WorkflowRun(self, next(self.number), event, ref), file, inputs, None)

    def _attempt(self, run: "WorkflowRun", file: str, inputs: Mapping[str, str], before: Job | None) -> Job:
        done = run.call(file, inputs, before)
        done.again = lambda: self._attempt(replace(run, attempt=run.attempt + 1), file, inputs, done)
        return done

    def saved_caches(self, scope: str = "refs/heads/main") -> list[str]:
        """The keys of a branch's caches, in the order in which they were saved."""
        found = self.folder.joinpath("caches", _slug(scope)).glob("*/key")
        return [path.read_text() for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


@dataclass
class WorkflowRun:
    """One run of a workflow: its artifacts, and the context `github`."""

    hosted: Hosted
    number: int
    event: str
    ref: str
    attempt: int = 1

    @property
    def artifacts(self) -> Path:
        return self.hosted.folder / "artifacts" / str(self.number)

    @property
    def context(self) -> dict[str, Any]:
        repository = self.hosted.repositories[self.hosted.repository]
        return {
            "event_name": self.event,
            "ref": self.ref,
            "ref_name": self.ref.removeprefix("refs/heads/"),
            "repository": self.hosted.repository,
            "run_attempt": str(self.attempt),
            "run_id": str(self.number),
            "sha": _git(repository, "rev-parse", "HEAD"),
            "token": TOKEN,
            "workflow": "a workflow",
        }

    def call(self, file: str, inputs: Mapping[str, Any], before: Job | None = None) -> Job:
        """Run all jobs of a workflow whose needs are met.

        :param before: an earlier attempt, of which only failed jobs are run again, and those that need them.
        """
        if "\n" in file:
            text, file = file, "README.md"
        else:
            text = (self.hosted.repositories[self.hosted.repository] / ".github/workflows" / file).read_text()
        workflow = yaml.safe_load(text)
        _check("workflow", file, {("on" if key is True else key): one for key, one in workflow.items()})
        trigger = workflow[True] if isinstance(workflow[True], dict) else {}
        called = trigger.get("workflow_call") or trigger.get("workflow_dispatch") or {}
        declared = called.get("inputs") or {}
        if unknown := set(inputs) - set(declared):
            raise HostedError(f"{file} has no inputs {unknown}")
        given = {name: one.get("default", "") for name, one in declared.items()} | dict(inputs)
        done: dict[str, list[Job]] = {}
        for name, job in workflow["jobs"].items():  # each stands after those that it needs
            past = before.jobs[name] if before else []
            done[name] = list(self._fan_out(file, name, job, given, done, past=past))
        told = Scope({"jobs": {name: _as_need(jobs) for name, jobs in done.items()}})
        outputs = {
            key: told.evaluate(one["value"][3:-2]) for key, one in (called.get("outputs") or {}).items()
        }
        result = (
            "failure" if any(_as_need(jobs)["result"] == "failure" for jobs in done.values()) else "success"
        )
        every = [one for jobs in done.values() for one in jobs]
        shown = "failure" if any(one.conclusion == "failure" for one in every) else "success"
        last = max(one.attempt for one in every)
        return Job(file, result, shown, outputs=outputs, jobs=done, attempt=last)

    def _fan_out(
        self,
        file: str,
        name: str,
        job: dict[str, Any],
        inputs: Mapping[str, Any],
        done: Mapping[str, list[Job]],
        *,
        past: list[Job],
    ) -> Iterator[Job]:
        _check("job", f"{file} {name}", job)
        needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        if any(one.attempt == self.attempt for need in needs for one in done[need]):
            past = []
        elif past and not any(one.conclusion == "failure" for one in past):
            yield from past
            return
        contexts = {
            "github": self.context,
            "inputs": inputs,
            "needs": {one: _as_need(done[one]) for one in needs},
        }
        well = all(one["result"] == "success" for one in contexts["needs"].values())
        scope = Scope(contexts, "success" if well else "failure")
        if not scope.holds(job.get("if", "success()")):
            yield Job(name, "skipped", "skipped", attempt=self.attempt)
            return
        if "uses" in job:
            inputs = scope.fill(job.get("with", {}))
            called = self.call(job["uses"].rpartition("/")[2], inputs, next(iter(past), None))
            called.name = name
            yield called
            return
        matrix = scope.fill(job.get("strategy", {}).get("matrix", {}))
        entries = matrix.get("include", [{}])
        runs = [
            JobRun(
                self, file, name, job, {**contexts, "matrix": entry, "strategy": {"job-index": index}}, index
            )
            for index, entry in enumerate(entries)
        ]
        kept = {index: one for index, one in enumerate(past) if one.conclusion != "failure"}
        with ThreadPoolExecutor(len(runs)) as machines:
            yield from machines.map(lambda run: kept.get(run.index) or run.go(), runs)


@dataclass
class JobRun:
    """One job on a machine of its own."""

    run: WorkflowRun
    file: str
    name: str
    job: dict[str, Any]
    contexts: dict[str, Any]
    index: int

    def __post_init__(self) -> None:
        scope = Scope(self.contexts)
        self.title = as_text(scope.fill(self.job.get("name", self.name)))
        number = f"{self.run.number}-{self.run.attempt}"
        self.machine = self.run.hosted.folder / "machines" / f"{number}-{self.name}-{self.index}"
        self.workspace = self.machine / "work" / self.run.hosted.repository.rpartition("/")[2]
        self.environment: dict[str, str] = {}
        self.result = Job(self.title, "success", attempt=self.run.attempt)
        arm = str(scope.fill(self.job["runs-on"])).endswith("-arm")
        self.contexts |= {
            "runner": {"os": "Linux", "arch": "ARM64" if arm else "X64", "temp": str(self.temp)}
        }

    @property
    def temp(self) -> Path:
        return self.machine / "temp"

    def go(self) -> Job:
        if self.run.hosted.loses(self.title):
            self.result.result = "failure"
        else:
            for folder in (self.workspace, self.temp, self.machine / "home"):
                folder.mkdir(parents=True)
            self.environment = {
                name: as_text(one) for name, one in Scope(self.contexts).fill(self.job.get("env", {})).items()
            }
            steps = self.steps(self.job["steps"], f"{self.file} {self.name}", self.contexts, {})
            self.result.outputs = Scope(self.contexts | {"steps": steps}).fill(self.job.get("outputs", {}))
            shutil.rmtree(self.machine)  # the next job gets another one
        self.result.conclusion = self.result.result
        if self.result.result == "failure" and self.job.get("continue-on-error") is True:
            self.result.result = "success"
        return self.result

    def steps(
        self, steps: list[dict[str, Any]], place: str, contexts: Mapping[str, Any], more: Mapping[str, str]
    ) -> dict[str, Any]:
        """Run steps one after the other; return the context `steps`."""
        known: dict[str, Any] = {}
        status = "success"
        for number, step in enumerate(steps, start=1):
            here = f"{place} {number}"
            _check("step", here, step)
            scope = Scope(
                {**contexts, "steps": known, "env": self.environment},
                status,
                {"hashFiles": self._hash},
            )
            ran = Step(f"{here} {step.get('name', '')}".strip(), "skipped")
            outputs: dict[str, str] = {}
            if scope.holds(step.get("if", "success()")):
                self.run.hosted.done.add(here)
                begun = time.monotonic()
                well, outputs = self._do(step, scope, ran, more)
                ran.seconds = time.monotonic() - begun
                ran.outcome = "success" if well else "failure"
            self.result.steps.append(ran)
            if ran.outcome == "failure":
                status = self.result.result = "failure"
            if "id" in step:
                known[step["id"]] = {"outcome": ran.outcome, "conclusion": ran.outcome, "outputs": outputs}
        return known

    def _do(
        self, step: dict[str, Any], scope: Scope, ran: Step, more: Mapping[str, str]
    ) -> tuple[bool, dict[str, str]]:
        if "run" in step:
            return self._run(step, scope, ran, more)
        given = {name: as_text(one) for name, one in scope.fill(step.get("with", {})).items()}
        action = step["uses"].partition("@")[0]
        if action.startswith("./") or action in self.run.hosted.repositories:
            return self._composite(step["uses"], given, scope)
        try:
            return True, PLAYED[action](self, given)
        except HostedError as error:
            ran.log = str(error)
            return False, {}

    def _run(
        self, step: dict[str, Any], scope: Scope, ran: Step, more: Mapping[str, str]
    ) -> tuple[bool, dict[str, str]]:
        files = {name: self.temp / name for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        script = self.temp / "script.sh"
        script.write_text(step["run"])
        env = {
            **{name: one for name, one in os.environ.items() if HANDED_ON.fullmatch(name)},
            **self._own(),
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            **self.run.hosted.variables,
            **self.environment,
            **more,
            **{name: as_text(one) for name, one in scope.fill(step.get("env", {})).items()},
        }
        where = self.workspace / as_text(scope.fill(step.get("working-directory", ".")))
        argv = [*_SHELLS[step.get("shell")], str(script)]
        done = subprocess.run(
            argv, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=-1, stderr=-2, text=True, check=False
        )
        ran.log = done.stdout
        if self.contexts["github"]["token"] in done.stdout:
            raise HostedError(f"{ran.place} prints the token")
        if files["ENV"].stat().st_size or files["PATH"].stat().st_size:
            raise HostedError(f"{ran.place} changes the environment of the steps after it")
        self.result.summary += files["STEP_SUMMARY"].read_text()
        return done.returncode == 0, read_outputs(files["OUTPUT"].read_text())

    def _own(self) -> dict[str, str]:
        told = {name.upper(): one for name, one in self.contexts["github"].items() if name != "token"}
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "somebody",
            "GITHUB_WORKSPACE": str(self.workspace),
            **{f"GITHUB_{name}": one for name, one in told.items()},
            "HOME": str(self.machine / "home"),
            "PATH": f"{self.run.hosted.folder / 'bin'}:{os.environ['PATH']}",
            "RUNNER_ARCH": self.contexts["runner"]["arch"],
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
        }

    def _composite(self, uses: str, given: Mapping[str, str], scope: Scope) -> tuple[bool, dict[str, str]]:
        name, _, ref = uses.partition("@")
        folder = self.workspace / name if name.startswith("./") else self.machine / "actions" / ref
        if not name.startswith("./") and not folder.exists():
            clone(self.run.hosted, name, ref, folder)
        action = yaml.safe_load((folder / "action.yml").read_text())
        if unknown := set(given) - set(action["inputs"]):
            raise HostedError(f"the action has no inputs {unknown}")
        inputs = {key: one["default"] for key, one in action["inputs"].items()} | dict(given)
        contexts = {"github": scope.contexts["github"], "inputs": inputs, "runner": self.contexts["runner"]}
        before, self.result.result = self.result.result, "success"
        steps = self.steps(
            action["runs"]["steps"], "action.yml", contexts, {"GITHUB_ACTION_PATH": str(folder)}
        )
        well, self.result.result = self.result.result == "success", before
        told = Scope({**contexts, "steps": steps})
        return well, {key: as_text(told.fill(one["value"])) for key, one in action["outputs"].items()}

    def _hash(self, *patterns: str) -> str:
        files = sorted({path for one in patterns for path in self.workspace.glob(one) if path.is_file()})
        return sha256(b"".join(path.read_bytes() for path in files)).hexdigest() if files else ""

    # What the actions of others do, as far as our workflows ask it of them.

    def _checkout(self, given: dict[str, str]) -> dict[str, str]:
        _only(given, "repository", "ref", "path", "persist-credentials")
        name = given.get("repository") or self.run.hosted.repository
        clone(self.run.hosted, name, given.get("ref") or "HEAD", self.workspace / given.get("path", ""))
        return {}

    def _restore(self, given: dict[str, str]) -> dict[str, str]:
        """Take the exact key, else the newest that begins as another; of this branch, then of main."""
        _only(given, "path", "key", "restore-keys")
        for scope, key in itertools.product(
            dict.fromkeys((self.run.ref, "refs/heads/main")),
            (given["key"], *given.get("restore-keys", "").splitlines()),
        ):
            folder = self.run.hosted.folder / "caches" / _slug(scope)
            found = [path for path in folder.glob("*/key") if path.read_text().startswith(key)]
            if found:
                newest = max(found, key=lambda path: path.stat().st_mtime_ns)
                to = self._at_home(given["path"])
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(newest.parent / "content", to)
                hit, matched = newest.read_text() == given["key"], newest.read_text()
                return {"cache-hit": str(hit).lower(), "cache-matched-key": matched}
        return {}

    def _save(self, given: dict[str, str]) -> dict[str, str]:
        _only(given, "path", "key")
        folder = self.run.hosted.folder / "caches" / _slug(self.run.ref) / _slug(given["key"])
        source = self._at_home(given["path"])
        if not folder.exists() and source.is_file():  # a key is never written twice
            folder.mkdir(parents=True)
            shutil.copy(source, folder / "content")
            (folder / "key").write_text(given["key"])
        return {}

    def _at_home(self, path: str) -> Path:
        return self.machine / "home" / path.removeprefix("~/")

    def _upload(self, given: dict[str, str]) -> dict[str, str]:
        _only(given, "name", "path", "retention-days", "if-no-files-found", "overwrite")
        to = self.run.artifacts / given["name"]  # of any attempt
        if given.get("overwrite") == "true":
            shutil.rmtree(to, ignore_errors=True)
        if _NO_NAME.search(given["name"]) or to.exists():
            raise HostedError(f"an artifact cannot be called {given['name']!r}, or there is one already")
        source = self.workspace / given["path"]
        if not source.is_dir():
            raise HostedError(f"no folder {source}")
        shutil.copytree(source, to, ignore=lambda _, names: [one for one in names if one.startswith(".")])
        return {}

    def _download(self, given: dict[str, str]) -> dict[str, str]:
        _only(given, "name", "pattern", "path")
        to = self.workspace / given["path"]
        if "name" in given:
            if not (self.run.artifacts / given["name"]).is_dir():
                raise HostedError(f"there is no artifact {given['name']}")
            shutil.copytree(self.run.artifacts / given["name"], to, dirs_exist_ok=True)
        else:
            found = sorted(self.run.artifacts.glob(given["pattern"]))
            for one in found:  # the action gives a folder of its own to each, but not to a single one
                shutil.copytree(one, to / one.name if len(found) > 1 else to, dirs_exist_ok=True)
        return {}

    def _upload_pages(self, given: dict[str, str]) -> dict[str, str]:
        _only(given, "name", "path")
        return self._upload({"name": given.get("name", "github-pages"), "path": given["path"]})

    def _deploy_pages(self, given: dict[str, str]) -> dict[str, str]:
        _only(given, "artifact_name")
        self.run.hosted.pages = self.run.artifacts / given.get("artifact_name", "github-pages")
        return {"page_url": "https://pages.example.org/"}


PLAYED: dict[str, Callable[[JobRun, dict[str, str]], dict[str, str]]] = {
    "actions/cache/restore": JobRun._restore,
    "actions/cache/save": JobRun._save,
    "actions/checkout": JobRun._checkout,
    "actions/deploy-pages": JobRun._deploy_pages,
    "actions/download-artifact": JobRun._download,
    "actions/upload-artifact": JobRun._upload,
    "actions/upload-pages-artifact": JobRun._upload_pages,
}


def clone(hosted: Hosted, repository: str, ref: str, to: Path) -> None:
    """Clone a repository; where it is matrixctl's own, with what `make .venv/.ready` would install.

    The environment of the tests stands for the one that it would make: `make test` has made that by the same
    command, from the same lock file.
    """
    source = hosted.repositories[repository]
    subprocess.run(["git", "clone", "--quiet", f"file://{source}", str(to)], check=True)
    _git(to, "checkout", "--quiet", "--detach", ref)
    if not hosted.program or not (to / "orchestrator").is_dir():
        return
    (to / ".venv" / "bin").mkdir(parents=True)
    for name, program in {"matrixctl": hosted.program, "python": ""}.items():
        path = to / ".venv" / "bin" / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH="{to}" exec "{sys.executable}" {program} "$@"\n')
        path.chmod(0o755)
    (to / ".venv" / ".ready").touch()
    share_bytecode(to)


def share_bytecode(to: Path) -> None:
    """Have Python find what it has compiled of the same modules already: each machine would do it anew."""
    for path in ROOT.glob("orchestrator/**/*.py"):
        there, known = to / path.relative_to(ROOT), path.stat()
        if there.is_file() and there.stat().st_size == known.st_size:
            os.utime(there, ns=(known.st_atime_ns, known.st_mtime_ns))  # by which it knows them
    for folder in ROOT.glob("orchestrator/**/__pycache__"):
        shutil.copytree(folder, to / folder.relative_to(ROOT), dirs_exist_ok=True)


def read_outputs(text: str) -> dict[str, str]:
    """Read a file as GITHUB_OUTPUT: `name=value`, or several lines up to a delimiter."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if several := re.fullmatch(r"([\w-]+)<<(.+)", line):
            found[several[1]] = "\n".join(iter(lines.__next__, several[2]))
        elif "=" in line:
            name, _, value = line.partition("=")
            found[name] = value
        else:
            raise HostedError(f"GITHUB_OUTPUT has the line {line!r}")
    return found


def _as_need(jobs: list[Job]) -> dict[str, Any]:
    results = [job.result for job in jobs]
    worst = next((one for one in ("failure", "skipped") if one in results), "success")
    return {"result": worst, "outputs": {key: one for job in jobs for key, one in job.outputs.items()}}


def _check(kind: str, place: str, found: Mapping[str, Any]) -> None:
    if unknown := set(found) - _KEYS[kind]:
        raise HostedError(f"{place}: nothing is known of {unknown}")


def _only(given: Mapping[str, str], *names: str) -> None:
    if unknown := set(given) - set(names):
        raise HostedError(f"nothing is known of {unknown}")


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text)


def _git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
