"""The button "Copy as Markdown" of a cell's panel, in a real Chromium."""

import pytest
import samples
from browsing import Reader
from markdown_it import MarkdownIt
from selenium.webdriver.common.by import By

from orchestrator.record.model import RunRecord

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
