"""``matrixctl github summary|annotate`` and ``run --github``: what a run leaves in a step of a workflow."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from actions_log import Command, obeyed
from cli_samples import RUN, a_run, cells, matrixctl
from compare_samples import night, on
from hostile import CORPUS, Kind

from orchestrator import resources
from orchestrator.app import running
from orchestrator.cli import run, workflow
from orchestrator.errors import EngineError
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.find import read_run
from orchestrator.record.journal import JOURNAL, ActionChanged, CellJudged
from orchestrator.record.model import ActionRecord, RunRecord

LATER = "20260103-030405-abcd"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A run below reports, and two records of nights: a good one, and one with a failure."""
    a_run(tmp_path / "reports")
    record = night(tmp_path / "night", "one")
    (tmp_path / "good.json").write_text(on(20, record).model_dump_json())
    (tmp_path / "bad.json").write_text(on(21, record, Reason.HANDSHAKE_TIMEOUT).model_dump_json())
    return tmp_path


class Step:
    """A step of a workflow: its environment, and what was written to its files."""

    def __init__(self, folder: Path) -> None:
        self.summary, self.output = folder / "summary.md", folder / "output"
        self.env = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_WORKSPACE": str(folder),
        }

    @property
    def outputs(self) -> dict[str, str]:
        """Read GITHUB_OUTPUT as the runner does."""
        found = {}
        lines = iter(self.output.read_text().splitlines())
        for line in lines:
            name, _, mark = line.partition("<<")
            found[name] = "\n".join(iter(lambda: next(lines), mark))
            assert len(mark) > 32
        return found


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def test_the_summary_of_a_run_with_its_news(here: Path) -> None:
    done = matrixctl("github", "summary", "bad.json", "--base", "good.json", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("## ✕ ")
    assert "### ✕ News since BASE" in done.stdout
    assert "**Since BASE**" in done.stdout
    assert "### ✕ regression: fail: handshake-timeout" in done.stdout
    alone = matrixctl("github", "summary", "bad.json", cwd=here)
    assert "BASE" not in alone.stdout


def test_annotations_of_a_run(here: Path) -> None:
    done = matrixctl("github", "annotate", "bad.json", "--base", "good.json", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    found = obeyed(done.stdout)
    assert len(found) == len(done.stdout.splitlines()) >= 1
    assert found[0].name == "error"
    assert "since BASE: new failure: pass -> fail: handshake-timeout (regression)" in found[0].data


def of_rule(here: Path, place: str, verdict: Verdict = Verdict.CHANGED_FAILURE) -> None:
    """Give the failing cell of ``bad.json`` a rule that expects another failure."""
    record = RunRecord.model_validate_json((here / "bad.json").read_bytes())
    known = next(cell.expected for cell in read_run(here / "reports" / RUN).cells if cell.expected)
    expected = known.model_copy(update={"rule": place})
    changed = tuple(
        cell.model_copy(update={"expected": expected, "verdict": verdict})
        if cell.outcome is Outcome.FAIL
        else cell
        for cell in record.cells
    )
    (here / "bad.json").write_text(record.model_copy(update={"cells": changed}).model_dump_json())


def test_the_rule_s_file_is_named_as_the_repository_has_it(here: Path) -> None:
    of_rule(here, "matrix.yaml:41")
    (here / "ci").mkdir()
    (here / "ci" / "matrix.yaml").write_text("axes: {}\n")
    workspace = {"GITHUB_WORKSPACE": str(here)}

    def places(*args: str, cwd: Path = here, env: dict[str, str] | None = None) -> dict[str, str]:
        bad = str(here / "bad.json")
        done = matrixctl("github", "annotate", bad, *args, cwd=cwd, env=env or workspace)
        assert done.returncode == 0, done.stderr
        return obeyed(done.stdout)[0].properties

    assert "file" not in places()
    named = places("--matrix", "ci/matrix.yaml")
    assert (named["file"], named["line"]) == ("ci/matrix.yaml", "41")
    assert places(cwd=here / "ci")["file"] == "ci/matrix.yaml"
    assert "file" not in places("--matrix", "good.json")
    (here / "tree").mkdir()
    (here / "ci").rename(here / "tree" / "ci")
    assert places("--matrix", "tree/ci/matrix.yaml")["file"] == "tree/ci/matrix.yaml"
    (here / "tree" / ".git").mkdir()  # a checkout of its own
    assert places("--matrix", "tree/ci/matrix.yaml")["file"] == "ci/matrix.yaml"
    (here / "tree" / "ci").rename(here / "ci")
    (here / "elsewhere").mkdir()
    elsewhere = {"GITHUB_WORKSPACE": str(here / "elsewhere")}
    assert "file" not in places("--matrix", "ci/matrix.yaml", env=elsewhere)


@pytest.mark.parametrize("command", ["summary", "annotate"])
def test_bad_input_is_a_sentence(here: Path, command: str) -> None:
    done = matrixctl("github", command, "nothing", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no run 'nothing' below reports" in " ".join(done.stderr.split())
    done = matrixctl("github", command, RUN, "--base", "nothing", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no run 'nothing'" in " ".join(done.stderr.split())


def test_a_run_that_died_has_both_and_says_how_it_goes_on(here: Path) -> None:
    journal = here / "reports" / RUN / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][:40])
    done = matrixctl("github", "summary", RUN, cwd=here)
    assert done.returncode == 0
    assert "Cut off: 0 of 2 cells judged" in done.stdout.splitlines()[0]
    assert f"matrixctl run --resume {RUN}" in done.stderr
    done = matrixctl("github", "annotate", RUN, cwd=here)
    assert done.returncode == 0
    assert obeyed(done.stdout)[0].properties["title"] == "Cut off: 0 of 2 cells judged"


def test_a_base_of_another_matrix_is_said(here: Path) -> None:
    other = RunRecord.model_validate_json((here / "good.json").read_bytes())
    info = other.run.model_copy(update={"matrix_digest": "1" * 64, "profile": "quick"})
    cell = other.cells[0].model_copy(update={"id": "another"})
    (here / "other.json").write_text(
        other.model_copy(update={"run": info, "cells": (cell,)}).model_dump_json()
    )
    done = matrixctl("github", "summary", "bad.json", "--base", "other.json", cwd=here)
    assert done.returncode == 0
    assert "**Note:** other cells were asked for: BASE --profile quick" in done.stdout
    assert "**Note:** BASE and HEAD have no cell in common: they are of different matrices" in done.stdout
    same = matrixctl("github", "summary", "bad.json", "--base", "good.json", cwd=here)
    assert "no cell in common" not in same.stdout


class Ended:
    """A run whose work is done, no matter who asks for it; what it told meanwhile is any text."""

    def __init__(self, here: Path, monkeypatch: pytest.MonkeyPatch, told: tuple[str, ...] = ()) -> None:
        self.folder, self.told = here / "reports" / RUN, told
        bad = read_run(here / "bad.json")
        self.record = bad.model_copy(update={"run": bad.run.model_copy(update={"exit_code": 1})})
        monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
        monkeypatch.setattr(running, "run_matrix", self.run)

    def run(self, *_: object, listen: Any, **__: object) -> tuple[RunRecord, Path]:
        cell = next(cell for cell in self.record.cells if cell.attempts)
        for text in self.told:
            logging.getLogger("orchestrator.app").warning("%s", text)
            listen(ActionChanged(action=_failed(text)))
            shown = {"id": text, "message": text, "attempts": (*cell.attempts[:-1], _attempt(cell, text))}
            listen(CellJudged(cell=cell.model_copy(update=shown)))
        return self.record, self.folder


def _failed(text: str) -> ActionRecord:
    return ActionRecord(
        digest=None, kind="source", name=text, status="failed", duration_s=1.0, log=None, message=text
    )


def _attempt(cell: Any, text: str) -> Any:
    return cell.attempts[-1].model_copy(update={"message": text, "why": text})


def in_step(here: Path, step: Step, *args: str) -> tuple[int, list[Command], str]:
    """Return the exit code, what the runner obeys of the log, and the log."""
    done = matrixctl("run", "--github", "--cell", cells()[0].id, *args, cwd=here, env=step.env)
    log = done.stdout + done.stderr
    return done.returncode, obeyed(done.stdout) + obeyed(done.stderr), log


def test_a_run_leaves_summary_annotations_and_outputs(
    here: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Ended(here, monkeypatch)
    step.summary.write_text("Before.\n")
    code, found, _ = in_step(here, step, "--base", "good.json")
    assert code == ended.record.run.exit_code == 1
    assert [one.name for one in found[:2]] == ["stop-commands", found[0].data]
    assert {one.name for one in found[2:]} == {"error"}
    said = step.summary.read_text()
    assert said.startswith("Before.\n## ✕ ")
    assert "News since BASE" in said
    assert step.outputs == {"report": str(ended.folder), "exit-code": "1", "regressions": "1"}


def test_the_matrix_that_comes_with_matrixctl_is_no_file_of_the_repository(
    here: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it lies in the workspace where the workflow has checked matrixctl out."""
    of_rule(here, "matrix.yaml:41")
    Ended(here, monkeypatch)
    step.env["GITHUB_WORKSPACE"] = str(resources.find_root())
    _, found, _ = in_step(here, step)
    assert "file" not in found[2].properties
    (here / "matrix.yaml").write_text((resources.find_root() / "matrix.yaml").read_text())
    step.env["GITHUB_WORKSPACE"] = str(here)
    _, found, _ = in_step(here, step)
    assert found[2].properties["file"] == "matrix.yaml"


def test_nothing_from_outside_is_obeyed_while_a_run_goes_on(
    here: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = tuple(f"{space}::error::owned" for space in ("", " ", "\u00a0", "\u3000", "\n\u2003"))
    texts = (*spaces, *(hostile.text for hostile in CORPUS))
    Ended(here, monkeypatch, texts)
    _, _, log = in_step(here, step)
    without = "\n".join(line for line in log.splitlines() if not line.startswith(("::stop-commands::", "::")))
    assert "owned" in without
    assert obeyed(without) == [], "each line by itself, as if nothing stopped them"
    assert len([hostile for hostile in CORPUS if hostile.kind is Kind.WORKFLOW]) >= 9


def test_an_error_before_the_run_keeps_its_exit_code(
    here: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise EngineError("no engine at ::error::x")

    monkeypatch.setattr(run, "connect", refuse)
    code, found, log = in_step(here, step)
    assert code == 4
    assert "no engine" in log
    assert found[-1].name == "error"
    assert found[-1].properties["title"] == "matrixctl ended with exit code 4"
    assert step.outputs == {"report": "", "exit-code": "4", "regressions": ""}
    assert "ended with exit code 4" in step.summary.read_text()
    code, _, _ = in_step(here, Step(here), "--filter", "tls=nothing")
    assert code == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--with", "haproxy=nothing:there"), "haproxy=nothing:there"),
        (("--with", "haproxy=path:nowhere"), "nowhere"),
        (("--jobs", "none"), "'none' is not a valid integer range"),
        (("--filters", "x"), "No such option"),
        (("--filter", "tls=nothing"), "nothing"),
        (("--pins", "pins.json"), "pins.json"),
        (("--series", "a b"), "'a b' is no name of a series"),
        (("--json",), "--github and --json exclude each other"),
    ],
)
def test_a_bad_command_line_is_told_in_the_step(
    tmp_path: Path, step: Step, args: tuple[str, ...], said: str
) -> None:
    (tmp_path / "pins.json").write_text("{")
    code, found, log = in_step(tmp_path, step, *args)
    assert code == 2, log
    assert said in log
    (told,) = [one for one in found if one.name == "error"]
    assert told.properties["title"] == "matrixctl ended with exit code 2"
    assert said in told.data
    assert step.outputs == {"report": "", "exit-code": "2", "regressions": ""}
    assert step.summary.read_text().count("ended with exit code 2") == 1


@pytest.mark.parametrize("name", ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"])
@pytest.mark.parametrize("value", ["", "/nonexistent/folder/file", ".", "nul\0"])
def test_a_broken_file_of_the_step_is_a_sentence(
    here: Path, step: Step, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    Ended(here, monkeypatch)
    if "\0" in value:  # no environment has one, so it is put where it is read
        monkeypatch.setattr(workflow, "_find", lambda one: value if one == name else step.env[one])
    else:
        step.env[name] = value
    code, found, log = in_step(here, step)
    assert code == 1
    assert name in " ".join(log.split())
    assert ("is not set" in log) is (value == "")
    assert "Traceback" not in log
    assert any(one.name == "error" for one in found)
    other = step.output if name == "GITHUB_STEP_SUMMARY" else step.summary
    assert other.read_text()


def test_what_the_step_has_said_before_leaves_less_room(
    here: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ended(here, monkeypatch)
    step.summary.write_text("x" * 999_000)
    in_step(here, step)
    assert "**Left out, since it does not fit in a step summary:**" in step.summary.read_text()
    assert step.summary.stat().st_size < 1_000_500


def test_outside_github_it_is_refused_before_the_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    Ended(here, monkeypatch)
    done = matrixctl("run", "--github", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert "GITHUB_ACTIONS is not `true`" in " ".join(done.stderr.split())
    done = matrixctl("run", "--github", "--json", cwd=here, env=Step(here).env)
    assert done.returncode == 2
    assert "exclude each other" in done.stderr
    assert "GITHUB_ACTIONS" not in os.environ
