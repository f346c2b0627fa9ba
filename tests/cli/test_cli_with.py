"""``--with`` and ``init``, as a person meets them: any tree, from one flag, without a matrix of one's own."""

import json
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_samples import RUN, a_run, matrixctl
from git_samples import Repository

from orchestrator import resources
from orchestrator.app import running
from orchestrator.cli import run
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.record.runs import begin as begin_run
from orchestrator.record.settings import Settings

ONE = ("--filter", "tls=openssl-distro", "--filter", "arch=amd64", "--filter", "client=curl")
FILES = {"include/haproxy/version.h": "#define\n", "VERSION": "3.5-dev5\n"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = Repository(tmp_path / "haproxy")
    for name, text in FILES.items():
        (made.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (made.folder / name).write_text(text)
    made.commit()
    return made.folder


@pytest.fixture
def openssl(tmp_path: Path) -> Path:
    folder = tmp_path / "openssl"
    folder.mkdir()
    (folder / "VERSION.dat").write_text("MAJOR=3\nMINOR=6\nPATCH=0\nPRE_RELEASE_TAG=dev\nBUILD_METADATA=\n")
    return folder


def printed(*args: str, cwd: Path) -> str:
    done = matrixctl(*args, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def axes(*args: str, cwd: Path) -> list[dict[str, Any]]:
    found = json.loads(printed("cells", "--format", "json", *args, cwd=cwd))
    return [cell["axes"] for cell in found]


def test_the_tree_of_this_folder_needs_no_yaml(tree: Path) -> None:
    ids = printed("cells", "--with", "haproxy=path:.", *ONE, "--format", "ids", cwd=tree).splitlines()
    assert ids[0] == "amd64--haproxy-path--openssl-distro--TLS_AES_128_GCM_SHA256"
    assert {cell.split("--")[1] for cell in ids} == {"haproxy-path"}
    found = axes("--with", "haproxy=path:.", *ONE, cwd=tree)[0]["haproxy"]
    assert (found["version"], found["where"]) == ("3.5-dev5", str(tree))


def test_several_add_up(tree: Path, openssl: Path) -> None:
    given = (
        "--with",
        "haproxy=path:.",
        "--with",
        f"tls=openssl:path:{openssl}",
        "--with",
        "tls=openssl-distro",
    )
    found = axes(*given, "--with", "arch=arm64", cwd=tree)
    assert {(one["haproxy"]["name"], one["tls"]["name"], one["arch"]["name"]) for one in found} == {
        ("haproxy-path", "openssl-path", "arm64"),
        ("haproxy-path", "openssl-distro", "arm64"),
    }
    assert {one["tls"]["version"] for one in found} == {"3.6.0-dev", "distro"}


def test_what_the_file_lacks_is_left_out_and_said_once(tree: Path) -> None:
    done = matrixctl("cells", "--with", "haproxy=path:.", *ONE, cwd=tree)
    said = [line for line in done.stderr.splitlines() if "--with" in line]
    assert len(said) == 1
    assert "--with replaces haproxy; left out, since only replaced values have it: " in said[0]
    assert "fits no cell" not in done.stderr


def test_the_ids_are_the_same_in_any_folder_and_of_any_version(tree: Path, tmp_path: Path) -> None:
    before = printed("cells", "--with", "haproxy=path:.", *ONE, "--format", "ids", cwd=tree)
    (tree / "VERSION").write_text("3.5-dev6\n")
    tree.rename(tmp_path / "elsewhere")
    after = printed("cells", "--with", "haproxy=path:elsewhere", *ONE, "--format", "ids", cwd=tmp_path)
    assert before == after


def test_a_range_is_of_the_version_that_was_read(tree: Path) -> None:
    assert axes("--with", "haproxy=path:.", "--filter", "haproxy>=3.5-dev5", *ONE, cwd=tree)
    done = matrixctl("cells", "--with", "haproxy=path:.", "--filter", "haproxy<3.0", *ONE, cwd=tree)
    assert done.returncode == 3


def test_capabilities_are_those_of_the_tree(tree: Path) -> None:
    done = json.loads(printed("capabilities", "--with", "haproxy=path:.", "--format", "json", *ONE, cwd=tree))
    assert [(pair["haproxy"], pair["api"]) for pair in done["pairs"]] == [("haproxy-path", "native")]
    assert "haproxy-path" in printed("capabilities", "--with", "haproxy=path:.", cwd=tree)


def test_plan_has_the_tree_as_a_source(tree: Path) -> None:
    found = json.loads(printed("plan", "--with", "haproxy=path:.", "--format", "json", *ONE, cwd=tree))
    sources = {one["name"]: one["state"] for one in found["actions"] if one["kind"] == "source"}
    assert sources == {f"haproxy-3.5-dev5 path: {tree}": "todo"}
    builds = [one["name"] for one in found["actions"] if one["kind"] == "haproxy"]
    assert builds == ["haproxy-path--openssl-distro--amd64"]


def test_render_takes_the_tree_along(tree: Path, tmp_path: Path) -> None:
    printed("render", "--with", "haproxy=path:.", *ONE, "--out", str(tmp_path / "made"), cwd=tree)
    sources = tmp_path / "made" / "haproxy-path--openssl-distro--amd64" / "sources"
    assert [one.name for one in sources.iterdir()] == ["haproxy-tree.tar"]


@pytest.mark.parametrize("git", [True, False])
def test_what_a_run_writes_into_the_tree_is_none_of_its_files(tree: Path, git: bool) -> None:
    """The reports are beside the tree's files by default, and a store may be: both grow while it is read."""
    if not git:
        shutil.rmtree(tree / ".git")

    def digest() -> str:
        done = matrixctl(
            "plan", "--with", "haproxy=path:.", "--store", "store", "--format", "json", *ONE, cwd=tree
        )
        (found,) = [one for one in json.loads(done.stdout)["actions"] if one["kind"] == "source"]
        assert found["problem"] is None
        return str(found["digest"])

    before = digest()
    begin_run(tree / "reports", datetime.now(UTC))
    assert digest() == before


def test_a_branch_is_asked_for_its_version(tree: Path, tmp_path: Path) -> None:
    given = ("--with", "haproxy=git:haproxy#master", "--store", "store")
    found = axes(*given, *ONE, cwd=tmp_path)[0]["haproxy"]
    assert (found["version"], found["where"], found["ref"]) == ("3.5-dev5", str(tree), "master")
    assert list((tmp_path / "store" / "git").iterdir())


def test_a_version_may_be_left_out_in_a_file_as_well(tree: Path, tmp_path: Path) -> None:
    text = "version: 1\naxes: {arch: [amd64], haproxy: [{name: mine, path: haproxy}], tls: [openssl-distro]"
    (tmp_path / "matrix.yaml").write_text(text + ", cipher: [default]}\n")
    assert axes(cwd=tmp_path)[0]["haproxy"]["version"] == "3.5-dev5"
    (tree / "VERSION").write_text("nonsense\n")
    done = matrixctl("cells", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine: the version of path: haproxy is not known" in done.stderr
    assert "`version: ...` in the matrix" in done.stderr


def test_a_value_of_ones_own_matrix_by_its_name(tree: Path) -> None:
    text = (
        "version: 1\naxes: {arch: [amd64], haproxy: ['3.0.11', {name: 'mine', version: '3.0.11',"
        " make_flags: [DEBUG=-g]}], tls: [openssl-distro], cipher: [default]}\n"
    )
    (tree / "matrix.yaml").write_text(text)
    (found,) = axes("--with", "haproxy=mine", cwd=tree)
    assert found["haproxy"]["make_flags"] == ["DEBUG=-g"]


@pytest.mark.parametrize("command", ["cells", "capabilities", "plan", "run", "render"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("haproxy=", "it names nothing"),
        ("haproxy=path:nowhere", "there is no folder"),
        ("haproxy=path:../openssl", "openssl is OpenSSL's (3.6.0-dev), not HAProxy's"),
        ("tls=openssl:path:.", "is HAProxy's (3.5-dev5), not OpenSSL's"),
        ("haproxy={path: ., makeflags: []}", "makeflags: unknown key; did you mean 'make_flags'?"),
        ("haproxy=git:../none#master", "the version of git: "),
    ],
)
def test_what_is_wrong_is_a_sentence_in_every_command(
    tree: Path, openssl: Path, command: str, text: str, told: str
) -> None:
    assert openssl.is_dir()
    more = ("--out", "made") if command == "render" else ()
    done = matrixctl(command, "--with", text, *more, cwd=tree)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


# run


def begin(monkeypatch: pytest.MonkeyPatch, *args: str, cwd: Path) -> tuple[Settings, tuple[Any, ...]]:
    """What a run would be begun with."""
    got: list[Any] = []

    def run_matrix(*given: Any, **_: Any) -> Any:
        got.extend(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(running, "run_matrix", run_matrix)
    done = matrixctl("run", *args, cwd=cwd)
    assert got, done.stderr
    return got[4].settings, tuple(got[1])


def test_a_run_writes_down_what_it_was_given_so_that_it_can_be_done_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "haproxy={path: ., version: 3.5-dev5, name: x, make_flags: [DEBUG=-g]}"
    settings, cells = begin(monkeypatch, "--with", long, "--with", "tls=openssl-distro", cwd=tree)
    assert settings.replacements == (
        f"haproxy={{path: {tree}, version: 3.5-dev5, name: x, make_flags: [DEBUG=-g]}}",
        "tls=openssl-distro",
    )
    command = shlex.split(shlex.join([*settings.again, "--cell", cells[0].id]))
    again, cell = begin(monkeypatch, *command, cwd=tmp_path)
    assert cell == cells[:1]
    assert again.replacements == settings.replacements


def test_a_run_that_is_resumed_takes_what_it_was_begun_with(tmp_path: Path) -> None:
    a_run(tmp_path / "reports")
    done = matrixctl("run", "--resume", RUN, "--with", "haproxy=3.0.11", cwd=tmp_path)
    assert done.returncode == 2
    assert "--resume goes with no --with" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), True),
        (("--with", "haproxy=path:."), False),
        (("--quiet",), False),
        (("--matrix", str(resources.find_root() / "matrix.yaml")), False),
    ],
)
def test_in_a_tree_without_a_matrix_the_flag_is_suggested(
    tree: Path, args: tuple[str, ...], said: bool
) -> None:
    done = matrixctl("run", *args, cwd=tree)
    sentence = "This is a tree of HAProxy 3.5-dev5, which the default matrix does not test"
    assert (sentence in done.stderr) is said
    assert ("--with haproxy=path:. does" in done.stderr) is said


def test_elsewhere_nothing_is_suggested(tmp_path: Path, tree: Path, openssl: Path) -> None:
    assert "This is a tree" not in matrixctl("run", cwd=tmp_path).stderr
    assert "--with tls=openssl:path:. does" in matrixctl("run", cwd=openssl).stderr
    printed("init", cwd=tree)
    assert "This is a tree" not in matrixctl("run", cwd=tree).stderr


# init


def test_init_knows_the_tree_that_it_is_in(tree: Path, openssl: Path) -> None:
    assert "the tree in this folder, HAProxy 3.5-dev5" in printed("init", cwd=tree)
    assert {one["haproxy"]["where"] for one in axes(cwd=tree)} == {"."}
    assert "OpenSSL 3.6.0-dev" in printed("init", cwd=openssl)
    assert {one["tls"]["name"] for one in axes(cwd=openssl)} == {"openssl-path", "openssl-3.5.7"}


@pytest.mark.parametrize("kind", ["haproxy", "tls", "distribution"])
@pytest.mark.parametrize("where", ["haproxy", "openssl", "."])
def test_what_init_writes_loads_and_plans(
    tree: Path, openssl: Path, tmp_path: Path, kind: str, where: str
) -> None:
    assert {tree.name, openssl.name} == {"haproxy", "openssl"}
    folder = tmp_path / where
    printed("init", kind, cwd=folder)
    text = (folder / "matrix.yaml").read_text()
    assert text.count("\n#") + text.count(" #") > 3
    assert max(map(len, text.splitlines())) <= 120
    found = json.loads(printed("plan", "--format", "json", "--store", "store", cwd=folder))
    assert found["cells"] > 10
    assert [one["problem"] for one in found["actions"] if one["problem"]] == []
    quick = axes("--profile", "quick", cwd=folder)
    assert 0 < len(quick) < found["cells"]


def uncommented(text: str) -> str:
    """The file as it is with what it offers in comments."""
    lines = []
    for line in text.splitlines():
        bare = line.lstrip().removeprefix("# ")
        offered = line.lstrip().startswith("# ") and bare.lstrip().startswith(
            ("- {", "- TLS", "include:", "- arch:", "haproxy:", "tls:", "cipher:")
        )
        lines.append(line.replace("# ", "", 1) if offered else line)
    return "\n".join(lines).replace("configure_flags: [...]", "configure_flags: [no-asm]")


@pytest.mark.parametrize("kind", ["haproxy", "tls", "distribution"])
def test_what_init_offers_in_comments_is_right_as_well(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    printed("init", kind, cwd=folder)
    text = (folder / "matrix.yaml").read_text()
    more = uncommented(text)
    assert more != text
    (folder / "matrix.yaml").write_text(more)
    before = len(expand(load(folder / "matrix.yaml")))
    (folder / "matrix.yaml").write_text(text)
    assert before > len(expand(load(folder / "matrix.yaml")))


def test_init_leaves_what_is_there(tree: Path) -> None:
    (tree / "matrix.yaml").write_text("mine")
    done = matrixctl("init", cwd=tree)
    assert (done.returncode, done.stdout) == (2, "")
    assert "matrix.yaml is here already, and stays as it is" in done.stderr
    assert (tree / "matrix.yaml").read_text() == "mine"
    (tree / "matrix.yaml").unlink()
    (tree / "matrix.yaml").symlink_to("nowhere")
    assert matrixctl("init", cwd=tree).returncode == 2
    assert not (tree / "nowhere").exists()


def test_init_knows_three_kinds(tmp_path: Path) -> None:
    done = matrixctl("init", "nginx", cwd=tmp_path)
    assert done.returncode == 2
    assert "'haproxy', 'tls', 'distribution'" in done.stderr
