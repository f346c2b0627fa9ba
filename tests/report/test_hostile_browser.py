"""The hostile corpus in a real Chromium: one report has every value in every text, and none has any effect.

What is looked for, each test of a planted fault shows that it would be found.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import hostile_records as records
import pytest
import samples
from browsing import Reader
from conftest import Tell
from hostile import CANARY, CORPUS
from selenium.webdriver.support.ui import Select, WebDriverWait

from orchestrator.record import journal
from orchestrator.record.journal import RunStarted
from orchestrator.record.model import RunRecord
from orchestrator.report import html

pytestmark = pytest.mark.browser

ELEMENTS_OF_TEXT = {"a", "wbr"}
"""Which of these a text makes depends on the text: a link to https, a place where a long name may break."""
LINKS = re.compile(r"#|\./|https?://")
PARTS = 5
LOOK = """
const all = [...document.querySelectorAll('*')];
const tags = {};
for (const element of all) tags[element.localName] = (tags[element.localName] || 0) + 1;
const walker = document.createNodeIterator(document, NodeFilter.SHOW_COMMENT);
let comments = 0;
while (walker.nextNode()) comments += 1;
return {
  tags, comments,
  attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))].sort(),
  links: [...new Set(all.filter((one) => one.localName === 'a').map((one) => one.getAttribute('href')))],
  title: document.title,
  ran: arguments[0].filter((name) => name in window),
  loaded: performance.getEntriesByType('resource').map((entry) => entry.name),
  place: location.href.split('#')[0],
};
"""
LEFT = """
const facts = [...document.querySelectorAll('.facts dd')];
const node = facts.find((one) => one.textContent.includes(arguments[0][0])).firstChild;
return arguments[0].map((words) => {
  const range = document.createRange();
  range.setStart(node, node.data.indexOf(words));
  range.setEnd(node, node.data.indexOf(words) + words.length);
  return range.getBoundingClientRect().left;
});
"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def stored(texts: Sequence[str]) -> RunRecord:
    """What the journal makes of them."""
    started, _ = journal._write_line(RunStarted(record=records.gathered(texts)))
    assert isinstance(started, RunStarted)
    return started.record


@cache
def hostile(part: int) -> str:
    """The page of every PARTS-th value: a grid of all of them has more fields than can be drawn quickly."""
    return html.render(stored([one.text for one in CORPUS[part::PARTS]]))


@cache
def harmless(count: int) -> str:
    """As many texts, one of which is a link."""
    return html.render(stored(["https://b.invalid", *(f"b{number}" for number in range(1, count))]))


def seen(reader: Reader) -> dict[str, Any]:
    found: dict[str, Any] = reader.driver.execute_script(LOOK, [CANARY, "owned"])
    for name in ELEMENTS_OF_TEXT:
        found["tags"].pop(name, None)
    return found


def title_of(page: str) -> str:
    """As it is written, read without a browser."""
    written = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    assert written
    return " ".join(re.sub(r"&(?:amp|lt|gt|#3[49]);", _entity, written[1]).split())


def _entity(match: re.Match[str]) -> str:
    return {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&#34;": '"', "&#39;": "'"}[match[0]]


def faults(reader: Reader, like: dict[str, Any], title: str) -> dict[str, object]:
    """What differs from a page that has the same shape with harmless texts; empty if nothing does."""
    now = seen(reader)
    page = reader.page.as_uri()
    found = {
        "ran": now["ran"],
        "elements": {
            name: (now["tags"].get(name, 0), like["tags"].get(name, 0))
            for name in {*now["tags"], *like["tags"]}
            if now["tags"].get(name) != like["tags"].get(name)
        },
        "comments": now["comments"],
        "attributes": sorted({*now["attributes"]} - {*like["attributes"]}),
        "links": [link for link in now["links"] if not LINKS.match(link)],
        "title": [now["title"]] if now["title"] != title else [],
        "loaded": [*now["loaded"], *(url for url in reader.requests() if url.split("#")[0] != page)],
        "left": [now["place"]] if now["place"] != page else [],
        "windows": reader.driver.window_handles[1:],
        "console": reader.complaints(),
        "sideways": reader.js(SIDEWAYS),
    }
    return {name: what for name, what in found.items() if what}


def open_all(reader: Reader) -> None:
    reader.js("[...document.querySelectorAll('details')].forEach((one) => { one.open = true; })")


def use(reader: Reader) -> None:
    """What a person does: other axes, a filter, a search, a cell."""
    Select(reader.all("#controls select")[0]).select_by_value("cipher")
    reader.all("#controls summary")[0].click()
    reader.one("#controls .menu input").click()
    reader.one("input[type=search]").send_keys("<script>")
    reader.js("document.querySelector('#controls').reset()")
    next(button for button in reader.all("#controls button") if button.text == "Reset").click()


def look(reader: Reader, page: str) -> dict[str, Any]:
    reader.show(page)
    open_all(reader)
    return seen(reader)


def resize(reader: Reader, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_no_value_has_any_effect(reader: Reader, tell: Tell) -> None:
    elements = 0
    shapes = {count: look(reader, harmless(count)) for count in {len(CORPUS[i::PARTS]) for i in range(PARTS)}}
    for part in range(PARTS):
        page = hostile(part)
        title, like = title_of(page), shapes[len(CORPUS[part::PARTS])]
        reader.show(page)
        open_all(reader)
        assert faults(reader, like, title) == {}
        resize(reader, 390)
        assert faults(reader, like, title) == {}
        use(reader)
        open_all(reader)
        assert faults(reader, like, title) == {}
        elements += sum(like["tags"].values())
    pairs = records.gathered_count([one.text for one in CORPUS])
    tell(
        f"texts of a record in Chromium: {len(records.FIELDS)} x {len(CORPUS)} values, {pairs:,} pairs tried"
        f" in {PARTS} pages of {elements:,} elements"
    )


POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
PLANTED = {
    "ran": f"<script>{CANARY} = 1</script>",
    "elements": "<b>x</b>",
    "comments": "<!-- x -->",
    "attributes": "<p onclick=''>",
    "links": "<a href='javascript:0'>",
    "title": "<script>document.title = 'All pass'</script>",
    "loaded": "<img src='file:///dev/null'>",
    "left": "<meta http-equiv=refresh content='0;url=about:blank'>",
    "windows": "<script>open('about:blank')</script>",
    "sideways": "<p style='width: 3000px'>x",
}


@pytest.mark.parametrize("what", [*PLANTED, "console"])
def test_what_is_looked_for_would_be_found(reader: Reader, what: str) -> None:
    page = html.render(samples.quick())
    like = look(reader, page)
    planted = page.replace("</main>", f"{PLANTED.get(what, PLANTED['ran'])}</main>")
    assert planted != page
    reader.show(planted if what == "console" else POLICY.sub("", planted))
    WebDriverWait(reader.driver, 5).until(lambda _: what in faults(reader, like, title_of(page)))
    for window in reader.driver.window_handles[1:]:
        reader.driver.switch_to.window(window)
        reader.driver.close()
    reader.driver.switch_to.window(reader.driver.window_handles[0])


def test_text_from_right_to_left_stays_where_it_is(reader: Reader) -> None:
    record = samples.quick()
    host = record.run.host.model_copy(update={"system": "\u05d0\u05d1\u05d2", "arch": "\u05d3\u05d4\u05d5"})
    reader.open(record.model_copy(update={"run": record.run.model_copy(update={"host": host})}))
    places = reader.driver.execute_script(LEFT, [host.system, host.arch, "2 CPUs"])
    assert places == sorted(places)
