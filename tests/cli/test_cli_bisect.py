"""Faults planted along a row of versions and along a git repository, found on an engine in memory.

The command itself is called and each step is a whole run; the programs in containers are played: what is
built has the text of its source in it, and hangs if that says so.
"""

import io
import json
import signal
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import LIBRARY, exchange, first_broken, line, server_line, vv
from cli_samples import matrixctl
from engine_run import PACKAGES, Programs
from fake_host import FakeHost
from fakes import FakeEngine, Files, cell, ran
from git_samples import Repository
from jsonschema import Draft202012Validator

from orchestrator.analyse.bisect import Mark
from orchestrator.analyse.bisection import Bisection, make_json_schema
from orchestrator.app.bisect import held
from orchestrator.cli.settings import make_options
from orchestrator.execute.engine.archive import pack
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.outcome import Outcome
from orchestrator.probe.certificates import Certificates
from orchestrator.record.find import read_run
from orchestrator.record.interrupted_run import read_past

SUITE = "TLS_AES_256_GCM_SHA384"
CELL = f"amd64--haproxy-3.0.11--openssl-3.5.7--{SUITE}"
MATRIX = f"""
version: 1
axes:
  arch: [amd64]
  haproxy: [{{name: "3.0.11", version: "3.0.11", make_flags: [DEBUG=-g]}}]
  tls: [openssl-3.5.7]
  cipher: [{SUITE}]
"""
VERSIONS = tuple(f"3.0.{number}" for number in range(12))
LIBRARIES = tuple(f"openssl-3.5.{number}" for number in range(8))
WORKS, HANGS, BROKEN = "it works", "it hangs", "no C at all"
FLAKY = "it hangs now and then: "
"""With how each attempt ends: ``p`` and ``f``."""


@dataclass
class Played(Programs):
    tried: list[str] = field(default_factory=list)
    """The texts of which HAProxy was built, in order."""
    libraries: list[str] = field(default_factory=list)
    """The versions of which the TLS library was built, in order."""
    scripts: list[str] = field(default_factory=list)
    interrupt_at: int = 0
    """Ctrl-C comes while the HAProxy of that number is built."""
    meanwhile: Callable[[int], object] = id
    """Is called while the HAProxy of a number is built."""

    def __call__(self, files: Files, argv: tuple[str, ...]) -> ExecResult:
        self.binary = files.get("haproxy", b"")
        return super().__call__(files, argv)

    def _build(self, files: Files) -> ExecResult:
        archive = next((content for name, content in files.items() if name.startswith("src/haproxy")), None)
        library = next((name for name in files if name.startswith("src/openssl-")), "")
        source = archive or files.get(library)
        text = _find_text(source) if source else b""
        if library:  # that of a tree or a commit is called by its digest
            called = library.removeprefix("src/").removesuffix(".tar")
            self.libraries.append(called if called in LIBRARIES else LIBRARIES[-1])
        if archive:
            self.tried.append(text.decode())
            self.scripts.append(files["build.sh"].decode())
            self.meanwhile(len(self.tried))
            if len(self.tried) == self.interrupt_at:
                signal.raise_signal(signal.SIGINT)
        if text == BROKEN.encode():
            files["build.log"] = b"haproxy.c:1: error: planted\n"
            return ran(exit_code=1, stderr=b"planted")
        done = super()._build(files)
        if library:
            files["out/tls/lib/libssl.so"] = text + f" {self.libraries[-1]}".encode()
        inside, _, name = files.get("tls/lib/libssl.so", b"").rpartition(b" ")
        files["out/haproxy"] = files["out/haproxy"].replace(LIBRARIES[-1].encode(), name) + inside + text
        return done

    def _drive(self, files: Files) -> ExecResult:
        session = json.loads(files["session.json"])
        ids = [one["id"] for one in session["cells"]]
        self.probed += ids
        _, haproxy, tls, *_ = ids[0].split("--")
        version = haproxy.removeprefix("haproxy-")
        library = LIBRARY.replace("3.5.7", tls.removeprefix("openssl-")) if tls in LIBRARIES else LIBRARY
        printed = vv(version=version if version in VERSIONS else "3.0.11", built=library, running=library)
        lines = [server_line(vv=printed)]
        one = cell(cipher=SUITE)
        for key in ids:
            ends = self.binary.rpartition(FLAKY.encode())[2].decode() if FLAKY.encode() in self.binary else ""
            bad = HANGS.encode() in self.binary
            if ends:
                bad = ends[(self.probed.count(key) - 1) % len(ends)] == "f"
            answer = line(replace(one, id=key))
            hung = first_broken(28, "Operation timed out", handshake_s=0.01, cipher=SUITE)
            lines.append({**answer, "h3": hung} if bad else {**answer, "h3": exchange(cipher=SUITE)})
        return ran(stdout="".join(json.dumps(one) + "\n" for one in lines).encode())


