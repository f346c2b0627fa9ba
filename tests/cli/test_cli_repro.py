"""``repro`` and ``report --format issue``: of a run in memory, whose cell hangs as in haproxy#2569."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import engine_run
import pytest
from cli_samples import SETTINGS, matrixctl
from engine_run import GCM, EngineRun, Programs, chosen

from orchestrator.arch import ARCHES
from orchestrator.cli.outfolder import replace_files
from orchestrator.errors import UsageError
from orchestrator.matrix.model import Cell, Limits, Patch
from orchestrator.record.model import RunRecord
from orchestrator.reproduce import planned_folders
from orchestrator.reproduce.folder import Folder

CELLS = chosen("arch=a*64", "tls=openssl-3.5.7", "cipher!=TLS_AES_128_CCM_SHA256")
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
HEADINGS = (
    "Detailed Description of the Problem",
    "Expected Behavior",
    "Steps to Reproduce the Behavior",
    "Do you have any idea what may have caused this?",
    "Do you have an idea how to solve the issue?",
    "What is your configuration?",
    "Output of `haproxy -vv`",
    "Last Outputs and Backtraces",
    "Additional Information",
)
"""The fields of HAProxy's form for bugs, in their order (.github/ISSUE_TEMPLATE/Bug.yml)."""


def patched(cell: Cell, file: Path) -> Cell:
    text = file.read_bytes()
    patch = Patch(name=file.name, sha256=hashlib.sha256(text).hexdigest(), path=str(file))
    return replace(cell, haproxy=cell.haproxy.model_copy(update={"patches": (patch,)}))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    """The folder that a run lies below, whose patch is gone since, and its record."""
    folder = tmp_path_factory.mktemp("ran")
    fix = folder / "fix.diff"
    fix.write_text(DIFF)
    cells = [patched(cell, fix) for cell in CELLS]
    record = EngineRun(folder, cells, programs=Programs(fails=lambda cell, _: "CHACHA" in cell)).go()
    fix.unlink()
    write_catalog(folder)
    return folder, record


def write_catalog(folder: Path) -> None:
    catalog = "version: 1\ncomponents:\n"
    for (name, version), one in engine_run.CATALOG.sources.items():
        catalog += f"  {name}: {{'{version}': {{file: {one.file}, sha256: {one.sha256}}}}}\n"
    (folder / "sources.yaml").write_text(catalog)


FAILING = f"amd64--haproxy-3.0.11--openssl-3.5.7--{CHACHA}"


def repro(folder: Path, to: Path, cell: str, *args: str) -> subprocess.CompletedProcess[str]:
    where = ("--run", str(folder / "run"), "--store", str(folder / "store"), "--out", str(to))
    return matrixctl("repro", cell, *where, "--sources", str(folder / "sources.yaml"), *args, cwd=folder)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_has_all_of_the_run_and_the_same_bytes_each_time(
    made: tuple[Path, RunRecord], tmp_path: Path
) -> None:
    folder, record = made
    done = repro(folder, tmp_path / "one", FAILING[:-20])
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'one' / 'reproduce.sh'}\n"), done.stderr
    files = tree(tmp_path / "one")
    assert files["patches/fix.diff"] == DIFF.encode()
    assert files["evidence/haproxy-3.0.11--openssl-3.5.7--amd64.vv.txt"].startswith(b"HAProxy version 3.0.11")
    assert files["evidence/haproxy.cfg"] == b"global\n"
    session = json.loads(files["work/session.json"])
    (cell,) = (one for one in record.cells if one.id == FAILING)
    assert [one["id"] for one in session["cells"]] == [cell.id]
    expected = json.loads(files["work/expected.json"])
    assert expected["haproxy_version"] == "3.0.11-d60d1a7"
    assert expected["tls_running"] == "OpenSSL 3.5.7 9 Jun 2026"
    assert expected["cells"][cell.id]["said"].startswith("fail: handshake-then-hang: ")
    assert b"client curl 8.14.1-2\n" in files["packages.txt"]
    assert any(line.startswith(b"toolchain gcc") for line in files["packages.txt"].splitlines())
    assert repro(folder, tmp_path / "two", cell.id).returncode == 0
    assert tree(tmp_path / "two") == files
    subprocess.run(["sh", "-n", tmp_path / "one" / "reproduce.sh"], check=True)
    assert os.access(tmp_path / "one" / "reproduce.sh", os.X_OK)


