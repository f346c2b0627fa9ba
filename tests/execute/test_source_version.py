"""The version of a source that moves, read from real trees, repositories, tarballs and packages."""

import io
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from git_samples import Repository

from orchestrator.cli.log import show_log
from orchestrator.errors import UsageError
from orchestrator.execute.sources.version import VersionReader, identify_folder
from orchestrator.matrix.model import HaproxyValue, Software, TlsValue

HAPROXY = {"include/haproxy/version.h": "#define\n", "VERSION": "3.5-dev5\n", "SUBVERS": "-$Format:%h$\n\n"}
OPENSSL = {"VERSION.dat": "MAJOR=3\nMINOR=6\nPATCH=0\nPRE_RELEASE_TAG=dev\nBUILD_METADATA=\n"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What is logged."""
    heard: list[str] = []
    with show_log(heard.append):
        yield heard


@pytest.fixture
def reader(tmp_path: Path) -> VersionReader:
    return VersionReader(store=tmp_path / "store", mirrors=(), archs=("amd64", "arm64", "s390x"))


def haproxy(source: str, where: object, **more: Any) -> HaproxyValue:
    given = {"name": f"haproxy-{source}", "version": "", "source": source, "where": str(where), **more}
    return HaproxyValue.model_validate(given)


def library(family: str, source: str, where: object) -> TlsValue:
    given = {"name": f"{family}-{source}", "family": family, "version": "", "source": source}
    return TlsValue.model_validate({**given, "where": str(where)})


def refused(reader: VersionReader, software: Software) -> UsageError:
    with pytest.raises(UsageError) as caught:
        reader.read(software)
    assert caught.value.brief.startswith(f"{software.name}: ")
    assert "\n" not in caught.value.brief
    return caught.value


# Working trees


def test_a_tree_without_git(tmp_path: Path, reader: VersionReader) -> None:
    assert reader.read(haproxy("path", write(tmp_path / "h", HAPROXY))) == "3.5-dev5"
    assert reader.read(library("openssl", "path", write(tmp_path / "o", OPENSSL))) == "3.6.0-dev"


def test_a_clone_counts_the_commits_since_its_version(tmp_path: Path, reader: VersionReader) -> None:
    made = Repository(tmp_path / "haproxy")
    write(made.folder, HAPROXY)
    made.commit()
    made.git("tag", "--annotate", "--message", "x", "v3.5-dev5")
    assert reader.read(haproxy("path", made.folder)) == "3.5-dev5"
    made.commit(one="1")
    made.commit(two="2")
    assert reader.read(haproxy("path", made.folder)) == "3.5-dev5-2"
    made.git("tag", "v9.9")  # somebody's own: VERSION is what HAProxy says of itself
    assert reader.read(haproxy("path", made.folder)) == "3.5-dev5-2"
    made.git("tag", "--delete", "v3.5-dev5")  # as in a clone without tags
    assert reader.read(haproxy("path", made.folder)) == "3.5-dev5"


def test_a_tree_without_git_on_the_machine(
    tmp_path: Path, reader: VersionReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Repository(tmp_path / "haproxy")
    write(made.folder, HAPROXY)
    made.commit()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reader.read(haproxy("path", made.folder)) == "3.5-dev5"


def test_a_tree_of_something_else(tmp_path: Path, reader: VersionReader) -> None:
    tree = write(tmp_path / "o", OPENSSL)
    error = refused(reader, haproxy("path", tree))
    assert error.brief == f"haproxy-path: {tree} is OpenSSL's (3.6.0-dev), not HAProxy's"
    assert error.resolution == f"As what it is: --with tls=openssl:path:{tree}"
    declared = haproxy("path", tree, version="3.0.11")  # nobody has to wait for a compiler to say so
    assert refused(reader, declared).brief == error.brief
    other = refused(reader, library("libressl", "path", write(tmp_path / "h", HAPROXY)))
    assert "is HAProxy's (3.5-dev5), not LibreSSL's" in other.brief
    assert other.resolution.endswith(f"--with haproxy=path:{tmp_path / 'h'}")


def test_a_tree_that_says_nothing_says_how_to_give_it(tmp_path: Path, reader: VersionReader) -> None:
    tree = write(tmp_path / "x", {"README": "x"})
    error = refused(reader, haproxy("path", tree))
    assert "it says no version that can be read" in error.brief
    assert f"--with 'haproxy={{path: {tree}, version: \"...\"}}'" in error.resolution
    error = refused(reader, library("wolfssl", "path", tree))
    assert f"--with 'tls={{family: wolfssl, path: {tree}, version: \"...\"}}'" in error.resolution
    assert reader.read(haproxy("path", tree, version="3.0.11")) == "3.0.11"


def test_no_folder_and_a_bare_repository(tmp_path: Path, reader: VersionReader) -> None:
    assert "there is no folder" in refused(reader, haproxy("path", tmp_path / "no")).brief
    made = Repository(tmp_path / "haproxy")
    assert "bare repository" in refused(reader, haproxy("path", made.folder / ".git")).brief
    gone = haproxy("path", tmp_path / "no", version="3.0.11")  # its cells are blocked, with their reason
    assert reader.read(gone) == "3.0.11"


def test_a_link_in_the_place_of_a_file_is_no_harm(tmp_path: Path) -> None:
    tree = write(tmp_path / "h", HAPROXY)
    (tree / "VERSION").unlink()
    (tree / "VERSION").symlink_to("/dev/zero")
    found = identify_folder(tree)
    assert found is not None
    assert (found.family, found.version) == ("haproxy", "")


# git


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "upstream" / "haproxy")
    write(made.folder, HAPROXY)
    made.commit()
    return made


def test_a_branch_is_what_it_is_now(upstream: Repository, reader: VersionReader) -> None:
    value = haproxy("git", upstream.folder, ref="master")
    assert reader.read(value) == "3.5-dev5"
    upstream.commit(VERSION="3.5-dev6\n")
    assert reader.read(value) == "3.5-dev6"
    assert list((reader.store / "git").iterdir())


def test_offline_a_branch_is_what_it_was(
    upstream: Repository, reader: VersionReader, heard: list[str]
) -> None:
    value = haproxy("git", upstream.folder, ref="master")
    reader.read(value)
    shutil.move(upstream.folder, upstream.folder.with_name("away"))
    assert reader.read(value) == "3.5-dev5"
    assert len(heard) == 1
    assert heard[0].endswith("; its version was 3.5-dev5 when it was last read")


def test_offline_and_never_seen_is_a_sentence(
    upstream: Repository, reader: VersionReader, heard: list[str]
) -> None:
    reader.read(haproxy("git", upstream.folder, ref="master"))
    shutil.move(upstream.folder, upstream.folder.with_name("away"))
    other = refused(reader, haproxy("git", upstream.folder, ref="other"))  # of that ref nothing is known
    assert f"the version of git: {upstream.folder} other is not known: " in other.brief
    assert other.resolution.startswith(
        "Correct its URL or ref. If only the server does not answer, give it: "
    )
    assert "version:" in other.resolution
    assert heard == []


def test_a_clone_of_something_else(upstream: Repository, reader: VersionReader) -> None:
    error = refused(reader, library("openssl", "git", upstream.folder).model_copy(update={"ref": "master"}))
    assert f"{upstream.folder} is HAProxy's (3.5-dev5), not OpenSSL's" in error.brief


def test_a_declared_version_asks_nobody(tmp_path: Path, reader: VersionReader) -> None:
    assert reader.read(haproxy("git", tmp_path / "no", ref="master", version="3.4")) == "3.4"


# Tarballs


def tarball(path: Path, files: dict[str, str], folder: str = "haproxy-3.5/") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(folder + name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize("folder", ["haproxy-3.5/", "./haproxy-3.5/", "", "./"])
def test_a_tarball_however_it_was_packed(tmp_path: Path, reader: VersionReader, folder: str) -> None:
    files = {"README": "x", **HAPROXY, "src/VERSION": "9.9\n", "doc/VERSION": "9.9\n"}
    assert reader.read(haproxy("tarball", tarball(tmp_path / "h.tar.gz", files, folder))) == "3.5-dev5"


def test_no_tarball(tmp_path: Path, reader: VersionReader) -> None:
    (tmp_path / "x").write_text("x")
    assert "is no tarball" in refused(reader, haproxy("tarball", tmp_path / "x")).brief
    assert "cannot be read" in refused(reader, haproxy("tarball", tmp_path / "none")).brief
    other = tarball(tmp_path / "o.tar.gz", OPENSSL)
    assert "is OpenSSL's (3.6.0-dev)" in refused(reader, haproxy("tarball", other)).brief


# Packages


def package(path: Path, control: str, *, name: str = "control.tar.xz") -> Path:
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w") as tar:
        for entry, text in (("./md5sums", "x"), ("./control", control)):
            info = tarfile.TarInfo(entry)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    gz, whole = zlib.compressobj(wbits=31), inside.getvalue()
    packed = {
        "control.tar.xz": lzma.compress(whole),
        "control.tar.gz": gz.compress(whole) + gz.flush(),
        "control.tar": whole,
        "control.tar.zst": b"\x28\xb5\x2f\xfd" + whole,
    }[name]
    made = b"!<arch>\n"
    for entry, content in (("debian-binary", b"2.0\n"), (name, packed), ("data.tar.xz", b"")):
        made += f"{entry:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        made += b"\n" * (len(content) % 2)
    path.write_bytes(made)
    return path


CONTROL = "Package: haproxy\nVersion: {}\nArchitecture: amd64\nDescription: fast\n Version: 9\n"


@pytest.mark.parametrize("name", ["control.tar.xz", "control.tar.gz", "control.tar"])
@pytest.mark.parametrize(
    ("debian", "version"),
    [("3.0.11-1+deb13u5", "3.0.11"), ("1:3.5~dev5-1~ppa1", "3.5-dev5"), ("3.2.0", "3.2.0")],
)
def test_a_package_says_its_upstream_version(
    tmp_path: Path, reader: VersionReader, name: str, debian: str, version: str
) -> None:
    made = package(tmp_path / "h.deb", CONTROL.format(debian), name=name)
    assert reader.read(haproxy("prebuilt", made)) == version


def test_packages_of_several_architectures(tmp_path: Path, reader: VersionReader) -> None:
    value = haproxy("prebuilt", tmp_path / "h_{arch}.deb")
    error = refused(reader, value)
    assert f"there is no file '{tmp_path / 'h_amd64.deb'}', nor any of 2 more" in error.brief
    package(tmp_path / "h_arm64.deb", CONTROL.format("3.0.11-1"))
    assert reader.read(value) == "3.0.11"
    package(tmp_path / "h_amd64.deb", CONTROL.format("3.0.12-1"))
    error = refused(reader, value)
    assert "of different versions" in error.brief
    assert "h_amd64.deb: HAProxy 3.0.12" in error.details


def test_what_says_nothing_as_a_file(tmp_path: Path, reader: VersionReader) -> None:
    (tmp_path / "haproxy").write_bytes(b"\x7fELF")
    assert "no version that can be read" in refused(reader, haproxy("prebuilt", tmp_path / "haproxy")).brief
    new = package(tmp_path / "h.deb", CONTROL.format("3.0"), name="control.tar.zst")
    assert "no version that can be read" in refused(reader, haproxy("prebuilt", new)).brief
    other = package(tmp_path / "o.deb", "Package: nginx\nVersion: 1.0-1\n")
    assert "is the package 'nginx', not HAProxy's" in refused(reader, haproxy("prebuilt", other)).brief
    cut = tmp_path / "cut.deb"
    cut.write_bytes(new.read_bytes()[:70])
    assert "no version that can be read" in refused(reader, haproxy("prebuilt", cut)).brief