def _find_text(archive: bytes) -> bytes:
    """The text of the played HAProxy, in whatever folder the archive has it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (name,) = (name for name in tar.getnames() if name.endswith("haproxy.c"))
        content = tar.extractfile(name)
        assert content
        return content.read()


@dataclass
class Bench:
    """A folder with a matrix, sources of ``texts`` in a mirror, and an engine that plays."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    programs: Played = field(default_factory=Played)

    def __post_init__(self) -> None:
        (self.folder / "matrix.yaml").write_text(MATRIX)
        (self.folder / "mirror").mkdir()
        self.declare({"openssl": {"3.5.7": WORKS}})
        self.engine = FakeEngine(self.programs, packages=PACKAGES)

        def played(*given: Any) -> Any:
            certificates = Certificates(ca=b"", server=b"")
            return replace(make_options(*given), here=FakeHost(), certificates=lambda: certificates)

        self.monkeypatch.setattr("orchestrator.cli.bisect.make_options", played)
        self.monkeypatch.setattr("orchestrator.cli.bisect.connect", lambda **_: self.engine)

    def declare(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        """Put sources into the mirror, and their digests into the sources file."""
        components: dict[str, Any] = {}
        for component, versions in texts.items():
            for version, text in versions.items():
                archive = pack({"source/haproxy.c": text.encode()})
                name = f"{component}-{version}.tar"
                (self.folder / "mirror" / name).write_bytes(archive)
                entry = {"file": name, "sha256": sha256(archive).hexdigest(), "origins": []}
                components.setdefault(component, {})[version] = entry
        path = self.folder / f"{'-'.join(texts)}.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "components": components}))

    def edit_matrix(self, before: str, after: str) -> None:
        path = self.folder / "matrix.yaml"
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))

    def go(self, *args: str, code: int = 0) -> Bisection:
        words = [word for name in ("haproxy.yaml", "openssl.yaml") for word in ("--sources", name)]
        words = words if (self.folder / "haproxy.yaml").exists() else words[2:]
        self.done = matrixctl(
            "bisect", CELL, *words, "--mirror", "mirror", "--store", "store", *args, cwd=self.folder
        )
        assert self.done.returncode == code, self.done.stderr
        return self.read()

    def read(self) -> Bisection:
        (path,) = self.folder.glob("reports/bisect-*/bisect.json")
        Draft202012Validator(make_json_schema()).validate(json.loads(path.read_text()))
        return Bisection.model_validate_json(path.read_text())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def row(*texts: str) -> dict[str, dict[str, str]]:
    return {"haproxy": {version: f"{text}" for version, text in zip(VERSIONS, texts, strict=True)}}


def fault_from(first: int, *, broken: Sequence[int] = ()) -> dict[str, dict[str, str]]:
    texts = [BROKEN if n in broken else HANGS if n >= first else WORKS for n in range(len(VERSIONS))]
    return row(*texts)


ENDS = ("--good", VERSIONS[0], "--bad", VERSIONS[-1])


@pytest.mark.parametrize("first", [1, 4, 7, 11])
def test_the_first_version_that_fails_is_found(bench: Bench, first: int) -> None:
    bench.declare(fault_from(first))
    found = bench.go(*ENDS)
    assert (found.status, found.message) == ("finished", f"the first bad one is {VERSIONS[first]}")
    assert len(found.steps) <= 6
    assert len(bench.programs.tried) == len(found.steps), "each is built once"
    lines = bench.done.stdout.splitlines()
    assert lines[0] == found.message
    assert lines[1] == f"good: {VERSIONS[first - 1]}: pass"
    assert lines[4].startswith(f"bad: {VERSIONS[first]}: fail: handshake-then-hang")


