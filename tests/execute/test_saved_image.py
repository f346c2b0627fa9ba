"""A saved image's layers, one over the other: what a container of it would see."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.images.saved_image import flatten

Entry = bytes | str | None
"""Content of a file; ``-> x`` for a symbolic link, ``= x`` for a hard link; ``None`` for a folder."""


def tarred(entries: Mapping[str, Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                kind, entry.linkname = content.split(" ")
                entry.type = tarfile.SYMTYPE if kind == "->" else tarfile.LNKTYPE
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def saved(folder: Path, layers: Sequence[Mapping[str, Entry]], *, images: int = 1) -> Path:
    names = [f"{number}/layer.tar" for number, _ in enumerate(layers)]
    manifest = json.dumps([{"Layers": names}] * images).encode()
    path = folder / "saved.tar"
    parts = dict(zip(names, map(tarred, layers), strict=True))
    path.write_bytes(tarred({**parts, "manifest.json": manifest}))
    return path


def seen(path: Path, *, limit: int = 1 << 20) -> dict[str, str]:
    into = io.BytesIO()
    flatten(path, into, limit=limit)
    into.seek(0)
    with tarfile.open(fileobj=into) as tar:
        found = {}
        for entry in tar:
            content = tar.extractfile(entry) if entry.isreg() else None
            text = content.read().decode() if content else entry.linkname or "/"
            assert entry.name not in found, "each name once"
            found[entry.name] = text
        return found


def test_upper_layers_replace_remove_and_empty(tmp_path: Path) -> None:
    lower: dict[str, Entry] = {
        "usr": None,
        "usr/bin": None,
        "usr/bin/curl": b"old",
        "usr/bin/wget": b"wget",
        "etc": None,
        "etc/a": b"a",
        "var/x/y": b"y",
        "opt": b"a file",
        "lib": "-> usr/lib",
    }
    upper: dict[str, Entry] = {
        "usr/bin/curl": b"new",
        "usr/bin/.wh.wget": b"",
        "etc": None,
        "etc/.wh..wh..opq": b"",
        "etc/b": b"b",
        ".wh.var": b"",
        "opt/c": b"c",
        "opt": None,
    }
    assert seen(saved(tmp_path, [lower, upper])) == {
        "usr": "/",
        "usr/bin": "/",
        "usr/bin/curl": "new",
        "etc": "/",
        "etc/b": "b",
        "opt": "/",
        "opt/c": "c",
        "lib": "usr/lib",
    }


def test_a_layer_may_empty_everything_below_it(tmp_path: Path) -> None:
    layers: list[dict[str, Entry]] = [{"usr/bin/curl": b"old", "etc": None}, {".wh..wh..opq": b"", "b": b"1"}]
    assert seen(saved(tmp_path, layers)) == {"b": "1"}


def test_a_link_below_what_an_upper_layer_has_in_its_place_is_gone(tmp_path: Path) -> None:
    layers: list[dict[str, Entry]] = [{"bin": "-> usr/bin", "usr/bin/sh": b"sh"}, {"bin/curl": b"curl"}]
    assert seen(saved(tmp_path, layers)) == {"bin/curl": "curl", "usr/bin/sh": "sh"}


def test_what_was_removed_between_is_there_again(tmp_path: Path) -> None:
    layers: list[dict[str, Entry]] = [{"a/b": b"1"}, {".wh.a": b""}, {"a/c": b"2"}]
    assert seen(saved(tmp_path, layers)) == {"a/c": "2"}


def test_a_hard_link_has_the_content_of_its_own_layer(tmp_path: Path) -> None:
    layers: list[dict[str, Entry]] = [{"curl": b"old", "other": "= curl"}, {"curl": b"new"}]
    assert seen(saved(tmp_path, layers)) == {"curl": "new", "other": "old"}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    assert seen(saved(tmp_path, [{"x": "-> /usr/bin", "x/python3": b"theirs"}])) == {"x": "/usr/bin"}


def test_a_name_stays_below_the_root(tmp_path: Path) -> None:
    assert set(seen(saved(tmp_path, [{"../../etc/passwd": b"x", "./a/../b": b"y"}]))) == {"etc/passwd", "b"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"text", "is no saved container image"),
        (tarred({"etc/passwd": b"x"}), "has no manifest.json"),
        (tarred({"manifest.json": b"{"}), "is no saved container image"),
        (tarred({"manifest.json": b'[{"Layers": ["a"]}]'}), "is no saved container image"),
        (tarred({"manifest.json": b'[{"Layers": []}, {"Layers": []}]'}), "has 2 images in it"),
    ],
)
def test_what_is_no_saved_image_says_so(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(SourceUnreachableError, match=said):
        seen(path)


def test_one_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match="has more than"):
        seen(saved(tmp_path, [{"a": bytes(5000)}]), limit=4000)
