"""Hostile archives, made here: none leaves its folder, fills a disk or brings a device."""

import ast
import hashlib
import io
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from git_samples import Repository
from hostile import CORPUS

import orchestrator
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.images import wheels
from orchestrator.execute.sources import release, tarball, tree, unpinned
from orchestrator.execute.sources.download import FetchError
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving, Source

Change = Callable[[tarfile.TarInfo], None]


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def packed(path: Path, *entries: tarfile.TarInfo, mode: str = "w:") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for one in entries:
            tar.addfile(one, Zeros(one.size) if one.size else None)
    return path


class Zeros(io.RawIOBase):
    """So many zeros, without the memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        return bytes(size)


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD = {
    "a link inside": [entry("x/a"), entry("x/b/l", SYM, "../a")],
    "a hard link": [entry("x/a"), entry("x/b", HARD, "x/a")],
    "folders": [entry("x", tarfile.DIRTYPE), entry("x/a")],
    "a dot before": [entry("./x/a")],
    "dots in a name": [entry("x/..a"), entry("x/a..")],
}
BAD = {
    "a name that leads out": ([entry("../x")], "a name that leads out"),
    "a name that leads out later": ([entry("x/../../y")], "a name that leads out"),
    "an absolute name": ([entry("/etc/passwd")], "a name that leads out"),
    "an absolute link": ([entry("x/l", SYM, "/etc/passwd")], "a link that leads out"),
    "a link that leads out": ([entry("x/l", SYM, "../../y")], "a link that leads out"),
    "a link that leads out later": ([entry("x/l", SYM, "a/../../../y")], "a link that leads out"),
    "a file behind a link": ([entry("x/l", SYM, "."), entry("x/l/y")], "which lies beyond a link"),
    "a hard link that leads out": ([entry("x/l", HARD, "../y")], "a link that leads out"),
    "an absolute hard link": ([entry("x/l", HARD, "/etc/passwd")], "a link that leads out"),
    "a device": ([entry("x/d", tarfile.BLKTYPE)], "neither a file nor a link"),
    "a character device": ([entry("x/d", tarfile.CHRTYPE)], "neither a file nor a link"),
    "a pipe": ([entry("x/p", tarfile.FIFOTYPE)], "neither a file nor a link"),
    "a long name": ([entry("x/" + "a" * 2000)], "a name that is too long"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_a_source_tree_has_is_let_through(name: str, tmp_path: Path) -> None:
    tarball.check(packed(tmp_path / "x.tar", *GOOD[name]))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:xz"])
def test_what_no_source_tree_has_is_refused(name: str, mode: str, tmp_path: Path) -> None:
    entries, said = BAD[name]
    with pytest.raises(FetchError, match=said):
        tarball.check(packed(tmp_path / "x.tar", *entries, mode=mode))


def test_a_bomb_is_refused_by_what_it_unpacks_to(tmp_path: Path) -> None:
    bomb = packed(tmp_path / "bomb.tar.gz", entry("x/a", size=64 << 20), mode="w:gz")
    assert bomb.stat().st_size < 1 << 20
    tarball.check(bomb)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tarball, "MAX_UNPACKED", 63 << 20)
        with pytest.raises(FetchError, match="unpacks to more than"):
            tarball.check(bomb)


def test_a_file_that_only_says_it_is_huge_is_refused_at_once(tmp_path: Path) -> None:
    head = entry("x/a", size=1 << 50).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "x.tar").write_bytes(head + bytes(10_240))
    started = time.process_time()
    with pytest.raises(FetchError, match="unpacks to more than 4 GiB"):
        tarball.check(tmp_path / "x.tar")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_what_tarfile_would_take_into_memory_is_short(kind: bytes, tmp_path: Path) -> None:
    short = [entry("x/a").tobuf(), entry("", kind, size=1024).tobuf(), bytes(1024), entry("x/b").tobuf()]
    (tmp_path / "x.tar").write_bytes(b"".join([*short, bytes(10_240)]))
    tarball.check(tmp_path / "x.tar")
    large = [entry("x/a").tobuf(), entry("", kind, size=1 << 20).tobuf(tarfile.GNU_FORMAT)]
    (tmp_path / "x.tar").write_bytes(b"".join([*large, bytes(2 << 20)]))
    with pytest.raises(FetchError, match="more than 64 KiB to say"):
        tarball.check(tmp_path / "x.tar")


def test_notes_upon_notes_are_no_tarball(tmp_path: Path) -> None:
    note = entry("", tarfile.GNUTYPE_LONGNAME, size=1).tobuf() + bytes(512)
    (tmp_path / "x.tar").write_bytes(note * 2000 + bytes(10_240))
    with pytest.raises(FetchError, match="is no tarball"):
        tarball.check(tmp_path / "x.tar")


def test_a_file_with_holes_is_refused_before_its_map_is_read(tmp_path: Path) -> None:
    old = entry("x/old", tarfile.GNUTYPE_SPARSE)
    new = entry("x/new")
    new.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x/new"}
    for one in (old, new):
        with pytest.raises(FetchError, match="which has holes"):
            tarball.check(packed(tmp_path / "x.tar", one))


def test_so_are_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_FILES", 10)
    with pytest.raises(FetchError, match="more than 10 files"):
        tarball.check(packed(tmp_path / "x.tar", *(entry(f"x/{number}") for number in range(11))))


@pytest.mark.parametrize(
    "content", [b"", b"no tarball", b"\x1f\x8b\x08" + bytes(50), b"\xfd7zXZ\0" + bytes(50)]
)
def test_what_cannot_be_read_is_no_source(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FetchError, match="is no tarball"):
        tarball.check(tmp_path / "x")


@pytest.mark.parametrize("value", CORPUS, ids=lambda value: value.name)
def test_no_name_in_a_tarball_brings_a_line_into_a_message(value: object, tmp_path: Path) -> None:
    text = getattr(value, "text", "")
    with pytest.raises(FetchError) as caught:
        tarball.check(packed(tmp_path / "x.tar", entry(f"/{text}".replace("\ud800", "?"))))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_bad_tarball_with_the_right_digest_is_not_kept(tmp_path: Path) -> None:
    bad = packed(tmp_path / "x.tar", entry("../../x"))
    sha256 = hashlib.sha256(bad.read_bytes()).hexdigest()
    store = Store(tmp_path / "store")
    source = Source(component="x", version="1", file="x.tar", sha256=sha256, strip=1, origins=())
    with pytest.raises(SourceUnreachableError, match="leads out of its folder"):
        release.fetch(
            source,
            store=store,
            mirrors=[str(tmp_path)],
            deadline=time.monotonic() + 30,
            apt_bases=(),
        )
    assert store.find_source(sha256, "x.tar") is None


def test_a_commit_with_a_link_out_of_it_is_not_built(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "haproxy")
    (repository.folder / "l").symlink_to("/etc/passwd")
    repository.commit(a="b")
    what = Moving(component="haproxy", version="3.0.11", kind="git", where=str(repository.folder), ref="HEAD")
    with pytest.raises(SourceUnreachableError, match="a link that leads out of its folder"):
        unpinned.fetch(
            what,
            store=Store(tmp_path / "store"),
            mirrors=(),
            deadline=time.monotonic() + 30,
            package=pytest.fail,
        )


@pytest.mark.parametrize("where", ["/", "..", "/x/%41,=~", "https://127.0.0.1:9/" + "a" * 3000])
def test_a_repository_may_be_called_anything(where: str, tmp_path: Path) -> None:
    what = Moving(component="haproxy", version="3.0.11", kind="git", where=where, ref="a" * 40)
    with pytest.raises(SourceUnreachableError):
        unpinned.fetch(
            what,
            store=Store(tmp_path / "store"),
            mirrors=(),
            deadline=time.monotonic() + 30,
            package=pytest.fail,
        )


def test_a_file_behind_a_linked_folder_is_not_read(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "tree"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "secret").write_text("canary")
    (inside / "a").write_text("a")
    (inside / "l").symlink_to(outside)
    with pytest.raises(SourceUnreachableError, match="a link that leads out"):
        tree.pack(inside, tmp_path / "x.tar", prefix="x", deadline=time.monotonic() + 30)


def test_an_index_that_names_files_behind_a_link_reads_none(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("canary")
    repository = Repository(tmp_path / "tree")
    repository.commit(__gitignore="l\n")
    blob = repository.git("hash-object", "-w", ".gitignore")
    repository.git("update-index", "--add", "--cacheinfo", f"100644,{blob},l/secret")
    (repository.folder / "l").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceUnreachableError, match="is a link, and git has files in it"):
        tree.pack(repository.folder, tmp_path / "x.tar", prefix="x", deadline=time.monotonic() + 30)


@pytest.mark.parametrize("name", ["../x.py", "/etc/x.py", "pkg/../../x.py"])
def test_a_wheel_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr(name, "1")
    with pytest.raises(SourceUnreachableError, match=r"x\.whl has '"):
        wheels.unpack([tmp_path / "x.whl"], io.BytesIO())


@pytest.mark.parametrize(
    "value", [value for value in CORPUS if value.names_a_file], ids=lambda value: value.name
)
def test_a_program_may_be_called_anything(value: object, tmp_path: Path) -> None:
    text = getattr(value, "text", "")
    given = tmp_path / f"x{text}"
    try:
        given.write_bytes(b"\x7fELF")
    except OSError:
        pytest.skip("no file can be called so")
    what = Moving(component="haproxy", version="3.0.11", kind="prebuilt", where=str(given), ref="")
    found = unpinned.fetch(
        what,
        store=Store(tmp_path / "store"),
        mirrors=(),
        deadline=time.monotonic() + 30,
        package=pytest.fail,
        keep=False,
    )
    assert found.source.file.isascii()
    assert found.source.file.isprintable()
    assert not set(found.source.file) & set(" /'\"\\$`;|&<>(){}*?#!")
    assert ".." not in found.source.file


def test_nothing_is_ever_unpacked_on_this_machine() -> None:
    package = Path(orchestrator.__file__).parent
    calls = {
        node.func.attr
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & {"extract", "extractall", "unpack_archive"}