def test_each_side_has_its_run_and_a_command_that_shows_it_again(bench: Bench) -> None:
    bench.declare(fault_from(5))
    found = bench.go(*ENDS)
    assert found.border
    for position, outcome in ((found.border.before, Outcome.PASS), (found.border.after, Outcome.FAIL)):
        step = found.find_step(position)
        folder = bench.folder / "reports" / found.id / step.runs[0]
        record = read_run(folder)
        assert {cell.outcome for cell in record.cells if step.candidate in cell.id} == {outcome}
        assert (folder / "index.html").is_file()
        assert "--with 'haproxy={name: " in step.rerun
        assert f"--cell amd64--haproxy-{step.candidate}--" in step.rerun
    assert all("DEBUG=-g" in script for script in bench.programs.scripts), "the cell's own flags stay"


def test_a_value_of_the_matrix_that_is_called_like_a_version_is_not_taken_for_it(bench: Bench) -> None:
    bench.edit_matrix(
        '{name: "3.0.11", version: "3.0.11", make_flags: [DEBUG=-g]}',
        '"3.0.11", {name: "3.0.6", version: "3.0.11", make_flags: [DEBUG=-other]},'
        ' {name: "3.0.7", version: "3.0.7", make_flags: [DEBUG=-other]}',
    )
    bench.declare(fault_from(7))
    found = bench.go(*ENDS)
    assert found.message == f"the first bad one is {VERSIONS[7]}"
    assert not any("DEBUG=-other" in script for script in bench.programs.scripts)
    for step in found.steps:
        record = read_run(bench.folder / "reports" / found.id / step.runs[0])
        made = {cell.axes.haproxy.version for cell in record.cells if step.candidate in cell.id}
        assert made == {step.candidate}


def test_what_does_not_build_is_passed_over(bench: Bench) -> None:
    bench.declare(fault_from(8, broken=(4, 5, 6)))
    found = bench.go(*ENDS)
    assert found.message == f"the first bad one is {VERSIONS[8]}"
    assert {step.message.split(": ")[1] for step in found.steps if step.mark is Mark.SKIP} <= {"build-failed"}


def test_what_does_not_build_at_the_border_leaves_a_range(bench: Bench) -> None:
    bench.declare(fault_from(8, broken=(6, 7)))
    found = bench.go(*ENDS)
    assert found.message == (
        f"the first bad one comes after {VERSIONS[5]}, at {VERSIONS[8]} at the latest; not told:"
        f" {VERSIONS[6]}, {VERSIONS[7]}"
    )


def test_a_fix_is_found_as_well(bench: Bench) -> None:
    bench.declare(row(*[HANGS] * 7, *[WORKS] * 5))
    found = bench.go("--good", VERSIONS[-1], "--bad", VERSIONS[0])
    assert found.message == f"the first good one is {VERSIONS[7]}"


def test_ends_that_are_alike_are_said(bench: Bench) -> None:
    bench.declare(row(*[HANGS] * 12))
    found = bench.go(*ENDS, code=3)
    assert found.message.startswith(f"nothing to bisect between the ends: {VERSIONS[0]} is bad (fail: hand")
    assert len(found.steps) == 2


def test_a_flaky_step_is_put_to_the_vote(bench: Bench) -> None:
    """The first attempt fails, the one that confirms it passes: then five more decide."""
    texts = [WORKS] * 5 + [FLAKY + "fppppff"] + [FLAKY + "fpfffpp"] + [HANGS] * 5
    bench.declare(row(*texts))
    found = bench.go(*ENDS)
    assert found.message == f"the first bad one is {VERSIONS[6]}"
    flaky = [step for step in found.steps if len(step.runs) == 2]
    assert {(step.candidate, step.mark) for step in flaky} == {
        (VERSIONS[5], Mark.GOOD),
        (VERSIONS[6], Mark.BAD),
    }
    assert "in 3 of 5 attempts" in next(step.message for step in flaky if step.mark is Mark.BAD)


