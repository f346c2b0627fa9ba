"""A client of a person's own: where it lies below ROOT, and how it is started with its own libraries.

The root of its image, or the files of its packages, lie there as they are; nothing of them runs but the client. It is
started by the loader that it asks for, its own where it brings one, so that it gets its own libraries before ours.
Alone it says as JSON what it found, for `own_client.py FAMILY [VERSION]`; VERSION where the client does not say it.
"""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path("/opt/client")
FOLDERS = ("", "usr/local/bin", "usr/bin", "bin", "usr/local/sbin", "usr/sbin", "sbin")
LIBRARIES = ("usr/local/lib", "usr/local/lib64", "lib", "lib64", "usr/lib", "usr/lib64")
MACHINES = {3: "i386", 21: "ppc64el", 22: "s390x", 40: "armhf", 62: "amd64", 183: "arm64", 243: "riscv64"}
INTERPRETER = 3  # PT_INTERP of a program header (elf(5))
SECONDS = 20
# What gtlsclient.py passes to it.
OPTIONS = {"--ciphers", "--handshake-timeout", "--exit-on-all-streams-close", "--download", "--http-method"}
# What glibc's loader and musl's say of a program that they cannot start.
LOADER_SAYS = (
    (
        r"(?:error while loading shared libraries: (?=\S+: cannot open)|Error loading shared library )([^:\s]+):",
        "needs {0}, which neither it nor the client image has: add its package, or give its container image",
    ),
    (
        r"([^/\s]+): version `([^']+)' not found \(required by ([^)]+)\)",
        "needs {1} of {0}, and here it is older: add the package of that library, or give its container image",
    ),
    (r"(?:symbol lookup error|Error relocating)[^:]*: (.*)", "does not go with a library: {0}"),
)


class Problem(Exception):
    """Why there is no such client, for a person."""


def find(family: str, root: Path = ROOT) -> list:
    """Return the command of the client, without its arguments."""
    program = locate(family, root)
    machine, wanted = read_elf(program)
    ours, _ = read_elf(Path(sys.executable))
    if machine != ours:
        names = [MACHINES.get(one, f"ELF machine {one}") for one in (machine, ours)]
        raise Problem(f"{show(program, root)} is a program for {names[0]}, and clients run on {names[1]}")
    if not wanted:
        return [str(program)]
    folders = find_libraries(program, root)
    # Packages alone bring no /lib64. A loader and a C library of two versions crash, so its own comes first.
    own = [resolve(root, root / wanted.lstrip("/")), *(folder / Path(wanted).name for folder in folders)]
    loader = next((path for path in (*own, Path(wanted)) if path.is_file()), None)
    if loader is None:
        raise Problem(
            f"{show(program, root)} asks for the loader {wanted}, which neither it nor the client image has: "
            "give its container image, or link it statically"
        )
    return [str(loader), "--library-path", ":".join(map(str, folders)), str(program)]


def locate(family: str, root: Path) -> Path:
    """Return the program of that name: where programs usually are, else anywhere."""
    usual = (resolve(root, root / folder / family) for folder in FOLDERS)
    anywhere = (path for path in sorted(root.rglob(family)) if not path.is_symlink())
    for path in (*usual, *anywhere):
        if path.is_file():
            return path
    raise Problem(f"there is no program {family} in it")


def resolve(root: Path, path: Path) -> Path:
    """Return where a path leads if ``root`` is the root of its links."""
    for _ in range(40):
        at = root
        for part in path.relative_to(root).parts:
            at = at / part
            if at.is_symlink():
                break
        else:
            return path
        rest = path.relative_to(at)
        target = os.readlink(at)
        base = root if target.startswith("/") else at.parent
        joined = Path(os.path.normpath(base / target.lstrip("/") / rest))
        path = joined if joined.is_relative_to(root) else root
    return path


def read_elf(path: Path) -> tuple:
    """Return the machine's number, and the loader that is asked for; empty for what is linked statically."""
    try:
        return _read_elf(path)
    except (struct.error, ValueError, OSError) as error:
        raise Problem(f"{path.name} is no program (ELF): {error}") from None


