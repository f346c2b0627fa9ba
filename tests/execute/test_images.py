import contextlib
import http.server
import io
import json
import shlex
import shutil
import subprocess
import threading
import time
from typing import ClassVar

import docker
import pytest
from fake_host import FakeHost, done
from fakes import FakeEngine, ran

from orchestrator.arch import ARCHES, Arch
from orchestrator.cli.log import show_log
from orchestrator.errors import EmulationError, EngineError, MatrixctlError, SourceUnreachableError
from orchestrator.execute.engine import docker_images, docker_leftovers, owner
from orchestrator.execute.engine.docker_engine import DockerEngine
from orchestrator.execute.engine.engine import ExecResult
from orchestrator.execute.images import (
    base_image,
    bootstrap,
    dockerfiles,
    emulation,
    image_build,
    image_content,
    workshop,
)
from orchestrator.execute.system.process import Completed

AMD, ARM = ARCHES["amd64"], ARCHES["arm64"]
BOTH = (AMD, ARM)
TARGETS = (
    "http://mirror.example/debian/ bookworm main Debian\n"
    "http://mirror.example/debian/ bookworm contrib Debian\n"
    "http://mirror.example/debian/ bookworm-updates main Debian\n"
    "http://mirror.example/debian-security/ bookworm-security main Debian\n"
    "https://other.example/apt/ bookworm main Other\n"
    "https://node.example/node/ nodistro main $(ORIGIN)\n"
)


_WHO = "uname -m; id -un; stat -c '%U %a' /work; readlink /bin/sh"
_NOBODY = ("nobody", "nobody", "755", "dash")


def apt_host(targets: str, **files: str) -> FakeHost:
    return FakeHost(answers={"apt-get indextargets": done(targets)}, files=files)


def test_the_machines_own_mirrors_serve_our_suite() -> None:
    assert bootstrap.make_apt_lines(apt_host(TARGETS)) == (
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian-security/ trixie-security main",
        "deb http://mirror.example/debian/ trixie-updates main",
    )


def test_a_line_of_apt_that_lacks_fields_is_passed_over() -> None:
    assert bootstrap.make_apt_lines(apt_host(f"x\n\n\0\n{TARGETS}")) == bootstrap.make_apt_lines(
        apt_host(TARGETS)
    )


def test_a_package_without_a_name_or_version_is_passed_over() -> None:
    installed = "Status: install ok installed\nArchitecture: amd64\n"
    whole = f"Package: libc6\n{installed}Version: 2.41-12\n"
    status = f"{installed}\n\nPackage: x\n{installed}\n{whole}\n\nStatus: install ok installed\n"
    assert image_content.parse_status(status, "amd64") == {"libc6": "2.41-12"}


def test_before_the_first_update_apt_does_not_know_the_origin() -> None:
    lines = bootstrap.make_apt_lines(apt_host("http://mirror.example/debian/ stable main $(ORIGIN)\n"))
    assert lines == ("deb http://mirror.example/debian/ trixie main",)


def test_a_file_of_mirrors_is_followed() -> None:
    host = apt_host("mirror+file:/etc/apt/mirrors/debian.list/ bookworm main Debian\n")
    host.files["/etc/apt/mirrors/debian.list"] = (
        "# first wins\nhttp://near.example/debian\nhttp://far.example/\n"
    )
    assert bootstrap.make_apt_lines(host) == ("deb http://near.example/debian trixie main",)


def test_a_machine_without_debians_archive_says_so() -> None:
    with pytest.raises(MatrixctlError, match="names no Debian mirror"):
        bootstrap.make_apt_lines(apt_host("https://other.example/apt/ bookworm main Other\n"))


def test_an_https_mirror_brings_the_certificates_with_it() -> None:
    secure = bootstrap.make_mmdebstrap_argv(AMD, ("deb https://mirror.example/debian trixie main",), "t")
    plain = bootstrap.make_mmdebstrap_argv(AMD, ("deb http://mirror.example/debian trixie main",), "t")
    assert "--include=ca-certificates" in secure
    assert "--include=ca-certificates" not in plain


