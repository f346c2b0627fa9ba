"""A part of a store as one file: what goes out comes in, and nothing else does, whatever the file says."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator.errors import ExhaustedError, MatrixctlError, UsageError
from orchestrator.execute.store import bundle
from orchestrator.execute.store.bundle import WantedItems, export, import_
from orchestrator.execute.store.prune import prune
from orchestrator.execute.store.store import Store

BUILD, OTHER = "1" * 64, "2" * 64
TARBALL = b"a tarball"
SHA256 = hashlib.sha256(TARBALL).hexdigest()
ALL = WantedItems(artifacts=[BUILD], sources=[(SHA256, "x-1.tar.gz")], caches=["haproxy-amd64-amd64"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One of each, and another artifact."""
    made = Store(tmp_path / "store")
    made.put_artifact(BUILD, b"a library" * 1000, {"name": "of-a-run"})
    made.put_artifact(OTHER, b"another", {"name": "of-a-run"})
    with made.scratch() as scratch:
        (scratch / "x").write_bytes(TARBALL)
        made.put_source(scratch / "x", sha256=SHA256, file="x-1.tar.gz", origin="https://x.test/x-1.tar.gz")
    made.put_ccache("haproxy-amd64-amd64", b"objects")
    return made


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    export(store, ALL, tmp_path / "export")
    return tmp_path / "export"


def kept(store: Store) -> dict[str, bytes]:
    """Everything in a store that a run may use."""
    places = ("artifacts/*/*", "sources/*/*", "ccache/*")
    return {
        str(path.relative_to(store.root)): path.read_bytes()
        for place in places
        for path in store.root.glob(place)
    }


# There and back


