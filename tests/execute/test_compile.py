"""One compile on an engine in memory: what is kept, what a failure becomes, and that nothing stays behind."""

import dataclasses
import io
import tarfile
from pathlib import Path

import pytest
from fakes import FakeEngine, Files, ran

from orchestrator.cli.log import show_log
from orchestrator.errors import (
    BuildError,
    ChecksumMismatchError,
    DeadlineError,
    EngineError,
    ExhaustedError,
    MatrixctlError,
)
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.execute.store.store import Store
from orchestrator.matrix.patches import read_patch

LATE = "within 60 s, which come from `limits: build`"
DIGEST, PARENT = "ab" * 32, "cd" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def task(tmp_path: Path) -> Compile:
    source = tmp_path / "held"
    source.write_bytes(b"the source")
    return Compile(
        name="matrixctl-run1-haproxy-1a",
        run_id="run1",
        digest=DIGEST,
        image="toolchain:1",
        platform="linux/amd64",
        script="make\n",
        source_file="haproxy-3.0.11.tar.gz",
        source=source,
        patches=(),
        packages=(),
        parents=(),
        output="haproxy",
        caches=("haproxy-amd64-arm64",),
        kept_cache="haproxy-amd64-arm64",
        jobs=3,
        memory_bytes=1 << 30,
        timeout=60,
        keep=False,
    )


def builds(files: Files, _argv: tuple[str, ...]) -> ExecResult:
    files["build.log"] = b"compiled\n"
    files["out/haproxy"] = b"a binary"
    files["ccache/a/b"] = b"an object"
    return ran()


def fails(
    code: int, *, lines: int = 100, timed_out: bool = False, said: bytes = b"", free: bytes = b""
) -> FakeEngine:
    """``free`` is what df says of the volume, in KiB."""

    def program(files: Files, _argv: tuple[str, ...]) -> ExecResult:
        counted = b"".join(b"line %d\n" % number for number in range(lines))
        files["build.log"] = said + counted + b"\xff broken"
        return ran(exit_code=code, timed_out=timed_out, stdout=free)

    return FakeEngine(program)


def test_the_output_and_the_log_are_kept(store: Store, task: Compile) -> None:
    artifact = compile_once(FakeEngine(builds), store, task)
    assert read_member([artifact.path.read_bytes()], "haproxy") == b"a binary"
    assert artifact.meta == {"name": task.name}
    assert store.find_artifact(DIGEST) == artifact
    assert store.locate_log(DIGEST).read_bytes() == b"compiled\n"


def test_a_log_that_the_build_has_put_there_is_not_read_whole(store: Store, task: Compile) -> None:
    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        done = builds(files, argv)
        files["build.log"] = bytes(40 << 20)
        return done

    with pytest.raises(EngineError, match=r"build\.log in .* is larger than 32 MiB"):
        compile_once(FakeEngine(program), store, task)
    assert store.find_artifact(DIGEST) is None


def test_what_the_build_finds_in_its_container(store: Store, task: Compile) -> None:
    found: Files = {}

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        found.update(files)
        assert argv[:4] == ("env", "JOBS=3", "sh", "-c")
        return builds(files, argv)

    parent = store.put_artifact(PARENT, pack({"tls/lib/libssl.a": b"a library"}), {})
    engine = FakeEngine(program)
    compile_once(engine, store, dataclasses.replace(task, parents=(parent.path,)))
    assert found == {
        "build.sh": b"make\n",
        "src/haproxy-3.0.11.tar.gz": b"the source",
        "tls/lib/libssl.a": b"a library",
    }
    (spec,) = engine.specs
    assert (spec.network, spec.image, spec.platform) == ("none", "toolchain:1", "linux/amd64")
    assert (spec.memory_bytes, spec.cpus, spec.run_id) == (1 << 30, 3, "run1")
    assert engine.timeouts == [60]


def test_the_compiler_cache_of_one_build_is_there_in_the_next(store: Store, task: Compile) -> None:
    seen: list[bytes | None] = []

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        seen.append(files.get("ccache/a/b"))
        return builds(files, argv)

    compile_once(FakeEngine(program), store, task)
    compile_once(FakeEngine(program), store, dataclasses.replace(task, digest=PARENT))
    assert seen == [None, b"an object"]


@pytest.mark.parametrize(
    ("code", "timed_out", "kind"),
    [
        pytest.param(124, True, DeadlineError, id="stopped by its deadline"),
        pytest.param(2, False, BuildError, id="a mistake in one file"),
    ],
)
def test_a_build_that_failed_leaves_what_it_compiled_for_the_next_try(
    store: Store, task: Compile, code: int, timed_out: bool, kind: type[MatrixctlError]
) -> None:
    seen: list[bytes | None] = []

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        seen.append(files.get("ccache/a/b"))
        builds(files, argv)
        return ran(exit_code=code, timed_out=timed_out)

    for _ in range(2):
        with pytest.raises(kind):
            compile_once(FakeEngine(program), store, task)
    assert seen == [None, b"an object"]
    assert store.find_artifact(DIGEST) is None


