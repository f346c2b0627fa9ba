"""Archives: what is packed comes out again, the same bytes give the same tar, bad ones are an EngineError."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import EngineError
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.engine import UID

FILES = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}/[a-zA-Z0-9 ._é-]{1,120}\.x", fullmatch=True), st.binary(), max_size=4
)


def entries(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: entry for entry in tar}


@given(files=FILES)
def test_what_is_packed_comes_out_again(files: dict[str, bytes]) -> None:
    archive = pack(files)
    assert pack(files) == archive
    for path, content in files.items():
        assert read_member([archive[:7], archive[7:]], path) == content


def test_folders_come_before_their_files_and_all_belongs_to_the_containers_user() -> None:
    found = entries(pack({"a/b/c": b"1", "d": b"2"}))
    assert list(found) == ["a", "a/b", "a/b/c", "d"]
    assert [entry.isdir() for entry in found.values()] == [True, True, False, False]
    assert {(entry.uid, entry.gid, entry.mtime) for entry in found.values()} == {(UID, UID, 0)}


def test_programs_are_executable_and_nothing_else_is() -> None:
    found = entries(pack({"haproxy": b"", "a/x.cfg": b""}, executable=("haproxy",)))
    assert (found["haproxy"].mode, found["a/x.cfg"].mode, found["a"].mode) == (0o755, 0o644, 0o755)


def symlink() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("x")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        pytest.param(pack({"y": b"1"}), "holds no file x", id="another file"),
        pytest.param(pack({"x/y": b"1"}), "holds no file x", id="a folder"),
        pytest.param(symlink(), "holds no file x", id="a link out of it"),
        pytest.param(pack({"x": b"1" * 5000})[:1500], "cannot be read", id="cut in the content"),
        pytest.param(pack({"x": b"1"})[:100], "cannot be read", id="cut in the head"),
        pytest.param(b"", "cannot be read", id="nothing"),
        pytest.param(b"Internal Server Error" * 100, "cannot be read", id="no archive"),
    ],
)
def test_a_member_that_cannot_be_had_is_the_engines_fault(archive: bytes, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        read_member([archive], "x")


@given(content=st.binary(max_size=3000))
def test_any_bytes_give_a_file_or_an_engine_error(content: bytes) -> None:
    with contextlib.suppress(EngineError):
        read_member([content], "x")


@pytest.mark.parametrize("target", ["haproxy", "other"])
def test_a_link_is_no_file_and_one_to_itself_is_not_followed_for_ever(target: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("haproxy")
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("other"))
    with pytest.raises(EngineError, match="holds no file haproxy"):
        read_member([buffer.getvalue()], "haproxy")
