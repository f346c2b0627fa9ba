"""``matrixctl compare`` as a person or a script calls it."""

import json
from pathlib import Path

import jsonschema
import pytest
from cli_samples import RUN, a_run, cells, matrixctl

from orchestrator.outcome import Verdict
from orchestrator.record.find import read_run

FIRST = cells()[0].id


@pytest.fixture
def here(tmp_path: Path) -> Path:
    a_run(tmp_path / "reports")
    a_run(tmp_path / "reports", "20260103-030405-abcd")
    return tmp_path


def test_a_script_can_ask_by_the_exit_code(here: Path) -> None:
    done = matrixctl("compare", "latest~1", "latest", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("HEAD has no new failure.\n")
    alone = here / "head.json"
    head = read_run(here / "reports" / RUN)
    lost = [one.model_copy(update={"outcome": None, "verdict": Verdict.NOT_JUDGED}) for one in head.cells]
    alone.write_text(head.model_copy(update={"cells": tuple(lost)}).model_dump_json())
    done = matrixctl("compare", RUN, "head.json", cwd=here)
    assert done.returncode == 4
    assert "HEAD does not tell: 1 cell that BASE judged is not judged." in done.stdout


def test_the_json_fits_the_schema_that_is_printed(here: Path) -> None:
    schema = json.loads(matrixctl("schema", "--compare", cwd=here).stdout)
    found = json.loads(matrixctl("compare", RUN, "latest", "--format", "json", cwd=here).stdout)
    jsonschema.validate(found, schema)
    assert (found["base"]["id"], found["head"]["id"]) == (RUN, "20260103-030405-abcd")
    assert found["counts"] == {"still-failing": 1, "never-judged": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "more": 1}, schema)


def test_markdown_is_for_a_step_summary(here: Path) -> None:
    done = matrixctl("compare", RUN, "latest", "--format", "markdown", cwd=here)
    assert done.stdout.startswith("## ✓ HEAD has no new failure")


def test_html_is_one_page(here: Path) -> None:
    done = matrixctl("compare", RUN, "latest", "--format", "html", cwd=here)
    assert done.returncode == 0
    assert done.stdout.lower().startswith("<!doctype html>")
    assert "<h1><span>HEAD has no new failure</span></h1>" in done.stdout
    assert "<dt>HEAD</dt><dd>20260103-030405-abcd · by hand" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("latest~7", "latest"), "no run latest~7: there are 2 runs"),
        (
            ("last-good", "latest"),
            "no run without a series below reports before 20260103-030405-abcd is good",
        ),
        (("latest", "nothing"), "no run 'nothing'"),
        (("latest", "latest", "--series", "../x"), "no name of a series"),
        (("latest", "latest", "--series", "weekly"), "no run of the series 'weekly'"),
    ],
)
def test_a_wrong_name_is_a_sentence(here: Path, args: tuple[str, ...], said: str) -> None:
    done = matrixctl("compare", *args, cwd=here)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_two_series_are_no_yesterday_of_each_other(here: Path) -> None:
    for number, name in enumerate(("nightly", "weekly"), start=4):
        folder = here / "reports" / f"2026010{number}-030405-abcd"
        a_run(here / "reports", folder.name)
        journal = folder / "journal.jsonl"
        journal.write_text(journal.read_text().replace('"series":""', f'"series":"{name}"', 1))
    done = matrixctl("compare", "latest~1", "latest", cwd=here)
    assert done.returncode == 2
    assert "2 series: nightly, weekly" in " ".join(done.stderr.split())
    assert matrixctl("compare", "latest", "latest", "--series", "weekly", cwd=here).returncode == 0
    assert matrixctl("compare", RUN, RUN, cwd=here).returncode == 0, "ids need no series"