def test_mmdebstraps_last_words_are_shown() -> None:
    host = apt_host(TARGETS)
    failed = Completed(exit_code=25, stdout=b"", stderr=b"E: apt-get update failed\n")
    host.answers["mmdebstrap"] = failed
    with pytest.raises(EngineError, match="could not make a Debian trixie root") as caught:
        bootstrap.make_base_root(host, AMD, io.BytesIO())
    assert caught.value.details == "E: apt-get update failed"


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (
            "E: Failed to fetch http://m.example/haproxy_3%2bdeb13u4_s390x.deb  404  Not Found",
            ": no haproxy_3+deb13u4_s390x.deb",
        ),
        ("E: Failed to fetch http://m.example/Packages.xz  File has unexpected size (7 != 9).", ""),
        ("E: Unable to locate package libssl-dev", ": no libssl-dev"),
        ("E: Package 'libssl-dev' has no installation candidate", ": no libssl-dev"),
        (
            "\n".join(f"E: Unable to locate package {name}" for name in "abacd"),
            ": no a, b, c and 1 more",
        ),
    ],
)
def test_what_a_mirror_does_not_have_is_no_fault_of_the_engine_and_named(said: str, named: str) -> None:
    output = ["Get:1 ...", *said.splitlines(), "E: mmdebstrap failed to run"]
    with pytest.raises(SourceUnreachableError) as caught:
        bootstrap.blame_the_mirror("runtime for s390x", output)
    needs = "the package mirror does not have all that the image runtime for s390x needs"
    assert caught.value.brief == needs + named
    assert caught.value.details == said
    bootstrap.blame_the_mirror(
        "runtime for s390x", ["E: Sub-process /usr/bin/dpkg returned an error code (1)"]
    )


PLACES = b"'https://m.example/debian/dists/trixie/InRelease' m.example_InRelease 0\n"


@pytest.mark.parametrize(
    ("answer", "found", "told"),
    [
        (ran(stdout=PLACES), "https://m.example/debian trixie", []),
        (
            ran(exit_code=100, stdout=b"Reading...\nE: The list of sources could not be read.\n"),
            "",
            ["apt in base:1 does not say where it installs from: E: The list of sources could not be read."],
        ),
        (
            ran(exit_code=126),
            "",
            ["apt in base:1 does not say where it installs from: exit code 126"],
        ),
        (
            ran(exit_code=137, stdout=PLACES, timed_out=True),
            "https://m.example/debian trixie",
            ["apt in base:1 does not say where it installs from: no end within 60 s"],
        ),
    ],
)
def test_an_apt_that_does_not_say_where_it_installs_from_is_told(
    answer: ExecResult, found: str, told: list[str]
) -> None:
    class Answering(FakeEngine):
        def run(self, image: str, argv: tuple[str, ...], *, timeout: float) -> ExecResult:
            assert (image, argv[0], timeout) == ("base:1", "apt-get", 60)
            return answer

    image = workshop.ImageRef(
        name="base", arch="amd64", target="amd64", tag="base:1", id="1", key="k", origin="", digest=None
    )
    said: list[str] = []
    with show_log(said.append):
        assert image_content.read_apt_targets(Answering(), image) == found
    assert said == told


@pytest.mark.parametrize(
    ("environment", "configured", "expected"),
    [
        ({"http_proxy": "http://p:1", "PATH": "/bin"}, "", {"http_proxy": "http://p:1"}),
        ({"HTTPS_PROXY": "http://p:1"}, "http://q:2\n", {"HTTPS_PROXY": "http://p:1"}),
        ({"http_proxy": ""}, "http://q:2\n", {"http_proxy": "http://q:2"}),
        ({}, "DIRECT\n", {}),
        ({}, "", {}),
    ],
)
def test_the_environments_proxies_win_over_apts(
    environment: dict[str, str], configured: str, expected: dict[str, str]
) -> None:
    host = FakeHost(programs={"apt-config"}, answers={"apt-config dump": done(configured)})
    assert bootstrap.find_proxies(host, environment) == expected


