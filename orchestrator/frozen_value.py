"""The base of everything that crosses from one room to the next."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import GenerateJsonSchema


class Value(BaseModel):
    """A frozen, keyword-only value that survives JSON and pickling.

    Unknown fields are refused, so that a record written by a newer version is never half understood, and
    so are numbers that JSON cannot represent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def describe_schema(model: type[Value], title: str) -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of what is written of a value."""
    schema = model.model_json_schema(mode="serialization")
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": title}


_HALF = re.compile("[\ud800-\udfff]")


def replace_surrogates(value: Any) -> Any:
    """Return ``value``, a value from JSON, with U+FFFD for each surrogate without a partner.

    JSON can represent one (RFC 8259, 8.2), UTF-8 cannot: no file and no journal could contain it.
    """
    if isinstance(value, str):
        return _HALF.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_surrogates(item) for item in value]
    return value