def _read_elf(path: Path) -> tuple:
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF" or len(head) < 52:
            raise Problem(f"{path.name} is no program (ELF)")
        order = "<" if head[5] == 1 else ">"
        wide = head[4] == 2
        (machine,) = struct.unpack_from(f"{order}H", head, 18)
        (start,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
        size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
        for number in range(count):
            file.seek(start + number * size)
            entry = file.read(size)
            if len(entry) < 32 or struct.unpack_from(f"{order}I", entry)[0] != INTERPRETER:
                continue
            place = struct.unpack_from(f"{order}Q", entry, 8) if wide else struct.unpack_from(f"{order}I", entry, 4)
            file.seek(place[0])
            return machine, file.read(256).partition(b"\0")[0].decode(errors="replace")
    return machine, ""


def find_libraries(program: Path, root: Path) -> list:
    """Return the folders of its own libraries: beside it, where they usually are, and all others that have some."""
    beside = root if program.parent == root else program.parent.parent
    usual = [program.parent, resolve(root, beside / "lib")]
    for name in LIBRARIES:
        folder = resolve(root, root / name)
        usual += [folder, *sorted(folder.glob("*-linux-*"))]
    others = sorted({path.parent for path in root.rglob("lib*.so*")})
    return [folder for folder in dict.fromkeys([*usual, *others]) if folder.is_dir()]


def show(path: Path, root: Path) -> str:
    return str(path.relative_to(root))


def find_version(family: str, declared: str = "", root: Path = ROOT) -> str:
    """Return what it says that it is, or its packages, or what it is declared to be.

    :raises Problem: also for a program of another kind, and for one that cannot do HTTP/3.
    """
    command = find(family, root)
    return {"curl": ask_curl, "gtlsclient": ask_gtlsclient}[family](command, declared, root)


def ask_curl(command: list, declared: str, root: Path) -> str:
    said = run(command, "--version", root)
    words = said.partition("\n")[0].split()
    if words[:1] != ["curl"] or len(words) < 2:
        raise Problem(f"{show(Path(command[-1]), root)} does not say that it is curl: {said.strip()[:200]!r}")
    if "HTTP3" not in said.partition("Features:")[2].split():
        raise Problem(f"{' '.join(words[:2])} has no HTTP/3 in it: `curl --version` lists no HTTP3 among its features")
    # curl 8.14.1 (x86_64-pc-linux-gnu) libcurl/8.14.1 OpenSSL/3.5.7 ...
    if (library := next((word for word in words if word.startswith("libcurl/")), "")) != f"libcurl/{words[1]}":
        raise Problem(
            f"curl {words[1]} was started with {library or 'no libcurl'}, so that another curl would be tested: add the "
            "package of its own libcurl, or give its container image"
        )
    return " ".join([*words[:2], *words[4:5]])


def ask_gtlsclient(command: list, declared: str, root: Path) -> str:
    lacking = sorted(OPTIONS - set(re.findall(r"--[a-z-]+", run(command, "--help", root))))
    if lacking:
        raise Problem(f"{show(Path(command[-1]), root)} is no gtlsclient: its --help does not know {', '.join(lacking)}")
    if found := list_packages(root):
        return " ".join(found)
    if not declared:
        raise Problem("gtlsclient does not say its version, and no package is there that does: add `version` to its value")
    return f"gtlsclient {declared}"


def list_packages(root: Path) -> list:
    """Return name and version of the packages that make a gtlsclient, of a root that Debian's packages are in."""
    try:
        status = (root / "var/lib/dpkg/status").read_text(errors="replace")
    except OSError:
        return []
    fields = [dict(re.findall(r"^(Package|Version): (.*)$", part, re.M)) for part in status.split("\n\n")]
    known = {one["Package"]: one["Version"] for one in fields if len(one) == 2}
    names = sorted(name for name in known if re.fullmatch(r"ngtcp2-client|libgnutls30\w*", name))
    return [word for name in names for word in (name, known[name])] if "ngtcp2-client" in known else []


def run(command: list, option: str, root: Path) -> str:
    """Return what a client writes to both streams.

    :raises Problem: where it cannot be started; the loader says which library it lacks.
    """
    name, argv = show(Path(command[-1]), root), [*command, option]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Problem(f"{name} cannot be started: {error}") from error
    said = (done.stdout + done.stderr).decode(errors="replace")
    for words, why in LOADER_SAYS:
        if found := re.search(words, said):
            raise Problem(f"{name} {why.format(*found.groups())}")
    if done.returncode < 0:
        raise Problem(f"{name} ended by signal {-done.returncode} when it was asked what it is")
    return said


if __name__ == "__main__":
    try:
        print(json.dumps({"command": find(sys.argv[1]), "version": find_version(*sys.argv[1:3]), "problem": ""}))
    except Problem as problem:
        print(json.dumps({"command": [], "version": "", "problem": str(problem)}))
