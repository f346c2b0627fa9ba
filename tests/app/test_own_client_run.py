"""A run with a client of the matrix' own, on an engine in memory: its image, its session, its proof."""

from dataclasses import replace
from pathlib import Path

from engine_run import GCM, EngineRun, Programs, chosen

from orchestrator.matrix.model import Cell, ClientValue
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.journal import JOURNAL, ClientsProved, read

(CURL,) = chosen("arch=amd64", "tls=openssl-3.5.7", f"cipher={GCM}")


def own(tmp_path: Path, name: str = "curl-8.16") -> Cell:
    program = tmp_path / name
    program.write_text("a program")
    value = ClientValue(name=name, family="curl", source="path", where=(str(program),))
    return replace(CURL, id=f"{CURL.id}--client.{name}", client=value)


def test_it_has_an_image_and_a_session_of_its_own_and_the_same_build(tmp_path: Path) -> None:
    mine = own(tmp_path)
    run = EngineRun(tmp_path, (CURL, mine))
    record = run.go()
    assert [(cell.outcome, cell.message) for cell in record.cells if cell.outcome is not Outcome.PASS] == []
    clients = {spec.image for spec in run.engine.specs if spec.name.endswith("-client")}
    assert len(clients) == 2
    probes = [one.name for one in record.actions if one.kind == "probe"]
    assert probes == [f"haproxy-3.0.11--openssl-3.5.7--amd64{end}" for end in ("", "--curl-8.16")]
    assert len([one for one in record.actions if one.kind == "haproxy"]) == 1
    (image,) = [one for one in record.components if one.name == "client-amd64 with curl-8.16"]
    assert (image.kind, image.origin) == ("image", f"path {tmp_path}/curl-8.16")
    assert (image.digest or "").startswith("sha256:")
    (program,) = [one for one in record.components if one.name == "curl-8.16 in client-amd64"]
    assert (program.kind, program.version, program.digest) == ("package", "curl 9", image.digest)
    assert run.engine.left == set()


def test_it_is_proved_by_itself_and_the_control_is_ours(tmp_path: Path) -> None:
    record = EngineRun(tmp_path, (own(tmp_path),)).go()
    proved = {(one.client, one.transport) for one in record.clients}
    assert proved == {("curl-8.16", "h3"), ("curl", "h2")}
    events = [one for one in read(tmp_path / "run" / JOURNAL) if isinstance(one, ClientsProved)]
    assert len(events) == 2, "one for each image, and the record has both"


def test_where_it_cannot_be_made_its_cells_alone_are_blocked(tmp_path: Path) -> None:
    mine = own(tmp_path)
    Path(mine.client.where[0]).unlink()
    record = EngineRun(tmp_path, (CURL, mine)).go()
    first, second = record.cells
    assert first.outcome is Outcome.PASS
    assert (second.outcome, second.reason) == (Outcome.BLOCKED, Reason.SOURCE_UNREACHABLE)
    assert "curl-8.16 of the client curl-8.16 cannot be read: No such file" in second.message


def test_where_it_fails_its_proof_its_cells_alone_are_not_judged(tmp_path: Path) -> None:
    mine = own(tmp_path)
    programs = Programs(proves=lambda name, suite: (name, suite) != ("curl-8.16", GCM))
    record = EngineRun(tmp_path, (CURL, mine), programs=programs).go()
    first, second = record.cells
    assert first.outcome is Outcome.PASS
    assert (second.reason, second.verdict) == (Reason.CLIENT_CANNOT_OFFER, Verdict.NOT_JUDGED)
    assert second.message.startswith(
        f"curl-8.16 could not do {GCM} even with a server that is known to be good"
    )
