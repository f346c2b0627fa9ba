"""The JSON Schema of run.json: up to date, and it means something."""

import json

import jsonschema
import pytest
from record_samples import cell, record

from orchestrator.outcome import Outcome
from orchestrator.record import schema


def test_the_committed_schema_is_the_generated_one() -> None:
    assert schema.PATH.read_text("utf-8") == schema.text(), (
        "renew it with `python -m orchestrator.record.schema`"
    )


def test_a_record_validates() -> None:
    sample = record(cell("a"), cell("b", Outcome.PASS), cell("c", Outcome.FAIL, message="no answer"))
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())
    jsonschema.validate(json.loads(sample.model_dump_json()), schema.json_schema())


@pytest.mark.parametrize("outcome", ["green", "", 1])
def test_a_made_up_outcome_does_not_validate(outcome: object) -> None:
    sample = json.loads(record(cell("a", Outcome.PASS)).model_dump_json())
    sample["cells"][0]["outcome"] = outcome
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sample, schema.json_schema())


def test_an_unknown_field_does_not_validate() -> None:
    sample = json.loads(record(cell("a")).model_dump_json()) | {"extra": 1}
    with pytest.raises(jsonschema.ValidationError, match="extra"):
        jsonschema.validate(sample, schema.json_schema())
