"""A client of one's own: found below its root, started with its own libraries, and asked what it is."""

import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from client_scripts import loaded

LOADER = "/lib64/ld-linux-x86-64.so.2"
CURL = "curl 8.16.0 (x86_64-pc-linux-gnu) libcurl/8.16.0 OpenSSL/3.6.5 zlib/1.3\nFeatures: alt-svc {} SSL\n"
HELP = "--ciphers --handshake-timeout --exit-on-all-streams-close --download --http-method"


def elf(machine: int = 62, interpreter: str = "", *, wide: bool = True) -> bytes:
    """A header, one program header, and the loader's name (elf(5))."""
    size, entry = (64, 56) if wide else (52, 32)
    name = interpreter.encode() + b"\0"
    header = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    header += struct.pack("<HHI", 3, machine, 1)
    header += (
        struct.pack("<QQQIHHH", 0, size, 0, 0, size, entry, 1)
        if wide
        else struct.pack("<IIIIHHH", 0, size, 0, 0, size, entry, 1)
    )
    header = header.ljust(size, b"\0")
    kind = 3 if interpreter else 1
    at = size + entry
    program = struct.pack("<IIQ", kind, 0, at) if wide else struct.pack("<II", kind, at)
    return header + program.ljust(entry, b"\0") + name


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script, on a machine of amd64 whose Python is a program of it."""
    script = loaded("own_client")
    python = tmp_path / "python3"
    python.write_bytes(elf())
    monkeypatch.setattr(script.sys, "executable", str(python))
    return script


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


def put(root: Path, name: str, content: bytes = b"") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or elf())
    return path


def says(monkeypatch: pytest.MonkeyPatch, output: str, code: int = 0) -> list[list[str]]:
    """The client's answer is played; the calls are returned."""
    calls: list[list[str]] = []

    def run(argv: list[str], **_: object) -> SimpleNamespace:
        calls.append(argv)
        return SimpleNamespace(stdout=output.encode(), stderr=b"", returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_static_program_is_started_as_it_is(own: Any, root: Path) -> None:
    program = put(root, "bin/curl")
    assert own.find("curl", root) == [str(program)]


def test_its_own_loader_starts_it_with_its_own_libraries_first(own: Any, root: Path) -> None:
    program = put(root, "usr/bin/curl", elf(interpreter=LOADER))
    loader = put(root, "usr/lib64/ld-linux-x86-64.so.2")
    (root / "lib64").symlink_to("/usr/lib64")  # of its own root, not of this machine's
    put(root, "usr/lib/x86_64-linux-gnu/libcurl.so.4")
    put(root, "opt/quic/lib/libngtcp2.so.16")
    command = own.find("curl", root)
    assert (command[0], command[1], command[3]) == (str(loader), "--library-path", str(program))
    folders = command[2].split(":")
    assert folders.index(str(root / "usr/lib/x86_64-linux-gnu")) < folders.index(str(root / "opt/quic/lib"))


def test_a_loader_beside_its_c_library_comes_before_ours(own: Any, root: Path) -> None:
    """Packages alone bring no /lib64, and a loader with a C library of another version crashes."""
    put(root, "usr/bin/curl", elf(interpreter=LOADER))
    loader = put(root, "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    assert own.find("curl", root)[0] == str(loader)


def test_without_a_loader_of_its_own_it_gets_ours(own: Any, root: Path, tmp_path: Path) -> None:
    ours = put(tmp_path, "ld.so")
    put(root, "curl", elf(interpreter=str(ours)))
    assert own.find("curl", root)[0] == str(ours)


def test_it_is_found_behind_links_that_lead_through_its_own_root(own: Any, root: Path) -> None:
    program = put(root, "opt/curl-8.16/bin/curl")
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "usr/local/bin/curl").symlink_to("/opt/current/bin/curl")
    (root / "opt/current").symlink_to("curl-8.16")
    assert own.find("curl", root) == [str(program)]


def test_a_link_that_leads_out_of_its_root_leads_nowhere(own: Any, root: Path) -> None:
    (root / "bin").mkdir()
    (root / "bin/curl").symlink_to("../../../../python3")
    with pytest.raises(own.Problem, match="no program curl in it"):
        own.find("curl", root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (elf(183), "curl is a program for arm64, and clients run on amd64"),
        (elf(3, wide=False), "curl is a program for i386, and clients run on amd64"),
        (b"#!/bin/sh\nexec curl\n", "curl is no program"),
        (b"\x7fELF\x02\x01" + bytes(48), "curl is no program"),
        (b"\x7fELF\x02\x01" + b"\xff" * 60, "curl is no program"),
        (elf(interpreter="/lib/ld-musl-none.so.1"), "asks for the loader /lib/ld-musl-none.so.1"),
    ],
)
def test_what_cannot_be_started_is_named(own: Any, root: Path, content: bytes, said: str) -> None:
    put(root, "usr/bin/curl", content)
    with pytest.raises(own.Problem, match=said):
        own.find("curl", root)


