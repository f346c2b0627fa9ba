"""A site that is made again has the same pages as a new one, and makes only those that changed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fake_nights import FAULT, NIGHTS
from site_samples import MORNING, Series

from orchestrator.analyse.nights import Flakiness
from orchestrator.app.history import add_run, import_run
from orchestrator.atomic_files import SITE_MANIFEST
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.find import read_run
from orchestrator.record.history.history import History
from orchestrator.site.cell import Known
from orchestrator.site.pages import Frame
from orchestrator.site.site import make_site
from orchestrator.site.year import Night, Year

Change = Callable[[Series], None]


def folders(series: Series) -> list[Path]:
    """The runs, the oldest first."""
    return sorted(path for path in series.reports.iterdir() if (path / "run.json").exists())


def drop(series: Series, *numbers: int) -> None:
    with History(series.place) as kept:
        kept.remove([folders(series)[number].name for number in numbers])


def bring(series: Series, *numbers: int) -> None:
    with History(series.place) as kept:
        for number in numbers:
            import_run(kept, folders(series)[number])


def change_old(series: Series) -> None:
    """Say of the night before the fault that it did not judge a cell."""
    folder = folders(series)[min(FAULT) - 1]
    record = read_run(folder)
    first = record.cells[0].model_copy(
        update={
            "outcome": Outcome.BLOCKED,
            "reason": Reason.SOURCE_UNREACHABLE,
            "verdict": Verdict.NOT_JUDGED,
            "message": "it was another one",
        }
    )
    drop(series, min(FAULT) - 1)
    with History(series.place) as kept:
        add_run(kept, record.model_copy(update={"cells": (first, *record.cells[1:])}), folder=str(folder))


def pages_of(out: Path) -> Mapping[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and path.name != SITE_MANIFEST)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("before", "change"),
    [
        pytest.param(lambda own: drop(own, NIGHTS - 1), lambda own: bring(own, NIGHTS - 1), id="one more"),
        pytest.param(lambda _: None, change_old, id="an old one changed"),
        pytest.param(lambda _: None, lambda own: drop(own, 0, 1, 2), id="pruned"),
        pytest.param(
            lambda own: drop(own, min(FAULT)), lambda own: bring(own, min(FAULT)), id="an older one imported"
        ),
    ],
)
def test_a_site_made_again_is_a_new_one(own: Series, tmp_path: Path, before: Change, change: Change) -> None:
    before(own)
    again, new = tmp_path / "again", tmp_path / "new"
    own.build(again)
    change(own)
    own.build(again)
    own.build(new)
    assert pages_of(again) == pages_of(new)


def keys(year: Year) -> dict[str, str]:
    known = Known(details={}, evidence={}, without="")
    pages = make_site(year, known, now=MORNING + timedelta(hours=1), tool="t")
    return {page.path: page.key for page in pages if page.key}


def with_impossible_cell(night: Night) -> Night:
    """Return the night with a cell that was declared impossible, as each real one has."""
    name, result = next(iter(night.results.items()))
    impossible = result._replace(
        outcome=Outcome.UNSUPPORTED, verdict=Verdict.AS_EXPECTED, alarm=None, tone="untried"
    )
    return replace(night, results={**night.results, name: impossible})


def test_a_night_that_falls_out_of_the_year_changes_no_later_run(year: Year) -> None:
    whole = replace(year, nights=tuple(map(with_impossible_cell, year.nights)))
    later = replace(whole, nights=whole.nights[1:])
    first = {*keys(whole).items()} - {*keys(later).items()}
    assert {path.partition(".")[0] for path, _ in first} == {
        f"runs/{night.id}" for night in whole.nights[:2]
    }, "the page of the second night leads to the first"


def test_an_alarm_that_has_another_key_changes_the_pages_that_lead_to_it(year: Year) -> None:
    """It has it from the nights before: those may have been imported later than it."""
    number = min(FAULT)
    (alarm, *others) = year.nights[number].alarms
    night = replace(year.nights[number], alarms=(replace(alarm, key="another"), *others))
    nights = (*year.nights[:number], night, *year.nights[number + 1 :])
    changed = {*keys(replace(year, nights=nights)).items()} - {*keys(year).items()}
    assert {f"runs/{night.id}.{kind}" for kind in ("html", "json", "js")} <= {path for path, _ in changed}


def test_another_cell_that_is_as_flaky_changes_the_page(year: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where older nights were imported again that end otherwise."""
    flaky = Flakiness(since="", nights=9, attempts=9, failed=1, low=0.0, high=0.4, failures=("fail",))
    first, second, *_ = year.last.results

    def keys_where_flaky(cell: str) -> dict[str, str]:
        monkeypatch.setattr(Frame, "find_flaky", lambda *_: {cell: flaky})
        return keys(year)

    changed = {*keys_where_flaky(first).items()} - {*keys_where_flaky(second).items()}
    assert f"runs/{year.last.id}.html" in {path for path, _ in changed}