def test_a_build_that_compiled_nothing_says_nothing_of_the_cache(store: Store, task: Compile) -> None:
    said: list[str] = []
    with show_log(said.append), pytest.raises(BuildError):
        compile_once(fails(2), store, task)
    assert said == []


def test_the_nearest_cache_is_read_and_none_is_filled_where_none_is_named(
    store: Store, task: Compile
) -> None:
    """What a patch's author ran in a build must not come into another build by the cache."""
    seen: list[bytes | None] = []

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        seen.append(files.get("ccache/a/b"))
        files["ccache/a/c"] = b"planted"
        return builds(files, argv)

    common, own = "haproxy-amd64-arm64", "haproxy-amd64-arm64-1a2b"
    store.put_ccache(common, pack({"ccache/a/b": b"of all"}))
    for number, caches, kept in ((1, (own, common), None), (2, (own, common), own), (3, (own, common), None)):
        wanted = dataclasses.replace(task, digest=f"{number:064x}", caches=caches, kept_cache=kept)
        compile_once(FakeEngine(program), store, wanted)
    assert seen == [b"of all", b"of all", b"an object"]
    assert b"planted" not in store.locate_ccache(common).read_bytes()
    assert b"planted" in store.locate_ccache(own).read_bytes()


def test_a_second_build_of_the_same_digest_asks_the_engine_nothing(store: Store, task: Compile) -> None:
    first = compile_once(FakeEngine(builds), store, task)
    engine = FakeEngine(builds)
    assert compile_once(engine, store, task) == first
    assert engine.calls == []


def test_a_compiler_cache_that_cannot_be_kept_is_said_and_harms_nothing(store: Store, task: Compile) -> None:
    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        result = builds(files, argv)
        del files["ccache/a/b"]
        return result

    said: list[str] = []
    with show_log(said.append):
        compile_once(FakeEngine(program), store, task)
    assert len(said) == 1
    assert "compiler cache" in said[0]
    assert store.find_artifact(DIGEST) is not None


@pytest.mark.parametrize(
    ("engine", "kind", "said"),
    [
        pytest.param(fails(2), BuildError, "exit code 2", id="it does not compile"),
        pytest.param(fails(124, timed_out=True), DeadlineError, LATE, id="too slow, ended by TERM"),
        pytest.param(fails(137, timed_out=True), DeadlineError, LATE, id="too slow, ended by KILL"),
        pytest.param(fails(137), ExhaustedError, "killed", id="out of memory"),
        pytest.param(
            fails(2, said=b"gcc: fatal error: Killed signal terminated program cc1\n"),
            ExhaustedError,
            "Killed signal terminated program cc1",
            id="out of memory, and only the compiler says so",
        ),
        pytest.param(
            fails(2, said=b"as: No space left on device\n"), ExhaustedError, "No space", id="disk full"
        ),
        pytest.param(
            fails(2, free=b"1023\n"),
            ExhaustedError,
            "no space left",
            id="disk full, and the log cannot say so",
        ),
        pytest.param(fails(2, free=b"1024\n"), BuildError, "exit code 2", id="there was room enough"),
    ],
)
@pytest.mark.fault(
    "a build ends in each way there is: its own error, time, memory, disk",
    "an outcome with its reason for each; the whole log is kept",
)
def test_a_failed_build_says_why_and_keeps_its_log(
    store: Store, task: Compile, engine: FakeEngine, kind: type[MatrixctlError], said: str
) -> None:
    with pytest.raises(MatrixctlError, match=said) as caught:
        compile_once(engine, store, task)
    assert type(caught.value) is kind
    assert caught.value.details.splitlines() == [
        *(f"line {n}" for n in range(76, 100)),
        "\N{REPLACEMENT CHARACTER} broken",
    ]
    assert b"line 0\n" in store.locate_log(DIGEST).read_bytes(), "the whole log, not its tail"
    assert store.find_artifact(DIGEST) is None
    assert not store.locate_ccache(task.caches[0]).exists()
    assert engine.left == set()


@pytest.mark.parametrize(
    ("errors", "first"),
    [
        (
            b"3:checking for foo: not found\n15:quic.h:12:3: error: no such\n20:make: *** Error 1\n",
            "quic.h:12:3: error: no such",
        ),
        (
            b"3:./x: not found\n20:make: *** [Makefile:9: a.o] Error 1\n",
            "make: *** [Makefile:9: a.o] Error 1",
        ),
    ],
)
def test_the_error_that_the_log_ends_with_is_the_message(
    store: Store, task: Compile, errors: bytes, first: str
) -> None:
    log = b"matrixctl: failed while compiling ssl, exit code 2; errors found in build.log:\n" + errors
    with pytest.raises(BuildError) as caught:
        compile_once(fails(2, lines=0, said=log), store, task)
    assert caught.value.brief == f"The build failed while compiling ssl: {first}"


