"""One compile on an engine in memory: what is kept, what a failure becomes, and that nothing stays behind."""

import dataclasses
import io
import tarfile
from pathlib import Path

import pytest
from fakes import FakeEngine, Files, ran

from orchestrator.errors import BuildError, DeadlineError, EngineError, MatrixctlError
from orchestrator.execute.archive import member, pack
from orchestrator.execute.compile import Compile, compile_once
from orchestrator.execute.engine import ExecResult
from orchestrator.execute.store import Store

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
        parents=(),
        output="haproxy",
        ccache="haproxy-amd64-arm64",
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


def fails(code: int, *, lines: int = 100, timed_out: bool = False, said: bytes = b"") -> FakeEngine:
    def program(files: Files, _argv: tuple[str, ...]) -> ExecResult:
        counted = b"".join(b"line %d\n" % number for number in range(lines))
        files["build.log"] = said + counted + b"\xff broken"
        return ran(exit_code=code, timed_out=timed_out)

    return FakeEngine(program)


def silent(_: str) -> None:
    """Nobody listens."""


def test_the_output_and_the_log_are_kept(store: Store, task: Compile) -> None:
    artifact = compile_once(FakeEngine(builds), store, task, silent)
    assert member([artifact.path.read_bytes()], "haproxy") == b"a binary"
    assert artifact.meta == {"name": task.name}
    assert store.artifact(DIGEST) == artifact
    assert store.log(DIGEST).read_bytes() == b"compiled\n"


def test_what_the_build_finds_in_its_container(store: Store, task: Compile) -> None:
    found: Files = {}

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        found.update(files)
        assert argv == ("sh", "-c", "JOBS=3 sh build.sh > build.log 2>&1")
        return builds(files, argv)

    parent = store.put_artifact(PARENT, pack({"tls/lib/libssl.a": b"a library"}), {})
    engine = FakeEngine(program)
    compile_once(engine, store, dataclasses.replace(task, parents=(parent.path,)), silent)
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

    compile_once(FakeEngine(program), store, task, silent)
    compile_once(FakeEngine(program), store, dataclasses.replace(task, digest=PARENT), silent)
    assert seen == [None, b"an object"]


def test_a_second_build_of_the_same_digest_asks_the_engine_nothing(store: Store, task: Compile) -> None:
    first = compile_once(FakeEngine(builds), store, task, silent)
    engine = FakeEngine(builds)
    assert compile_once(engine, store, task, silent) == first
    assert engine.calls == []


def test_a_compiler_cache_that_cannot_be_kept_is_said_and_harms_nothing(store: Store, task: Compile) -> None:
    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        result = builds(files, argv)
        del files["ccache/a/b"]
        return result

    said: list[str] = []
    compile_once(FakeEngine(program), store, task, said.append)
    assert len(said) == 1
    assert "compiler cache" in said[0]
    assert store.artifact(DIGEST) is not None


@pytest.mark.parametrize(
    ("engine", "kind", "said"),
    [
        pytest.param(fails(2), BuildError, "exit code 2", id="it does not compile"),
        pytest.param(fails(124, timed_out=True), DeadlineError, "within 60 s", id="too slow, ended by TERM"),
        pytest.param(fails(137, timed_out=True), DeadlineError, "within 60 s", id="too slow, ended by KILL"),
        pytest.param(fails(137), EngineError, "killed", id="out of memory"),
        pytest.param(
            fails(2, said=b"gcc: fatal error: Killed signal terminated program cc1\n"),
            EngineError,
            "Killed signal terminated program cc1",
            id="out of memory, and only the compiler says so",
        ),
        pytest.param(
            fails(2, said=b"as: No space left on device\n"), EngineError, "No space", id="disk full"
        ),
    ],
)
def test_a_failed_build_says_why_and_keeps_its_log(
    store: Store, task: Compile, engine: FakeEngine, kind: type[MatrixctlError], said: str
) -> None:
    with pytest.raises(MatrixctlError, match=said) as caught:
        compile_once(engine, store, task, silent)
    assert type(caught.value) is kind
    assert caught.value.details.splitlines() == [
        *(f"line {n}" for n in range(76, 100)),
        "\N{REPLACEMENT CHARACTER} broken",
    ]
    assert b"line 0\n" in store.log(DIGEST).read_bytes(), "the whole log, not its tail"
    assert store.artifact(DIGEST) is None
    assert not store.ccache(task.ccache).exists()
    assert engine.left == set()


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
        compile_once(engine, store, task, silent)
    except (EngineError, KeyboardInterrupt):
        assert store.artifact(DIGEST) is None
    assert engine.left == set()
    assert ("remove", f"{task.name}-build") in engine.calls
    assert engine.calls[-1] == ("remove_volume", f"{task.name}-work")


def test_keep_keeps_both(store: Store, task: Compile) -> None:
    engine = FakeEngine(builds)
    compile_once(engine, store, dataclasses.replace(task, keep=True), silent)
    assert engine.left == {f"{task.name}-build", f"{task.name}-work"}


def test_a_build_without_output_is_no_artifact(store: Store, task: Compile) -> None:
    def program(files: Files, _argv: tuple[str, ...]) -> ExecResult:
        files["build.log"] = b"nothing to do\n"
        return ran()

    with pytest.raises(EngineError):
        compile_once(FakeEngine(program), store, task, silent)
    assert store.artifact(DIGEST) is None


def test_a_folder_is_kept_whole(store: Store, task: Compile) -> None:
    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        files |= {"out/tls/lib/libssl.a": b"1", "out/tls/include/ssl.h": b"2"}
        return builds(files, argv)

    artifact = compile_once(FakeEngine(program), store, dataclasses.replace(task, output="tls"), silent)
    with tarfile.open(fileobj=io.BytesIO(artifact.path.read_bytes())) as tar:
        assert {entry.name for entry in tar if entry.isfile()} == {"tls/lib/libssl.a", "tls/include/ssl.h"}
