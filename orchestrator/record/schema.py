"""The JSON Schema of ``run.json``, generated from the record and kept in ``schema.json`` beside this file.

Renew it after a change of the record: ``python -m orchestrator.record.schema``.
"""

import json
from pathlib import Path
from typing import Any

from orchestrator.frozen_value import describe_schema
from orchestrator.record.model import RunRecord

PATH = Path(__file__).with_name("schema.json")


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of what ``write_run_json`` writes."""
    return describe_schema(RunRecord, "matrixctl run.json")


def make_text() -> str:
    """Return the file's content."""
    return json.dumps(make_json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(make_text(), "utf-8")
