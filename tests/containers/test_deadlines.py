"""TERM, wait, KILL, and at last the container: a program in a real one never outlives its limit."""

import secrets
import time

import pytest

from orchestrator.execute.engine import docker_exec
from orchestrator.execute.engine.engine import ContainerSpec, container, volume
from orchestrator.execute.images.base_image import ensure_base
from orchestrator.execute.images.workshop import Workshop

pytestmark = pytest.mark.containers

IGNORES_TERM = "trap '' TERM; echo deaf; while :; do sleep 1; done"
STOPS_ITS_KEEPER = "kill -STOP $PPID; echo out; sleep 60"
"""The keeper is timeout(1), which is to send TERM and KILL and now sends neither."""


@pytest.mark.fault(
    "a program in a container ignores TERM, or stops the timeout(1) that guards it",
    "KILL, and then the end of its container; nothing stays behind",
)
@pytest.mark.parametrize(("script", "said"), [(IGNORES_TERM, b"deaf\n"), (STOPS_ITS_KEEPER, b"out\n")])
def test_a_program_that_will_not_end_is_ended(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, script: str, said: bytes
) -> None:
    engine = shop.engine
    monkeypatch.setattr(docker_exec, "GRACE", 1)
    image = ensure_base(shop)
    name = f"matrixctl-deadline-{secrets.token_hex(3)}"
    spec = ContainerSpec(
        name=name,
        run_id="deadline",
        image=image.id,
        platform=shop.arch.platform,
        argv=("sleep", "infinity"),
        network="none",
        volume=f"{name}-work",
        memory_bytes=128 << 20,
        cpus=1,
    )
    with volume(engine, spec.volume, "deadline", keep=False), container(engine, spec, keep=False):
        started = time.monotonic()
        done = engine.exec(name, ("sh", "-c", script), timeout=1, on_line=None)
        took = time.monotonic() - started
    assert done.timed_out
    assert said in done.stdout
    assert 1 <= took < 60
    assert engine.sweep("deadline") == ()
