import hashlib
import io
import json
import os
import re
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from cli_samples import matrixctl
from cryptography import x509
from cryptography.x509 import verification
from git_samples import Repository

from orchestrator.reproduce.folder import describe_needs

ROOT = Path(__file__).parents[2]
BUILD = "haproxy-3.0.11--openssl-3.5.7--arm64"
DISTRO = "haproxy-3.0.11--openssl-distro--amd64"


def render(tmp_path: Path, *args: str, out: str = "made") -> Path:
    done = matrixctl("render", "--out", out, *args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / out


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_one_cell_comes_with_all_that_it_needs(tmp_path: Path) -> None:
    out = render(tmp_path, "--cell", "arm64--haproxy-3.0.11--openssl-3.5.7--default")
    assert {
        "README.md",
        f"{BUILD}/images/toolchain.Dockerfile",
        f"{BUILD}/images/emulated-runtime-arm64.sh",
        f"{BUILD}/README.md",
        f"{BUILD}/reproduce.sh",
        f"{BUILD}/build-tls.sh",
        f"{BUILD}/build-haproxy.sh",
        f"{BUILD}/work/certificates.sh",
        f"{BUILD}/work/verdict.py",
        f"{BUILD}/work/driver.py",
        f"{BUILD}/work/supervise.sh",
        f"{BUILD}/work/cells/000/haproxy.cfg",
        f"{BUILD}/work/cells/000/h3.curlrc",
        f"{BUILD}/work/cells/000/control.curlrc",
    } <= tree(out)
    assert {path.name for path in out.iterdir() if path.is_dir()} == {BUILD}
    assert not list(out.rglob("*.pem"))
    session = json.loads((out / BUILD / "work/session.json").read_text())
    assert [cell["id"] for cell in session["cells"]] == ["arm64--haproxy-3.0.11--openssl-3.5.7--default"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each build of the default matrix."""
    return render(tmp_path_factory.mktemp("everything"))


def test_scripts_are_shell(everything: Path) -> None:
    out = everything
    check = 'for file; do sh -n "$file" || exit 1; done'
    subprocess.run(["sh", "-c", check, "sh", *out.rglob("*.sh")], check=True)
    assert os.access(out / BUILD / "reproduce.sh", os.X_OK)


def test_a_folder_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    one = ("--cell", "arm64--haproxy-3.0.11--openssl-3.5.7--default")
    first, second = render(tmp_path, *one), render(tmp_path, *one, out="again")
    assert {name: (first / name).read_bytes() for name in tree(first)} == {
        name: (second / name).read_bytes() for name in tree(second)
    }


def test_a_folder_has_the_images_of_its_own_cells_alone(everything: Path) -> None:
    for folder in (path for path in everything.iterdir() if path.is_dir()):
        text = (folder / "reproduce.sh").read_text()
        images = {path.name for path in (folder / "images").iterdir()}
        assert "base.Dockerfile" in images
        assert len(images) <= 7
        assert {name for name in images if name.removesuffix(".Dockerfile") not in text} <= {"aioquic.lock"}


def test_the_certificates_are_those_that_a_strict_client_verifies(everything: Path, tmp_path: Path) -> None:
    made = everything / BUILD / "work/certificates.sh"
    subprocess.run(["sh", made, "h3.matrixctl.test"], cwd=tmp_path, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem", "server.pem"}
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    assert (ca.not_valid_after_utc - ca.not_valid_before_utc).days > 3000
    assert stat.S_IMODE((tmp_path / "server.pem").stat().st_mode) == 0o600
    server = x509.load_pem_x509_certificates((tmp_path / "server.pem").read_bytes())[0]
    authority = verification.Store([ca])
    builder = verification.PolicyBuilder().store(authority)
    builder.build_server_verifier(x509.DNSName("h3.matrixctl.test")).verify(server, [])


def test_unsupported_cells_are_there_to_be_proved(tmp_path: Path) -> None:
    some = ("--filter", "client=curl", "--filter", "tls=openssl-3.5.7")
    readme = (render(tmp_path, *some) / BUILD / "README.md").read_text()
    (row,) = [line for line in readme.splitlines() if "CCM" in line and line.startswith("| `work")]
    assert "declared unsupported, client-cannot-offer" in row


def test_nothing_of_a_person_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    done = matrixctl("render", "--out", "mine", "--profile", "quick", cwd=tmp_path)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert tree(mine) == {"README.md"}
    assert (mine / "README.md").read_text() == "mine"


def test_rendering_again_replaces_what_render_wrote_and_that_alone(tmp_path: Path) -> None:
    out = render(tmp_path, "--filter", "haproxy=3.0.11")
    (out / BUILD / "out").mkdir()
    (out / BUILD / "out" / "kept").write_text("built before")
    (out / "notes").write_text("mine")
    render(tmp_path, "--filter", "tls=openssl-distro")
    assert not (out / BUILD / "reproduce.sh").exists()
    assert (out / BUILD / "out" / "kept").exists()
    assert (out / "notes").read_text() == "mine"
    assert (out / DISTRO / "reproduce.sh").exists()


def test_a_file_in_the_way_is_named_and_stays(tmp_path: Path) -> None:
    out = render(tmp_path, "--filter", "tls=openssl-distro")
    (out / BUILD).mkdir()
    (out / BUILD / "README.md").write_text("mine")
    done = matrixctl("render", "--out", "made", "--filter", "tls=openssl-3.5.7", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{BUILD}/README.md" in done.stderr
    assert (out / BUILD / "README.md").read_text() == "mine"


def test_a_build_without_its_source_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "version: 1\ncomponents: {openssl: {'3.5.7': {file: o.tar.gz, sha256: unknown}}}\n"
    )
    some = ("--filter", "tls=openssl*", "--filter", "haproxy=3.0.11")
    done = matrixctl("render", "--out", "made", "--sources", "own.yaml", *some, cwd=tmp_path)
    assert done.returncode == 0
    assert f"{BUILD} is left out" in done.stderr
    assert not (tmp_path / "made" / BUILD).exists()
    only = ("--filter", "tls=openssl-3.5.7", "--sources", "own.yaml", "--out", "none")
    assert matrixctl("render", *only, cwd=tmp_path).returncode == 4


def script(out: Path, bin_folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script with programs of ours in front: a `docker` that has every image and says what it is told."""
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["sh", str(out / DISTRO / "reproduce.sh"), *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/calls\n'
        "case $1 in version) echo amd64 ;; info) echo 2 ;;\n"
        f'cp) if [ "$2" = - ]; then cat > {tmp_path}/put-$$.tar; else echo made; fi ;;\n'
        f"pull) exit 1 ;; image) [ ! -e {tmp_path}/no-image ] || [ $3 = matrixctl-client ] ;;\n"
        """run) echo 'uname.machine="x86_64"' ;; esac\n"""
    )
    (folder / "apt-get").write_text("#!/bin/sh\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    return render(tmp_path, "--filter", "tls=openssl-distro", "--filter", "arch=amd64")


def test_a_client_of_ones_own_is_not_taken_along_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "version: 1\naxes:\n  arch: [amd64]\n  haproxy: [distro]\n  tls: [openssl-distro]\n"
        "  cipher: [default]\n"
        "  client: [{name: mine, family: curl, path: curl}]\n"
    )
    done = matrixctl("render", "--out", "made", "--matrix", "m.yaml", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "made").exists()) == (4, False), done.stderr
    assert "the client mine is one of your own, which is not taken along (path curl)" in done.stderr


def test_the_script_takes_no_tarball_with_other_bytes(tmp_path: Path, rendered: Path, programs: Path) -> None:
    (tmp_path / "haproxy-3.0.11.tar.gz").write_text("other")
    done = script(rendered, programs, str(tmp_path))
    assert done.returncode == 125
    assert "sources/haproxy-3.0.11.tar.gz has other bytes than declared" in done.stderr
    assert "create" not in (tmp_path / "calls").read_text()


def test_the_script_says_how_to_bring_a_tarball(rendered: Path, programs: Path) -> None:
    done = script(rendered, programs)
    assert done.returncode == 125
    assert "name the folder that holds it, sh reproduce.sh FOLDER" in done.stderr


def test_without_a_registry_the_base_image_is_made_of_the_machines_own_archive(
    tmp_path: Path, rendered: Path, programs: Path
) -> None:
    (tmp_path / "no-image").touch()
    codename = "$(. /etc/os-release && echo $VERSION_CODENAME)"
    archives = (
        f"http://deb.test/debian {codename} main",
        f"http://deb.test/debian {codename} contrib",
        f"http://sec.test/debian-security {codename}-security main",
        "http://other.test/debian other main",
    )
    (programs / "apt-get").write_text("#!/bin/sh\n" + "".join(f'echo "{one}"\n' for one in archives))
    (programs / "curl").write_text("#!/bin/sh\nexit 7\n")
    (programs / "curl").chmod(0o755)
    (programs / "mmdebstrap").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/mmdebstrap\nfor last; do :; done\ncp "$last" {tmp_path}/list\n'
    )
    (programs / "mmdebstrap").chmod(0o755)
    done = script(rendered, programs)
    assert done.returncode == 125
    assert "no registry answers: making the base image from this machine's own Debian archive" in done.stderr
    assert (tmp_path / "mmdebstrap").read_text().startswith("--variant=minbase --architectures=amd64 ")
    assert (tmp_path / "list").read_text() == (
        "deb http://deb.test/debian trixie main\ndeb http://sec.test/debian-security trixie-security main\n"
    )
    calls = (tmp_path / "calls").read_text()
    assert calls.index("pull debian:trixie-slim") < calls.index("-t matrixctl-base -f ")
    assert calls.index("-t matrixctl-base -f ") < calls.index("-t matrixctl-toolchain -f ")