def test_a_failure_that_a_rule_expects_is_probed_again_like_any_other(bench: Bench) -> None:
    rule = """expect:
  - when: ["haproxy=3.0.5..3.0.11"]
    outcome: fail
    reason: handshake-then-hang
    because: https://github.com/haproxy/haproxy/issues/2569
"""
    bench.edit_matrix(f"cipher: [{SUITE}]\n", f"cipher: [{SUITE}]\n{rule}")
    bench.declare(row(*[WORKS] * 5, FLAKY + "fppppppp", FLAKY + "fppppppp", *[HANGS] * 5))
    found = bench.go(*ENDS)
    assert found.message == f"the first bad one is {VERSIONS[7]}"
    flaky = {step.candidate: step.mark for step in found.steps if len(step.runs) == 2}
    assert flaky == {VERSIONS[6]: Mark.GOOD}


def test_another_failure_is_not_the_one_that_is_looked_for(bench: Bench) -> None:
    bench.declare(fault_from(5))
    found = bench.go(*ENDS, "--reason", "server-crashed", code=3)
    assert "is skip (fail: handshake-then-hang" in found.message


def test_several_steps_may_share_a_run(bench: Bench) -> None:
    bench.declare(fault_from(7))
    found = bench.go(*ENDS, "--at-once", "3")
    assert found.message == f"the first bad one is {VERSIONS[7]}"
    rounds = list(dict.fromkeys(step.runs for step in found.steps))
    assert len(rounds) < len(found.steps) <= 11
    assert len(rounds) <= 3


def test_ctrl_c_leaves_what_was_tried_and_it_goes_on(bench: Bench) -> None:
    bench.declare(fault_from(7))
    bench.programs.interrupt_at = 4
    cut = bench.go(*ENDS, code=130)
    assert cut.status == "interrupted"
    assert 2 <= len(cut.steps) < 5
    assert f"to go on: matrixctl bisect --resume {cut.id}" in bench.done.stderr
    bench.programs.interrupt_at = 0
    done = matrixctl("bisect", "--resume", cut.id, "--mirror", "mirror", cwd=bench.folder)
    assert done.returncode == 0, done.stderr
    found = bench.read()
    assert found.steps[: len(cut.steps)] == cut.steps
    assert found.message == f"the first bad one is {VERSIONS[7]}"
    before = len(bench.programs.tried)
    again = matrixctl("bisect", "--resume", cut.id, cwd=bench.folder)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert len(bench.programs.tried) == before


def test_the_json_is_what_is_kept(bench: Bench) -> None:
    bench.declare(fault_from(3))
    found = bench.go(*ENDS, "--format", "json", "--quiet")
    assert Bisection.model_validate_json(bench.done.stdout) == found
    assert bench.done.stderr == ""


# commits

COMMITS = 60


def history(folder: Path, first_bad: int, broken: Sequence[int]) -> tuple[Repository, list[str]]:
    """A clone of so many commits, one of them a merge; its commits along the first parents."""
    made = Repository(folder)
    (folder / "include" / "haproxy").mkdir(parents=True)
    (folder / "include" / "haproxy" / "version.h").write_text("#define\n")
    commits = []
    for number in range(COMMITS):
        text = BROKEN if number in broken else HANGS if number >= first_bad else WORKS
        if number == 20:
            made.git("checkout", "--quiet", "-b", "side")
            made.commit(side__txt="a branch")
            made.git("checkout", "--quiet", "master")
            made.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
        commits.append(made.commit(VERSION="3.0.11\n", haproxy__c=text, number__txt=str(number)))
    return made, commits


def test_the_first_bad_commit_of_sixty_of_which_some_do_not_compile(bench: Bench, tmp_path: Path) -> None:
    broken = (*range(25, 34), 44, 45)
    _, commits = history(tmp_path / "clone", 37, broken)
    found = bench.go("--git", "clone", "--good", commits[0])
    assert found.message == f"the first bad one is {commits[37][:12]} (a change)"
    assert len(found.candidates) == COMMITS, "the commits of the side branch are not among them"
    assert len(found.steps) <= 11, [step.candidate for step in found.steps]
    assert len(bench.programs.tried) == len(found.steps)
    rerun = found.find_step(37).rerun
    assert f"git: {tmp_path / 'clone'} {commits[37]}" in rerun