def test_curl_says_its_version_and_its_tls(own: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "curl")
    calls = says(monkeypatch, CURL.format("HTTP3"))
    assert own.find_version("curl", "", root) == "curl 8.16.0 OpenSSL/3.6.5"
    assert calls == [[str(root / "curl"), "--version"]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((CURL.format("HTTP2"), 0), "curl 8.16.0 has no HTTP/3 in it"),
        (
            (CURL.format("HTTP3").replace("libcurl/8.16.0", "libcurl/8.14.1"), 0),
            "started with libcurl/8.14.1",
        ),
        (("GNU Wget 1.21\n", 0), "does not say that it is curl: 'GNU Wget 1.21'"),
        (("", -11), "ended by signal 11"),
        (
            (
                "curl: error while loading shared libraries: libngtcp2.so.16: cannot open shared object\n",
                127,
            ),
            "needs libngtcp2.so.16, which neither",
        ),
        (
            ("Error loading shared library libz.so.1: No such file (needed by x)\n", 127),
            "needs libz.so.1, which",
        ),
        (
            (
                "curl: /lib/libc.so.6: version `GLIBC_2.99' not found (required by /opt/libcurl.so.4)\n",
                1,
            ),
            "needs GLIBC_2.99 of libc.so.6, and here it is older",
        ),
        (
            ("curl: symbol lookup error: curl: undefined symbol: x\n", 127),
            "does not go with a library: curl: und",
        ),
    ],
)
def test_what_is_no_curl_with_http3_says_why(
    own: Any, root: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[str, int], said: str
) -> None:
    put(root, "curl")
    says(monkeypatch, *answer)
    with pytest.raises(own.Problem, match=said):
        own.find_version("curl", "", root)


STATUS = """Package: ngtcp2-client
Version: 1.16.0-1

Package: libgnutls30t64
Version: 3.8.9-3

Package: tar
Version: 1
"""


def test_gtlsclient_has_the_version_of_its_package(
    own: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "usr/bin/gtlsclient")
    put(root, "var/lib/dpkg/status", STATUS.encode())
    says(monkeypatch, HELP)
    assert own.find_version("gtlsclient", "", root) == "libgnutls30t64 3.8.9-3 ngtcp2-client 1.16.0-1"


def test_gtlsclient_without_a_package_has_the_declared_version(
    own: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "gtlsclient")
    says(monkeypatch, HELP)
    assert own.find_version("gtlsclient", "1.16", root) == "gtlsclient 1.16"
    with pytest.raises(own.Problem, match=r"does not say its version.*add `version` to its value"):
        own.find_version("gtlsclient", "", root)


def test_another_program_of_that_name_is_no_gtlsclient(
    own: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "gtlsclient")
    says(monkeypatch, HELP.replace("--download", ""))
    with pytest.raises(own.Problem, match="is no gtlsclient: its --help does not know --download"):
        own.find_version("gtlsclient", "1", root)


def test_the_driver_calls_it_by_its_loader_and_ours_by_its_name(
    own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(own.__file__).parent))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    clients = loaded("clients")
    monkeypatch.setattr(
        clients.own_client, "find", lambda family: ["/opt/client/ld.so", f"/opt/client/{family}"]
    )
    assert clients.find_program({"client": "curl", "own": True}) == ["/opt/client/ld.so", "/opt/client/curl"]
    assert clients.find_program({"client": "curl", "own": False}) == ["curl"]
