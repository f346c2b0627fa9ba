"""Which leftovers go by themselves, with an engine in memory; the real one: containers/test_leftovers.py."""

from http import HTTPStatus

import pytest
import requests
from docker.errors import APIError, NotFound
from fake_docker import FakeClient, dead_labels

from orchestrator.errors import EngineError
from orchestrator.execute.engine import docker_leftovers, owner


@pytest.fixture(scope="module")
def dead() -> dict[str, str]:
    return dead_labels("20260102-030405-dead")


@pytest.fixture
def client(dead: dict[str, str]) -> FakeClient:
    made = FakeClient()
    made.api.things = {
        "container": {
            "matrixctl-20260102-030405-dead-server": dead,
            "matrixctl-20260102-030405-dead-kept": {**dead, owner.KEPT: "true"},
            "matrixctl-20260102-030405-dead-stranger": {},
            "matrixctl-20260102-030405-dead-copied": {"matrixctl-like": "x", owner.OWNER: dead[owner.OWNER]},
            "matrixctl-living": owner.labels("20260102-030405-live"),
            "matrixctl-elsewhere": {**dead, owner.OWNER: "another-boot.1.2.3"},
            "matrixctl-nobodys": {owner.LABEL: "20260102-030405-dead"},
        },
        "network": {"matrixctl-20260102-030405-dead-net": dead, "matrixctl_default": {}},
        "volume": {"matrixctl-20260102-030405-dead-work": dead, "matrixctl-living": owner.labels("x")},
    }
    return made


def test_only_what_a_dead_process_left_goes_and_is_named(client: FakeClient) -> None:
    before = client.names
    gone = client.sweep()
    run = "matrixctl-20260102-030405-dead"
    assert gone == [f"{run}-server", f"{run}-net", f"{run}-work"], "containers before what they use"
    assert client.names == before - set(gone)
    assert client.sweep() == []


def refusal(status: HTTPStatus) -> APIError:
    response = requests.Response()
    response.status_code = status
    return (NotFound if status == HTTPStatus.NOT_FOUND else APIError)(status.phrase, response)


@pytest.mark.parametrize("status", [HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT])
def test_what_another_sweeper_removes_at_this_moment_is_left_to_it(
    client: FakeClient, status: HTTPStatus
) -> None:
    client.api.refuses["matrixctl-20260102-030405-dead-server"] = refusal(status)
    assert [name.rpartition("-")[2] for name in client.sweep()] == ["net", "work"]


@pytest.mark.parametrize("error", [refusal(HTTPStatus.INTERNAL_SERVER_ERROR), requests.ConnectionError("x")])
def test_an_engine_that_refuses_is_an_error_for_people(client: FakeClient, error: Exception) -> None:
    client.api.refuses["matrixctl-20260102-030405-dead-server"] = error
    with pytest.raises(EngineError, match="failed to remove what dead runs left") as caught:
        client.sweep()
    assert "matrixctl clean" in caught.value.resolution


def test_a_run_that_goes_on_takes_what_an_earlier_boot_of_it_left(client: FakeClient) -> None:
    run = "matrixctl-20260102-030405-dead"
    before = client.names
    gone = docker_leftovers.sweep_dead(client.client, resumed="20260102-030405-dead")
    assert {one.name for one in gone} == {
        *(f"{run}-server", f"{run}-net", f"{run}-work"),
        *("matrixctl-elsewhere", "matrixctl-nobodys"),
    }
    assert client.names == before - {one.name for one in gone}, "what was kept on purpose stays, too"
