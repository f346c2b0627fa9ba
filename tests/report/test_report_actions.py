"""Which actions took longest, also in a record that somebody else may have written."""

import sys

import pytest
from record_samples import action

from orchestrator.report import actions, units


def test_less_than_no_time_is_none() -> None:
    odd = [action("succeeded").model_copy(update={"duration_s": seconds}) for seconds in (7e-193, -1.1e300)]
    assert [one.share for one in actions.find_slowest(odd)] == [120, 0]
    assert [one.took_s for one in actions.list_kinds(odd)] == [7e-193]


@pytest.mark.parametrize("seconds", [1.5e306, sys.float_info.max])
def test_absurd_durations_are_shown_as_any_other(seconds: float) -> None:
    absurd = [action("succeeded").model_copy(update={"duration_s": seconds}) for _ in range(2)]
    assert {one.share for one in actions.find_slowest(absurd)} == {120}
    (kind,) = actions.list_kinds(absurd)
    assert units.format_duration(kind.took_s).endswith(" min")
