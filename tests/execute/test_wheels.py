"""aioquic for the client image: what pip is told, and what becomes of the wheels."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from fake_host import FakeHost, done

from orchestrator.arch import ARCHES
from orchestrator.errors import SourceUnreachableError
from orchestrator.execute.images import dockerfiles, wheels
from orchestrator.execute.system.process import Completed

AMD, ARM = ARCHES["amd64"], ARCHES["arm64"]


def wheel(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkg/", "")
        for name, text in files.items():
            archive.writestr(f"pkg/{name}.py", text)
    return path


def test_the_lock_pins_everything_with_hashes_and_names_no_address() -> None:
    text = wheels.find_lock().read_text("utf-8")
    pins = re.findall(r"^([a-z-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    assert dict(pins)["aioquic"].startswith("1.")
    assert "://" not in text


def test_pip_is_told_to_verify_and_to_take_wheels_of_the_images_python() -> None:
    options = wheels.make_pip_options(ARM)
    assert {"--require-hashes", "--no-deps", "--only-binary", "3.13"} <= set(options)
    assert "manylinux_2_17_aarch64" in options
    assert not [one for one in options if "x86_64" in one]


def test_wheels_become_one_tar_that_is_always_the_same(tmp_path: Path) -> None:
    both = [wheel(tmp_path / "a.whl", one="1", two="2"), wheel(tmp_path / "b.whl", three="3")]
    first, second = io.BytesIO(), io.BytesIO()
    wheels.unpack(both, first)
    wheels.unpack(both, second)
    assert first.getvalue() == second.getvalue()
    with tarfile.open(fileobj=first) as tar:
        assert tar.getnames() == ["pkg/one.py", "pkg/two.py", "pkg/three.py"]


@pytest.mark.parametrize("cached", [True, False])
def test_a_machine_that_gets_no_wheels_says_so(tmp_path: Path, *, cached: bool) -> None:
    failed = Completed(exit_code=1, stdout=b"", stderr=b"WARNING: x\nERROR: No matching distribution for y\n")
    host = FakeHost(answers={"": failed})
    with pytest.raises(SourceUnreachableError, match="No matching distribution for y"):
        wheels.fetch(host, AMD, tmp_path / "cache" if cached else None, io.BytesIO())


def test_the_image_follows_the_lock() -> None:
    text = dockerfiles.render_client("base", aioquic=wheels.digest_lock())
    assert wheels.digest_lock() in text
    assert "aioquic.tar" in text
    assert "aioquic" not in dockerfiles.render_client("base", aioquic="")


def test_what_is_kept_needs_no_network(tmp_path: Path) -> None:
    host = FakeHost(answers={"": done("")})
    wheels.fetch(host, AMD, tmp_path, io.BytesIO())
    (command,) = host.commands
    assert f"--no-index --find-links {tmp_path}" in command