def test_the_toolchain_crosses_to_the_other_architecture() -> None:
    on_amd = dockerfiles.render_dockerfiles(AMD, BOTH)["toolchain-arm64.Dockerfile"]
    assert "FROM matrixctl-toolchain\n" in on_amd
    for package in ("g++-aarch64-linux-gnu", "libc6-dev-arm64-cross"):
        assert f"      {package} \\\n" in on_amd
    assert "RUN matrixctl-extract trixie arm64 /target libcrypt-dev libssl-dev \\\n" in on_amd
    on_arm = dockerfiles.render_dockerfiles(ARM, BOTH)
    assert "      gcc-x86-64-linux-gnu \\\n" in on_arm["toolchain-amd64.Dockerfile"]
    assert "toolchain-arm64.Dockerfile" not in on_arm


def test_nothing_of_a_foreign_architecture_is_in_the_hosts_toolchain() -> None:
    text = dockerfiles.render_dockerfiles(AMD, BOTH)["toolchain.Dockerfile"]
    assert not [arch.name for arch in BOTH if f":{arch.name}" in text or f"-{arch.gnu}" in text]


def test_every_image_can_be_made_by_hand() -> None:
    files = dockerfiles.render_dockerfiles(AMD, BOTH)
    assert "FROM scratch\nADD base.tar /\n" in files["base.Dockerfile"]
    assert "runtime-arm64.sh" not in files


@pytest.mark.parametrize(
    "name", [name for name in dockerfiles.render_dockerfiles(AMD, BOTH) if name.endswith(".sh")]
)
def test_the_scripts_are_shell(name: str) -> None:
    script = dockerfiles.render_dockerfiles(AMD, BOTH)[name]
    shell = shutil.which("dash") or "sh"
    checked = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_every_instruction_stands_on_a_line_of_its_own() -> None:
    known = {"FROM", "ADD", "LABEL", "ENV", "RUN", "CMD"}
    for name, text in dockerfiles.render_dockerfiles(AMD, BOTH).items():
        if name.endswith(".Dockerfile"):
            joined = text.replace("\\\n", " ")
            lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
            assert {line.split()[0] for line in lines} <= known, name
            assert any(line.startswith("LABEL matrixctl.image=") for line in lines), name


def test_a_key_follows_all_that_decides_the_content() -> None:
    key = workshop.make_key("runtime", ARM, "FROM scratch", "base")
    assert key == "58277a582e3ec139c649608c5a2f2aedbc0e3981de2741a40c4e8156ee2bd610"
    assert workshop.make_key("runtime", AMD, "FROM scratch", "base") != key
    assert workshop.make_key("runtime", ARM, "FROM scratch\n", "base") != key
    assert workshop.make_key("runtime", ARM, "FROM scratch", "another") != key


def test_dpkgs_list_is_read_without_dpkg() -> None:
    status = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n"
        "Description: C\n x\n\n"
        "Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nVersion: 2.41-12\n\n"
        "Package: tzdata\nArchitecture: all\nVersion: 2026f\nStatus: install ok unpacked\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    assert image_content.parse_status(status, "amd64") == {
        "libc6": "2.41-12",
        "libc6:arm64": "2.41-12",
        "tzdata": "2026f",
    }


def said(shop: workshop.Workshop, image: workshop.ImageRef, script: str) -> str:
    """What a script says in a container as locked up as the ones of a run."""
    done = shop.engine.run(image.id, ("sh", "-euc", script), timeout=60)
    assert done.exit_code == 0, done.stdout
    return done.stdout.decode()


