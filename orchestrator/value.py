"""The base of everything that crosses from one room to the next."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen, keyword-only value that survives JSON and pickling.

    Unknown fields are refused, so that a record written by a newer version is never half understood, and
    so are numbers that JSON cannot say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
