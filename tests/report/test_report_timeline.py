"""The timeline of a run's actions: lanes, what waited for what, machines, gaps, and odd records."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import samples
from record_samples import action

from orchestrator.record.model import ActionRecord, ActionStatus, RunRecord, Span
from orchestrator.report import html, timeline

T0 = datetime(2026, 11, 22, 6, 58, 1, tzinfo=UTC)


def work(
    name: str,
    start: float,
    took: float | None,
    *needs: str,
    status: ActionStatus = "succeeded",
    shard: int | None = None,
) -> ActionRecord:
    kind, _, rest = name.partition(":")
    moment = (T0 + timedelta(seconds=start)).isoformat(timespec="milliseconds")
    span = Span(started_at=moment, duration_s=took, status=status, shard=shard)
    update = {"kind": kind, "name": rest, "needs": needs, "spans": (span,), "duration_s": took}
    return action(status).model_copy(update=update)


def run(*actions: ActionRecord) -> RunRecord:
    return samples.run(samples.large(4).cells).model_copy(update={"actions": actions})


def drawn(*actions: ActionRecord) -> timeline.Timeline:
    found = timeline.draw(run(*actions))
    assert found is not None
    return found


def test_what_overlaps_has_lanes_of_its_own() -> None:
    (machine,) = drawn(work("tls:a", 0, 50), work("tls:b", 10, 40), work("haproxy:c", 50, 50)).machines
    assert machine.lanes == 2
    assert [(bar.x, bar.width, bar.y // 14, bar.look) for bar in machine.bars] == [
        (0, 500, 0, "tls"),
        (100, 400, 1, "tls"),
        (500, 500, 0, "haproxy"),
    ]


def test_the_chain_is_what_each_waited_for_longest() -> None:
    found = drawn(
        work("source:s", 0, 2),
        work("tls:t", 0, 30),
        work("haproxy:h", 40, 60, "source:s", "tls:t"),
        work("probe:other", 50, 5, "source:s"),
        work("probe:p", 100, 10, "haproxy:h"),
    )
    assert [(one.action.key, one.began, one.took, one.idle) for one in found.steps] == [
        ("tls:t", "+0.00 s", "30.0 s", "–"),  # noqa: RUF001 - a dash in a table
        ("haproxy:h", "+40.0 s", "1 min 00 s", "10.0 s"),
        ("probe:p", "+1 min 40 s", "10.0 s", "–"),  # noqa: RUF001 - a dash in a table
    ]
    (machine,) = found.machines
    assert machine.chain.count("M") == 2
    assert machine.waits.count("M") == 1


def test_what_is_probed_once_more_waited_for_all_before_it() -> None:
    found = drawn(
        work("haproxy:h", 0, 20),
        work("probe:p", 20, 10, "haproxy:h"),
        work("probe:elsewhere", 20, 11.5, shard=2),
        work("probe:confirm--p", 32, 8),
        work("probe:trace--p", 40, 5),
    )
    assert [(one.action.name, one.idle) for one in found.steps] == [
        ("h", "–"),  # noqa: RUF001 - a dash in a table
        ("p", "–"),  # noqa: RUF001 - a dash in a table
        ("confirm--p", "2.00 s"),
        ("trace--p", "–"),  # noqa: RUF001 - a dash in a table
    ]


def test_cached_and_cut_off_actions_are_not_on_it() -> None:
    found = drawn(
        work("tls:a", 0, 50),
        work("tls:b", 0, 0.1, status="cached"),
        work("tls:c", 9, None, status="interrupted"),
    )
    assert [bar.title for machine in found.machines for bar in machine.bars] == ["tls a: 50.0 s"]
    assert found.notes == (
        "What was cached is not on it: 1 action.",
        "What was cut off is not on it: 1 action.",
    )


def test_a_resumed_run_leaves_out_the_night_between() -> None:
    first, again = work("tls:a", 0, 100), work("tls:a", 30_000, 100)
    found = drawn(first.model_copy(update={"spans": (*first.spans, *again.spans)}))
    assert (found.took_s, found.breaks) == (200, (50,))
    assert [(bar.x, bar.width) for bar in found.machines[0].bars] == [(0, 500), (500, 500)]
    assert "left out, at each dashed line: 8 h 18 min" in found.notes[0]


def test_each_machine_of_a_merged_run_has_lanes_of_its_own() -> None:
    found = drawn(work("tls:a", 0, 50, shard=1), work("tls:b", 60, 50, "tls:a", shard=0))
    assert [machine.lanes for machine in found.machines] == [1, 1]
    assert [step.action.key for step in found.steps] == ["tls:b"], "another machine's work is not waited for"


def test_many_actions_stay_small() -> None:
    actions = [work(f"probe:{i}", i // 4 * 5, 5 + i % 3 / 10, "source:s") for i in range(5000)]
    record = run(*actions)
    found = timeline.draw(record)
    assert found is not None
    assert sum(len(machine.bars) for machine in found.machines) <= 160
    assert found.notes[-1].endswith("longest of 5000 have a name to point at.")
    page = html.render(record)
    start = page.index('<details class="timeline"')
    assert page.index("</details>", start) - start < 120_000
    assert len(re.findall("<(rect|path|text|line)", page[start : page.index("</details>", start)])) < 250


@pytest.mark.parametrize(
    "odd",
    [
        {"started_at": "yesterday"},
        {"started_at": "2026-11-22"},
        {"duration_s": float("inf")},
        {"duration_s": None},
    ],
)
def test_what_makes_no_sense_is_left_out(odd: dict[str, object]) -> None:
    one = work("tls:a", 0, 50)
    record = run(one.model_copy(update={"spans": (one.spans[0].model_copy(update=odd),)}))
    assert timeline.draw(record) is None
    assert 'class="timeline"' not in html.render(record)


def test_absurd_durations_are_drawn_as_any_other() -> None:
    (machine,) = drawn(work("tls:a", 0, 1.5e308), work("tls:b", 0, -7)).machines
    assert [(bar.x, bar.width) for bar in machine.bars] == [(0, 2), (0, 1000)]


def test_a_record_from_before_has_none() -> None:
    page = html.render(run(action("succeeded")))
    assert 'class="timeline"' not in page
    assert ">began" not in page


def test_the_page_says_when_each_began() -> None:
    page = html.render(run(work("tls:a", 0, 50), work("haproxy:b", 50, 20, "tls:a")))
    assert '<td class="num">+50.0 s<td class="num">20.0 s' in page
    assert "<title>haproxy b: 20.0 s</title>" in page