@pytest.mark.containers
def test_the_runtime_runs_as_nobody(shop: workshop.Workshop) -> None:
    base = base_image.ensure_base(shop)
    toolchain = workshop.ensure_toolchain(shop, base)
    runtime = workshop.ensure_root(shop, base, toolchain, "runtime", shop.arch)
    assert said(shop, runtime, _WHO).split() == [shop.arch.machine, *_NOBODY]
    assert image_content.read_packages(shop.engine, runtime)["libssl3t64"].startswith("3.5.")
    again = workshop.ensure_root(shop, base, toolchain, "runtime", shop.arch)
    assert (again.id, again.new) == (runtime.id, False)


@pytest.mark.containers
@pytest.mark.parametrize("arch", BOTH, ids=lambda arch: arch.name)
def test_an_emulated_runtime_is_native_with_one_emulator_and_the_targets_libraries(
    shop: workshop.Workshop, arch: Arch
) -> None:
    base = base_image.ensure_base(shop)
    toolchain = workshop.ensure_toolchain(shop, base)
    image = workshop.ensure_root(shop, base, toolchain, "emulated-runtime", arch)
    assert (image.arch, image.target) == (shop.arch.name, arch.name)
    assert said(shop, image, _WHO).split() == [shop.arch.machine, *_NOBODY]
    script = "cd /usr/bin; ls -d qemu-*; ls -d /target/* /target/usr/*"
    found = set(said(shop, image, script).split())
    assert {f"qemu-{arch.qemu}"} == {one for one in found if one.startswith("qemu-")}
    assert {"/target/lib", "/target/usr", "/target/usr/lib"} <= found
    assert not [
        one for one in found if "lib" not in one and one.startswith("/target/") and one != "/target/usr"
    ]
    command = shlex.join(emulation.make_diagnostics(arch, arch.cpus.default))
    assert f'uname.machine="{arch.machine}"' in said(shop, image, command).splitlines()
    foreign = "" if arch == shop.arch else f":{arch.name}"
    packages = image_content.read_packages(shop.engine, image)
    assert {"qemu-user", f"libssl3t64{foreign}", f"libpcre2-8-0{foreign}"} <= set(packages)
    with pytest.raises(EmulationError, match=r"on the CPU 'nonsense': .*unable to find CPU model 'nonsense'"):
        emulation.prove_cpu(shop.engine, image.tag, arch, "nonsense")
    again = workshop.ensure_root(shop, base, toolchain, "emulated-runtime", arch)
    assert (again.id, again.new) == (image.id, False)


@pytest.mark.containers
def test_a_foreign_toolchain_has_both_development_packages(shop: workshop.Workshop) -> None:
    toolchain = workshop.ensure_toolchain(shop, base_image.ensure_base(shop))
    other = next(arch for arch in BOTH if arch != shop.arch)
    cross = workshop.ensure_cross(shop, toolchain, other)
    found = image_content.read_packages(shop.engine, cross)
    assert found[f"libssl-dev:{other.name}"] == found[f"libssl3t64:{other.name}"]
    script = f"{other.gnu}-g++ -dumpmachine; ccache --version; uname -m"
    assert {other.gnu, shop.arch.machine} <= set(said(shop, cross, script).split())
    assert (cross.arch, cross.target) == (shop.arch.name, other.name)
    there = workshop.find_existing(shop.engine, shop.arch, BOTH)
    assert there["toolchain", other.name].id == cross.id
    assert there["toolchain", shop.arch.name].id == toolchain.id


@pytest.mark.containers
def test_a_target_whose_packages_cannot_be_had_harms_no_other(shop: workshop.Workshop) -> None:
    toolchain = workshop.ensure_toolchain(shop, base_image.ensure_base(shop))
    nowhere = AMD.model_copy(update={"name": "nowhere", "gnu": "nowhere-linux-gnu"})
    with pytest.raises(SourceUnreachableError, match="does not have all that the image matrixctl/toolchain"):
        workshop.ensure_cross(shop, toolchain, nowhere)
    assert workshop.ensure_toolchain(shop, base_image.ensure_base(shop)).id == toolchain.id


