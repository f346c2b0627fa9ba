"""The rules of the matrix and their results, those that need attention first."""

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.outcome import Verdict
from orchestrator.record.model import Expected, Rule, RunRecord
from orchestrator.report import summary

_PLAIN = re.compile(r"[!#-;=?-~]+")


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    """One rule with the verdicts of the cells that it decided in this run, worst first."""

    rule: Rule
    verdicts: tuple[tuple[Verdict, int], ...]

    @property
    def state(self) -> str:
        """Return ``stale``, ``unmet`` (no cell of the whole matrix fits), or nothing."""
        return "stale" if self.rule.stale else "" if self.rule.met else "unmet"

    @property
    def needed(self) -> bool:
        """Return whether a reader of this run needs the rule: it decided a cell, or needs attention."""
        return bool(self.verdicts or self.state)


def list_rules(record: RunRecord) -> tuple[RuleLine, ...]:
    """Return every rule: stale ones, then those that fit no cell, then the rest as the file has them."""
    found: Counter[tuple[str, Verdict]] = Counter(
        (cell.expected.rule, summary.find_verdict(cell)) for cell in record.cells if cell.expected
    )
    made = (
        RuleLine(
            rule=rule,
            verdicts=tuple(
                (name, found[rule.place, name]) for name in summary.VERDICTS if found[rule.place, name]
            ),
        )
        for rule in record.rules
    )
    return tuple(sorted(made, key=lambda line: ("stale", "unmet", "").index(line.state)))


def describe_expected(expected: Expected | Rule) -> str:
    """Return what was expected: ``fail: handshake-then-hang``, or ``pass with TLS_AES_128_GCM_SHA256``."""
    reason = f": {expected.reason}" if expected.reason else ""
    return f"{expected.outcome}{reason}{f' with {expected.cipher}' if expected.cipher else ''}"


def describe(expected: Expected) -> str:
    """Return the same with its reason and its place, on one line of plain text."""
    stale = f"; stale: {expected.stale}" if expected.stale else ""
    place = f" ({expected.rule})" if expected.rule else ""
    return f"{describe_expected(expected)}, because {expected.because}{place}{stale}"


def check_link(address: str) -> str | None:
    """Return the address if a page may link to it: http or https, with a host; else ``None``."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if parts.scheme in {"http", "https"} and parts.netloc else None


def is_plain_link(address: str) -> bool:
    """Return whether ``address`` may stand between angle brackets of Markdown: nothing in it ends them."""
    return check_link(address) is not None and _PLAIN.fullmatch(address) is not None