def unpacked(put: Path) -> bytes:
    """The source in what was put into a container; empty if there is none."""
    if not tarfile.is_tarfile(put):
        return b""
    with tarfile.open(put) as outer:
        found = (outer.extractfile(name) for name in outer.getnames() if name == "src/haproxy-3.0.11.tar.gz")
        return next((file.read() for file in found if file), b"")


def test_another_tree_takes_the_place_of_the_source(tmp_path: Path, rendered: Path, programs: Path) -> None:
    mine = tmp_path / "mine"
    (mine / ".git").mkdir(parents=True)
    (mine / ".git" / "HEAD").write_text("x")
    (mine / "Makefile").write_text("all:\n")
    (mine / "link").symlink_to("./Makefile")
    done = script(rendered, programs, HAPROXY_TREE=str(mine))
    assert "exec -i" in (tmp_path / "calls").read_text(), done.stderr
    assert "verdict.py --other" in (tmp_path / "calls").read_text()
    assert done.returncode == 0, done.stderr
    (packed,) = (put for put in map(unpacked, tmp_path.glob("put-*.tar")) if put)
    with tarfile.open(fileobj=io.BytesIO(packed)) as inner:
        assert sorted(inner.getnames()) == ["tree", "tree/Makefile", "tree/link"]
        assert inner.getmember("tree/link").linkname == "./Makefile"
    assert not list((rendered / DISTRO / "out").glob("*.tar"))
    gone = script(rendered, programs, HAPROXY_TREE=str(tmp_path / "gone"))
    assert (gone.returncode, "gone is no folder" in gone.stderr) == (125, True)