def test_a_folder_has_the_packets_of_a_second_run_and_names_them(tmp_path: Path) -> None:
    one = [cell for cell in CELLS if cell.id == FAILING]
    choices = {"evidence": "failing"}
    EngineRun(tmp_path, one, programs=Programs(fails=lambda *_: True), choices=choices).go()
    write_catalog(tmp_path)
    done = repro(tmp_path, tmp_path / "one", FAILING)
    assert done.returncode == 0, done.stderr
    files = tree(tmp_path / "one")
    for name, content in engine_run.CAUGHT.items():
        assert files[f"evidence/{name}"] == content
    assert files["evidence/haproxy.cfg"] == b"global\n", "as the first run had it"
    readme = files["README.md"].decode()
    assert "Packets and traces, in the folder `traced`: a second run, " in readme
    assert "ended as the first: fail: handshake-then-hang." in readme


def test_a_run_that_compiled_under_qemu_is_told_from_the_folder_that_crosses(tmp_path: Path) -> None:
    arm = [cell for cell in CELLS if cell.arch.name == "arm64" and cell.cipher.suite == CHACHA]
    settings = SETTINGS.model_copy(update={"build": "emulated"})
    EngineRun(tmp_path, arm, choices={"settings": settings}).go()
    write_catalog(tmp_path)
    done = repro(tmp_path, tmp_path / "one", arm[0].id)
    assert done.returncode == 0, done.stderr
    said = "The run compiled under QEMU (--build emulated); this folder cross-compiles, with the same flags."
    assert said in " ".join(done.stderr.split())
    assert said in (tmp_path / "one" / "README.md").read_text()


