"""``matrixctl explain`` as a person or a script calls it."""

import json
import shlex
from pathlib import Path

import jsonschema
import pytest
from cli_samples import RUN, a_run, matrixctl
from issue_2569 import CHACHA20, record
from samples import cell, mixed, quick

from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.outcome import Reason
from orchestrator.record.model import Axes, RunRecord


@pytest.fixture
def here(tmp_path: Path) -> Path:
    a_run(tmp_path / "reports")
    write(tmp_path / "r.json", record())
    return tmp_path


def write(path: Path, found: RunRecord) -> None:
    path.write_text(found.model_dump_json())


MATRIX = """\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: ["3.0.11"]
  tls: [openssl-3.5.7, openssl-distro]
  cipher: [default]
  client: [curl]
include:
  - arch: amd64
    haproxy: "3.0.11"
    tls: [openssl-3.5.7, openssl-distro]
    cipher: TLS_AES_128_GCM_SHA256
    client: gtlsclient
"""


@pytest.mark.parametrize(
    "failing", ["gtlsclient", "openssl-distro--TLS_AES_128_GCM_SHA256--client.gtlsclient"]
)
@pytest.mark.parametrize("more", [(), ("--with", "client=curl", "--with", "client=gtlsclient")])
def test_the_cells_that_would_tell_more_can_be_pasted(
    failing: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    """The run was of a matrix of its own, in which a client and a suite have no cell without each other."""
    (tmp_path / "own.yaml").write_text(MATRIX)
    ids = matrixctl("cells", "--matrix", "own.yaml", *more, "--format", "ids", cwd=tmp_path).stdout.split()
    options = shlex.join(["--matrix", "own.yaml", *more])
    cells = [
        cell(Axes.model_validate(one.axes), Reason.WRONG_BODY if failing in one.id else None).model_copy(
            update={"id": one.id, "reproducer": f"matrixctl run {options} --cell {one.id}"}
        )
        for one in expand(load(tmp_path / "own.yaml"))
    ]
    assert {one.id for one in cells} <= {*ids}
    write(tmp_path / "own.json", quick().model_copy(update={"cells": tuple(cells)}))
    found = json.loads(matrixctl("explain", "own.json", "--format", "json", cwd=tmp_path).stdout)
    told = [*found["neighbours"], *(words for cluster in found["clusters"] for words in cluster["decide"])]
    assert told
    for words in told:
        listed = matrixctl("cells", *shlex.split(words), "--format", "ids", cwd=tmp_path)
        assert len(listed.stdout.split()) == 1, (words, listed.stderr)


def test_a_lone_record_is_enough(here: Path) -> None:
    done = matrixctl("explain", "r.json", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("42 cells fail; 3 combinations explain all of them.\n")
    assert f"\n  tls=libressl<4.0  negotiated={CHACHA20}\n  12 of 12 cells, 0 of 160 others; " in done.stdout
    assert "\n  irrelevant: arch\n" in done.stdout


def test_the_json_fits_the_schema_that_is_printed(here: Path) -> None:
    schema = json.loads(matrixctl("schema", "--explain", cwd=here).stdout)
    found = json.loads(matrixctl("explain", "r.json", "--format", "json", cwd=here).stdout)
    jsonschema.validate(found, schema)
    assert found["clusters"][0]["when"] == ["tls=libressl<4.0", f"negotiated={CHACHA20}"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "more": 1}, schema)


def test_markdown_is_for_a_bug_report(here: Path) -> None:
    done = matrixctl("explain", "r.json", "--format", "markdown", cwd=here)
    assert done.stdout.startswith("## 42 cells fail; 3 combinations explain all of them.\n")
    assert "<code>tls=libressl&#60;4.0 negotiated=" in done.stdout


def test_a_run_without_failures_has_nothing_to_explain(here: Path) -> None:
    write(here / "good.json", quick())
    done = matrixctl("explain", "good.json", cwd=here)
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing to explain: no cell fails.\n")


def test_one_cell_proves_no_combination(here: Path) -> None:
    """The run of the samples has one cell, which fails."""
    done = matrixctl("explain", RUN, cwd=here)
    assert done.returncode == 0
    assert done.stdout.startswith("1 cell fails, and no combination explains it.\n")
    assert "one cell proves no combination" in done.stdout


def test_other_runs_add_outcomes(here: Path) -> None:
    done = matrixctl("explain", "r.json", RUN, cwd=here)
    assert done.returncode == 0
    assert f"with the outcomes of {RUN}" in done.stdout
    assert f"note: {RUN} is a run of another matrix" in done.stdout
    own = record().run.id
    assert f"note: 1 of the 43 failing cells does not fail in {own}, but in another run\n" in done.stdout
    assert "in another run" not in matrixctl("explain", "r.json", cwd=here).stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nothing",), "no run 'nothing'"),
        (("r.json", "latest~7"), "no run latest~7"),
        (("r.json", "--filter", "negotiatd=x"), "no axis 'negotiatd'; did you mean 'negotiated'"),
        (("r.json", "--filter", "word-size=16"), "no cell has word-size '16'"),
        (("r.json", "--filter", "negotiated<3"), "the values of negotiated have no order"),
        (("r.json", "twisted.json"), "is not the same one in these runs: its tls differs"),
    ],
)
def test_bad_input_is_a_sentence(here: Path, args: tuple[str, ...], said: str) -> None:
    first, *rest = record().cells
    axes = first.axes.model_copy(update={"tls": rest[-1].axes.tls})
    write(
        here / "twisted.json",
        mixed().model_copy(update={"cells": (first.model_copy(update={"axes": axes}),)}),
    )
    done = matrixctl("explain", *args, cwd=here)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_filter_that_leaves_nothing_is_no_success(here: Path) -> None:
    done = matrixctl("explain", "r.json", "--filter", "arch=arm64", "--filter", "arch=amd64", cwd=here)
    assert done.returncode == 3
    assert "the selection matches no cell of the run" in done.stderr
