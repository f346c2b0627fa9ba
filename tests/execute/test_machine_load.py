"""The load of the machine, beside each attempt."""

import os
from pathlib import Path

import pytest

from orchestrator.execute.system.load import LoadMeter


def test_the_steal_is_that_between_two_measurements(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 0 0 0 100 50 0\ncpu0 1\n")
    meter = LoadMeter(stat=stat)
    stat.write_text("cpu  100 0 100 760 0 0 0 140 99 0\ncpu0 1\n")
    first, second = meter.measure(), meter.measure()
    assert first is not None
    assert second is not None
    assert first.steal == pytest.approx(0.4)
    assert first.cpus >= 1
    assert first.average >= 0
    assert second.steal is None, "no time has passed"


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2 3", "cpu a b c d e f g h"])
def test_a_kernel_that_does_not_tell_is_not_made_up_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "stat").write_text(text)
    found = LoadMeter(stat=tmp_path / "stat").measure()
    assert found is not None
    assert found.steal is None


def test_a_system_without_an_average_has_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """getloadavg(3) fails where /proc is not mounted; an attempt is judged all the same."""

    def getloadavg() -> tuple[float, float, float]:
        raise OSError("Load averages are unobtainable")

    monkeypatch.setattr(os, "getloadavg", getloadavg)
    assert LoadMeter().measure() is None


def test_the_real_one_tells() -> None:
    meter = LoadMeter()
    assert meter._before is not None
