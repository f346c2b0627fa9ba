"""The tables of outcomes and verdicts as Markdown: those in docs/outcomes.md are printed by this module."""

from dataclasses import dataclass

from orchestrator.outcome import (
    REASONS,
    Expectation,
    Outcome,
    Reason,
    Verdict,
    find_exit_code,
    find_verdict,
    find_verdict_exit,
)

_WHO = {
    Outcome.PASS: "all is well",
    Outcome.FAIL: "the product fails",
    Outcome.MISBUILT: "what ran is not what was declared",
    Outcome.ERROR: "the harness failed",
    Outcome.BLOCKED: "a prerequisite is missing",
    Outcome.UNSUPPORTED: "declared to be impossible",
}


@dataclass(frozen=True)
class _Assumption:
    """What a row of the table of verdicts takes for granted."""

    outcome: Outcome
    reason: Reason | None
    rule: str = "matrix.yaml:1"


_A_FAILURE = _Assumption(Outcome.FAIL, Reason.HANDSHAKE_THEN_HANG)
_NO_RESULT = _Assumption(Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)
_DECLARED = _Assumption(Outcome.UNSUPPORTED, Reason.LIBRARY_CANNOT, rule="")
_ROWS: dict[str, Expectation | None] = {
    "nothing: no rule, nothing declared": None,
    "declared `unsupported`": _DECLARED,
    "a rule: `pass`": _Assumption(Outcome.PASS, None),
    "a rule: `fail` or `misbuilt`": _A_FAILURE,
    "a rule: `unsupported`, `blocked` or `error`": _NO_RESULT,
}


def write_table() -> str:
    """Return every outcome, its reasons, and the exit code that it causes where nothing else is expected."""
    lines = ["| outcome | reason | meaning | exit code |", "|---|---|---|---|"]
    for outcome, who in _WHO.items():
        lines.append(f"| **`{outcome}`** | | {who} | {_describe_exit(outcome)} |")
        rows = [info for info in REASONS.values() if info.outcome is outcome]
        lines.extend(f"| | `{info.reason}` | {info.meaning} | |" for info in rows)
    return "\n".join(lines)


def _describe_exit(outcome: Outcome) -> str:
    def code(expected: Expectation | None, *, allow_blocked: bool = False) -> str:
        cell = (outcome, find_verdict(outcome, expected.reason if expected else None, expected))
        return str(int(find_exit_code([cell], allow_blocked=allow_blocked)))

    plain = code(None)
    if outcome is Outcome.BLOCKED:
        return f"{plain}; {code(None, allow_blocked=True)} with `--allow-blocked`"
    if outcome is Outcome.UNSUPPORTED:
        return f"{code(_DECLARED)}; {plain} where nothing declares it"
    return plain


def write_verdicts() -> str:
    """Return the verdict of each outcome by what is expected, then the exit code of each verdict."""
    head = [
        "expected",
        "`pass`",
        "just that",
        "`fail`, `misbuilt`",
        "`unsupported`",
        "`blocked`, `error`, none",
    ]
    lines = [_write_row(head), "|---" * len(head) + "|"]
    for name, expected in _ROWS.items():
        same = find_verdict(expected.outcome, expected.reason, expected) if expected else Verdict.AS_EXPECTED
        seen = (
            find_verdict(Outcome.PASS, None, expected),
            same,
            find_verdict(Outcome.FAIL, Reason.WRONG_BODY, expected),
            find_verdict(Outcome.UNSUPPORTED, Reason.CLIENT_CANNOT_OFFER, expected),
            find_verdict(Outcome.ERROR, Reason.DEADLINE, expected),
        )
        lines.append(_write_row([name, *(str(one) for one in seen)]))
    lines += ["", _write_row(["verdict", "meaning", "exit code"]), "|---" * 3 + "|"]
    lines += [_write_row([f"`{one}`", one.meaning, str(int(find_verdict_exit(one)))]) for one in Verdict]
    return "\n".join(lines)


def _write_row(parts: list[str]) -> str:
    return f"| {' | '.join(parts)} |"


if __name__ == "__main__":
    print(write_table(), write_verdicts(), sep="\n\n")  # noqa: T201 - this is what the module is run for