def test_a_patch_that_does_not_apply_is_named(store: Store, task: Compile) -> None:
    line = b"matrixctl: the patch fix-1.diff does not apply\n"
    with pytest.raises(BuildError, match=r"^The patch fix-1\.diff does not apply\."):
        compile_once(fails(1, lines=0, said=line), store, task)


RCS = b"@@ -1 +1 @@\n-/* $OpenBSD: x.c,v 1.5 $ */\n+/* $OpenBSD: x.c,v 1.6 $ */\n@@ -5 +5 @@\n-a\n+b\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            b"patching file ssl/x.c\nHunk #1 FAILED at 1.\n1 out of 2 hunks FAILED -- saving rejects",
            (
                "hunk 1 of ssl/x.c finds its lines nowhere; it changes nothing but what RCS or CVS put there"
                " ($Id$ and the like): leave it out"
            ),
        ),
        (
            b"patching file ssl/y.c\npatching file ssl/x.c\nHunk #1 succeeded at 2.\nHunk #2 FAILED at 5.",
            "hunk 2 of ssl/x.c finds its lines nowhere",
        ),
        (
            (
                b"can't find file to patch at input line 3\nPerhaps you used the wrong -p option?\n"
                b"|--- a/ssl/x.c\n|+++ b/ssl/x.c\t1.6\n--------\nNo file to patch.  Skipping patch."
            ),
            "there is no file ssl/x.c",
        ),
    ],
)
def test_a_patch_that_does_not_apply_is_told_by_its_hunk(
    store: Store, task: Compile, tmp_path: Path, said: bytes, why: str
) -> None:
    path = tmp_path / "fix.diff"
    path.write_bytes(b"--- ssl/x.c\n+++ ssl/x.c\n" + RCS)
    log = b"matrixctl: applying the patch fix.diff\n%b\nmatrixctl: the patch fix.diff does not apply\n"
    patched = dataclasses.replace(task, patches=(read_patch(path),))
    with pytest.raises(BuildError) as caught:
        compile_once(fails(1, lines=0, said=log % said), store, patched)
    assert caught.value.brief == f"The patch fix.diff does not apply: {why}."


def test_patches_lie_beside_the_source_and_are_verified(store: Store, task: Compile, tmp_path: Path) -> None:
    found: Files = {}

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        found.update(files)
        return builds(files, argv)

    path = tmp_path / "fix.diff"
    path.write_text("--- a/x\n+++ b/x\n")
    patched = dataclasses.replace(task, patches=(read_patch(path),))
    path.write_text("--- a/y\n+++ b/y\n")
    with pytest.raises(ChecksumMismatchError, match="has changed"):
        compile_once(FakeEngine(program), store, patched)
    assert not found
    path.write_text("--- a/x\n+++ b/x\n")
    compile_once(FakeEngine(program), store, patched)
    assert found["patches/fix.diff"] == b"--- a/x\n+++ b/x\n"


def raising(error: BaseException) -> FakeEngine:
    def program(_files: Files, _argv: tuple[str, ...]) -> ExecResult:
        raise error

    return FakeEngine(program)


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(FakeEngine(builds), id="success"),
        pytest.param(raising(EngineError("gone")), id="exec fails"),
        pytest.param(raising(KeyboardInterrupt()), id="Ctrl-C"),
        *(
            pytest.param(FakeEngine(builds, refuses=(verb,)), id=f"{verb} fails")
            for verb in ("create", "put", "start", "exec", "get")
        ),
        pytest.param(FakeEngine(lambda _files, _argv: ran()), id="no log"),
    ],
)
def test_nothing_stays_behind(store: Store, task: Compile, engine: FakeEngine) -> None:
    try:
        compile_once(engine, store, task)
    except (EngineError, KeyboardInterrupt):
        assert store.find_artifact(DIGEST) is None
    assert engine.left == set()
    assert ("remove", f"{task.name}-build") in engine.calls
    assert engine.calls[-1] == ("remove_volume", f"{task.name}-work")


def test_keep_keeps_both(store: Store, task: Compile) -> None:
    engine = FakeEngine(builds)
    compile_once(engine, store, dataclasses.replace(task, keep=True))
    assert engine.left == {f"{task.name}-build", f"{task.name}-work"}


def test_a_build_without_output_is_no_artifact(store: Store, task: Compile) -> None:
    def program(files: Files, _argv: tuple[str, ...]) -> ExecResult:
        files["build.log"] = b"nothing to do\n"
        return ran()

    with pytest.raises(EngineError):
        compile_once(FakeEngine(program), store, task)
    assert store.find_artifact(DIGEST) is None


def test_a_folder_is_kept_whole(store: Store, task: Compile) -> None:
    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        files |= {"out/tls/lib/libssl.a": b"1", "out/tls/include/ssl.h": b"2"}
        return builds(files, argv)

    artifact = compile_once(FakeEngine(program), store, dataclasses.replace(task, output="tls"))
    with tarfile.open(fileobj=io.BytesIO(artifact.path.read_bytes())) as tar:
        assert {entry.name for entry in tar if entry.isfile()} == {"tls/lib/libssl.a", "tls/include/ssl.h"}
