"""Badges: what the last night says of the series, of a library, of an architecture, as a small SVG. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from orchestrator.site.night import count_tones
from orchestrator.site.page_paths import make_slug
from orchestrator.site.pages import TONE_TITLES, Frame, Page
from orchestrator.site.year import TONES, UNTRIED, Result

_COLOURS = {
    "regression": "#b3261e",
    "changed-failure": "#961c15",
    "flaky": "#8a4b00",
    "not-judged": "#57606a",
    "now-passing": "#0b6e55",
    "known-failure": "#645450",
    "as-expected": "#0b6e55",
    UNTRIED: "#57606a",
}
"""With white on each of them at 4.5 to 1 or more; the words say the same."""
_LETTER = 6.6
"""Width of a letter of 11 units, which the text is fitted to."""
_LONGEST = 60


def make_badges(frame: Frame) -> Iterator[Page]:
    """Return a badge of the series, and one for each TLS library and architecture."""
    results = list(frame.year.last.results.values())
    whole = frame.year.last.is_whole
    yield _make_page(
        "badges/state.svg", frame.year.series or "matrixctl", results, frame.year.last.day, whole=whole
    )
    for folder, name_of in (("libraries", "tls_family"), ("architectures", "arch")):
        found: dict[str, list[Result]] = {}
        for one in results:
            found.setdefault(getattr(one.point, name_of), []).append(one)
        for name, members in found.items():
            path = f"badges/{folder}/{make_slug(name)}.svg"
            yield _make_page(path, name, members, frame.year.last.day, whole=whole)


def _make_page(path: str, label: str, results: Iterable[Result], day: str, *, whole: bool) -> Page:
    words, tone = describe(count_tones(results), whole=whole)
    return Page(path=path, make=lambda: draw(label, f"{words}, {day}", _COLOURS[tone]))


def describe(tones: Counter[str], *, whole: bool) -> tuple[str, str]:
    """Return the words of a badge and their tone; cells of a night that is not whole are never all well."""
    tone = next((tone for tone in TONES if tones[tone]), UNTRIED)
    if not whole and TONES.index(tone) > TONES.index("not-judged"):
        return "partial", "not-judged"
    if tone == "as-expected":
        return f"{tones[tone]} pass", tone
    if tone == UNTRIED:
        return "nothing put to the test", tone
    return f"{tones[tone]} {TONE_TITLES[tone]}", tone


def draw(label: str, words: str, colour: str) -> bytes:
    """Return a badge; its texts are text only, and cut where they are long."""
    texts = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in (label, words)]
    widths = [round(len(text) * _LETTER) + 14 for text in texts]
    total = sum(widths)
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", width=f"{total}", height="20", role="img")
    root.set("aria-label", ": ".join(texts))
    ET.SubElement(root, "title").text = ": ".join(texts)
    at = 0
    for text, width, fill in zip(texts, widths, ("#3b434b", colour), strict=True):
        ET.SubElement(root, "rect", x=f"{at}", width=f"{width}", height="20", fill=fill)
        element = ET.SubElement(
            root, "text", x=f"{at + 7}", y="14", fill="#ffffff", textLength=f"{width - 14}"
        )
        element.set("font-family", "Verdana,DejaVu Sans,sans-serif")
        element.set("font-size", "11")
        element.text = text
        at += width
    told: bytes = ET.tostring(root, encoding="utf-8")
    return told + b"\n"
