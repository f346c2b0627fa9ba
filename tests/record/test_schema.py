"""The JSON Schema of run.json: up to date, and it means something."""

import json

import jsonschema
import pytest
from pydantic import ValidationError
from record_samples import cell, record

from orchestrator import resources
from orchestrator.outcome import Outcome
from orchestrator.record import schema
from orchestrator.record.model import RunRecord


def test_the_committed_schema_is_the_generated_one() -> None:
    assert schema.PATH.read_text("utf-8") == schema.make_text(), (
        "renew it with `python -m orchestrator.record.schema`"
    )


def test_a_record_validates() -> None:
    sample = record(cell("a"), cell("b", Outcome.PASS), cell("c", Outcome.FAIL, message="no answer"))
    jsonschema.Draft202012Validator.check_schema(schema.make_json_schema())
    jsonschema.validate(json.loads(sample.model_dump_json()), schema.make_json_schema())


@pytest.mark.parametrize("outcome", ["green", "", 1])
def test_a_made_up_outcome_does_not_validate(outcome: object) -> None:
    sample = json.loads(record(cell("a", Outcome.PASS)).model_dump_json())
    sample["cells"][0]["outcome"] = outcome
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sample, schema.make_json_schema())


def test_an_unknown_field_does_not_validate() -> None:
    sample = json.loads(record(cell("a")).model_dump_json()) | {"extra": 1}
    with pytest.raises(jsonschema.ValidationError, match="extra"):
        jsonschema.validate(sample, schema.make_json_schema())


def test_a_record_of_version_2_is_still_read() -> None:
    """It lacks what version 3 added; the sample report is a real one, with requests in it."""
    raw = json.loads((resources.find_root() / "reports/sample/run.json").read_text("utf-8"))
    raw["schema_version"], old = 2, 0
    for name in ("series", "selection", "limits", "tool_digest"):
        del raw["run"][name]
    for one in raw["actions"]:
        del one["needs"]
    for one in raw["components"]:
        del one["used_by"], one["rest"]
    for kept in raw["cells"]:
        for attempt in kept["attempts"]:
            del attempt["again"], attempt["evidence"], attempt["load"]
        for transport in ("h3", "control"):
            for request in ((kept["observations"] or {}).get(transport) or {}).get("requests", ()):
                request.pop("shows", None)
                old += 1
    assert old, "the sample holds no request, so this shows nothing"
    assert RunRecord.model_validate_json(json.dumps(raw)).schema_version == 2


def test_a_record_of_a_later_version_is_refused() -> None:
    raw = json.loads(record(cell("a")).model_dump_json()) | {"schema_version": 4}
    with pytest.raises(ValidationError, match="schema_version"):
        RunRecord.model_validate(raw)
