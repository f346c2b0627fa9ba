"""A hostile matrix, as `cells` and `plan` print it: JSON that any reader takes, no control character."""

import json
import re
from pathlib import Path

import pytest
from cli_samples import matrixctl
from conftest import Tell
from hostile import Hostile, rows, tried
from hostile_fields import Place, Walk, yaml_text

from orchestrator.cli import common
from orchestrator.matrix import schema

FREE = [
    place
    for place in Walk(schema=schema.make_json_schema(), also=("axes",)).places()
    if place.name.startswith("axes.") and place.name.endswith((".path", ".prebuilt", ".configure_flags[0]"))
]
"""Fields that take nearly any text. What the others take is tried in matrix/test_hostile_files.py."""
RAW = re.compile("[^\n -~]")
"""What must not stand in JSON on stdout: it is ASCII, and of the controls it has the line feed."""
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2067\ufeff]")
"""What must not stand in a message: U+2068 and U+2069 are our own."""
EVERY = {"cells": 1, "plan": 8}
"""Of how many pairs one is tried, but for --whole-corpus: to look for a folder takes a while."""


@pytest.mark.parametrize("command", EVERY)
def test_json_is_json_whatever_the_matrix_says(
    command: str, tmp_path: Path, whole_corpus: bool, tell: Tell
) -> None:
    pairs = [pair for row in rows(len(FREE), whole=whole_corpus) for pair in zip(FREE, row, strict=True)]
    chosen = pairs if whole_corpus else pairs[:: EVERY[command]]
    printed = sum(printed_well(command, place, value, tmp_path) for place, value in chosen)
    tell(f"{tried(f'texts of a matrix, as {command} --format json prints them', len(FREE), len(chosen))}")
    assert printed > len(chosen) // 8


def printed_well(command: str, place: Place, value: Hostile, folder: Path) -> bool:
    """Whether the matrix was taken; where it was not, nothing is printed but the reason."""
    (folder / "matrix.yaml").write_text(yaml_text(place.build(value.text)))
    home = {"HOME": str(folder)}  # `path: ~` is read whole
    done = matrixctl(command, "--matrix", "matrix.yaml", "--format", "json", cwd=folder, env=home)
    where = f"{command}, {place.name}, {value.name}"
    assert not UNSEEN.search(done.stderr), where
    if done.returncode:
        assert (done.returncode, done.stdout) == (2, ""), where
        return False
    assert not RAW.search(done.stdout), where
    assert json.loads(done.stdout), where
    return True


def test_no_control_character_of_ascii_is_in_json_either() -> None:
    text = "".join(map(chr, range(0x20))) + "\x7f\x9b\u2028##[error]x"
    shown = common.as_json({"x": text}, indent=None)
    assert not RAW.search(shown)
    assert "##[" not in shown
    assert json.loads(shown) == {"x": text}
