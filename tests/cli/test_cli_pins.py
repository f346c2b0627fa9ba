"""``github matrix --pins``, and the commands that take the pins: a ref that moves on is not followed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_samples import matrixctl
from git_samples import Repository

from orchestrator.app import running
from orchestrator.cli import run
from orchestrator.matrix.pins import Pins, read_pins
from orchestrator.record.settings import Settings

YAML = """\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: [{name: master, git: upstream master}, {name: tree, path: tree, version: "3.5"}]
  tls: [openssl-distro]
  cipher: [default]
  client: [curl]
"""
MASTER = ("--filter", "haproxy=master")


class Bed:
    """A matrix of a branch and a tree; the branch is HAProxy's, and says its version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "matrix.yaml").write_text(YAML)
        self.upstream = Repository(folder / "upstream")
        (self.upstream.folder / "include/haproxy").mkdir(parents=True)
        (self.upstream.folder / "include/haproxy/version.h").write_text("#define\n")
        self.first = self.upstream.commit(VERSION="3.5-dev5\n")
        (folder / "tree").mkdir()
        (folder / "tree/Makefile").write_text("all:\n")

    def take(self, *args: str) -> Pins:
        self.said = matrixctl("github", "matrix", "--pins", "pins.json", *args, cwd=self.folder)
        assert self.said.returncode == 0, self.said.stderr
        return read_pins(self.folder / "pins.json")

    def move_on(self) -> str:
        return self.upstream.commit(VERSION="3.6-dev0\n")

    def plan(self, *args: str) -> dict[str, Any]:
        done = matrixctl("plan", "--format", "json", *args, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def origins(self, *args: str) -> list[str]:
        return [one["origin"] for one in self.plan(*args)["actions"] if one["origin"]]

    def refuses(self, *args: str) -> str:
        done = matrixctl("plan", "--pins", "pins.json", *args, cwd=self.folder)
        assert (done.returncode, done.stdout) == (2, "")
        return " ".join(done.stderr.split())


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def test_each_place_is_pinned_once(bed: Bed) -> None:
    pins = bed.take()
    assert [(one.component, one.kind) for one in pins.pins] == [("haproxy", "git"), ("haproxy", "path")]
    assert [len(one.at) for one in pins.pins] == [40, 64]
    assert pins.pins[0].at == bed.first
    assert json.loads((bed.folder / "pins.json").read_text())["schema_version"] == 1
    assert json.loads(bed.said.stdout)["include"], "stdout is the shards' alone"


def test_what_moved_since_is_not_followed(bed: Bed) -> None:
    bed.take()
    second = bed.move_on()
    assert bed.origins(*MASTER) == [f"git: upstream master -> {second}"]
    assert bed.origins(*MASTER, "--pins", "pins.json") == [f"git: upstream master -> {bed.first}"]


def test_the_version_is_that_of_the_pinned_commit(bed: Bed) -> None:
    bed.take()
    bed.move_on()
    names = [one["name"] for one in bed.plan(*MASTER, "--pins", "pins.json")["actions"]]
    assert "haproxy-3.5-dev5 git: upstream master" in names
    assert "haproxy-3.6-dev0 git: upstream master" in [one["name"] for one in bed.plan(*MASTER)["actions"]]


def test_a_branch_that_is_gone_is_still_pinned(bed: Bed) -> None:
    bed.take()
    bed.upstream.git("checkout", "--quiet", "-b", "other")
    bed.upstream.git("branch", "--quiet", "-D", "master")
    assert bed.origins(*MASTER, "--pins", "pins.json") == [f"git: upstream master -> {bed.first}"]


def test_a_tree_that_changed_is_not_taken(bed: Bed) -> None:
    bed.take()
    (bed.folder / "tree/Makefile").write_text("all: more\n")
    (source, *_) = (
        one
        for one in bed.plan("--pins", "pins.json", "--filter", "haproxy=tree")["actions"]
        if one["kind"] == "source"
    )
    assert source["state"] == "blocked"
    assert source["problem"].startswith("path: tree is not what was pinned: its SHA-256 is ")


def test_pins_of_another_matrix_are_refused(bed: Bed) -> None:
    bed.take()
    (bed.folder / "matrix.yaml").write_text(YAML + "# another day\n")
    assert "the pins are of another matrix than matrix.yaml" in bed.refuses()


def test_a_missing_pin_is_named(bed: Bed) -> None:
    bed.take(*MASTER)
    assert bed.origins(*MASTER, "--pins", "pins.json")
    assert "the pins have none for haproxy path: tree" in bed.refuses()
    assert "github matrix" in bed.refuses()


def test_a_source_that_cannot_be_read_leaves_no_file(bed: Bed) -> None:
    (bed.folder / "tree/Makefile").unlink()
    (bed.folder / "tree").rmdir()
    done = matrixctl("github", "matrix", "--pins", "pins.json", cwd=bed.folder)
    assert done.returncode != 0
    assert not (bed.folder / "pins.json").exists()


PIN = {"component": "haproxy", "kind": "git", "where": "upstream", "ref": "master", "at": "a" * 40}
GOOD: dict[str, Any] = {"schema_version": 1, "matrix": "b" * 64, "pins": [PIN]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no file of pins that this version knows"),
        (b"[]", "is no file of pins that this version knows"),
        (b"\xff\xfe", "is no file of pins that this version knows"),
        (b"[" * 100_000, "is no file of pins that this version knows"),
        (b" " * (2 << 20), "it is larger than 1 MiB"),
        ({**GOOD, "schema_version": 2}, "schema_version"),
        ({**GOOD, "more": 1}, "more"),
        ({**GOOD, "matrix": "x"}, "matrix"),
        ({**GOOD, "pins": [PIN, PIN]}, "pins haproxy git: upstream twice"),
        ({**GOOD, "pins": [PIN] * 2_001}, "pins"),
        ({**GOOD, "pins": [{**PIN, "at": "--upload-pack=x"}]}, "pins.0.at"),
        ({**GOOD, "pins": [{**PIN, "at": "a" * 40 + "\n"}]}, "pins.0.at"),
        ({**GOOD, "pins": [{**PIN, "at": 7}]}, "pins.0.at"),
        ({**GOOD, "pins": [{**PIN, "where": "x" * 1025}]}, "pins.0.where"),
        ({**GOOD, "pins": [{**PIN, "where": "\x1b[2J"}]}, "pins.0.where"),
        ({**GOOD, "pins": [{**PIN, "kind": "distro"}]}, "pins.0.kind"),
    ],
)
def test_a_hostile_file_is_a_sentence(bed: Bed, content: bytes | dict[str, Any], said: str) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    (bed.folder / "pins.json").write_bytes(raw)
    assert said in bed.refuses()


@pytest.mark.parametrize("name", ["none.json", "tree", "/dev/zero"])
def test_what_is_no_file_is_a_sentence(bed: Bed, name: str) -> None:
    done = matrixctl("plan", "--pins", name, cwd=bed.folder)
    assert done.returncode == 2
    assert f"the pins {name} cannot be read" in " ".join(done.stderr.split())


def test_a_run_has_them_in_its_settings_and_in_its_reproducers(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[Any] = []

    def run_matrix(*given: Any, **_: Any) -> Any:
        got.extend(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "connect", lambda **_: SimpleNamespace(cpus=1))
    monkeypatch.setattr(running, "run_matrix", run_matrix)
    pins = bed.take()
    done = matrixctl("run", *MASTER, "--pins", "pins.json", cwd=bed.folder)
    assert got, done.stderr
    settings = got[4].settings
    assert got[4].pins == settings.pins == pins
    assert settings.again[:2] == ("--pins", str(bed.folder / "pins.json"))
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