def test_a_run_that_crossed_is_said_nothing_of(made: tuple[Path, RunRecord], tmp_path: Path) -> None:
    done = repro(made[0], tmp_path / "one", f"arm64--haproxy-3.0.11--openssl-3.5.7--{CHACHA}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--build emulated" not in (tmp_path / "one" / "README.md").read_text()


def test_the_same_writer_fills_readme_and_issue(made: tuple[Path, RunRecord], tmp_path: Path) -> None:
    folder, _ = made
    assert repro(folder, tmp_path / "one", FAILING[:-20]).returncode == 0
    readme = (tmp_path / "one" / "README.md").read_text()
    asked = ("report", str(folder / "run"), "--cell", FAILING, "--format", "issue")
    done = matrixctl(*asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    for text in (readme.partition("## The folder")[0], done.stdout):
        assert tuple(line[4:] for line in text.splitlines() if line.startswith("### ")) == HEADINGS
        sections = dict(part.split("\n\n", 1) for part in text.split("### ")[1:])
        assert sections[HEADINGS[0]].startswith(
            "handshake-then-hang: The handshake ended, then get-1k got no"
        )
        assert f"Over HTTP/3 with {CHACHA}" in sections[HEADINGS[1]]
        assert "over TCP and HTTP/2 end so" in sections[HEADINGS[1]]
        assert f"cipher={CHACHA}" in sections[HEADINGS[3]]
        assert sections[HEADINGS[5]] == "```haproxy\nglobal\n```\n\n"
        assert sections[HEADINGS[6]].startswith("```plain\nHAProxy version 3.0.11-d60d1a7")
        assert "Loading success" in sections[HEADINGS[7]]
        assert "patch fix.diff" in sections[HEADINGS[8]]
    assert "`sh reproduce.sh` in this folder" in readme
    assert "matrixctl repro" in done.stdout


def test_what_a_server_says_cannot_leave_its_fence(made: tuple[Path, RunRecord]) -> None:
    folder, record = made
    (cell,) = (one for one in record.cells if one.id == FAILING)
    assert cell.build.vv
    kept = folder / "run" / cell.build.vv
    before = kept.read_text()
    kept.write_text("```\n@everyone\n````\n::error::x\n")
    try:
        done = matrixctl("report", str(folder / "run"), "--cell", FAILING, "--format", "issue", cwd=folder)
    finally:
        kept.write_text(before)
    assert "\n`````plain\n```\n@everyone\n````\n<U+003A>:error::x\n`````\n" in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("repro", "TLS_AES", "--out", "x"), "is part of the ids of 4 cells"),
        (("repro", "CHACHER", "--out", "x"), "has no cell 'CHACHER'"),
        (("logs", "TLS_AES"), "is part of the ids of 4 cells"),
    ],
)
def test_a_part_of_an_id_has_to_be_of_one_cell(
    made: tuple[Path, RunRecord], args: tuple[str, ...], says: str
) -> None:
    done = matrixctl(*args, "--run", str(made[0] / "run"), cwd=made[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


@pytest.mark.parametrize("args", [("--cell", "CHACHA"), ("--format", "issue")])
def test_an_issue_is_of_one_cell(made: tuple[Path, RunRecord], args: tuple[str, ...]) -> None:
    done = matrixctl("report", str(made[0] / "run"), *args, cwd=made[0])
    assert done.returncode == 2
    assert "--cell and --format issue go together" in done.stderr


def test_another_source_of_that_version_is_refused(made: tuple[Path, RunRecord], tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        f"version: 1\ncomponents: {{haproxy: {{'3.0.11': {{file: h.tar.gz, sha256: {'a' * 64}}}}}}}\n"
    )
    done = repro(made[0], tmp_path / "x", FAILING, "--sources", str(tmp_path / "own.yaml"))
    assert done.returncode == 2
    assert "haproxy-3.0.11 was another file in the run" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_patch_that_was_changed_since_is_refused(made: tuple[Path, RunRecord], tmp_path: Path) -> None:
    kept = made[0] / "run" / "patches" / "fix.diff"
    kept.write_text(DIFF.replace("+b", "+c"))
    try:
        done = repro(made[0], tmp_path / "x", FAILING)
    finally:
        kept.write_text(DIFF)
    assert done.returncode == 4
    assert "has changed since the run began" in done.stderr


def test_a_cell_that_was_not_judged_has_nothing_to_reproduce(tmp_path: Path) -> None:
    def stop(kind: str) -> None:
        if kind == "driver":
            run.cancel.ask(fail_fast=True)

    run = EngineRun(tmp_path, chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}"))
    run.programs.before = stop
    run.go()
    (tmp_path / "sources.yaml").write_text("version: 1\ncomponents: {}\n")
    done = repro(tmp_path, tmp_path / "x", GCM)
    assert done.returncode == 2
    assert "was not judged: there is nothing to reproduce" in done.stderr


def test_debians_own_haproxy_is_taken_from_the_store(tmp_path: Path) -> None:
    EngineRun(tmp_path, chosen("arch=amd64", "tls=openssl-distro", f"cipher={GCM}", haproxy="distro")).go()
    (tmp_path / "sources.yaml").write_text("version: 1\ncomponents: {}\n")
    done = repro(tmp_path, tmp_path / "one", GCM)
    assert done.returncode == 0, done.stderr
    (source,) = (tmp_path / "one" / "sources").iterdir()
    assert source.name == "haproxy_3.0.11-1_arm64.deb"
    assert "HAPROXY_TREE" not in (tmp_path / "one" / "reproduce.sh").read_text()
    for path in (tmp_path / "store").glob("sources/*/haproxy*"):
        path.unlink()
    lost = repro(tmp_path, tmp_path / "two", GCM)
    assert lost.returncode == 4
    assert "no longer has that" in lost.stderr


def test_a_tarball_without_an_address_is_taken_from_the_store(
    made: tuple[Path, RunRecord], tmp_path: Path
) -> None:
    """It can come from nowhere else. Where the store has lost it, README.md says so."""
    names = {one.file for one in engine_run.CATALOG.sources.values()}
    files = tree(reproduced(made, tmp_path))
    taken = {path.removeprefix("sources/") for path in files if path.startswith("sources/")}
    assert taken
    assert taken <= names
    assert all(f"| {name} | ".encode() in files["README.md"] for name in taken)
    assert files["README.md"].count(b"| in `sources/` |") == len(taken)
    shutil.copytree(made[0], tmp_path / "pruned")
    shutil.rmtree(tmp_path / "pruned" / "store" / "sources")
    assert repro(tmp_path / "pruned", tmp_path / "two", FAILING).returncode == 0
    text = (tmp_path / "two" / "README.md").read_text()
    assert text.count("| no address is known: it has to lie in FOLDER |") == len(taken)
    assert not (tmp_path / "two" / "sources").exists()


def changed(folder: Path, to: Path, old: str, new: str, *, at: str = "") -> Path:
    """A copy of what lies around the run, whose journal says otherwise in every line that has ``at``."""
    shutil.copytree(folder, to)
    journal = to / "run" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert any(old in line for line in lines if at in line)
    journal.write_text("".join(line.replace(old, new) if at in line else line for line in lines))
    return to


TLS_NAME = '"name":"openssl-3.5.7","family":"openssl"'
CURL_NAME = '"name":"curl","family":"curl"'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param('"name":"fix.diff"', '"name":"../../../escaped.sh"', "patch", id="patch path"),
        pytest.param('"name":"fix.diff"', '"name":"$(touch x).diff"', "patch", id="patch command"),
        pytest.param(TLS_NAME, '"name":"$(touch x)","family":"openssl"', "tls.name", id="tls name"),
        pytest.param(TLS_NAME, '"name":"openssl-3.5.7","family":"nosuch"', "tls.family", id="tls family"),
        pytest.param(
            f'{TLS_NAME},"version":"3.5.7"', f'{TLS_NAME},"version":"x..y"', "tls.version", id="tls version"
        ),
        pytest.param(
            '"family":"haproxy","version":"3.0.11"',
            '"family":"haproxy","version":"$(x)"',
            "haproxy.version",
            id="haproxy version",
        ),
        pytest.param('"family":"haproxy"', '"family":"other"', "haproxy.family", id="haproxy family"),
        pytest.param('"make_flags":[]', '"make_flags":["CC=`x`"]', "make_flags", id="make flags"),
        pytest.param('"configure_flags":[]', '"configure_flags":["$(x)"]', "configure_flags", id="configure"),
        pytest.param('"build_packages":[]', '"build_packages":["a;b"]', "build_packages", id="packages"),
        pytest.param(
            '"runtime_packages":[]', '"runtime_packages":["$(x)"]', "runtime_packages", id="runtime"
        ),
        pytest.param(CURL_NAME, '"name":"curl","family":"nosuch"', "client.family", id="client family"),
        pytest.param(CURL_NAME, '"name":"$(x)","family":"curl"', "client.name", id="client name"),
        pytest.param(f'"suite":"{CHACHA}"', '"suite":"$(x)"', "cipher.suite", id="suite"),
        pytest.param(
            '"execution":{"name":"default","cpu":""',
            '"execution":{"name":"default","cpu":"a b"',
            "execution.cpu",
            id="cpu",
        ),
        pytest.param('"environment":[]', '"environment":["LD_PRELOAD=x"]', "environment", id="variable"),
        pytest.param('"machine":"x86_64"', '"machine":"$(x)"', "arch", id="machine"),
        pytest.param('"host_arch":"amd64"', '"host_arch":"pdp11"', "host_arch", id="engine"),
    ],
)
def test_a_record_that_no_matrix_could_give_is_refused(
    made: tuple[Path, RunRecord], tmp_path: Path, old: str, new: str, says: str
) -> None:
    folder = changed(made[0], tmp_path / "ran", old, new)
    for name in ("escaped.sh", "$(touch x).diff"):
        shutil.copy(folder / "run" / "patches" / "fix.diff", folder / "run" / "patches" / name)
    done = repro(folder, tmp_path / "a" / "b" / "out", FAILING)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr
    assert f"the record of {FAILING}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