def test_what_a_script_needs_is_said_once_and_the_page_says_the_same(tmp_path: Path) -> None:
    some = ("--filter", "tls=openssl-distro", "--filter", "arch=amd64", "--filter", "client=curl")
    words, folder = describe_needs([]), render(tmp_path, *some) / DISTRO
    script = (folder / "reproduce.sh").read_text()
    assert f"Needs {words}, and a Docker engine on amd64" in (folder / "README.md").read_text()
    assert f"# whether each cell is as it should be. Needs {words}.\n" in script
    page = (ROOT / "docs" / "reproduce.md").read_text().replace("`", "")
    assert f"use the folder: {words} are enough" in page


def test_the_script_refuses_an_engine_of_another_architecture(
    tmp_path: Path, rendered: Path, programs: Path
) -> None:
    text = (programs / "docker").read_text().replace("echo amd64", "echo s390x")
    (programs / "docker").write_text(text)
    done = script(rendered, programs)
    assert done.returncode == 125
    assert "this one is on s390x" in done.stderr
    assert "rm -f" in (tmp_path / "calls").read_text()


def test_a_patch_travels_with_the_script_that_applies_it(tmp_path: Path) -> None:
    text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    (tmp_path / "fix.diff").write_text(text)
    one = ("--cell", "arm64--haproxy-3.0.11--openssl-3.5.7--default")
    plain, out = render(tmp_path, *one), render(tmp_path, *one, "--patch", "openssl=fix.diff", out="patched")
    assert (out / BUILD / "patches/fix.diff").read_text() == text
    digest = hashlib.sha256(text.encode()).hexdigest()
    script = (out / BUILD / "reproduce.sh").read_text()
    assert f'verify "$here"/patches/fix.diff {digest} ||\n  die ' in script
    assert "-i /work/patches/fix.diff" in (out / BUILD / "build-tls.sh").read_text()
    assert "fix.diff" not in (out / BUILD / "build-haproxy.sh").read_text()
    assert digest in (out / BUILD / "README.md").read_text()
    assert len(artifacts(out)) == 2
    assert not artifacts(out) & artifacts(plain)


