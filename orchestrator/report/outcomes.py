"""The outcome table as Markdown: the one in docs/outcomes.md is printed by this module."""

from orchestrator.outcome import REASONS, Outcome, outcome_exit

_WHO = {
    Outcome.PASS: "all is well",
    Outcome.FAIL: "the product fails",
    Outcome.MISBUILT: "what ran is not what was declared",
    Outcome.ERROR: "the harness failed",
    Outcome.BLOCKED: "a prerequisite is missing",
    Outcome.UNSUPPORTED: "declared to be impossible",
}


def table() -> str:
    """Every outcome, each with its reasons and the exit code that it causes."""
    lines = ["| outcome | reason | meaning | exit code |", "|---|---|---|---|"]
    for outcome, who in _WHO.items():
        code = (
            "4; 0 with `--allow-blocked`" if outcome is Outcome.BLOCKED else str(int(outcome_exit(outcome)))
        )
        lines.append(f"| **`{outcome}`** | | {who} | {code} |")
        rows = [info for info in REASONS.values() if info.outcome is outcome]
        lines.extend(f"| | `{info.reason}` | {info.meaning} | |" for info in rows)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201 - this is what the module is run for