FAKE = r"""#!/bin/sh
case "$1 $2" in
  "version --format") echo amd64 ;;
  "info --format") echo 2 ;;
  "run --rm") case "$*" in *dpkg*) ;; *) echo 'uname.machine="x86_64"' ;; esac ;;
  "cp -") cat > /dev/null ;;
  "cp "*) echo made ;;
  "start -a") case $3 in *-build) eval "${STARTS:-:}" ;; esac ;;
  "inspect -f") eval "${INSPECTS:-:}" ;;
  "exec -i") eval "${JUDGES:-:}" ;;
esac
"""
"""A docker that has every image; what its builds, its look at them and verdict.py do is told by variables."""


def play(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a folder, with programs of ours in front and sources that are there."""
    programs = folder.parent / f"{folder.name}-programs"
    programs.mkdir(exist_ok=True)
    for name, text in {"docker": FAKE, "sha256sum": "#!/bin/sh\ncat > /dev/null\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (folder / "sources").mkdir(exist_ok=True)
    for file in re.findall(r"^ *source_file (\S+) ", (folder / "reproduce.sh").read_text(), re.MULTILINE):
        (folder / "sources" / file.strip("'")).write_text("x")
    return subprocess.run(
        ["sh", "reproduce.sh"],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_no_name_is_a_command_of_the_script(tmp_path: Path) -> None:
    """The second wall: names that no matrix may have are text there, too."""
    fix = tmp_path / "$(touch PWNED)`touch PWNED`'.diff"
    fix.write_text(DIFF)
    (one, *_) = CELLS
    one = patched(replace(one, tls=one.tls.model_copy(update={"name": "$(touch PWNED)`touch PWNED`'"})), fix)
    made = planned_folders.render(
        [one], engine_run.CATALOG, Limits(), ARCHES["amd64"], lambda _: pytest.fail("moves")
    )
    (name,) = {path.partition("/patches/")[0] for path in made.folder.files if "/patches/" in path}
    for path, content in made.folder.files.items():
        if path.startswith(f"{name}/"):
            file = tmp_path / "out" / path.removeprefix(f"{name}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    done = play(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "asking the cell of haproxy-3.0.11--$(touch PWNED)`" in done.stderr
    assert not list(tmp_path.rglob("PWNED"))


@pytest.mark.parametrize("path", ["../x", "/dev/null/x", "a/../../x"])
def test_a_folder_is_written_below_itself_alone(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="would not lie in"):
        replace_files(tmp_path / "a" / "out", frozenset(), Folder(files={"README.md": b"", path: b""}))
    with pytest.raises(UsageError, match="would not lie in"):
        replace_files(tmp_path / "a" / "out", frozenset(), Folder(files={}, copies={path: tmp_path / "f"}))
    assert not (tmp_path / "a").exists()


def test_a_pinned_source_is_a_file_of_the_store_alone(tmp_path: Path) -> None:
    ran = tmp_path / "one"
    ran.mkdir()
    EngineRun(ran, chosen("arch=amd64", "tls=openssl-distro", f"cipher={GCM}", haproxy="distro")).go()
    (ran / "sources.yaml").write_text("version: 1\ncomponents: {}\n")
    hostile = changed(
        ran, tmp_path / "two", '"haproxy_3.0.11-1_arm64.deb"', '"../../x"', at='"source-pinned"'
    )
    done = repro(hostile, tmp_path / "out", GCM)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "'../../x' is no plain file name" in done.stderr


def reproduced(made: tuple[Path, RunRecord], tmp_path: Path) -> Path:
    assert repro(made[0], tmp_path / "out", FAILING).returncode == 0
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("judges", "code"),
    [
        ("exit 0", 0),
        ("exit 42", 1),
        ("exit 125", 125),
        pytest.param(
            "echo 'Error response from daemon: container x is not running' >&2; exit 1", 125, id="docker"
        ),
        pytest.param("echo 'Traceback (most recent call last):' >&2; exit 1", 125, id="traceback"),
        ("exit 2", 125),
        ("exit 137", 125),
    ],
)
def test_only_what_verdict_py_says_is_a_failure(
    made: tuple[Path, RunRecord], tmp_path: Path, judges: str, code: int
) -> None:
    done = play(reproduced(made, tmp_path), JUDGES=judges)
    assert done.returncode == code, done.stderr


def test_nothing_of_the_environment_decides(made: tuple[Path, RunRecord], tmp_path: Path) -> None:
    inherited = {"fresh": "1", "other": "--other", "told": "1"}
    done = play(reproduced(made, tmp_path), JUDGES='case "$*" in *--other*) exit 42 ;; esac', **inherited)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out" / "out").glob("*.tar"))  # kept, as of the recorded sources
    lost = play(tmp_path / "out", JUDGES="echo x >&2; exit 1", **inherited)
    assert lost.returncode == 125


@pytest.fixture(scope="module")
def uncompiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose library does not compile, written by repro."""
    folder = tmp_path_factory.mktemp("broke")
    cells = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")
    EngineRun(folder, cells, programs=Programs(breaks="build")).go()
    write_catalog(folder)
    done = repro(folder, folder / "out", GCM)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        pytest.param("2 false", 1, id="it does not compile"),
        pytest.param("", 125, id="the engine does not answer"),
        pytest.param("0 false", 125, id="it went well, and docker was lost"),
        pytest.param("2 true", 125, id="out of memory"),
        pytest.param("137 false", 125, id="killed"),
        pytest.param("127 false", 125, id="no such program"),
    ],
)
def test_a_build_fails_as_in_the_run_where_its_container_says_so(
    uncompiled: Path, tmp_path: Path, state: str, code: int
) -> None:
    shutil.copytree(uncompiled, tmp_path / "out")
    says = f"echo {state}" if state else "echo 'Cannot connect to the Docker daemon' >&2; exit 1"
    done = play(tmp_path / "out", STARTS="echo x.c:1: error: planted; exit 1", INSPECTS=says)
    assert done.returncode == code, done.stderr
    assert ("FAILS: build-tls.sh does not compile, as in the run" in done.stdout) == (code == 1)
    assert "x.c:1: error: planted" in done.stderr


def test_another_script_than_the_runs_is_no_failure_of_the_run(uncompiled: Path, tmp_path: Path) -> None:
    shutil.copytree(uncompiled, tmp_path / "out")
    second = f"[ -e {tmp_path}/first ] && exit 1; touch {tmp_path}/first"
    done = play(tmp_path / "out", STARTS=second, INSPECTS="echo 2 false")
    assert (done.returncode, done.stdout) == (125, "")
    assert "build-haproxy.sh failed" in done.stderr


def test_a_full_disk_is_no_failure_to_compile(uncompiled: Path, tmp_path: Path) -> None:
    shutil.copytree(uncompiled, tmp_path / "out")
    full = "echo 'as: x.o: No space left on device'; exit 1"
    done = play(tmp_path / "out", STARTS=full, INSPECTS="echo 2 false")
    assert (done.returncode, done.stdout) == (125, "")
