"""Each benchmark at its smallest size: it runs and says something sensible. No time is asserted."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import record_samples
import samples
from shard_samples import best_cut, random_builds

from bench import __main__ as program
from bench import (
    builds,
    deciding,
    distributed,
    explore,
    figures,
    history,
    localise,
    machine,
    probes,
    report,
    scale,
    shards,
    site,
    transfer,
    warm,
)
from bench.local_cluster import Local
from bench.planted import judge, plant
from orchestrator.arch import ARCHES
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.plan.shards import BuildWithCells
from orchestrator.record.journal import ActionChanged, ClientsProved, Event
from orchestrator.record.model import RunRecord


def test_scale_plans_every_cell_in_a_process_of_its_own() -> None:
    section = scale.measure([1_000])
    ((cells, actions, *rest),) = section.rows
    # 4 HAProxy builds and sessions per library and version, fetched once each, 2 builds and self-tests of
    # each library, and five images.
    assert (cells, actions) == ("1,000", str(2 * 2 * 50 * 2 + 2 * 2 * 50 + 50 + 2 + 5))
    assert int(rest[-1]) > 10
    assert len(section.header) == len(section.rows[0])


@pytest.mark.parametrize("cells", scale.SHAPES)
def test_the_shapes_have_the_cells_that_they_say(cells: int) -> None:
    shape = scale.SHAPES[cells]
    assert 2 * len(scale.make_haproxy_versions(shape)) * len(set(scale.make_tls_versions(shape))) * 5 == cells


def test_report_renders_a_sample() -> None:
    ((cells, share, rendered, size, *_), *_others, bad) = report.measure(100, 150, open_it=False).rows
    assert (share, bad[0], bad[1]) == ("2 %", "150", "100 %")
    assert cells == "100"
    assert rendered.endswith(" s")
    assert float(size.removesuffix(" MiB")) > 0


def test_the_history_is_written_and_asked() -> None:
    ((name, results, memory, folders, slowest),) = history.measure(10, 3).rows
    assert (name, results) == ("SQLite", "80")
    assert min(int(memory.replace(",", "")), int(folders.replace(",", ""))) > 0
    assert slowest.endswith(" ms")


@pytest.mark.whole
def test_planted_faults_are_found_again() -> None:
    section = localise.measure(3, sizes=(2000,))
    for name in ("matrixctl explain", "matrixctl explain, seeds 500 to 999"):
        ours = [row for row in section.rows if row[0] == name]
        assert [row[1:3] for row in ours] == [("0%", "3"), ("5%", "3"), ("10%", "3")]
        assert ours[0][3:6] == ("100.0 %", "100.0 %", "0")
    assert all(len(row) == len(section.header) for row in section.rows)
    named = "`tls=libressl<4.0 cipher=TLS_CHACHA20_POLY1305_SHA256`"
    assert any("cells, 0% noise" in note and named in note for note in section.notes)


def test_the_cells_that_decide_are_held_against_the_fewest() -> None:
    one, two, three = (frozenset({number}) for number in range(3))
    assert deciding.count_fewest({one, two, three, one | two}, one | two | three) == 2
    choices = [choice for seed in range(20) for choice in deciding.weigh(deciding.make_run(seed))]
    assert choices
    assert all(choice.told == choice.tellable and choice.named == choice.fewest for choice in choices)


@pytest.mark.whole
def test_few_cells_find_planted_faults() -> None:
    section = explore.measure(4)
    assert [row[:2] for row in section.rows] == [("0%", "4"), ("5%", "4")]
    assert all(len(row) == len(section.header) for row in section.rows)
    start, end = (float(section.rows[0][column].removesuffix(" %")) for column in (2, 3))
    assert 0 < start <= end < 15
    (note,) = section.notes
    assert "`tls=libressl-3.9.2 negotiated=TLS_CHACHA20_POLY1305_SHA256`, as in the full matrix" in note
    assert note.endswith(": met.")


def test_a_planted_matrix_is_the_same_each_time_and_has_what_was_planted() -> None:
    planted = plant(3, noise=0.0)
    assert planted == plant(3, noise=0.0)
    assert planted != plant(3, noise=0.05)
    broken = [any(fault.holds(point) for fault in planted.faults) for point in planted.points]
    assert broken == [end is not None for end in planted.ends]


def test_a_fault_counts_as_found_only_if_it_is_that_fault() -> None:
    planted = next(
        one
        for one in (plant(seed, noise=0.0) for seed in range(50))
        if len(one.faults) == 1 and len(one.faults[0].conditions) == 2
    )
    (box,) = (fault.box for fault in planted.faults)
    assert judge(planted, [[box]]).exact
    first, second = box
    free = next(axis for axis in range(len(planted.sizes)) if axis not in {first[0], second[0]})
    longer = (*box, (free, (1 << planted.sizes[free]) - 1))
    for wrong in ([], [(first,)], [longer], [box, (second,)]):
        assert not judge(planted, [wrong]).exact
    assert judge(planted, [[box, (second,)]]).strange == 1


def test_the_site_is_made_and_made_again() -> None:
    section = site.measure(12, 4, open_it=False)
    ((shape, files, *_, written),) = section.rows
    assert shape == "4 x 12"
    assert 0 < int(written) < int(files)
    assert len(section.notes) == 4


def test_shards_are_held_against_the_optimum() -> None:
    made = shards.measure("quick", most=4)
    assert [row[0] for row in made.rows] == ["1", "2", "3", "4"]
    assert all(float(row[3]) >= 1 for row in made.rows)
    assert made.notes[1].endswith("(target: at most 1.15 times): met.")


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_is_not_above_the_best_cut(seed: int) -> None:
    found = random_builds(seed)
    for count in (2, 3):
        best = best_cut(found, count)
        bound = shards._Bound(found).find(count)
        assert 0.6 * best <= bound <= best, "of no use, or wrong"


@pytest.mark.parametrize("seed", range(20))
def test_runners_are_counted_exactly(seed: int) -> None:
    """Of builds that are alike for each library, as the bound makes them."""
    draw = random.Random(seed)
    groups = [
        (draw.choice([0, 60, 120]), draw.choice([50, 72, 80]), draw.randint(1, 2))
        for _ in range(draw.randint(1, 3))
    ]
    same = [
        BuildWithCells(
            name=f"{number}-{one}",
            runner="amd64",
            library=f"{number}" if library else "",
            seconds=seconds,
            library_seconds=library,
            cells=(),
        )
        for number, (library, seconds, builds) in enumerate(groups)
        for one in range(builds)
    ]
    for limit in (200, 280, 360):
        fewest = next(count for count in range(1, 10) if best_cut(same, count) <= limit)
        assert shards.count_runners(groups, limit) == fewest


def test_several_machines_are_told() -> None:
    here, there = distributed.Took(wall=1, cpu=0.5), distributed.Took(wall=14.5, cpu=10)
    cost = distributed.Cost(actions=1_000, here=here, there=there, waiting=160, wait=0.5, waited=25)
    nights = [distributed.simulate_night(workers, "quick") for workers in (1, 64)]
    local = Local(name="Ours", start=0.9, memory=36 << 20, each=0.00025, interrupted=0.2)
    made = distributed.make_section(cost, nights, [local])
    assert [row[0] for row in made.rows] == ["1", "64"]
    assert all(len(row) == len(made.header) for row in made.rows)
    assert float(made.rows[0][2]) > float(made.rows[1][2]) > 0
    assert made.notes[0].endswith("1 times (target: at least 0.9 times): met.")
    assert "by threads here: 1.00 ms (0.50 ms of CPU) each." in made.notes[2]
    assert "14.50 ms (10.00 ms of CPU), 14.5 times as long, 20.0 times the CPU." in made.notes[2]
    assert "80 % of the workers' time" in made.notes[3]
    assert made.notes[4].startswith("Ours: first action after 0.90 s, 36 MiB, 0.25 ms")


def test_trivial_actions_go_the_way_of_real_ones() -> None:
    assert distributed.time_here(distributed.make_actions(5)).wall > 0


@pytest.mark.soak
def test_workers_that_are_processes_are_timed() -> None:
    made = distributed.measure(20, 8, 0.1)
    assert len(made.notes) == 8
    assert "`LocalCluster`, processes: first action after" in made.notes[6]


def test_a_transfer_is_told() -> None:
    one = transfer.Transfer(
        title="quick",
        items=3,
        needed=5,
        unpacked=3 << 20,
        packed=1 << 20,
        export_s=1.25,
        import_s=0.5,
        saved_s=99.6,
    )
    images = transfer.Images(title="quick", count=2, packed=900 << 20, save_s=40, load_s=25, made_s=300)
    made = transfer.make_section([one], [images])
    assert made.rows == (("quick", "3 of 5", "3", "1", "1.2", "0.5", "100"),)
    assert made.notes[0] == (
        "quick: its 2 images are 900 MiB as one packed tar, made in 40 s,"
        " loaded into an engine without images in 25 s; making the images took 300 s."
    )
    never = transfer.make_section([one], [replace(images, load_s=None)])
    assert "made in 40 s; making" in never.notes[0]


@pytest.mark.browser
def test_report_is_opened_by_chromium() -> None:
    ((*_, opened, nodes, filtered), *_) = report.measure(100, 100).rows
    assert int(nodes.replace(",", "")) > 1000
    assert filtered.endswith(" ms")
    assert float(opened.removesuffix(" s")) > 0


def test_a_line_tells_the_fixed_part_from_the_part_per_cell() -> None:
    series = {n: [probes.Timed(wall_s=1.5 + 0.3 * n, curl_s=0.2 * n)] * 2 for n in (1, 2, 4, 8)}
    series[4].append(probes.Timed(wall_s=60, curl_s=0.8))
    line = probes.fit(series)
    assert line.fixed_s == pytest.approx(1.5)
    assert line.each_s == pytest.approx(0.1)
    assert probes.write_row("x", series) == ("x", "1.80", "2.10", "2.70", "3.90", "0.200", "0.100", "1.50")


def test_a_missed_target_is_said() -> None:
    good, bad = probes.judge("native", probes.Line(fixed_s=2.1, each_s=0.15))
    assert good.endswith("0.15 s (target: at most 0.15 s): met.")
    assert bad.endswith("2.1 s (target: at most 2 s): **missed**.")
    how, ratio = builds.make_section(ARCHES["arm64"], [60.0, 64.0], [480.0], jobs=2, qemu="7.2.22").notes
    assert how.endswith("The host's QEMU: 7.2.22.")
    assert ratio == "The cross-build is cheaper: 7.74 times (target: at least 8 times): **missed**."


def test_a_warm_run_is_told_by_its_record_and_its_journal() -> None:
    def took(seconds: float, proved: str) -> tuple[RunRecord, list[Event]]:
        sample = samples.quick()
        cells = [
            cell.model_copy(update={"duration_s": seconds / (10 if cell.axes.arch.name == "amd64" else 5)})
            for cell in sample.cells
        ]
        run = sample.run.model_copy(update={"duration_s": seconds})
        probe = record_samples.action("running").model_copy(update={"kind": "probe"})
        events: list[Event] = [
            ActionChanged(at="2026-11-28T10:00:00.000+00:00", action=record_samples.action("running")),
            ActionChanged(at="2026-11-28T10:00:01.000+00:00", action=probe),
            ClientsProved(at=f"2026-11-28T10:00:{proved}+00:00", clients=()),
            ActionChanged(at="2026-11-28T10:00:09.000+00:00", action=probe),
            ClientsProved(at="2026-11-28T10:00:10.000+00:00", clients=()),
        ]
        return sample.model_copy(update={"run": run, "cells": tuple(cells)}), events

    told = [took(2, "01.750"), took(8, "03.000"), took(3, "02.500")]
    section = warm.make_section(ARCHES["amd64"], told)
    assert section.rows == (
        ("median", "3.00", "1.50", "0.30", "0.60"),
        ("least", "2.00", "0.75", "0.20", "0.40"),
        ("most", "8.00", "2.00", "0.80", "1.60"),
    )
    assert [note.rpartition(" ")[2] for note in section.notes] == ["met.", "**missed**."]


def test_what_would_fail_after_an_hour_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(MatrixctlError, match="QEMU for arm64 registered with binfmt_misc"):
        builds.refuse_without_emulator(ARCHES["arm64"], tmp_path)
    (tmp_path / "qemu-aarch64").touch()
    builds.refuse_without_emulator(ARCHES["arm64"], tmp_path)


@pytest.mark.parametrize("text", ["", f"{figures.END}{figures.BEGIN}", f"{figures.BEGIN}{figures.END}" * 2])
def test_a_page_without_its_two_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "performance.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="two marks"):
        figures.write(page, _section("First", "1"))
    assert page.read_text() == text


def test_one_section_is_replaced_and_a_new_one_comes_last(tmp_path: Path) -> None:
    def read() -> str:
        return (
            page.read_text()
            .removeprefix(f"before\n{figures.BEGIN}\n")
            .removesuffix(f"{figures.END}\nafter\n")
        )

    page = tmp_path / "performance.md"
    page.write_text(f"before\n{figures.BEGIN}\n{figures.END}\nafter\n")
    texts = [figures.write_markdown(_section(title, "1")) for title in ("First", "Second", "Third")]
    for title in ("First", "Second", "Third"):
        figures.write(page, _section(title, "1"))
    assert read() == "\n" + "\n".join(texts) + "\n"
    figures.write(page, _section("Second", "2"))
    assert (
        read()
        == "\n" + "\n".join((texts[0], figures.write_markdown(_section("Second", "2")), texts[2])) + "\n"
    )


def _section(title: str, value: str) -> figures.Section:
    return figures.Section(key="x", title=title, header=("a",), rows=((value,),), notes=("note",))


def test_each_section_is_written_as_soon_as_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of figures is not lost because the last benchmark fails; each says on what it was measured."""

    def fail() -> figures.Section:
        raise MatrixctlError("no engine")

    page = tmp_path / "performance.md"
    page.write_text(f"{figures.BEGIN}\n{figures.END}\n")
    monkeypatch.setattr(program, "PAGE", page)
    monkeypatch.setattr(machine, "describe", lambda: "Measured somewhere.")
    with pytest.raises(MatrixctlError):
        program.measure(("one", "two"), {"one": lambda: _section("One", "1"), "two": fail}, write=True)
    assert "- note\n- Measured somewhere.\n" in page.read_text()


def test_the_pages_have_their_marks_and_the_figures_of_github() -> None:
    text = program.PAGE.read_text()
    for page in (program.PAGE, *program.OWN_PAGES.values()):
        assert page.read_text().count(figures.BEGIN) == page.read_text().count(figures.END) == 1
    assert [
        title
        for title in ("Shards", "Several machines", "Export and import of the store")
        if f"### {title}\n" not in text
    ] == []


@pytest.mark.soak
@pytest.mark.containers
def test_probes_time_a_session_and_the_plain_loop(engine: DockerEngine, store: Path) -> None:
    host = ARCHES[engine.describe().arch]
    section = probes.measure(host, store, say=print, sizes=(1, 2), rounds=1)
    assert [row[0].split(",")[0] for row in section.rows] == ["matrixctl", "plain loop"] * 2
    assert all(float(row[1]) > 0 for row in section.rows)