@pytest.mark.containers
@pytest.mark.soak
def test_an_emulated_toolchain_has_the_same_tools(shop: workshop.Workshop) -> None:
    """Extracted, not installed: what a maintainer script would have linked has to be linked by us."""
    base = base_image.ensure_base(shop)
    other = next(arch for arch in BOTH if arch != shop.arch)
    toolchain = workshop.ensure_toolchain(shop, base)
    image = workshop.ensure_root(shop, base, toolchain, "emulated-toolchain", other)
    tools = ("aclocal", "autoconf", "automake", "c++", "cc", "cmake", "libtoolize", "make", "ninja", "perl")
    script = "; ".join(f"{tool} --version > /dev/null && echo {tool}" for tool in tools)
    assert said(shop, image, script).split() == list(tools)


@pytest.mark.containers
def test_the_client_speaks_http3(shop: workshop.Workshop) -> None:
    client = workshop.ensure_client(shop, base_image.ensure_base(shop))
    assert "HTTP3" in said(shop, client, "curl --version; python3 --version")


@pytest.mark.containers
def test_a_failed_build_shows_its_last_lines_and_leaves_no_container(
    shop: workshop.Workshop, engine: DockerEngine
) -> None:
    base = base_image.ensure_base(shop)
    before = _containers(engine)
    with pytest.raises(EngineError) as caught:
        image_build.build(
            shop.engine,
            tag="matrixctl/broken:test",
            dockerfile=f"FROM {base.tag}\nRUN echo spoken-before-the-end && exit 7\n",
            arch=shop.arch,
            labels={},
            proxies={},
            limit=300,
        )
    assert "returned a non-zero code: 7" in caught.value.brief
    assert "spoken-before-the-end" in caught.value.details
    assert _containers(engine) == before


@pytest.mark.containers
def test_a_failed_script_shows_its_last_lines_and_leaves_no_container(
    shop: workshop.Workshop, engine: DockerEngine
) -> None:
    base = base_image.ensure_base(shop)
    before = _containers(engine)
    done = shop.engine.make_file(base.id, "echo why; exit 3", "/x", io.BytesIO(), environment={}, timeout=300)
    with pytest.raises(EngineError, match="exit code 3") as caught:
        image_build.refuse_failure(done, "x", 300)
    assert caught.value.details == "why"
    assert _containers(engine) == before


def _containers(engine: DockerEngine) -> set[str]:
    """This process's alone: others may use the same daemon."""
    return {one.name for one in docker_leftovers.find(engine.client.api, owner.make_own_label())}


class _Daemon(http.server.BaseHTTPRequestHandler):
    """The three answers of a daemon from which the base image's origin is learnt."""

    known = False
    mirrors: ClassVar[list[str]] = []
    delay = 0.0

    def do_GET(self) -> None:
        if "/distribution/" in self.path:
            time.sleep(self.delay)
            self._answer(200 if self.known else 500, {"Descriptor": {"digest": "sha256:ab"}})
        elif self.path.endswith("/info"):
            self._answer(200, {"RegistryConfig": {"Mirrors": self.mirrors}})
        else:
            self._answer(200, {"RepoDigests": ["debian@sha256:cd"], "Id": "sha256:ef"})

    def do_POST(self) -> None:
        self._answer(200, {"status": "Pulling from library/debian"})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        with contextlib.suppress(OSError):  # who asked has gone
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("known", "mirrors", "delay", "expected"),
    [
        (True, [], 0, "sha256:ab"),
        (False, [], 0, None),
        (False, ["http://mirror.example"], 0, "sha256:cd"),
        (True, [], 1.5, None),
    ],
)
def test_whether_a_registry_answers_is_known_in_time(
    known: bool, mirrors: list[str], delay: float, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_images, "REGISTRY_DEADLINE", 0.5)
    handler = type("_Scripted", (_Daemon,), {"known": known, "mirrors": mirrors, "delay": delay})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{server.server_port}", version="1.41")
        try:
            assert DockerEngine(client).find_digest("debian:trixie-slim") == expected
        finally:
            client.close()
            server.shutdown()
