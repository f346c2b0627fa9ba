"""The prober on an engine in memory: who is asked again, who is not, and what goes into the record."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import Raw, dead, first_broken, line, server_line
from fakes import FakeEngine, Files, cell, ran

from orchestrator import bounds
from orchestrator.arch import ARCHES
from orchestrator.errors import DeadlineError, EngineError
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.matrix import capabilities
from orchestrator.matrix.model import Cell, ExecutionValue, Limits
from orchestrator.outcome import Outcome, Reason
from orchestrator.plan.render import Renderer
from orchestrator.probe import prober
from orchestrator.probe.certificates import Certificates
from orchestrator.probe.judge import Judgement
from orchestrator.probe.prober import Circumstances, Prober, SessionImages

CELLS = [
    cell(cipher=suite) for suite in ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "default")
]
FIRST, SECOND, THIRD = CELLS
# An ELF header of x86_64 with nothing behind it, and the mark of the library.
BINARY = (
    bytes.fromhex("7f454c4602010100" + "00" * 8 + "02003e0001000000")
    + bytes(40)
    + b"/opt/matrixctl/openssl-3.5.7/ssl"
)
Session = Callable[[Sequence[Cell]], Iterable[Raw | bytes | Exception]]
"""What one session answers to the cells that it was asked about: lines, bytes, or a failure."""


def whole(asked: Sequence[Cell]) -> list[Raw | bytes | Exception]:
    return [server_line(), *(line(one) for one in asked)]


def failing_after(count: int, error: Exception) -> Session:
    return lambda asked: [*whole(asked)[: count + 1], error]


class Bench:
    """A prober whose sessions follow a script; the last one is repeated."""

    def __init__(
        self,
        folder: Path,
        *sessions: Session,
        repeat: int = 1,
        challenge: bool = False,
        refuses: tuple[str, ...] = (),
    ) -> None:
        self.sessions = list(sessions)
        self.asked: list[list[str]] = []
        self.told: list[tuple[str, Judgement, Circumstances]] = []
        self.cancelled: Callable[[], bool] = lambda: False
        self.cells: dict[str, Cell] = {}
        self.engine = FakeEngine(self._session, refuses=refuses)
        self.prober = Prober(
            engine=self.engine,
            host=ARCHES["amd64"],
            renderer=Renderer(),
            limits=Limits(),
            certificates=Certificates(ca=b"", server=b""),
            run_id="run1",
            folder=folder,
            cpus=2,
            rounds=("first", *(f"repeat {number}" for number in range(2, repeat + 1))),
            keep=False,
            declared=capabilities.find_unsupported if challenge else lambda _: None,
            cancelled=self._asked_to_stop,
            judged=self._told,
        )

    def _asked_to_stop(self) -> bool:
        return self.cancelled()

    def _told(self, cell: Cell, judged: Judgement, told: Circumstances) -> None:
        self.told.append((cell.id, judged, told))

    def _session(self, files: Files, argv: tuple[str, ...]) -> ExecResult:
        assert argv == ("python3", "/work/driver.py", "/work/session.json")
        ids = [one["id"] for one in json.loads(files["session.json"])["cells"]]
        self.asked.append(ids)
        script = self.sessions[min(len(self.asked), len(self.sessions)) - 1]
        result, stdout = ran(), b""
        for item in script([self.cells[one] for one in ids]):
            if isinstance(item, Exception):
                late = isinstance(item, DeadlineError)
                result = ran(exit_code=124 if late else 1, stderr=str(item).encode(), timed_out=late)
                break
            stdout += (item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n"
        return result.model_copy(update={"stdout": stdout})

    def probe(self, cells: Sequence[Cell] = CELLS) -> "Bench":
        self.cells = {one.id: one for one in cells}
        self.prober.probe(cells, BINARY, SessionImages(server="server:1", client="client:1"))
        return self

    @property
    def attempts(self) -> list[tuple[str, str, str]]:
        """Cell, reason (or the outcome), and why it was tried."""
        return [(key, judged.reason or judged.outcome.value, told.why) for key, judged, told in self.told]


DIED = EngineError("gone")
AGAIN = "again: The probe driver of"


def test_one_session_judges_every_cell_as_its_line_comes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, whole).probe()
    assert bench.attempts == [(one.id, "pass", "first") for one in CELLS]
    assert bench.asked == [[one.id for one in CELLS]]
    assert bench.engine.left == set()


def test_a_session_that_dies_midway_judges_what_it_had_and_only_the_others_are_tried_again(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, failing_after(1, DIED), whole).probe()
    assert bench.asked == [[one.id for one in CELLS], [SECOND.id, THIRD.id]]
    first, *others = bench.attempts
    assert first == (FIRST.id, "pass", "first")
    assert [(key, reason) for key, reason, _ in others] == [
        (SECOND.id, "engine-unavailable"),
        (THIRD.id, "engine-unavailable"),
        (SECOND.id, "pass"),
        (THIRD.id, "pass"),
    ]
    assert [why == "first" for *_, why in others] == [True, True, False, False]
    assert all(why.startswith(AGAIN) and "exit code 1" in why for *_, why in others[2:])
    assert bench.engine.left == set()


def test_after_three_tries_the_harness_gives_up_with_an_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing_after(0, DIED)).probe([FIRST])
    assert len(bench.asked) == 3
    assert [reason for _, reason, _ in bench.attempts] == ["engine-unavailable"] * 3
    assert "gone" in bench.told[-1][1].message


def test_a_library_that_an_image_lacks_is_not_looked_for_again(tmp_path: Path) -> None:
    said = "error while loading shared libraries: libx.so.1: cannot open shared object file: No such file\n"

    def session(asked: Sequence[Cell]) -> Iterable[Raw | bytes | Exception]:
        return [server_line(vv=said, vv_status=127), *(dead(one, 127, said) for one in asked)]

    bench = Bench(tmp_path, session)
    bench.probe()
    assert bench.asked == [[one.id for one in CELLS]]
    assert {judged.reason for _, judged, _ in bench.told} == {Reason.PACKAGE_MISSING}
    assert all(told.final for _, _, told in bench.told)


def test_a_failure_of_the_product_is_never_tried_again(tmp_path: Path) -> None:
    def session(asked: Sequence[Cell]) -> list[Raw | bytes | Exception]:
        return [
            server_line(),
            dead(asked[0], 139, ready_s=0.1),
            line(asked[1], h3=first_broken(28, "timed out")),
            line(asked[2]),
        ]

    bench = Bench(tmp_path, session).probe()
    assert len(bench.asked) == 1
    assert [reason for _, reason, _ in bench.attempts] == ["server-crashed", "handshake-timeout", "pass"]


@pytest.mark.fault(
    "the server's container goes a moment before the client's, so that the client sees a hang",
    "not believed: `error: engine-unavailable`, probed again",
)
def test_a_failure_of_a_server_that_was_taken_away_is_the_harness_s(tmp_path: Path) -> None:
    def broken(asked: Sequence[Cell]) -> list[Raw | bytes | Exception]:
        bench.engine.started.clear()  # as a daemon that is stopped ends the server a moment before the client
        return [server_line(), line(asked[0]), line(asked[1], h3=first_broken(28, "timed out"))]

    bench = Bench(tmp_path, broken, whole)
    bench.probe([FIRST, SECOND])
    assert bench.attempts == [
        (FIRST.id, "pass", "first"),
        (SECOND.id, "engine-unavailable", "first"),
        (SECOND.id, "pass", "again: The server's container was stopped while it was probed."),
    ]
    assert bench.engine.left == set()


def test_a_server_that_was_taken_away_before_it_said_a_word_is_the_harness_s(tmp_path: Path) -> None:
    def broken(asked: Sequence[Cell]) -> list[Raw | bytes | Exception]:
        bench.engine.started.clear()
        return [server_line(vv="", vv_status=None), line(asked[0])]

    bench = Bench(tmp_path, broken, whole)
    bench.probe([FIRST])
    assert [reason for _, reason, _ in bench.attempts] == ["engine-unavailable", "pass"]


def test_a_dead_engine_is_not_asked_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing_after(1, DIED), refuses=("answers",)).probe([FIRST, SECOND])
    assert [reason for _, reason, _ in bench.attempts] == ["pass", "engine-unavailable"]
    assert len(bench.asked) == 1


def test_a_cell_that_the_harness_damaged_is_tried_again_alone(tmp_path: Path) -> None:
    def killed(asked: Sequence[Cell]) -> list[Raw | bytes | Exception]:
        return [server_line(), line(asked[0]), dead(asked[1], 137, ready_s=0.1), line(asked[2])]

    bench = Bench(tmp_path, killed, whole).probe()
    assert bench.asked[1] == [SECOND.id]
    assert bench.attempts[-1][:2] == (SECOND.id, "pass")
    assert bench.attempts[-1][2].startswith("again: HAProxy was killed (SIGKILL)")


@pytest.mark.fault(
    "each verb of the engine fails while cells are probed",
    "`error: engine-unavailable` after three tries, nothing stays behind",
)
@pytest.mark.parametrize("verb", ["create:-server", "create:-client", "exec"])
def test_whatever_verb_fails_the_cells_are_errors_and_nothing_stays_behind(tmp_path: Path, verb: str) -> None:
    bench = Bench(tmp_path, whole, refuses=(verb,)).probe([FIRST])
    assert [reason for _, reason, _ in bench.attempts] == ["engine-unavailable"] * 3
    assert bench.engine.left == set()


def test_a_session_past_its_deadline_is_an_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda asked: [*whole(asked)[:1], DeadlineError("late")]).probe([FIRST])
    assert [reason for _, reason, _ in bench.attempts] == ["deadline"] * 3
    assert bench.engine.timeouts == [30 + 10 + 8 * 8 + 10] * 3


def test_a_driver_that_says_nothing_of_a_cell_is_asked_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda asked: whole(asked)[:1], whole).probe([FIRST])
    assert bench.attempts == [
        (FIRST.id, "internal", "first"),
        (FIRST.id, "pass", "again: The probe driver said nothing of this cell."),
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        b"Traceback (most recent call last):",
        b"",
        b"\xff\xfe",
        {"kind": "cell"},
        {"kind": "cell", "id": "no such cell"},
        {"kind": "cell", "id": SECOND.id, "duration_s": "long", "files": {}},
        {"kind": "cell", "id": SECOND.id, "duration_s": float("nan"), "files": {}},
        {"kind": "cell", "id": SECOND.id, "duration_s": 1, "files": ["a"]},
    ],
    ids=str,
)
@pytest.mark.fault(
    "the probe driver writes garbage",
    "what was judged before stands, the rest is probed again",
)
def test_a_garbled_line_spoils_no_cell_that_was_judged(tmp_path: Path, garbage: bytes | Raw) -> None:
    bench = Bench(tmp_path, lambda asked: [*whole(asked)[:2], garbage], whole).probe([FIRST, SECOND])
    assert bench.attempts[0] == (FIRST.id, "pass", "first")
    assert {key for key, *_ in bench.attempts[1:]} == {SECOND.id}
    assert [reason == "pass" for _, reason, _ in bench.attempts[1:]] == [False, True]


def test_repeat_probes_as_often_as_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, whole, repeat=3).probe([FIRST])
    assert bench.attempts == [(FIRST.id, "pass", why) for why in ("first", "repeat 2", "repeat 3")]


def test_a_repeat_that_the_harness_spoils_is_replaced(tmp_path: Path) -> None:
    bench = Bench(tmp_path, whole, failing_after(0, DIED), whole, repeat=2).probe([FIRST])
    assert [(reason, why.partition(":")[0]) for _, reason, why in bench.attempts] == [
        ("pass", "first"),
        ("engine-unavailable", "repeat 2"),
        ("pass", "again"),
    ]


def test_the_last_attempt_at_each_cell_is_final_and_no_earlier_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing_after(1, DIED), whole, repeat=2).probe([FIRST, SECOND])
    ends = {key: [told.final for name, _, told in bench.told if name == key] for key in (FIRST.id, SECOND.id)}
    assert ends == {FIRST.id: [False, True], SECOND.id: [False, False, True]}


def test_the_last_try_of_a_cell_that_is_only_damaged_is_final(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing_after(0, DIED)).probe([FIRST])
    assert [told.final for *_, told in bench.told] == [False, False, True]


def test_every_attempt_keeps_its_own_evidence(tmp_path: Path) -> None:
    def session(number: int) -> Session:
        return lambda asked: [server_line(), line(asked[0], files={"haproxy.log": f"try {number}"})]

    bench = Bench(tmp_path, session(1), session(2), session(3), repeat=3).probe([FIRST])
    assert [told.evidence for *_, told in bench.told] == [
        (f"cells/{FIRST.id}/haproxy.log",),
        (f"cells/{FIRST.id}/attempt-2/haproxy.log",),
        (f"cells/{FIRST.id}/attempt-3/haproxy.log",),
    ]
    texts = [(tmp_path / path).read_text() for *_, told in bench.told for path in told.evidence]
    assert texts == ["try 1", "try 2", "try 3"]


def test_evidence_begins_with_what_says_most_and_has_no_empty_file(tmp_path: Path) -> None:
    names = ("control.json", "h3.stderr", "haproxy.cfg", "haproxy.log", "stats.txt", "h3.json")
    files = {**dict.fromkeys(names, "x"), "shell.log": "", "control.stderr": ""}
    bench = Bench(tmp_path, lambda asked: [server_line(), line(asked[0], files=files)]).probe([FIRST])
    told = [Path(path).name for path in bench.told[0][2].evidence]
    assert told == ["haproxy.log", "haproxy.cfg", "h3.stderr", "h3.json", "control.json", "stats.txt"]
    assert {path.name for path in tmp_path.rglob("*.*") if path.is_file()} == set(told)


def test_evidence_is_on_the_disk_with_all_its_folders_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(prober, "sync_folder", synced.append)

    def session(asked: Sequence[Cell]) -> Iterable[Raw | bytes | Exception]:
        return [server_line(), line(asked[0], files={"haproxy.log": "x"})]

    Bench(tmp_path, session, session, repeat=2).probe([FIRST])
    cells = tmp_path / "cells"
    first = [cells / FIRST.id, cells, tmp_path]
    assert synced == [*first, cells / FIRST.id / "attempt-2", *first]


def test_evidence_never_leaves_its_folder(tmp_path: Path) -> None:
    names = ["../up.log", "/etc/x.log", "..", ".", "", "a/b.log", "good.log", "x" * 300, "nul\0.log"]
    hostile = dict.fromkeys(names, "\ud800 text é")
    (tmp_path / "run").mkdir()
    bench = Bench(tmp_path / "run", lambda asked: [server_line(), line(asked[0], files=hostile)]).probe(
        [FIRST]
    )
    assert bench.told[0][2].evidence == (f"cells/{FIRST.id}/good.log",)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["good.log"]
    assert (tmp_path / "run" / "cells" / FIRST.id / "good.log").read_text("utf-8") == "\ufffd text é"


def test_a_flood_of_evidence_is_cut_in_number_and_in_size(tmp_path: Path) -> None:
    flood = {f"{number}.log": "x" for number in range(1000)} | {"0.log": "x" * (2 * bounds.EVIDENCE)}
    bench = Bench(tmp_path, lambda asked: [server_line(), line(asked[0], files=flood)]).probe([FIRST])
    evidence = bench.told[0][2].evidence
    assert len(evidence) == len(list(tmp_path.rglob("*.log"))) == bounds.EVIDENCE_FILES
    text = (tmp_path / evidence[0]).read_text()
    assert text.endswith("x… (cut after 1 MiB; 1048576 more characters)")
    assert bench.told[0][1].outcome is Outcome.PASS


def test_a_cancelled_prober_judges_nothing_more(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, lambda asked: [server_line(), *(dead(one, 0, ready_s=0.1) for one in asked)], repeat=3
    )
    bench.cancelled = lambda: len(bench.told) > 0
    bench.probe()
    assert [key for key, *_ in bench.attempts] == [FIRST.id]
    assert len(bench.asked) == 1


def test_a_cancelled_session_is_not_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing_after(0, DIED))
    bench.cancelled = lambda: len(bench.asked) > 0
    bench.probe()
    assert len(bench.asked) == 1
    assert bench.told == []


def test_a_cell_that_was_damaged_just_before_the_cancellation_is_not_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda asked: [server_line(), dead(asked[0], 137, ready_s=0.1)])
    bench.cancelled = lambda: len(bench.told) > 0
    bench.probe([FIRST])
    assert bench.attempts == [(FIRST.id, "killed", "first")]
    assert len(bench.asked) == 1


def test_a_declaration_is_held_against_what_happens_only_if_challenged(tmp_path: Path) -> None:
    ccm = cell(cipher="TLS_AES_128_CCM_SHA256")
    plain = Bench(tmp_path / "a", whole).probe([ccm])
    challenged = Bench(tmp_path / "b", whole, challenge=True).probe([ccm])
    assert [judged.contradicts for _, judged, _ in (*plain.told, *challenged.told)] == [False, True]


@pytest.mark.parametrize(
    ("arch", "said", "features"),
    [
        ("amd64", "x86.cpu_features.features[0x0].cpuid[0x2]=0x2000000\n", ("aes",)),
        ("arm64", "dl_hwcap=0x10\n", ("pmull",)),
    ],
)
def test_the_cpu_is_the_one_that_the_server_sees(
    tmp_path: Path, arch: str, said: str, features: tuple[str, ...]
) -> None:
    one = cell(arch=arch)
    bench = Bench(tmp_path, lambda _asked: [server_line(cpu=said), line(one)]).probe([one])
    assert bench.told[0][2].features == features


def test_another_cpu_than_the_one_asked_for_is_the_harnesss_error(tmp_path: Path) -> None:
    one = cell(execution=ExecutionValue(name="aes-off", cpu="aes-off"))
    seen = server_line(cpu="x86.cpu_features.features[0x0].cpuid[0x2]=0x2000000\n")
    bench = Bench(tmp_path, lambda _asked: [seen, line(one)]).probe([one])
    assert {(judged.outcome, judged.reason) for _, judged, _ in bench.told} == {
        (Outcome.ERROR, Reason.EMULATION)
    }


def test_variables_stand_before_every_program_of_the_server_and_no_other(tmp_path: Path) -> None:
    """Before the emulator as well, which hands them on; the shell and the client do not have them."""
    masked = ExecutionValue(name="masked", environment=("OPENSSL_armcap=0x1", "OPENSSL_ia32cap=~0x2"))
    commands: list[tuple[str, ...]] = []

    def program(_: Files, argv: tuple[str, ...]) -> ExecResult:
        commands.append(argv)
        return ran()

    engine = FakeEngine(program)
    prober = replace(Bench(tmp_path, whole).prober, engine=engine, selftest=b"program")
    prober.probe(
        [cell(arch="arm64", execution=masked)], BINARY, SessionImages(server="server:1", client="client:1")
    )
    env = ("/usr/bin/env", "OPENSSL_armcap=0x1", "OPENSSL_ia32cap=~0x2")
    emulator = ("/usr/bin/qemu-aarch64", "-cpu", "max", "-L", "/target")
    server, client = engine.specs[:2]
    assert server.argv[:3] == ("sh", "/work/supervise.sh", "/work")
    assert server.argv[4:] == (*env, *emulator)
    assert not any("OPENSSL" in word for word in client.argv)
    assert commands[0] == (*env, *emulator, "/work/selftest")
    assert commands[1][0] == "python3"


@pytest.mark.parametrize(
    ("arch", "cpu", "loader", "prefix"),
    [
        ("amd64", "", "/lib64/ld-linux-x86-64.so.2", ()),
        (
            "amd64",
            "Haswell,-aes",
            "/target/lib64/ld-linux-x86-64.so.2",
            ("/usr/bin/qemu-x86_64", "-cpu", "Haswell,-aes", "-L", "/target"),
        ),
        (
            "arm64",
            "",
            "/target/lib/ld-linux-aarch64.so.1",
            ("/usr/bin/qemu-aarch64", "-cpu", "max", "-L", "/target"),
        ),
        (
            "arm64",
            "aes-on",
            "/target/lib/ld-linux-aarch64.so.1",
            ("/usr/bin/qemu-aarch64", "-cpu", "neoverse-n1", "-L", "/target"),
        ),
    ],
)
def test_every_program_of_the_server_runs_on_its_cpu_in_a_container_of_the_host(
    tmp_path: Path, arch: str, cpu: str, loader: str, prefix: tuple[str, ...]
) -> None:
    one = cell(arch=arch, execution=ExecutionValue(name="some", cpu=cpu))
    server, client = Bench(tmp_path, whole).probe([one]).engine.specs
    assert server.argv == ("sh", "/work/supervise.sh", "/work", loader, *prefix)
    assert not set(prefix) & set(client.argv)
    assert {server.platform, client.platform} == {"linux/amd64"}


def test_the_containers_of_a_session(tmp_path: Path) -> None:
    bench = Bench(tmp_path, whole).probe()
    server, client = bench.engine.specs
    assert server.name.startswith("matrixctl-run1-probe-")
    assert (server.image, server.network, server.platform) == ("server:1", "none", "linux/amd64")
    assert (client.image, client.network) == ("client:1", f"container:{server.name}")
    assert server.volume == client.volume
    assert {server.run_id, client.run_id} == {"run1"}
    assert server.memory_bytes == (256 + 3 * 64) << 20
    removed = [name for verb, name in bench.engine.calls if verb.startswith("remove")]
    assert removed == [client.name, server.name, server.volume]


def test_the_last_judgement_of_a_broken_session_says_what_to_look_at(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failing_after(0, DIED)).probe([FIRST])
    judged = bench.told[-1][1]
    assert (judged.outcome, judged.reason) == (Outcome.ERROR, Reason.ENGINE_UNAVAILABLE)
    assert judged.message.splitlines() == [
        f"The probe driver of {bench.engine.specs[-1].name.removesuffix('-client')} ended with exit code 1.",
        "gone",
    ]


def test_a_fault_in_judging_one_cell_spoils_that_one_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, whole)

    def declared(one: Cell) -> None:
        if one is SECOND:
            raise ZeroDivisionError("planted")

    bench.prober = dataclasses.replace(bench.prober, declared=declared)
    bench.probe()
    assert [(key, reason) for key, reason, _ in bench.attempts] == [
        (FIRST.id, "pass"),
        (SECOND.id, "internal"),
        (THIRD.id, "pass"),
        (SECOND.id, "internal"),
        (SECOND.id, "internal"),
    ]
    assert "ZeroDivisionError('planted'); the traceback is in internal-" in bench.told[1][1].message
    assert "planted" in next(tmp_path.glob("internal-*.txt")).read_text()


def test_a_fault_in_a_session_is_an_attempt_that_says_so(tmp_path: Path) -> None:
    """Also in a repeat, which else would be missing from the record without a word."""

    def broken(_: Sequence[Cell]) -> list[Raw | bytes | Exception]:
        raise ZeroDivisionError("planted")

    bench = Bench(tmp_path, whole, broken, whole, repeat=2).probe([FIRST])
    assert [(reason, why.partition(":")[0]) for _, reason, why in bench.attempts] == [
        ("pass", "first"),
        ("internal", "repeat 2"),
        ("pass", "again"),
    ]
    assert bench.attempts[2][2].startswith("again: ZeroDivisionError('planted'); the traceback is in")
    assert bench.engine.left == set()
