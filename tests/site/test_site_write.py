"""A site's folder: what changed is written, what is gone is removed, nothing else is touched."""

import json
from pathlib import Path

import pytest

from orchestrator.atomic_files import SITE_MANIFEST
from orchestrator.errors import UsageError
from orchestrator.site.pages import Page
from orchestrator.site.write import write_site


def page(path: str, text: str, key: str = "") -> Page:
    return Page(path=path, make=text.encode, key=key)


def never() -> bytes:
    raise AssertionError("a page with the key of the last time is made again")


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    out = tmp_path / "site"
    first = write_site(out, [page("index.html", "a"), page("cells/x.html", "b")])
    assert (first.pages, first.changed, first.removed, first.size) == (2, 2, 0, 2)
    before = (out / "cells/x.html").stat()
    again = write_site(out, [page("index.html", "c"), page("cells/x.html", "b")])
    assert (again.changed, (out / "index.html").read_text()) == (1, "c")
    assert (out / "cells/x.html").stat().st_ino == before.st_ino


def test_a_page_of_the_same_key_is_not_even_made(tmp_path: Path) -> None:
    write_site(tmp_path, [page("a.html", "a", "k")])
    assert write_site(tmp_path, [Page(path="a.html", make=never, key="k")]).changed == 0
    assert write_site(tmp_path, [page("a.html", "b", "other")]).changed == 1


def test_a_page_that_somebody_removed_or_cut_is_written_again(tmp_path: Path) -> None:
    write_site(tmp_path, [page("a.html", "text", "k"), page("b.html", "text")])
    (tmp_path / "a.html").unlink()
    (tmp_path / "b.html").write_text("te")
    assert write_site(tmp_path, [page("a.html", "text", "k"), page("b.html", "text")]).changed == 2
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text() == "text"


def test_pages_that_are_gone_are_removed_with_their_folder_and_nothing_else_is(tmp_path: Path) -> None:
    write_site(tmp_path, [page("a.html", "a"), page("cells/x.html", "x"), page("runs/y.html", "y")])
    (tmp_path / "runs" / "mine.txt").write_text("mine")
    assert write_site(tmp_path, [page("a.html", "a")]).removed == 2
    assert not (tmp_path / "cells").exists()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("told", ["", "{}", '{"format": 2, "files": {}}', '{"format": 1, "files": []}', "[]"])
def test_a_folder_of_somebody_else_is_refused_and_stays(tmp_path: Path, told: str) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    if told:
        (tmp_path / SITE_MANIFEST).write_text(told)
    with pytest.raises(UsageError, match="no site that matrixctl wrote"):
        write_site(tmp_path, [page("a.html", "a")])
    assert not (tmp_path / "a.html").exists()


def test_a_manifest_names_no_file_outside_the_site(tmp_path: Path) -> None:
    out, other = tmp_path / "site", tmp_path / "other.html"
    other.write_text("mine")
    write_site(out, [page("a.html", "a")])
    entry = {"sha256": "", "size": 1, "key": ""}
    told = {"format": 1, "files": {"../other.html": entry, str(other): entry, "linked/x.html": entry}}
    (out / SITE_MANIFEST).write_text(json.dumps(told))
    (out / "linked").symlink_to(tmp_path)
    (tmp_path / "x.html").write_text("mine")
    write_site(out, [page("a.html", "a")])
    assert other.exists()
    assert (tmp_path / "x.html").exists()


def test_a_link_in_place_of_a_page_is_replaced_and_not_followed(tmp_path: Path) -> None:
    out, other = tmp_path / "site", tmp_path / "other.html"
    write_site(out, [page("a.html", "a", "k")])
    other.write_text("b")
    (out / "a.html").unlink()
    (out / "a.html").symlink_to(other)
    write_site(out, [page("a.html", "a", "k")])
    assert other.read_text() == "b"
    assert not (out / "a.html").is_symlink()


def test_a_site_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    def broken() -> bytes:
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError):
        write_site(tmp_path, [page("a.html", "a"), Page(path="b.html", make=broken)])
    assert (tmp_path / "a.html").read_text() == "a"
    done = write_site(tmp_path, [page("b.html", "b")])
    assert (done.changed, done.removed) == (1, 1)
    assert not (tmp_path / "a.html").exists()
