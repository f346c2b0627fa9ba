"""How long a rule holds: up to a day, or up to a version of HAProxy or of a TLS family."""

import re
from dataclasses import dataclass
from datetime import date

from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.matrix.model import Cell
from orchestrator.phrases import join_names, quote
from orchestrator.versions import Version

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_COMPONENTS = ("haproxy", *FAMILIES)


@dataclass(frozen=True, kw_only=True)
class Until:
    """The last day, or the last version of one family, for which a rule holds."""

    day: date | None = None
    family: str = ""
    version: Version | None = None

    def explain_past(self, cell: Cell, today: date) -> str:
        """Return why a rule is out of date for a cell, or an empty string.

        A version counts with its series, as in filters: 3.0.11 is not past "haproxy 3.0". A cell whose
        version has no order, as ``distro``, is never past any.
        """
        if self.day is not None:
            return f"it was to hold until {self.day}, and today is {today}" if today > self.day else ""
        for software in (cell.haproxy, cell.tls):
            if self.version is not None and software.family == self.family:
                return self._explain_past_version(software.version)
        return ""

    def _explain_past_version(self, text: str) -> str:
        try:
            past = self.version is not None and not Version.parse(text).is_at_most(self.version)
        except ValueError:
            return ""
        return f"it was to hold until {self.family} {self.version}, and this is {text}" if past else ""


def parse_until(text: str) -> Until:
    """Read ``2027-01-31``, ``haproxy 3.0.11`` or ``libressl 3.9.2``.

    :raises ValueError: for anything else.
    """
    if _DAY.fullmatch(text):
        try:
            return Until(day=date.fromisoformat(text))
        except ValueError as error:
            raise ValueError(f"{quote(text)} is no day: {error}") from None
    family, _, version = text.partition(" ")
    if family not in _COMPONENTS or not version.strip():
        raise ValueError(
            f"{quote(text)} is neither a day (2027-01-31) nor a component and a version (haproxy 3.0.11);"
            f" components: {join_names(_COMPONENTS)}"
        )
    return Until(family=family, version=Version.parse(version.strip()))