def artifacts(folder: Path, build: str = BUILD) -> set[str]:
    script = (folder / build / "reproduce.sh").read_text()
    return set(re.findall(r"(?:tls|haproxy)-[0-9a-f]{12}\.tar", script))


def test_another_toolchain_makes_other_artifacts(tmp_path: Path) -> None:
    """The packages of a build are in its image, not in its script: what was made without them is stale."""
    found = []
    for number, packages in enumerate(("[]", "[liblua5.4-dev]", "[zlib1g-dev]")):
        haproxy = f"[{{name: 3.0.11, version: 3.0.11, build_packages: {packages}}}]"
        axes = f"{{arch: [amd64], haproxy: {haproxy}, tls: [openssl-distro], cipher: [default]}}"
        (tmp_path / "matrix.yaml").write_text(f"{{version: 1, axes: {axes}}}\n")
        out = render(tmp_path, "--matrix", "matrix.yaml", out=f"made-{number}")
        found.append(artifacts(out, DISTRO))
    assert {len(names) for names in found} == {1}
    assert len(set().union(*found)) == 3


def test_a_variable_goes_to_the_servers_programs_of_the_script_as_well(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(
        """\
version: 1
axes:
  arch: [arm64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro]
  cipher: [default]
  execution: [{name: masked, environment: {OPENSSL_armcap: "~0x4"}}]
"""
    )
    folder = render(tmp_path) / "haproxy-3.0.11--openssl-distro--arm64--masked"
    before = "/usr/bin/env 'OPENSSL_armcap=~0x4' /usr/bin/qemu-aarch64 -cpu max -L /target"
    script = (folder / "reproduce.sh").read_text()
    assert f"/work/supervise.sh /work /target/lib/ld-linux-aarch64.so.1 {before}\n" in script
    assert f"{before} /target/lib/ld-linux-aarch64.so.1 --list-diagnostics" in script
    assert f"docker exec SERVER {before} /work/haproxy -vv" in (folder / "README.md").read_text()


def test_a_patch_for_what_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "fix.diff").write_text("--- a\n+++ b\n")
    for command in (("cells",), ("plan",), ("render", "--out", "x"), ("run",)):
        done = matrixctl(*command, "--patch", "opensll=fix.diff", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "no selected cell has the component 'opensll'; did you mean 'openssl'?" in done.stderr


def test_what_moves_is_taken_along(tmp_path: Path) -> None:
    upstream = Repository(tmp_path / "upstream")
    commit = upstream.commit(VERSION="3.0.11\n")
    (tmp_path / "matrix.yaml").write_text(
        """\
version: 1
axes:
  arch: [amd64]
  haproxy:
    - {name: branch, version: "3.0.11", git: upstream master}
    - {name: gone, version: "3.0.11", path: nowhere}
  tls: [openssl-distro]
  cipher: [default]
"""
    )
    done = matrixctl("render", "--out", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nowhere is no folder" in done.stderr
    folder = tmp_path / "made" / "haproxy-branch--openssl-distro--amd64"
    (source,) = (folder / "sources").iterdir()
    assert source.name == f"haproxy-{commit[:12]}.tar"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert f"source_file {source.name} {digest}\n" in (folder / "reproduce.sh").read_text()
    again = matrixctl("render", "--out", "made", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_packages_of_a_value_are_in_images_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(
        "version: 1\naxes: {arch: [amd64, arm64], tls: [openssl-distro], cipher: [default], haproxy:"
        ' ["3.0.11", {name: lua, version: 3.0.11, build_packages: [liblua5.4-dev]}]}\n'
    )
    out = render(tmp_path)
    for arch, runtime in (("amd64", "runtime"), ("arm64", "emulated-runtime")):
        text = (out / f"haproxy-lua--openssl-distro--{arch}" / "reproduce.sh").read_text()
        for image in ("toolchain", runtime):
            (name,) = set(re.findall(rf"matrixctl-({image}-{arch}-[0-9a-f]{{8}})", text))
            folder = out / f"haproxy-lua--openssl-distro--{arch}"
            assert (folder / "images" / f"{name}.Dockerfile").exists()
            assert f" {name}.Dockerfile" in text
        assert "liblua5.4-dev" in (folder / "images" / f"{name}.sh").read_text()
        plain = (out / f"haproxy-3.0.11--openssl-distro--{arch}" / "reproduce.sh").read_text()
        assert not re.search(r"matrixctl-(toolchain|runtime)-\w+-[0-9a-f]{8}", plain)
