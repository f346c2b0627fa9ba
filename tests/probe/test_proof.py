"""The clients' proof, with an engine in memory: what is asked, what is read, what a cell makes of it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fakes import FakeEngine, Files, Program, cell, ran

from orchestrator.errors import DeadlineError, EngineError
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.matrix.capability_table import CCM, SUITES
from orchestrator.matrix.model import Cell, ClientValue, Limits
from orchestrator.plan.render import Renderer
from orchestrator.probe.proof import DEFAULT, Bench, find_contradictions, find_unproved, prove
from orchestrator.record.model import ClientProof

GCM, _, CHACHA, _ = SUITES


def bench(program: Program) -> Bench:
    return Bench(
        engine=FakeEngine(program),
        renderer=Renderer(),
        limits=Limits(),
        name="matrixctl-run1-proof-x",
        run_id="run1",
        image="client:1",
        platform="linux/amd64",
        keep=False,
    )


def answering(*, fails: tuple[str | None, ...] = ()) -> Program:
    """A proof in which everything works but the suites in ``fails``."""

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        assert argv == ("python3", "/work/prove.py", "/work/proof.json")
        lines = [
            {
                **{key: entry[key] for key in ("transport", "suite")},
                "client": entry["name"],
                "version": "1",
                "ok": entry["suite"] not in fails,
                "message": "no ciphers" if entry["suite"] in fails else "negotiated it",
            }
            for entry in json.loads(files["proof.json"])["proofs"]
        ]
        return ran(stdout="".join(f"{json.dumps(line)}\n" for line in lines).encode())

    return program


def proofs(*cells: Cell, fails: tuple[str | None, ...] = ()) -> tuple[ClientProof, ...]:
    return prove(bench(answering(fails=fails)), cells)


def test_every_client_of_the_run_is_proved_with_every_suite_and_with_none() -> None:
    found = proofs(
        cell(client="gtlsclient"), cell(client="aioquic"), cell(client="aioquic", cipher="default")
    )
    h3 = [(one.client, one.suite) for one in found if one.transport == "h3"]
    assert h3 == [(client, suite) for client in ("aioquic", "gtlsclient") for suite in (*SUITES, DEFAULT)]
    # Neither speaks TCP: the control is curl's.
    assert {one.client for one in found if one.transport == "h2"} == {"curl"}


def test_the_proof_has_certificates_of_its_own_and_all_that_a_client_needs() -> None:
    seen: Files = {}

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        seen.update(files)
        return answering()(files, argv)

    prove(bench(program), [cell()])
    entries: list[dict[str, Any]] = json.loads(seen["proof.json"])["proofs"]
    ports = {(one["transport"], one["suite"]): one["port"] for one in entries}
    assert len({port for (over, _), port in ports.items() if over == "h3"}) == 1, "one good server over QUIC"
    assert len({port for (over, _), port in ports.items() if over == "h2"}) == 5, "one per suite over TCP"
    config = seen[f"proofs/curl-h2-{CHACHA}/h2.curlrc"].decode()
    assert f'tls13-ciphers = "{CHACHA}"' in config
    assert f":{ports['h2', CHACHA]}/1k" in config
    assert b"BEGIN CERTIFICATE" in seen["ca.pem"]
    assert {"prove.py", "clients.py", "gtlsclient.py", "aioquic_client.py", "bodies/1k"} <= set(seen)


def test_nothing_stays_behind() -> None:
    engine = FakeEngine(lambda _files, _argv: ran(exit_code=1, stderr=b"gtlsserver does not listen\n"))
    broken = replace(bench(answering()), engine=engine)
    with pytest.raises(EngineError, match="broke down: gtlsserver does not listen"):
        prove(broken, [cell()])
    assert engine.left == set()


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (ran(exit_code=1), EngineError),
        (ran(exit_code=124, timed_out=True), DeadlineError),
        (ran(stdout=b"Traceback\n"), EngineError),
        (ran(stdout=b"{}\n"), EngineError),
        (ran(stdout=b'{"client": "netcat", "suite": null}\n'), EngineError),
    ],
)
def test_a_proof_that_breaks_down_is_the_harnesss(result: ExecResult, error: type[Exception]) -> None:
    with pytest.raises(error):
        prove(bench(lambda _files, _argv: result), [cell()])


def test_a_client_that_cannot_do_what_nothing_declares() -> None:
    found = proofs(cell(), fails=(CHACHA,))
    assert find_unproved(cell(), found) is None
    message = find_unproved(cell(cipher=CHACHA), found)
    assert message is not None
    assert message.startswith(f"curl could not do {CHACHA} even with a server that is known to be good")
    assert message.endswith("no ciphers")


def test_a_client_that_cannot_speak_at_all() -> None:
    message = find_unproved(cell(cipher="default"), proofs(cell(), fails=(None,)))
    assert message is not None
    assert "curl could not speak HTTP/3" in message


def test_what_is_declared_is_left_to_the_challenge() -> None:
    assert find_unproved(cell(cipher=CCM), proofs(cell(), fails=(CCM,))) is None


def test_what_the_library_cannot_does_not_excuse_the_client() -> None:
    one = cell(client="gtlsclient", cipher=CCM)
    assert find_unproved(one, proofs(one)) is None
    assert find_unproved(one, proofs(one, fails=(CCM,))) is not None


def test_a_proof_that_contradicts_the_table_says_so() -> None:
    found = proofs(cell())
    (said,) = find_contradictions(found)
    assert said.startswith(f"curl can do {CCM} over h3")
    assert "the table is wrong" in said
    assert find_contradictions(proofs(cell(), fails=(CCM,))) == ()
    assert find_contradictions(proofs(cell(client="gtlsclient"))) == (), "gtlsclient is declared to have it"


@pytest.mark.parametrize("line", [b"\x80" * 5000 + b"\n", b'{"a' + b"1" * 5000 + b"\n"])
def test_a_long_line_of_another_shape_makes_no_long_message(line: bytes) -> None:
    with pytest.raises(EngineError, match="a line of another shape") as error:
        prove(bench(lambda _files, _argv: ran(stdout=line)), [cell()])
    assert len(error.value.brief) < 600


def test_a_client_of_the_matrix_is_proved_alone_under_its_own_name() -> None:
    mine = ClientValue(name="curl-8.16", family="curl", source="path", where=("x",), declared_version="8.16")
    one = replace(cell(), client=mine)
    seen: Files = {}

    def program(files: Files, argv: tuple[str, ...]) -> ExecResult:
        seen.update(files)
        return answering()(files, argv)

    found = prove(replace(bench(program), own=mine), [one, cell(client="gtlsclient")])
    assert {(proof.client, proof.transport) for proof in found} == {("curl-8.16", "h3")}
    entries: list[dict[str, Any]] = json.loads(seen["proof.json"])["proofs"]
    assert {(entry["client"], entry["own"], entry["declared_version"]) for entry in entries} == {
        ("curl", True, "8.16")
    }
    assert f"proofs/curl-h3-{CHACHA}/h3.curlrc" in seen
    # What it can beyond its family is its value's to say.
    (said,) = find_contradictions(found, mine)
    assert "correct `lacks` of curl-8.16 in the matrix" in said
    assert find_contradictions(found, mine.model_copy(update={"lacks": ()})) == ()
    assert find_unproved(one, found) is None
    assert find_unproved(one, prove(replace(bench(answering(fails=(GCM,))), own=mine), [one])) is not None


def test_ours_are_proved_without_those_of_the_matrix() -> None:
    mine = ClientValue(name="curl-8.16", family="curl", source="path", where=("x",))
    found = proofs(replace(cell(), client=mine), cell(client="gtlsclient"))
    assert {(proof.client, proof.transport) for proof in found} == {("gtlsclient", "h3"), ("curl", "h2")}
