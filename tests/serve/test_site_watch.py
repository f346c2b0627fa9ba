"""The server's look at the history, a file's or a database's: each change is seen, and nothing else is."""

from pathlib import Path

from samples import mixed

from orchestrator.app.history import add_run
from orchestrator.record.history.history import History
from orchestrator.record.history.place import HistoryPlace
from orchestrator.record.model import RunRecord
from orchestrator.serve.watch import SiteWatch

pytest_plugins = ["databases"]


def night(day: int) -> RunRecord:
    record = mixed()
    run = {"id": f"202611{day:02}-020000-0001", "series": "nightly", "started_at": f"2026-11-{day}T02:00:00Z"}
    return record.model_copy(update={"run": record.run.model_copy(update=run)})


def test_the_pages_follow_the_history(place: HistoryPlace, tmp_path: Path) -> None:
    watch = SiteWatch(place, tmp_path / "site", None)
    with History(place) as kept:
        add_run(kept, night(20))
    assert watch.make()
    assert watch.has_pages
    assert watch.make() is None, "nothing has changed"
    with History(place) as kept:
        add_run(kept, night(21))
    written = watch.make()
    assert written
    assert written.changed
    with History(place) as kept:
        add_run(kept, night(19))  # imported late
    assert watch.make(), "an older night has changed it as well"
    assert (tmp_path / "site" / "runs" / "20261119-020000-0001.html").is_file()
    with History(place) as kept:
        kept.remove(["20261119-020000-0001"])
    assert watch.make(), "so does one that is gone"
    assert not (tmp_path / "site" / "runs" / "20261119-020000-0001.html").exists()