def test_a_commit_that_cannot_be_told_leaves_a_range(bench: Bench, tmp_path: Path) -> None:
    _, commits = history(tmp_path / "clone", 37, (35, 36))
    found = bench.go("--git", "clone", "--good", commits[30], "--bad", commits[40])
    good, *between, bad = (commit[:12] for commit in commits[34:38])
    assert found.message == (
        f"the first bad one comes after {good} (a change), at {bad} (a change) at the latest;"
        f" not told: git-{between[0]}, git-{between[1]}"
    )


def test_a_subject_may_have_any_character(bench: Bench, tmp_path: Path) -> None:
    """git ends a line at LF alone; text has more line ends than that."""
    made, commits = Repository(tmp_path / "clone"), []
    (made.folder / "include" / "haproxy").mkdir(parents=True)
    (made.folder / "include" / "haproxy" / "version.h").write_text("#define\n")
    for number, between in enumerate(("\f", "\u2028", "\x85", "\v", "\x1c", "\r")):
        made.commit(VERSION="3.0.11\n", haproxy__c=HANGS if number >= 4 else WORKS, number__txt=str(number))
        made.git("commit", "--quiet", "--amend", "-m", f"a{between}b")
        commits.append(made.git("rev-parse", "HEAD").strip())
    found = bench.go("--git", "clone", "--good", commits[0])
    assert [one.commit for one in found.candidates] == commits
    assert found.message.startswith(f"the first bad one is {commits[4][:12]} (a")


