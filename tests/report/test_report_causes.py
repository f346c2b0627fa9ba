"""One fault is one group and one line, however many reasons its cells show."""

from pathlib import Path

import nights
import samples
from samples import LIBRESSL, SUITES, haproxy, product

from orchestrator.cli.closing import write_closing
from orchestrator.outcome import Reason
from orchestrator.record.model import Axes, RunRecord
from orchestrator.report import explanation, github_summary, headline, html, markdown
from orchestrator.report.causes import count_causes, name_cause, name_causes
from orchestrator.report.groups import group_cells

FAULT = "LibreSSL 3.9.2 cannot open in place what it sealed with TLS_CHACHA20_POLY1305_SHA256"
SENTENCE = "5 regressions in 20 cells, 1 cause: " + FAULT


def one_fault() -> RunRecord:
    """ChaCha20 of LibreSSL 3.9.2: two architectures, two reasons, and two texts of the self-test."""

    def judge(axes: Axes) -> Reason | None:
        if axes.tls.name != LIBRESSL.name or axes.cipher.name not in {SUITES[2], "default"}:
            return None
        if axes.arch.name == "amd64":
            return Reason.HANDSHAKE_THEN_HANG if axes.cipher.name == SUITES[2] else None
        return Reason.SERVER_CRASHED

    record = samples.run(
        product(judge, [haproxy("2.8.9"), haproxy("2.9.3")], [LIBRESSL], arches=samples.ARCH_VALUES)
    )
    details = {"amd64": "16 bytes at offset 1", "arm64": "48 bytes at offset 3"}
    cells = [
        cell.model_copy(
            update={"cause": f"{FAULT} (EVP_CIPHER: {details[cell.axes.arch.name]}); out of it, yes."}
        )
        if cell.reason
        else cell
        for cell in record.cells
    ]
    # The last crash passed, so that five cells are left.
    spared = samples.cell(cells[-1].axes, None)
    return record.model_copy(update={"cells": (*cells[:-1], spared)})


def test_the_headline_counts_causes_and_names_them() -> None:
    assert headline.write_parts(one_fault())[0] == SENTENCE


def test_without_a_self_test_the_headline_counts_the_clusters_of_the_page() -> None:
    cells = tuple(cell.model_copy(update={"cause": ""}) for cell in one_fault().cells)
    hangs = tuple(
        samples.cell(cell.axes, Reason.HANDSHAKE_THEN_HANG)
        if cell.axes.cipher.name == SUITES[2]
        else samples.cell(cell.axes, None)
        for cell in cells
    )
    record = one_fault().model_copy(update={"cells": hangs})
    (shown,) = explanation.show(record)
    count = len(explanation.list_explained((shown,)))
    said = (
        f"{count} regressions in 20 cells, 1 cause: handshake-then-hang with {' '.join(shown.cluster.when)}"
    )
    assert headline.write_parts(record)[0] == said
    assert said in html.render(record).replace("&lt;", "<")
    assert headline.write_parts(record, ())[0].startswith(
        f"{count} regressions in 20 cells: handshake-then-hang"
    )
    assert "1 cause" not in headline.write_parts(record, ())[0], "where nobody explains it"


def test_cells_of_one_cause_are_one_group_with_their_reasons_counted() -> None:
    (group,) = (one for one in group_cells(one_fault()) if not one.quiet)
    assert (group.title, len(group.cells)) == (f"regression: {FAULT}", 5)
    assert group.meaning == "3 server-crashed, 2 handshake-then-hang"
    assert group.cause.startswith(f"{FAULT} (EVP_CIPHER: 16 bytes")


def test_clusters_of_one_cause_are_told_together() -> None:
    record = one_fault()
    (shown,) = explanation.show(record)
    assert {one.reason for one in shown.every} == {Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED}
    assert shown.title == f"{FAULT}, 4 cells"
    left = {cell.id for cell in record.cells if cell.reason} - explanation.list_explained((shown,))
    assert len(left) == 1, "one cell proves no combination"


def test_every_output_says_the_same() -> None:
    record = one_fault()
    terminal = "\n".join(line.plain for line in write_closing(record, Path("run")))
    for output in (html.render(record), markdown.render(record), github_summary.render(record), terminal):
        assert FAULT in output.replace("&#95;", "_").replace("\\_", "_")
    for output in (html.render(record), markdown.render(record), github_summary.render(record)):
        assert "1 cause: LibreSSL" in output
    assert terminal.count("regression: ") == 1
    assert markdown.render(record).count("### ✕ ") == 1


def test_a_reason_alone_says_where() -> None:
    cells = [cell for cell in nights.bad().cells if cell.reason is Reason.NO_QUIC]
    (name,) = name_causes(cells, nights.bad().cells)
    assert name == "no-quic, each with arch=amd64 haproxy=master tls=wolfssl-5.7.2"
    assert count_causes(cells) == 0


def test_a_self_test_that_could_not_be_read_is_no_cause() -> None:
    assert name_cause("What the self-test says of it cannot be told: it is cut off") == ""
    assert name_cause("") == ""
