"""What reads archives, streams, files of the store, and the output of tools on this machine."""

import io
import json
import lzma
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException
from fuzzing import Fuzz
from hypothesis import strategies as st
from mutations import near_bytes, near_text, near_tree

from orchestrator.arch import ARCHES
from orchestrator.atomic_files import hash_file
from orchestrator.errors import MatrixctlError
from orchestrator.execute.engine import owner
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.docker_errors import explain_unreachable
from orchestrator.execute.engine.docker_exec import read_frames
from orchestrator.execute.images import bootstrap, emulation, image_content
from orchestrator.execute.setup import doctor
from orchestrator.execute.sources import git, release, tarball, tree, version
from orchestrator.execute.sources.download import FetchError
from orchestrator.execute.sources.identify import identify
from orchestrator.execute.store.store import Store
from orchestrator.execute.system.host import read_os_release
from orchestrator.execute.system.process import Completed

DIGEST = "ab" * 32


class Machine:
    """A host whose files and programs all say the same."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, _path: str) -> str | None:
        return self.text

    def run(self, _argv: Any, *, timeout: float) -> Completed:
        assert timeout > 0
        said = self.text.encode(errors="replace")
        return Completed(exit_code=len(said) % 2, stdout=said, stderr=said)

    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}"


def of_links() -> bytes:
    """An archive with everything that a tar can have, a link to itself among it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, target in (
            ("haproxy", tarfile.SYMTYPE, "haproxy"),
            ("a", tarfile.SYMTYPE, "b"),
            ("b", tarfile.LNKTYPE, "a"),
            ("c" * 150, tarfile.FIFOTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            entry.pax_headers = {"comment": "x", "path": name}
            tar.addfile(entry)
    return buffer.getvalue()


def test_archive(fuzz: Fuzz) -> None:
    packed = pack({"haproxy": b"\x7fELF", "a/b": b"x" * 700}, executable=("haproxy",))
    named = st.sampled_from(("haproxy", "a/b", "a", "b", "c" * 150, "", ".."))
    samples = near_bytes(packed, packed[:1400], of_links(), edits=4)
    fuzz(st.tuples(samples, named), lambda given: read_member([given[0]], given[1]))


def test_docker_stream(fuzz: Fuzz) -> None:
    frames = b"\1\0\0\0\0\0\0\3abc" + b"\2\0\0\0\0\0\0\1x" + b"\1\0\0\0\0\0\0\0" + b"\1\0\0\0\0\0\0\4{}\n\n"

    def call(content: bytes) -> object:
        found = list(read_frames(io.BytesIO(content), time.monotonic() + 60))
        data = content
        for number, part in found:  # each is the next frame, of which the last may be cut
            while int.from_bytes(data[4:8], "big") == 0:
                data = data[8:]
            assert (number, part) == (data[0], data[8 : 8 + int.from_bytes(data[4:8], "big")])
            data = data[8 + len(part) :]
        return found

    fuzz(near_bytes(frames), call)


QEMU = "qemu-aarch64 version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u16)\nCopyright\n"
TARGETS = "http://deb.example.org/debian bookworm main Debian\nhttp://x bookworm-security main Debian\n"
RELEASE = 'ID=debian\nVERSION_CODENAME="bookworm"\nPRETTY_NAME="Debian"\n'


def test_emulation(fuzz: Fuzz) -> None:
    def call(text: str) -> object:
        arch, host = ARCHES["arm64"], Machine(text)
        return emulation.find_qemu_version(host, arch)  # type: ignore[arg-type]

    fuzz(near_text(QEMU), call)


def test_apt(fuzz: Fuzz) -> None:
    """os-release, apt's targets, its proxies, and which mirror is meant."""

    def call(text: str) -> object:
        host: Any = Machine(text)
        return (
            read_os_release(host),
            bootstrap.find_proxies(host, {}),
            release.list_pools(text),
            bootstrap.make_apt_lines(host),
        )

    fuzz(near_text(TARGETS, RELEASE, RELEASE + TARGETS, "mirror+file:/x y main Debian\n"), call)


STATUS = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n\n" * 2


def test_dpkg_status(fuzz: Fuzz) -> None:
    fuzz(near_text(STATUS), lambda text: image_content.parse_status(text, "amd64"))


def test_doctor(fuzz: Fuzz) -> None:
    def call(text: str) -> object:
        return doctor.check_version(text, "docker"), explain_unreachable(DockerException(text)).why

    fuzz(near_text("20.10.24+dfsg1", "PermissionError(13, 'Permission denied')"), call)


def test_owner_labels(fuzz: Fuzz) -> None:
    """The label of a stranger's container, or of an older version's."""
    mine = owner.make_labels("run")
    fuzz(near_text(*mine.values()), lambda text: owner.is_alive(dict.fromkeys(mine, text)))


REFS = (
    b"1111111111111111111111111111111111111111\trefs/heads/master\n"
    b"2222222222222222222222222222222222222222\trefs/tags/v1.0\n"
    b"3333333333333333333333333333333333333333\trefs/tags/v1.0^{}\n"
)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that the only git says, whatever it is asked; what begins with `fatal` it says as an error."""
    path = tmp_path / "said"
    program = tmp_path / "git"
    program.write_text(
        f'#!/bin/sh\nif grep -aq ^fatal "{path}"; then cat "{path}" >&2; exit 1; fi\ncat "{path}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return path


def test_git_refs(fuzz: Fuzz, said: Path) -> None:
    def call(given: tuple[bytes, str]) -> object:
        content, ref = given
        said.write_bytes(content)
        return git.resolve("https://example.org/x.git", ref, deadline=time.monotonic() + 60)

    refs = st.sampled_from(("master", "v1.0", "HEAD", "nothing", "refs/heads/master"))
    fuzz(st.tuples(near_bytes(REFS, b"fatal: no\n"), refs), call, refuses=(FetchError,))


def test_git_files(fuzz: Fuzz, said: Path, tmp_path: Path) -> None:
    """The names of a working tree, of which one is there."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / ".git").mkdir()
    (folder / "a.c").write_text("int a;\n")

    def call(content: bytes) -> object:
        said.write_bytes(content)
        tree.pack(folder, tmp_path / "packed.tar", prefix="x", deadline=time.monotonic() + 60)
        return (tmp_path / "packed.tar").read_bytes()

    fuzz(near_bytes(b"a.c\0gone.c\0", b"a.c\0sub/b.h\0../said\0/etc/hostname\0"), call)


TREES = (
    {"include/haproxy/version.h": "x", "VERSION": "3.5-dev5\n", "SUBVERS": "-50872da-12\n"},
    {"VERSION.dat": 'MAJOR=3\nMINOR=6\nPATCH=0\nPRE_RELEASE_TAG=dev\nBUILD_METADATA="+quic"\n'},
    {"include/openssl/opensslv.h": '# define OPENSSL_VERSION_TEXT "OpenSSL 1.1.1w+quic 11 Sep 2023"\n'},
    {"include/openssl/base.h": '#define AWSLC_VERSION_NUMBER_STRING "1.51.2"\n'},
    {"configure.ac": "AC_INIT([libressl], x)", "VERSION": "4.3.3\n"},
)


def test_source_identity(fuzz: Fuzz) -> None:
    def call(files: Any) -> object:
        found = identify(lambda name: str(files.get(name, "")) if isinstance(files, dict) else "")
        assert found is None or str(found).isprintable()
        return found

    fuzz(near_tree(*TREES), call)


def test_deb_control(fuzz: Fuzz) -> None:
    text = b"Package: haproxy\nVersion: 1:3.5~dev5-1\n"
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo("./control")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        plain = buffer.getvalue()
    packages = []
    for name, inside in (("control.tar", plain), ("control.tar.xz", lzma.compress(plain))):
        packages.append(b"!<arch>\n" + f"{name:<48}{len(inside):<10}`\n".encode() + inside)
    fuzz(near_bytes(*packages, b"!<arch>\n"), version._read_control)


def test_tarball_names(fuzz: Fuzz, tmp_path: Path) -> None:
    packed = pack({"haproxy/VERSION": b"3.0\n", "haproxy/src/VERSION": b"x" * 700})

    def call(content: bytes) -> object:
        path = tmp_path / "x.tar"
        path.write_bytes(content)
        return tarball.peek(path, ("VERSION", "src/VERSION"))

    fuzz(near_bytes(packed, of_links(), edits=4), call, refuses=(FetchError,))


META = {"sha256": "cd" * 32, "meta": {"prefix": "/opt", "seconds": 3}}


def test_store_files(fuzz: Fuzz, tmp_path: Path) -> None:
    """meta.json, durations.json and origin, as a crash or a stranger left them."""
    made = Store(tmp_path / "store")
    artifact = made.put_artifact(DIGEST, b"tar", {"a": 1})
    tar, meta = artifact.path.read_bytes(), json.loads((artifact.path.parent / "meta.json").read_bytes())
    durations = {"build": {"openssl": 3.5, "x": 1}}

    def call(given: tuple[bytes, bytes]) -> object:
        artifact.path.parent.mkdir(exist_ok=True)
        artifact.path.write_bytes(tar)
        (artifact.path.parent / "meta.json").write_bytes(given[0])
        (tmp_path / "store" / "durations.json").write_bytes(given[1])
        store = Store(tmp_path / "store")
        found = store.find_artifact(DIGEST)
        assert found is None or found.sha256 == artifact.sha256
        seconds = store.find_duration("build", "openssl")
        assert seconds is None or seconds >= 0
        return found, seconds

    def of(sample: Any) -> st.SearchStrategy[bytes]:
        raw = json.dumps(sample).encode()
        return st.one_of(near_tree(sample).map(lambda one: json.dumps(one).encode()), near_bytes(raw))

    fuzz(st.tuples(of(meta), of(durations)), call)


def test_store_sources(fuzz: Fuzz, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        (scratch / "x").write_bytes(b"source")
        sha256 = hash_file(scratch / "x")
        held = store.put_source(scratch / "x", sha256=sha256, file="x.tar", origin="git: x")

    def call(origin: bytes) -> object:
        (held.path.parent / "origin").write_bytes(origin)
        found = Store(tmp_path / "store").find_source(sha256, "x.tar")
        assert found is not None
        return found, Store(tmp_path / "store").list_contents()

    fuzz(near_bytes(b"git: https://example.org/x.git master -> 1234\n"), call)


def test_errors_are_not_swallowed() -> None:
    """The machine above is a real fake: what it cannot answer is an error for people."""
    with pytest.raises(MatrixctlError, match="names no Debian mirror"):
        bootstrap.make_apt_lines(Machine(""))  # type: ignore[arg-type]
