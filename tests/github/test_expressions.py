"""The evaluator of expressions: what GitHub documents of them. What it does not know is an error."""

from typing import Any

import pytest
from expressions import ExpressionError, Scope

SCOPE = Scope(
    {
        "inputs": {"name": "O'Hara", "empty": ""},
        "github": {"event_name": "pull_request", "sha": "abc"},
        "needs": {"plan": {"result": "success", "outputs": {"matrix": '{"include": [{"a": 1}]}'}}},
    }
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.name", "O'Hara"),
        ("inputs.name == 'o''hara'", True),
        ("inputs.unset || github.sha", "abc"),
        ("inputs.empty && 'x' || 'y'", "y"),
        ("!startsWith(github.event_name, 'pull_request')", False),
        ('contains(fromJSON(\'["push", "PULL_request"]\'), github.event_name)', True),
        ("contains(fromJSON('[\"push\"]'), github.event_name)", False),
        ("fromJSON(needs.plan.outputs.matrix)", {"include": [{"a": 1}]}),
        ("!cancelled() && needs.plan.result == 'success'", True),
        ("needs.plan.outputs.unset != ''", False),
        ("needs.plan.outputs.unset == 'success'", False),
        ("(true && false) || null", None),
    ],
)
def test_what_is_documented(text: str, value: Any) -> None:
    assert SCOPE.evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "secrets.TOKEN",
        "github.head_ref",
        "needs.plans.result",
        "hashFiles('x')",
        "contains('a', 'b')",
        "inputs.name[0]",
        "inputs.name == ",
        "'open",
        "1 < 2",
        "(true",
        "true false",
    ],
)
def test_what_is_not_known_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        SCOPE.evaluate(text)


def test_text_around_an_expression_makes_a_text_of_it() -> None:
    assert SCOPE.fill({"a": ["x-${{ github.sha }}-${{ inputs.unset }}", 3]}) == {"a": ["x-abc-", 3]}
    assert SCOPE.fill("${{ true }}") is True
    with pytest.raises(ExpressionError):
        SCOPE.fill("x${{ fromJSON('{}') }}")


@pytest.mark.parametrize(
    ("status", "condition", "holds"),
    [
        ("success", "inputs.name != ''", True),
        ("failure", "inputs.name != ''", False),
        ("failure", "always()", True),
        ("failure", "${{ !cancelled() && inputs.name != '' }}", True),
        ("failure", "failure()", True),
        ("success", "failure()", False),
        ("success", "inputs.empty", False),
    ],
)
def test_a_condition_wants_that_all_went_well_unless_it_asks(
    status: str, condition: str, holds: bool
) -> None:
    assert Scope(SCOPE.contexts, status).holds(condition) is holds