def test_what_goes_out_comes_in_and_no_more(store: Store, file: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    made = import_(other, file)
    assert ([item.kind for item in made.new], made.held) == (["artifact", "source", "ccache"], ())
    assert kept(other) == {name: data for name, data in kept(store).items() if OTHER not in name}
    artifact, source = (
        Store(other.root).find_artifact(BUILD),
        Store(other.root).find_source(SHA256, "x-1.tar.gz"),
    )
    assert artifact is not None
    assert artifact.meta == {"name": "of-a-run"}
    assert source is not None
    assert source.origin == "https://x.test/x-1.tar.gz"


def test_what_is_there_already_stays(file: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.put_artifact(BUILD, b"our own", {})
    other.put_ccache("haproxy-amd64-amd64", b"our objects")
    made = import_(other, file)
    assert [item.kind for item in made.new] == ["source"]
    assert [item.kind for item in made.held] == ["artifact", "ccache"]
    assert kept(other)[f"artifacts/{BUILD}/artifact.tar"] == b"our own"
    assert kept(other)["ccache/haproxy-amd64-amd64.tar"] == b"our objects"


def of_a_source(file: str, origin: str) -> bytes:
    """An export of the tarball under another name, or from elsewhere."""
    told = {**SOURCE, "size": len(TARBALL), "sha256": SHA256, "file": file, "origin": origin}
    return packed(index(told), member(f"sources/{SHA256}/{file}", TARBALL))


def test_another_name_of_a_source_leaves_its_origin(store: Store, tmp_path: Path) -> None:
    """Else `clean` might take a tarball for something that moves."""
    (tmp_path / "export").write_bytes(of_a_source("y-1.tar.gz", "git: https://y.test/y"))
    before = kept(store)
    made = import_(store, tmp_path / "export")
    assert [item.path for item in made.new] == [f"sources/{SHA256}/y-1.tar.gz"]
    assert kept(store) == {**before, f"sources/{SHA256}/y-1.tar.gz": TARBALL}
    told = Store(store.root).find_source(SHA256, "y-1.tar.gz")
    assert told is not None
    assert told.origin == "https://x.test/x-1.tar.gz"


@pytest.mark.parametrize("file", ["origin", "Origin"])
def test_a_source_named_as_the_stores_note_travels(tmp_path: Path, file: str) -> None:
    source, target = Store(tmp_path / "source"), Store(tmp_path / "target")
    with source.scratch() as scratch:
        (scratch / "new").write_bytes(TARBALL)
        source.put_source(scratch / "new", sha256=SHA256, file=file, origin="prebuilt: x")
    export(source, WantedItems(artifacts=[], sources=[(SHA256, file)], caches=[]), tmp_path / "export")
    import_(target, tmp_path / "export")
    held = Store(target.root).find_source(SHA256, file)
    assert held is not None
    assert (held.path.read_bytes(), held.origin) == (TARBALL, "prebuilt: x")


def test_what_is_missing_is_named_and_what_is_harmed_is_missing(store: Store, tmp_path: Path) -> None:
    (store.root / "artifacts" / OTHER / "artifact.tar").write_bytes(b"harm")
    gone = WantedItems(artifacts=[BUILD, OTHER, "3" * 64], sources=[("4" * 64, "x")], caches=["none"])
    made = export(Store(store.root), gone, tmp_path / "export")
    assert made.missing == {
        *(f"artifacts/{digest}" for digest in (OTHER, "3" * 64)),
        f"sources/{'4' * 64}/x",
        "ccache/none",
    }
    assert [item.path for item in made.items] == [f"artifacts/{BUILD}"]


def test_nothing_at_all_makes_no_file(store: Store, tmp_path: Path) -> None:
    made = export(store, WantedItems(artifacts=["3" * 64], sources=[], caches=[]), tmp_path / "export")
    assert (made.items, made.size) == ((), 0)
    assert not (tmp_path / "export").exists()


def test_the_same_content_gives_the_same_bytes(store: Store, file: Path, tmp_path: Path) -> None:
    os.utime(store.root / "artifacts" / BUILD, (1, 1))
    export(Store(store.root), ALL, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_any_tar_reads_it(file: Path) -> None:
    done = subprocess.run(["tar", "-tzf", str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "index.json",
        f"artifacts/{BUILD}",
        f"sources/{SHA256}/x-1.tar.gz",
        "ccache/haproxy-amd64-amd64",
    ]


def test_words_that_fit_no_line_are_made_to_fit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put_artifact(BUILD, b"a library", {"name": "two\nlines\x7f", "note": "n" * 5000})
    with store.scratch() as scratch:
        (scratch / "x").write_bytes(TARBALL)
        store.put_source(scratch / "x", sha256=SHA256, file="x", origin="o\x1b\n" + "o" * 5000)
    export(store, WantedItems(artifacts=[BUILD], sources=[(SHA256, "x")], caches=[]), tmp_path / "export")
    other = Store(tmp_path / "other")
    assert len(import_(other, tmp_path / "export").new) == 2
    artifact, source = other.find_artifact(BUILD), other.find_source(SHA256, "x")
    assert artifact is not None
    assert source is not None
    assert artifact.meta["name"] == "two lines"
    assert source.origin.startswith("o ooo")
    for cut in (artifact.meta["note"], source.origin):
        assert len(cut) == 2048
        assert cut.endswith("…")


@pytest.mark.parametrize(
    ("meta", "cache", "said"),
    [
        ({"a name\nof two lines": "x"}, "haproxy", f"artifacts/{BUILD} cannot be exported: meta"),
        (
            {str(number): "x" for number in range(17)},
            "haproxy",
            f"artifacts/{BUILD} cannot be exported: meta",
        ),
        ({}, "c" * 81, "ccache/c* cannot be exported: name: "),
    ],
)
def test_what_no_export_can_have_is_a_sentence(
    tmp_path: Path, meta: dict[str, str], cache: str, said: str
) -> None:
    store = Store(tmp_path / "store")
    store.put_artifact(BUILD, b"a library", meta)
    store.put_ccache(cache, b"objects")
    with pytest.raises(MatrixctlError, match=said) as caught:
        export(store, WantedItems(artifacts=[BUILD], sources=[], caches=[cache]), tmp_path / "export")
    assert "\n" not in caught.value.brief
    assert not (tmp_path / "export").exists()


def test_too_much_for_one_export_is_a_sentence(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MOST", 2)
    with pytest.raises(MatrixctlError, match="3 things of the store, and an export has at most 2"):
        export(store, ALL, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_place_that_cannot_be_written_is_a_sentence(store: Store, tmp_path: Path) -> None:
    with pytest.raises(MatrixctlError, match="cannot be written: No such file"):
        export(store, ALL, tmp_path / "none" / "export")


# Beside others

IMPORT = """\
import sys
from pathlib import Path
from orchestrator.execute.store.bundle import import_
from orchestrator.execute.store.store import Store
sys.stdin.readline()
made = import_(Store(Path(sys.argv[1])), Path(sys.argv[2]))
print(len(made.new) + len(made.held), flush=True)
"""


@pytest.mark.whole
def test_imports_at_once_leave_one_whole_store(store: Store, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    argv = [sys.executable, "-c", IMPORT, str(other), str(file)]
    several = [
        subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    said = [one.communicate("go\n")[0] for one in several]
    assert said == ["3\n"] * 4
    assert kept(Store(other)) == {name: data for name, data in kept(store).items() if OTHER not in name}
    assert not list((other / "tmp").iterdir())


def during(monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[], object]) -> None:
    """Do something whenever a function of the module begins."""
    real = getattr(bundle, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        work()
        return real(*args, **kwargs)

    monkeypatch.setattr(bundle, name, wrapped)


def in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("name", ["_write", "_put"])
def test_a_clean_spares_what_is_written_and_what_comes_in(
    store: Store, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    busy = store if name == "_write" else Store(tmp_path / "other")
    other = Store(busy.root)

    def clean() -> None:
        in_a_thread(lambda: prune(other, before=None, max_size=0))
        with pytest.raises(MatrixctlError, match="a run uses the store"):
            other.empty()

    during(monkeypatch, name, clean)
    wanted = WantedItems(artifacts=[BUILD], sources=[], caches=["haproxy-amd64-amd64"])
    if name == "_write":
        made = export(store, wanted, tmp_path / "again")
        assert made.missing == frozenset()
        assert len(import_(Store(tmp_path / "third"), tmp_path / "again").new) == 2, (
            "the cache went meanwhile"
        )
    else:
        import_(busy, file)
    assert Store(busy.root).find_artifact(BUILD) is not None
    assert (store.find_artifact(OTHER) is None) == (name == "_write")


def test_an_import_that_dies_leaves_nothing_half(file: Path, tmp_path: Path) -> None:
    """It is killed when the first of three things was put."""
    other = tmp_path / "other"
    dies = IMPORT.replace(
        "sys.stdin",
        "import os\nfrom orchestrator.execute.store import bundle\nreal = bundle._put\n"
        "def put(*args):\n real(*args)\n os.kill(os.getpid(), 9)\nbundle._put = put\nsys.stdin",
    )
    done = subprocess.run(
        [sys.executable, "-c", dies, str(other), str(file)], input="go\n", text=True, check=False
    )
    assert done.returncode == -9
    half = Store(other)
    assert sorted(kept(half)) == [f"artifacts/{BUILD}/artifact.tar", f"artifacts/{BUILD}/meta.json"]
    half.sweep()
    assert not list((other / "tmp").iterdir())
    assert len(import_(half, file).new) == 2


def test_a_full_disk_is_said(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_put", full)
    with pytest.raises(ExhaustedError, match="No space left"):
        import_(Store(tmp_path / "other"), file)


# Hostile files

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **fields: Any) -> Member:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


def packed(*members: Member, form: Literal[1, 2] = 1) -> bytes:
    """A tar as ``form`` of tarfile has it: 1 is GNU's, 2 is pax."""
    out = io.BytesIO()
    for entry, content in members:
        out.write(entry.tobuf(form, "utf-8", "surrogateescape"))
        out.write(content + bytes(-len(content) % 512))
    return gzip.compress(out.getvalue() + bytes(1024), 1)


DATA = b"a library"
ITEM: dict[str, Any] = {
    "kind": "artifact",
    "digest": BUILD,
    "size": len(DATA),
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "meta": {},
}
SOURCE: dict[str, Any] = {
    "kind": "source",
    "size": len(DATA),
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "file": "x.tar.gz",
    "origin": "",
}


def index(*items: dict[str, Any], **more: Any) -> Member:
    return member("index.json", json.dumps({"schema_version": 1, "items": items, **more}).encode())


BODY = member(f"artifacts/{BUILD}", DATA)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "no gzip": (b"index.json", "Not a gzipped file"),
    "nothing": (b"", "it is cut off"),
    "no tar": (gzip.compress(b"x" * 5000), "there is no member of a tar"),
    "no index": (packed(BODY), "where index.json should be"),
    "an index that is none": (packed(member("index.json", b"[]")), "index.json is none that this version"),
    "an index of a later version": (packed(index(schema_version=2)), ": schema_version: "),
    "an index with more in it": (packed(index(more=1)), ": more: "),
    "an index that is too long": (packed(member("index.json", b" " * (9 << 20))), "has more than"),
    "too many items": (packed(index(*[ITEM] * 10_001)), ": items: "),
    "the same twice": (packed(index(ITEM, ITEM), BODY, BODY), "names something twice"),
    "a bomb by its index": (packed(index({**ITEM, "size": 1 << 40})), "items.0.artifact.size: "),
    "a bomb of many": (
        packed(index(*({**ITEM, "digest": f"{n:064x}", "size": 1 << 30} for n in range(17)))),
        "unpacks to more than 16 GiB",
    ),
    "a source that is too large": (packed(index({**SOURCE, "size": 513 << 20})), "has more than 512 MiB"),
    "a size that is none": (packed(index({**ITEM, "size": -1})), "items.0.artifact.size: "),
    "a digest that is none": (
        packed(index({**ITEM, "digest": "../" + "1" * 61})),
        "items.0.artifact.digest: ",
    ),
    "a source's file that leads out": (packed(index({**SOURCE, "file": "../x"})), "items.0.source.file: "),
    "a source's file with dots": (packed(index({**SOURCE, "file": "a..b"})), "items.0.source.file: "),
    "an origin of two lines": (packed(index({**SOURCE, "origin": "a\nb"})), "items.0.source.origin: "),
    "a cache that leads out": (
        packed(index({"kind": "ccache", "name": "../../x", "size": 1, "sha256": "0" * 64})),
        "items.0.ccache.name: ",
    ),
    "another kind": (packed(index({**ITEM, "kind": "image"})), ": items.0: "),
    "a member that is not named": (
        packed(index(ITEM), member("../../etc/passwd", DATA)),
        "'../../etc/passwd'",
    ),
    "an absolute name": (packed(index(ITEM), member("/etc/passwd", DATA)), "'/etc/passwd'"),
    "a symbolic link": (
        packed(index(ITEM), member(BODY[0].name, type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        "is no plain file in it, but a link",
    ),
    "a hard link": (
        packed(index(ITEM), member(BODY[0].name, type=tarfile.LNKTYPE, linkname="/etc/passwd")),
        "is no plain file in it, but a link",
    ),
    "a device": (packed(index(ITEM), member(BODY[0].name, type=tarfile.CHRTYPE)), "a device"),
    "a pipe": (packed(index(ITEM), member(BODY[0].name, type=tarfile.FIFOTYPE)), "a device or the like"),
    "a folder": (packed(index(ITEM), member(BODY[0].name, type=tarfile.DIRTYPE)), "a device or the like"),
    "a file with holes": (
        packed(index(ITEM), member(BODY[0].name, type=tarfile.GNUTYPE_SPARSE)),
        "is no plain file",
    ),
    "notes before an entry": (
        packed(index(ITEM), member("x" * 300, DATA), form=2),
        "in it, where artifacts",
    ),
    "other bytes": (packed(index(ITEM), member(BODY[0].name, b"A library")), "has other bytes than"),
    "more bytes": (packed(index(ITEM), member(BODY[0].name, DATA + b"!")), "has more than 9 bytes"),
    "fewer bytes": (packed(index(ITEM), member(BODY[0].name, DATA[:-1])), "has 8 bytes, and its index"),
    "a member that is missing": (packed(index(ITEM)), "there is no member of a tar"),
    "something behind it all": (packed(index(ITEM), BODY, member("more", DATA)), "it has more in it"),
    "zeros behind it all": (packed(index(ITEM), BODY, member("more", bytes(1 << 20))), "it has more in it"),
    "a checksum that is wrong": (packed(index(ITEM), BODY)[:-8] + bytes(8), "CRC check failed"),
    "the second is bad": (
        packed(index(ITEM, SOURCE), BODY, member(f"sources/{SOURCE['sha256']}/x.tar.gz", b"A library")),
        "has other bytes than",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_leaves_the_store_as_it_was(tmp_path: Path, name: str) -> None:
    content, why = HOSTILE[name]
    (tmp_path / "export").write_bytes(content)
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError) as caught:
        import_(store, tmp_path / "export")
    assert f"{tmp_path / 'export'} is no export that can be taken in: " in caught.value.brief
    assert why in caught.value.brief
    assert kept(store) == {}
    assert not list((store.root / "tmp").iterdir())


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_leaves_the_store_as_it_was(file: Path, tmp_path: Path, keep: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * keep)])
    store = Store(tmp_path / "other")
    with pytest.raises(UsageError, match="no export that can be taken in"):
        import_(store, file)
    assert kept(store) == {}


def test_every_flipped_byte_is_refused_or_harmless(file: Path, tmp_path: Path) -> None:
    """Some bytes of gzip's own header say nothing of the content."""
    good = file.read_bytes()
    import_(Store(tmp_path / "whole"), file)
    whole, refused = kept(Store(tmp_path / "whole")), 0
    store = Store(tmp_path / "empty")
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        try:
            import_(store, file)
        except UsageError:
            refused += 1
            assert kept(store) == {}
        else:
            assert kept(store) == whole
            store = Store(tmp_path / f"after-{place}")
    assert refused > 0.9 * len(good)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A gigabyte of zeros behind a small index: a megabyte, packed."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as stream:
        entry, content = index(ITEM)
        stream.write(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
        huge, _ = member(BODY[0].name)
        huge.size = 1 << 30
        stream.write(huge.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(64):
            stream.write(bytes(1 << 20))
    (tmp_path / "export").write_bytes(out.getvalue())
    with pytest.raises(UsageError, match="has more than 9 bytes"):
        import_(Store(tmp_path / "store"), tmp_path / "export")


@pytest.mark.parametrize("name", ["none", "folder", "pipe"])
def test_what_is_no_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be read"):
        import_(Store(tmp_path / "store"), tmp_path / name)
