"""The command that renews the pictures of README and docs."""

import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import pictures

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


@pytest.mark.browser
def test_a_picture_has_the_size_and_the_colours_that_were_asked_for(tmp_path: Path) -> None:
    taken = {}
    for scheme in ("light", "dark"):
        picture = tmp_path / f"{scheme}.png"
        said = CliRunner().invoke(
            pictures.main, [f"{SAMPLE}#grid", str(picture), "--size", "320x240", "--scheme", scheme]
        )
        assert said.exit_code == 0, said.output
        taken[scheme] = picture.read_bytes()
    for png in taken.values():
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">2I", png[16:24]) == (320, 240)
    assert taken["light"] != taken["dark"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "a.png", "--size", "320x240"), "nowhere is not there"),
        ((str(SAMPLE), "a.png", "--size", "320"), "'320' is no size in pixels"),
        ((str(SAMPLE), "no/such/a.png", "--size", "320x240"), "no/such"),
    ],
)
def test_a_picture_that_cannot_be_taken_is_refused(arguments: tuple[str, ...], words: str) -> None:
    said = CliRunner().invoke(pictures.main, arguments)
    assert said.exit_code == 2
    assert words in said.output


def test_a_page_is_named_by_its_folder_its_file_or_its_url() -> None:
    page = (SAMPLE / "index.html").as_uri()
    assert pictures.find_address(f"{SAMPLE}#grid") == f"{page}#grid"
    assert pictures.find_address(str(SAMPLE / "index.html")) == page
    assert pictures.find_address("http://127.0.0.1:8000/live.html") == "http://127.0.0.1:8000/live.html"
