"""Names of files are ours, whatever a record calls things."""

import re

from hostile import CORPUS
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.site.page_paths import make_slug, name_cell_page
from orchestrator.site.write import _PATH


@given(st.text())
def test_any_text_makes_a_name_that_a_page_can_have(text: str) -> None:
    assert _PATH.fullmatch(name_cell_page(text))
    assert len(make_slug(text)) < 80


def test_hostile_texts_have_names_of_their_own() -> None:
    names = {make_slug(one.text) for one in CORPUS}
    assert len(names) == len({one.text for one in CORPUS})
    assert all(re.fullmatch(r"[a-z0-9.~-]+", name) and not name.startswith(".") for name in names)


def test_capitals_are_told_apart_where_the_file_system_does_not() -> None:
    assert make_slug("Amd64") != make_slug("amd64") != make_slug("AMD64")
    assert len({make_slug(one).lower() for one in ("Amd64", "amd64", "AMD64", "amd64~", "a md64")}) == 5


def test_plain_names_stay_readable() -> None:
    assert make_slug("20261127-020000-000b") == "20261127-020000-000b"
    assert make_slug("wolfssl") == "wolfssl"
    assert make_slug("arm64--haproxy-3.0.11--TLS_X").startswith("arm64-haproxy-3-0-11-tls-x~")
