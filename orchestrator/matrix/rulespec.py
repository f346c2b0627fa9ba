"""The form of an ``expect`` rule in ``matrix.yaml``."""

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from orchestrator.errors import UsageError
from orchestrator.matrix.capability_table import SUITES
from orchestrator.matrix.records import Spec, make_fault
from orchestrator.matrix.select import parse
from orchestrator.matrix.until import parse_until
from orchestrator.outcome import REASONS, Outcome, Reason
from orchestrator.phrases import join_names, quote, suggest

_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_REASONS = tuple(reason.value for reason in Reason)
_LINK = re.compile(r"""https?://[A-Za-z0-9.-]+(:[0-9]+)?([/?#][^\s<>"'`]*)?""", re.ASCII)
"""Reports make it a link that a person follows."""
NEVER = "never"
"""``seen`` of a rule that was only read: no run has shown it yet."""


def one_of(names: Collection[str], what: str, aliases: Mapping[str, str] = {}) -> AfterValidator:
    """Accept one of these names; for any other a fault suggests the nearest, also by another word for it."""

    def check(name: str) -> str:
        if name not in names:
            hint = suggest(name, names, aliases)
            raise make_fault(f"no {what} {quote(name)}{hint} ({what}: {join_names(names)})")
        return name

    return AfterValidator(check)


def _check_filter(text: str) -> str:
    try:
        parse(text)
    except UsageError as error:
        raise make_fault(str(error).replace("\n", "; ")) from None
    return text


def _check_until(text: str) -> str:
    try:
        parse_until(text)
    except ValueError as error:
        raise make_fault(str(error)) from None
    return text


def _check_seen(text: str) -> str:
    if text == NEVER:
        return text
    day, _, what = text.partition(" ")
    try:
        date.fromisoformat(day)
    except ValueError:
        what = ""
    if not what.strip() or not text.isprintable():
        raise make_fault(
            f"{quote(text)} is no day and what was run on it, as in 2026-11-28 HAProxy 3.4.0 on arm64,"
            f" nor {NEVER}"
        )
    return text


def _check_link(text: str) -> str:
    if not _LINK.fullmatch(text):
        raise make_fault(f"{quote(text)} is no link: it begins with https:// or http:// and has no spaces")
    return text


FilterText = Annotated[str, AfterValidator(_check_filter)]
OutcomeName = Annotated[str, one_of(_OUTCOMES, "outcome"), Field(json_schema_extra={"enum": list(_OUTCOMES)})]
ReasonName = Annotated[str, one_of(_REASONS, "reason"), Field(json_schema_extra={"enum": list(_REASONS)})]
Suite = Annotated[str, one_of(SUITES, "cipher"), Field(json_schema_extra={"enum": list(SUITES)})]


class Expect(Spec):
    """What is documented of the cells that pass every filter of ``when``."""

    when: Annotated[tuple[FilterText, ...], Field(min_length=1)]
    outcome: OutcomeName
    reason: ReasonName | None = Field(default=None, validate_default=True)
    cipher: Suite | None = None
    because: Annotated[str, Field(max_length=2000), AfterValidator(_check_link)]
    until: Annotated[str, AfterValidator(_check_until)] | None = None
    seen: Annotated[str, Field(max_length=500), AfterValidator(_check_seen)] | None = None

    @field_validator("reason")
    @classmethod
    def _check_reason(cls, reason: str | None, info: ValidationInfo) -> str | None:
        outcome = info.data.get("outcome")
        if outcome is None:
            return reason
        fitting = [one for one, row in REASONS.items() if row.outcome == outcome]
        if reason is None and fitting:
            raise make_fault(f"{outcome} needs a reason (reason: {join_names(fitting)})")
        if reason is not None and reason not in fitting:
            known = f"; it has {join_names(fitting)}" if fitting else ", which has none: leave the key out"
            raise make_fault(f"{reason} is no reason of {outcome}{known}")
        return reason

    @field_validator("cipher")
    @classmethod
    def _check_cipher(cls, cipher: str | None, info: ValidationInfo) -> str | None:
        if cipher is not None and info.data.get("outcome", Outcome.PASS) != Outcome.PASS:
            raise make_fault(
                "a cipher is expected of cells that pass; leave the key out, or say outcome: pass"
            )
        return cipher
