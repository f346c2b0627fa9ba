"""A hostile archive in the container that unpacks it, past every check of ours: nothing leaves the folder."""

import io
import secrets
import tarfile

import pytest
from hostile import CANARY

from orchestrator.errors import EngineError
from orchestrator.execute.engine.archive import pack, read_member
from orchestrator.execute.engine.engine import WORK, ContainerSpec, container, volume
from orchestrator.execute.images.base_image import ensure_base
from orchestrator.execute.images.workshop import Workshop, ensure_toolchain
from orchestrator.plan.render import Renderer

pytestmark = pytest.mark.containers

SOURCE = {"file": "x.tar", "strip": 1}
LOOK = f"find / -xdev -name '*{CANARY}*' 2>&-; find /tmp {WORK} -name '*{CANARY}*'; id -u; cat /proc/net/dev"


def hostile() -> bytes:
    """Names and links that lead out, and a device, around one good file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, target in (
            ("x/good", tarfile.REGTYPE, ""),
            (f"x/../../../../../../tmp/{CANARY}-parent", tarfile.REGTYPE, ""),
            (f"/tmp/{CANARY}-absolute", tarfile.REGTYPE, ""),
            ("x/link", tarfile.SYMTYPE, "/tmp"),
            (f"x/link/{CANARY}-link", tarfile.REGTYPE, ""),
            ("x/socket", tarfile.SYMTYPE, "/var/run/docker.sock"),
            ("x/device", tarfile.BLKTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
    return buffer.getvalue()


def test_nothing_leaves_the_folder_in_which_it_is_unpacked(shop: Workshop) -> None:
    engine, image = shop.engine, ensure_toolchain(shop, ensure_base(shop))
    unpack = Renderer().render("build/unpack.sh.j2", {"work": WORK, "source": SOURCE, "patches": ()})
    name = f"matrixctl-hostile-{secrets.token_hex(3)}"
    spec = ContainerSpec(
        name=name,
        run_id="hostile",
        image=image.id,
        platform=shop.arch.platform,
        argv=("sleep", "infinity"),
        network="none",
        volume=f"{name}-work",
        memory_bytes=256 << 20,
        cpus=1,
    )
    files = pack({"src/x.tar": hostile(), "unpack.sh": unpack.encode()})
    with (
        volume(engine, spec.volume, "hostile", keep=False),
        container(engine, spec, files=files, keep=False),
    ):
        unpacked = engine.exec(name, ("sh", "-eu", "unpack.sh"), timeout=60, on_line=None)
        looked = engine.exec(name, ("sh", "-c", LOOK), timeout=30, on_line=None).stdout.decode()
        for wanted in ("build/link", "build/socket"):
            with pytest.raises(EngineError):
                read_member(engine.get(name, f"{WORK}/{wanted}"), wanted.rpartition("/")[2])
    lines = looked.splitlines()
    assert unpacked.exit_code != 0  # tar says so, and the build ends there
    assert [line for line in lines if CANARY in line and not line.startswith(f"{WORK}/build/")] == []
    assert "65534" in lines
    assert [line for line in lines if ":" in line and "lo:" not in line] == []  # no network but loopback
