"""An Atom feed (RFC 4287) of the regressions that were confirmed. Pure."""

import hashlib
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from orchestrator.analyse.change import Change
from orchestrator.report import units
from orchestrator.site.news import NewsGroup
from orchestrator.site.page_paths import name_run_page
from orchestrator.site.pages import Frame, Page
from orchestrator.site.state import describe_end
from orchestrator.site.year import Night

_NIGHTS = 60
"""The nights that the feed tells of."""
_ATOM = "http://www.w3.org/2005/Atom"


def make_feed(frame: Frame) -> Iterator[Page]:
    """Return the feed."""
    yield Page(path="feed.xml", make=lambda: _render(frame))


def _render(frame: Frame) -> bytes:
    ET.register_namespace("", _ATOM)
    year = frame.year
    feed = ET.Element(f"{{{_ATOM}}}feed")
    _add(feed, "title", f"Confirmed regressions: {year.series or 'runs by hand'}")
    _add(feed, "id", _name(year.series))
    _add(feed, "updated", year.last.started_at)
    _add(_add(feed, "author", ""), "name", "matrixctl")
    _link(feed, "self", "feed.xml")
    _link(feed, "alternate", "index.html")
    for number in range(len(year.nights) - 1, max(0, len(year.nights) - 1 - _NIGHTS), -1):
        for group in frame.compare(number - 1, number).groups:
            if is_confirmed(group):
                _add_entry(feed, year.series, year.nights[number], group)
    told: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return told + b"\n"


def is_confirmed(group: NewsGroup) -> bool:
    """Return whether it is a new failure that came again whenever a cell of it was probed once more."""
    new = group.change in {Change.NEW_FAILURE, Change.CHANGED_REASON}
    results = [item.now for item in group.items if item.now]
    return new and any(one.confirmation == "confirmed" or 1 < one.attempts == one.failed for one in results)


def _add_entry(feed: ET.Element, series: str, night: Night, group: NewsGroup) -> None:
    cells = [item.cell for item in group.items]
    count = units.format_count(len(cells), "cell")
    entry = _add(feed, "entry", "")
    _add(entry, "title", f"{describe_end(group.result)} in {count}, {night.day}")
    _add(entry, "id", _name(series, night.id, group.alarm or "", *cells))
    _add(entry, "updated", night.started_at)
    _link(entry, "alternate", name_run_page(night.id))
    _add(entry, "summary", "\n".join([group.result.message if group.result else "", *cells[:20]]))


def _name(*parts: str) -> str:
    return f"urn:sha256:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"


def _add(parent: ET.Element, name: str, text: str) -> ET.Element:
    """Add an element; all text has been made visible, so XML can have it."""
    element = ET.SubElement(parent, f"{{{_ATOM}}}{name}")
    element.text = text or None
    return element


def _link(parent: ET.Element, relation: str, href: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}link", rel=relation, href=href)
