"""The button "Copy as Markdown" of a cell's panel, in a real Chromium."""

import pytest
import samples
from browsing import Reader
from markdown_it import MarkdownIt
from selenium.webdriver.common.by import By

from orchestrator.record.model import Backtrace, RunRecord, Traced

pytestmark = pytest.mark.browser

CELL = "c-arm64.haproxy-2.8.9.libressl-3.9.2.TLS_CHACHA20_POLY1305_SHA256"
HOSTILE = "`x` | <b>bold</b> **strong** [a](javascript:1) ![i](x) # @you #1 &lt;"
_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => {%s}}})"


def press(reader: Reader, record: RunRecord, written: str) -> None:
    reader.open(record, f"#{CELL}")
    reader.driver.execute_script(_CLIPBOARD % written)
    (button,) = reader.all(f"[id='{CELL}'] .asmarkdown")
    button.click()


def hostile() -> RunRecord:
    record = samples.mixed()
    cells = (cell.model_copy(update={"message": HOSTILE}) for cell in record.cells)
    return record.model_copy(update={"cells": tuple(cells)})


def test_a_panel_is_copied_as_markdown_that_says_what_it_says(reader: Reader) -> None:
    press(reader, samples.mixed(), "window.copied = text")
    text = str(reader.js("window.copied"))
    assert text.startswith("### arm64.haproxy-2.8.9.libressl-3.9.2.TLS\\_CHACHA20\\_POLY1305\\_SHA256\n")
    assert "nothing came for 8.0 s" in text
    assert "\n- execution: emulated on amd64, QEMU 7.2.19" in text
    assert "\nmatrixctl run --cell arm64.haproxy-2.8.9.libressl-3.9.2" in text
    shown = MarkdownIt().enable("table").render(text)
    assert shown.count("<table>") == 2
    assert "<td>get-1k</td>" in shown
    assert reader.complaints() == []


def test_what_others_have_said_is_no_markup_in_it(reader: Reader) -> None:
    press(reader, hostile(), "window.copied = text")
    shown = MarkdownIt().enable("table").render(str(reader.js("window.copied")))
    for markup in ("<b>", "<strong>", "<a ", "<img", "<code>x</code>"):
        assert markup not in shown
    assert "&lt;b&gt;bold&lt;/b&gt; **strong** [a](javascript:1)" in shown


def test_where_the_clipboard_is_closed_the_text_is_there_to_be_taken(reader: Reader) -> None:
    press(reader, samples.mixed(), "throw new Error('no')")
    area = reader.one(f"[id='{CELL}']").find_element(By.TAG_NAME, "textarea")
    assert str(area.get_attribute("value")).startswith("### arm64.haproxy-2.8.9")
    assert reader.js("document.activeElement.tagName") == "TEXTAREA"


FRAMES = (
    "#0  0x0000005500a3c1f4 in open_in_place (len=1200) at e_chacha.c:412",
    "#1  qc_rx_pkts () at quic_rx.c:1201",
)


def crash() -> RunRecord:
    """The cell with a backtrace of two frames, and a second, traced run that lacks two things."""
    record = samples.mixed()
    cell = next(cell for cell in record.cells if cell.id == CELL.removeprefix("c-"))
    assert cell.outcome is not None
    seen = Backtrace(tries=1, signal="SIGSEGV", frames=FRAMES, symbols="its own", problem="", evidence=None)
    traced = Traced(
        outcome=cell.outcome,
        reason=cell.reason,
        message="",
        started_at="2026-11-22T07:00:00Z",
        duration_s=7.0,
        negotiated_cipher=None,
        evidence=("cells/a/traced/capture.pcapng",),
        missing=("a qlog was left out", "the keys were cut"),
    )
    changed = cell.model_copy(update={"backtrace": seen, "traced": traced})
    return record.model_copy(update={"cells": (changed,)})


def test_a_backtrace_is_copied_frame_by_frame(reader: Reader) -> None:
    """An issue shows each frame in a line of its own, as gdb wrote it; what was left out as well."""
    press(reader, crash(), "window.copied = text")
    text = str(reader.js("window.copied"))
    assert "\n```\n" + "\n".join(FRAMES) + "\n```\n" in text
    shown = MarkdownIt().enable("table").render(text)
    for line in ("a qlog was left out", "the keys were cut", "capture.pcapng"):
        assert f"<li>{line}</li>" in shown


def test_a_panel_that_is_drawn_on_demand_is_copied_as_well(reader: Reader) -> None:
    """One that passes is made from the page's data, and has its buttons once."""
    name = "amd64.haproxy-2.8.9.libressl-3.9.2.TLS_AES_128_GCM_SHA256"
    reader.open(samples.mixed(), f"#c-{name}")
    reader.driver.execute_script(_CLIPBOARD % "window.copied = text")
    (_, button) = reader.all(f"[id='c-{name}'] .copybutton")
    button.click()
    text = str(reader.js("window.copied"))
    assert text.startswith("### amd64.haproxy-2.8.9.libressl-3.9.2.TLS\\_AES\\_128\\_GCM\\_SHA256\n\npass\n")
    assert f"\n```\nmatrixctl run --cell {name}\n```" in text
    assert MarkdownIt().enable("table").render(text).count("<table>") == 2
