"""The JSON Schema for editors, against real and wrong files."""

from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator import resources
from orchestrator.matrix.schema import make_json_schema

SCHEMA = make_json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def default() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((resources.find_root() / "matrix.yaml").read_text())
    return document


def test_it_is_a_schema_of_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_default_matrix_fits() -> None:
    VALIDATOR.validate(default())


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("version", 2),
        ("axes", {}),
        ("axes", {**default()["axes"], "haproxy": [3.0]}),
        ("axes", {**default()["axes"], "arch": ["arm46"]}),
        ("axes", {**default()["axes"], "tls": ["a--b"]}),
        ("axes", {**default()["axes"], "clinet": ["curl"]}),
        (
            "axes",
            {**default()["axes"], "haproxy": [{"name": "x", "version": "1", "make_flags": ["X=$(id)"]}]},
        ),
        ("axes", {**default()["axes"], "execution": [{"name": "x", "environment": {"LD_PRELOAD": "x"}}]}),
        ("exclude", [{}]),
        ("profiles", {"quick": {"filter": []}}),
        ("limits", {"fetch": 0}),
        ("limtis", {}),
    ],
)
def test_a_wrong_one_does_not(section: str, wrong: object) -> None:
    assert not VALIDATOR.is_valid({**default(), section: wrong})


@pytest.mark.parametrize("flags", [["51DEGREES_SRC=a b"], "A='b c' D=e"])
def test_flags_are_a_list_or_a_line(flags: object) -> None:
    axes = {**default()["axes"], "haproxy": [{"name": "x", "version": "1", "make_flags": flags}]}
    VALIDATOR.validate({**default(), "axes": axes})