def test_tags_are_names_and_a_fix_lies_the_other_way_round(bench: Bench, tmp_path: Path) -> None:
    made, commits = history(tmp_path / "clone", 50, ())
    made.git("tag", "v1", commits[45])
    found = bench.go("--git", "clone", "--good", "HEAD", "--bad", "v1")
    assert found.message == f"the first bad one is {commits[50][:12]} (a change)"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--git", "clone"), "--git needs --good"),
        (("--git", "clone", "--good", "none"), "has no commit 'none'"),
        (("--git", "clone", "--good", "side"), "is no ancestor of 'HEAD' along the first parents"),
        (("--git", "mirror", "--good", "x"), "not a git repository"),
        (("--git", "missing", "--good", "x"), "does not exist"),
        (("--good", "9.9"), "no version '9.9' of haproxy in the sources"),
        (("--bad", "3.0-dev12"), "the digest of haproxy 3.0-dev12 is unknown"),
        (("--good", "3.0.11", "--bad", "3.0.11"), "fewer than two candidates"),
        (("--flaky", "6/5"), "it is K/N"),
        (("--resume", "none"), "--resume goes with no --sources, CELL:"),
    ],
)
def test_what_cannot_be_bisected_is_a_sentence(
    bench: Bench, tmp_path: Path, args: tuple[str, ...], told: str
) -> None:
    made = Repository(tmp_path / "clone")
    made.commit(VERSION="3.0.11\n")
    made.git("checkout", "--quiet", "-b", "side")
    made.commit(a="a")
    made.git("checkout", "--quiet", "master")
    made.commit(b="b")
    done = matrixctl("bisect", CELL, "--sources", "openssl.yaml", *args, cwd=tmp_path)
    assert done.returncode in {2, 3}, done.stderr
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert bench.programs.tried == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "needs the id of a CELL"),
        (("--resume", "none"), "there is no bisection"),
        (("no-such",), "no cell 'no-such'"),
    ],
)
def test_what_is_no_cell_and_no_bisection_is_a_sentence(
    bench: Bench, tmp_path: Path, args: tuple[str, ...], told: str
) -> None:
    done = matrixctl("bisect", *args, cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert bench.programs.tried == []


# what is resumed


def cut_off(bench: Bench) -> Bisection:
    """A bisection of twelve versions, of which the eighth is the first bad one, after Ctrl-C."""
    bench.declare(fault_from(7))
    bench.programs.interrupt_at = 4
    cut = bench.go(*ENDS, code=130)
    bench.programs.interrupt_at = 0
    return cut


def test_a_mirror_is_relative_to_where_the_command_is_called(bench: Bench) -> None:
    cut = cut_off(bench)
    elsewhere = bench.folder / "a" / "b"
    elsewhere.mkdir(parents=True)
    folder = str(bench.folder / "reports" / cut.id)
    done = matrixctl("bisect", "--resume", folder, "--mirror", "../../mirror", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert bench.read().message == f"the first bad one is {VERSIONS[7]}"


def test_a_source_that_nobody_has_ends_no_bisection(bench: Bench) -> None:
    bench.declare(fault_from(7))
    archive = bench.folder / "mirror" / f"haproxy-{VERSIONS[11]}.tar"
    away = archive.rename(bench.folder / "away.tar")
    cut = bench.go(*ENDS, code=4)
    assert cut.status == "interrupted"
    assert [(step.candidate, step.mark) for step in cut.steps] == [(VERSIONS[0], Mark.GOOD)]
    assert f"{VERSIONS[11]} could not be tried: " in bench.done.stderr
    assert f"matrixctl bisect --resume {cut.id}" in bench.done.stderr
    away.rename(archive)
    done = matrixctl("bisect", "--resume", cut.id, cwd=bench.folder)
    assert done.returncode == 0, done.stderr
    assert bench.read().message == f"the first bad one is {VERSIONS[7]}"


def test_the_folder_of_a_bisection_may_be_gone(bench: Bench) -> None:
    cut = cut_off(bench)
    kept = bench.folder / "reports" / cut.id / "bisect.json"
    kept.write_text(kept.read_text().replace(f'"folder": "{bench.folder}"', '"folder": "/none/at/all"'))
    done = matrixctl("bisect", "--resume", cut.id, cwd=bench.folder)
    assert (done.returncode, "/none/at/all, which cannot be entered" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("changed", ["matrix", "sources", "patch", "tool"])
def test_what_has_changed_is_refused(bench: Bench, changed: str) -> None:
    (bench.folder / "fix.diff").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    bench.declare(fault_from(7))
    bench.programs.interrupt_at = 4
    cut = bench.go(*ENDS, "--patch", "haproxy=fix.diff", code=130)
    bench.programs.interrupt_at = 0
    match changed:
        case "matrix":
            flags = "{name: openssl-3.5.7, family: openssl, version: 3.5.7, configure_flags: [no-asm]}"
            bench.edit_matrix("tls: [openssl-3.5.7]", f"tls: [{flags}]")
        case "sources":
            bench.declare(fault_from(5))
        case "patch":
            text = (bench.folder / "fix.diff").read_text()
            (bench.folder / "fix.diff").write_text(text.replace("+b", "+c"))
        case "tool":
            kept = bench.folder / "reports" / cut.id / "bisect.json"
            made = json.loads(kept.read_text())
            made["origin"]["inputs"]["files"]["orchestrator/frozen_value.py"] = "0" * 16
            kept.write_text(json.dumps(made))
    before = len(bench.programs.tried)
    done = matrixctl("bisect", "--resume", cut.id, "--mirror", "mirror", cwd=bench.folder)
    told = {
        "matrix": "matrix: its SHA-256 is ",
        "sources": f"entry of the sources haproxy {VERSIONS[5]}: its SHA-256 is ",
        "patch": "is made of something else: a value, or a patch",
        "tool": "file of matrixctl orchestrator/frozen_value.py: its SHA-256 is ",
    }[changed]
    said = f"the bisection {cut.id} cannot be resumed: what it began with has changed"
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert told in done.stderr
    assert len(bench.programs.tried) == before
    assert bench.read().steps == cut.steps


def test_two_processes_do_not_work_on_one_bisection(bench: Bench) -> None:
    cut = cut_off(bench)
    words = ("bisect", "--resume", cut.id, "--mirror", "mirror")
    with held(bench.folder / "reports" / cut.id):
        done = matrixctl(*words, cwd=bench.folder)
    said = f"the bisection {cut.id} still goes on: another process"
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert matrixctl(*words, cwd=bench.folder).returncode == 0


# the library


def test_the_first_library_that_fails_is_found(bench: Bench) -> None:
    bench.declare({"haproxy": {"3.0.11": WORKS}})
    texts = [WORKS, WORKS, WORKS, BROKEN, WORKS, HANGS, HANGS, HANGS]
    bench.declare(
        {"openssl": {one.removeprefix("openssl-"): text for one, text in zip(LIBRARIES, texts, strict=True)}}
    )
    found = bench.go("--axis", "tls", "--good", "3.5.0", "--bad", "openssl-3.5.7")
    assert (found.axis, found.status) == ("tls", "finished")
    assert found.message == "the first bad one is openssl-3.5.5"
    assert bench.programs.libraries[:2] == [LIBRARIES[0], LIBRARIES[-1]]
    assert len(bench.programs.libraries) == len(found.steps) < len(LIBRARIES)
    assert found.border
    for position, code in ((found.border.before, Outcome.PASS), (found.border.after, Outcome.FAIL)):
        step = found.find_step(position)
        assert "--with 'tls=" in step.rerun
        record = read_run(bench.folder / "reports" / found.id / step.runs[0])
        (one,) = [cell for cell in record.cells if cell.axes.tls.name == step.candidate]
        assert (one.outcome, one.axes.haproxy.version) == (code, "3.0.11")


# the axis that stays


def library(folder: Path) -> Repository:
    made = Repository(folder)
    made.commit(VERSION__dat="MAJOR=3\nMINOR=5\nPATCH=7\n", haproxy__c=WORKS)
    return made


def use_library(bench: Bench, source: str) -> None:
    value = f'{{name: openssl-3.5.7, family: openssl, version: "3.5.7", {source}}}'
    bench.edit_matrix("tls: [openssl-3.5.7]", f"tls: [{value}]")


def read_libraries(bench: Bench, found: Bisection) -> set[tuple[str, str]]:
    """The refs and digests of the library that the runs of the steps had."""
    folders = {bench.folder / "reports" / found.id / run for step in found.steps for run in step.runs}
    return {
        (one.moving.ref, one.source.sha256 or "")
        for folder in folders
        for one in read_past(folder).pins
        if one.moving.component == "openssl"
    }


def test_a_branch_of_the_library_stays_where_it_was(bench: Bench, tmp_path: Path) -> None:
    made = library(tmp_path / "library")
    head = made.git("rev-parse", "HEAD")
    use_library(bench, f'git: "{made.folder} master", configure_flags: [no-asm]')
    bench.declare(fault_from(7))
    bench.programs.meanwhile = lambda number: made.commit(number__txt=str(number))
    found = bench.go(*ENDS)
    assert found.message == f"the first bad one is {VERSIONS[7]}"
    libraries = read_libraries(bench, found)
    assert (len(libraries), {ref for ref, _ in libraries}) == (1, {head})
    assert all(head in step.rerun for step in found.steps)
    assert all("no-asm" in step.rerun for step in found.steps)


def test_a_tree_of_the_library_that_changes_cuts_it_off(bench: Bench, tmp_path: Path) -> None:
    made = library(tmp_path / "library")
    use_library(bench, f'path: "{made.folder}"')
    bench.declare(fault_from(7))

    def edit(number: int) -> None:
        (made.folder / "haproxy.c").write_text("edited" if number == 3 else WORKS)

    bench.programs.meanwhile = edit
    cut = bench.go(*ENDS, code=4)
    assert (cut.status, len(cut.steps)) == ("interrupted", 3)
    assert "is not what was pinned" in " ".join(bench.done.stderr.split())
    edit(0)
    done = matrixctl("bisect", "--resume", cut.id, "--mirror", "mirror", cwd=bench.folder)
    assert done.returncode == 0, done.stderr
    found = bench.read()
    assert found.message == f"the first bad one is {VERSIONS[7]}"
    assert len(read_libraries(bench, found)) == 1
