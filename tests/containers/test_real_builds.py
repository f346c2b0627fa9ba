"""Builds as people make them: more libraries, sanitizers; and what is lacking, by its name."""

import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Ran, Runner

from orchestrator.execute.engine.archive import read_member
from orchestrator.execute.store.store import Store
from orchestrator.matrix.model import Limits
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import CellRecord

# The images and six compiles of HAProxy are made in the first test's set-up.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(2400)]

OUT_OF_BOUNDS = str(Path(__file__).parent / "patches" / "haproxy-writes-out-of-bounds.diff")
ASAN = "OPT_CFLAGS=-O0 ARCH_FLAGS='-g1 -fsanitize=address'"
# HAProxy 3.0.11 has reports of its own, which would come first: src/pattern.c has misaligned accesses, and
# src/server.c takes a member of a null pointer.
UBSAN = "OPT_CFLAGS=-O0 ARCH_FLAGS='-g1 -fsanitize=undefined -fno-sanitize=alignment,null'"
# -O0 for the compiler's time alone; the planted access is one byte behind a static array, in src/h3.c.
# The last is only linked otherwise, so that the compiler's cache has all of it.
HAPROXY: list[dict[str, object]] = [
    {"name": "asan", "make_flags": ASAN},
    {"name": "asan-planted", "make_flags": ASAN, "patches": [OUT_OF_BOUNDS]},
    {"name": "ubsan-planted", "make_flags": UBSAN, "patches": [OUT_OF_BOUNDS]},
    {"name": "no-lua", "make_flags": "USE_LUA=1"},
    {"name": "no-pcre2", "make_flags": "USE_PCRE2=1"},
    {"name": "no-clang", "make_flags": "CC=clang"},
    {"name": "no-lsan", "make_flags": "LDFLAGS=-fsanitize=leak"},
]
DISTRO: dict[str, object] = {"arch": "amd64", "tls": "openssl-distro", "cipher": "default", "client": "curl"}


@pytest.fixture(scope="module")
def built(run_once: Runner, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    values = [{**one, "version": "3.0.11"} for one in HAPROXY]
    axes = {**{axis: [value] for axis, value in DISTRO.items()}, "haproxy": values}
    emulated = {**DISTRO, "arch": "arm64", "haproxy": values[0]}
    matrix = tmp_path_factory.mktemp("real") / "matrix.yaml"
    matrix.write_text(yaml.safe_dump({"version": 1, "axes": axes, "include": [emulated]}, sort_keys=False))
    return run_once(profile="full", matrix=matrix, limits=Limits(build=3600))


def cell(ran: Ran, name: str, arch: str = "amd64") -> CellRecord:
    (found,) = (
        one for one in ran.record.cells if (one.axes.haproxy.name, one.axes.arch.name) == (name, arch)
    )
    return found


def test_a_healthy_build_with_address_sanitizer_passes(built: Ran) -> None:
    found = cell(built, "asan")
    assert found.outcome is Outcome.PASS, found.message
    assert found.attestation is not None
    assert "libasan.so.8" in found.attestation.needed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "asan-planted",
            r"AddressSanitizer reports global-buffer-overflow src/h3\.c:\d+ in h3_resp_headers_send",
        ),
        (
            "ubsan-planted",
            r"UndefinedBehaviorSanitizer reports at src/h3\.c:\d+:\d+: index 8 out of bounds",
        ),
    ],
)
def test_a_planted_access_out_of_bounds_is_the_message_and_the_evidence(
    built: Ran, name: str, says: str
) -> None:
    found = cell(built, name)
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.SANITIZER), found.message
    assert re.search(says, found.message), found.message
    assert len(found.attempts) == 1
    (log,) = (path for path in found.evidence if path.endswith("haproxy.log"))
    assert "src/h3.c" in (built.folder / log).read_text()


def test_what_qemu_would_have_to_run_with_address_sanitizer_is_unsupported(built: Ran) -> None:
    found = cell(built, "asan", "arm64")
    assert (found.outcome, found.reason) == (Outcome.UNSUPPORTED, Reason.EMULATOR_CANNOT)
    assert found.attempts[0].duration_s == 0.0


@pytest.mark.parametrize(
    ("name", "lacks"),
    [("no-lua", "liblua5.4-dev"), ("no-pcre2", "libpcre2-dev"), ("no-clang", "[clang]")],
)
def test_what_the_toolchain_lacks_is_an_error_with_the_package_to_name(
    built: Ran, name: str, lacks: str
) -> None:
    found = cell(built, name)
    assert (found.outcome, found.reason) == (Outcome.ERROR, Reason.PACKAGE_MISSING), found.message
    assert lacks in found.message


def test_a_library_that_the_server_lacks_is_named_once(built: Ran) -> None:
    found = cell(built, "no-lsan")
    assert (found.outcome, found.reason) == (Outcome.ERROR, Reason.PACKAGE_MISSING), found.message
    assert "liblsan.so.0" in found.message
    assert len(found.attempts) == 1


@pytest.mark.soak
def test_the_documented_build_with_all_features_runs(run: Runner, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "builds.md").read_text()
    found = re.search(r"<!-- all-features -->\n```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    (tmp_path / "all.yaml").write_text(found[1])
    ran = run(profile="full", matrix=tmp_path / "all.yaml", limits=Limits(build=3600))
    assert {one.outcome for one in ran.record.cells} == {Outcome.PASS}
    needed = [one.attestation.needed for one in ran.record.cells if one.attestation]
    assert all({"liblua5.4.so.0", "libpcre2-8.so.0", "libz.so.1"} <= set(one) for one in needed)


OTHER_LOADERS = {
    "amd64": (b"/lib64/ld-linux-x86-64.so.2", b"/lib64/ld-musl--x86-64.so.1"),
    "arm64": (b"/lib/ld-linux-aarch64.so.1", b"/lib/ld-musl--aarch64.so.1"),
}


def test_a_binary_of_another_system_is_not_loadable_and_tried_once(
    run: Runner, store: Path, tmp_path: Path
) -> None:
    """Natively the kernel refuses it, under QEMU the emulator, and the loader what it lacks."""
    ours = run("arch=amd64,arm64", "cipher=default", profile="quick").record.cells
    for one in ours:
        assert one.build.digest is not None
        artifact = Store(store).find_artifact(one.build.digest)
        assert artifact is not None
        program, arch = read_member([artifact.path.read_bytes()], "haproxy"), one.axes.arch.name
        (tmp_path / f"musl_{arch}").write_bytes(program.replace(*OTHER_LOADERS[arch]))
        (tmp_path / f"lacking_{arch}").write_bytes(program.replace(b"libcrypt.so.1", b"libcrypX.so.1"))
    values = [
        {"name": name, "version": "3.0.11", "prebuilt": f"{name}_{{arch}}"} for name in ("musl", "lacking")
    ]
    axes = {
        **{axis: [value] for axis, value in DISTRO.items()},
        "arch": ["amd64", "arm64"],
        "haproxy": values,
    }
    (tmp_path / "foreign.yaml").write_text(yaml.safe_dump({"version": 1, "axes": axes}))
    cells = run(profile="full", matrix=tmp_path / "foreign.yaml").record.cells
    assert len(cells) == 4
    for one in cells:
        arch, name = one.axes.arch.name, one.axes.haproxy.name
        assert (one.outcome, one.reason) == (Outcome.MISBUILT, Reason.NOT_LOADABLE), one.message
        named = OTHER_LOADERS[arch][1].decode() if name == "musl" else "libcrypX.so.1"
        assert named in one.message
        assert len(one.attempts) == 1
