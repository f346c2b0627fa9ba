"""Sources that move, against real repositories, trees and files: what they are now, and why there is none."""

import hashlib
import os
import shutil
import tarfile
import time
from pathlib import Path

import pytest
from git_samples import Repository

from orchestrator.cli.log import show_log
from orchestrator.errors import (
    ChecksumMismatchError,
    MatrixctlError,
    PrerequisiteError,
    SourceUnreachableError,
)
from orchestrator.execute.sources import git
from orchestrator.execute.sources import unpinned as moving_module
from orchestrator.execute.sources.download import FetchError
from orchestrator.execute.sources.unpinned import ResolvedSource, fetch
from orchestrator.execute.store.store import Store
from orchestrator.execute.system import process
from orchestrator.matrix.catalog import Moving

pytestmark = pytest.mark.whole

PACKAGES = {
    "amd64": ("haproxy_3.0.11-1_amd64.deb", b"!<arch>\namd64"),
    "armhf": ("haproxy_1%3a3.0.11-1_armhf.deb", b"!<arch>\narmhf"),
}
"""Debian's own HAProxy, as images have it."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "upstream" / "haproxy")
    made.commit(VERSION="1\n")
    return made


def moving(where: object, *, kind: str = "git", ref: str = "") -> Moving:
    return Moving.model_validate(
        {"component": "haproxy", "version": "3.0.11", "kind": kind, "where": str(where), "ref": ref}
    )


def bring(store: Store, what: Moving, *mirrors: object, seconds: float = 30) -> ResolvedSource:
    return fetch(
        what,
        store=store,
        mirrors=[str(mirror) for mirror in mirrors],
        deadline=time.monotonic() + seconds,
        package=PACKAGES.get,
    )


def seen_now(store: Store, what: Moving) -> ResolvedSource:
    deadline = time.monotonic() + 30
    return fetch(what, store=store, mirrors=(), deadline=deadline, package=PACKAGES.get, keep=False)


def refusal(store: Store, what: Moving, *mirrors: object, seconds: float = 30) -> MatrixctlError:
    with pytest.raises(MatrixctlError) as caught:
        bring(store, what, *mirrors, seconds=seconds)
    return caught.value


def contents(moved: ResolvedSource) -> dict[str, str]:
    """The files of the tar by path below its one folder."""
    assert moved.path is not None
    found = {}
    with tarfile.open(moved.path) as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isfile() else None
            if file is not None:
                found[entry.name.partition("/")[2]] = file.read().decode()
    return found


# git


def test_a_branch_is_its_commit_of_now(store: Store, repository: Repository) -> None:
    what = moving(repository.folder, ref="master")
    first = bring(store, what)
    commit = repository.git("rev-parse", "HEAD")
    assert contents(first) == {"VERSION": "1\n"}
    assert first.origin == f"git: {repository.folder} master -> {commit}"
    assert first.source.file == f"haproxy-{commit[:12]}.tar"
    assert first.path is not None
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.source.sha256
    moved = repository.commit(VERSION="2\n")
    second = bring(store, what)
    assert contents(second) == {"VERSION": "2\n"}
    assert second.origin.endswith(moved)
    assert second.source.sha256 != first.source.sha256
    assert (first.new, second.new) == (True, True)


def test_the_same_commit_has_the_same_bytes_and_is_fetched_once(
    store: Store, repository: Repository, tmp_path: Path
) -> None:
    what = moving(repository.folder, ref="master")
    first = bring(store, what)
    again = bring(store, what)
    elsewhere = bring(Store(tmp_path / "other"), what)
    assert (first.new, again.new, elsewhere.new) == (True, False, True)
    assert first.source == again.source == elsewhere.source
    (mirror,) = store.git.iterdir()
    assert Repository.git(repository, "-C", str(mirror), "rev-list", "--all", "--count") == "1"


def test_a_mirror_without_it_is_named_when_it_is_fetched_and_not_when_it_is_looked_for(
    store: Store, repository: Repository, tmp_path: Path
) -> None:
    what = moving(repository.folder, ref="master")
    said: list[str] = []
    with show_log(pytest.fail):
        fetch(
            what,
            store=store,
            mirrors=[str(tmp_path / "none")],
            deadline=time.monotonic() + 30,
            package=PACKAGES.get,
            keep=False,
        )
    with show_log(said.append):
        bring(store, what, tmp_path / "none")
    assert len(said) == 1
    assert str(tmp_path / "none" / "haproxy.git") in said[0]


def test_history_stays_away(store: Store, repository: Repository) -> None:
    for number in range(5):
        repository.commit(VERSION=f"{number}\n")
    bring(store, moving(f"file://{repository.folder}", ref="master"))
    (mirror,) = store.git.iterdir()
    assert repository.git("-C", str(mirror), "rev-list", "--all", "--count") == "1"


def test_every_kind_of_ref(store: Store, repository: Repository) -> None:
    tagged = repository.git("rev-parse", "HEAD")
    repository.git("tag", "v1")
    repository.git("tag", "--annotate", "--message", "x", "v1-signed")
    last = repository.commit(VERSION="2\n")
    repository.git("branch", "v1")  # at another commit: the tag comes first
    wanted = {
        "v1": tagged,
        "v1-signed": tagged,
        "refs/heads/v1": last,
        "heads/v1": last,
        "HEAD": last,
        tagged: tagged,
    }
    found = {ref: bring(store, moving(repository.folder, ref=ref)).origin for ref in wanted}
    assert {ref: origin.rpartition(" ")[2] for ref, origin in found.items()} == wanted


def test_a_pack_or_an_archive_without_end_is_cut_off_and_leaves_nothing(
    store: Store, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.folder / "noise").write_bytes(os.urandom(3 << 20))
    repository.commit(zeros="0" * (9 << 20))
    for limit, where in ((1 << 20, "pack"), (6 << 20, "archive")):  # zeros fit into a pack, and into no tar
        monkeypatch.setattr(git, "MAX_BYTES", limit)
        error = refusal(store, moving(f"file://{repository.folder}", ref="master"))
        assert f"git: it is larger than {limit >> 20} MiB" in error.brief, where
    monkeypatch.setattr(git, "MAX_BYTES", 64 << 20)
    bring(store, moving(f"file://{repository.folder}", ref="master"))
    assert not list(store.git.rglob("tmp_*"))


def test_refs_without_end_are_cut_off(
    store: Store, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.git("rev-parse", "HEAD")
    refs = "".join(f"{commit} refs/heads/{'x' * 100}{number}\n" for number in range(1000))
    (repository.folder / ".git" / "packed-refs").write_text(refs)
    defaults = git._run.__kwdefaults__ or {}
    monkeypatch.setattr(git._run, "__kwdefaults__", {**defaults, "largest": 64 << 10})
    error = refusal(store, moving(f"file://{repository.folder}", ref="nowhere"))
    assert "git: it is larger than 64 KiB" in error.brief


def test_a_server_may_call_its_refs_what_it_likes(
    store: Store, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = b"1" * 40 + b"\tmastre2\n" + b"2" * 40 + b"\trefs/heads\n" + b"3" * 40 + b"\t{}\n"
    monkeypatch.setattr(git, "_run", lambda *_, **__: process.Completed(exit_code=0, stdout=said, stderr=b""))
    error = refusal(store, moving(repository.folder, ref="mastre"))
    assert "has no ref 'mastre'; the nearest are mastre2" in error.brief


def test_a_ref_that_is_not_there_names_the_nearest(store: Store, repository: Repository) -> None:
    repository.git("tag", "v3.0.11")
    error = refusal(store, moving(repository.folder, ref="mastre"))
    assert isinstance(error, SourceUnreachableError)
    assert "has no ref 'mastre'; the nearest are master" in error.brief
    assert "v3.0.11" in refusal(store, moving(repository.folder, ref="v3.0.12")).brief


def test_one_place_is_told_once_and_a_wrong_ref_asks_for_no_clone(
    store: Store, repository: Repository, tmp_path: Path
) -> None:
    wrong = refusal(store, moving(repository.folder, ref="mastre"))
    assert str(wrong).count("has no ref") == 1
    assert wrong.resolution == "Correct the ref."
    gone = refusal(store, moving(tmp_path / "gone", ref="master"))
    assert str(gone).count("fatal:") == 1
    assert "gone.git into a folder" in gone.resolution
    (tmp_path / "mirror").mkdir()  # a mirror with a newer clone could have it
    both = refusal(store, moving(repository.folder, ref="mastre"), tmp_path / "mirror")
    assert "into a folder" in both.resolution


def test_a_part_of_a_commit_is_told_to_need_all_digits(store: Store, repository: Repository) -> None:
    part = repository.git("rev-parse", "HEAD")[:10]
    error = refusal(store, moving(repository.folder, ref=part))
    assert f"has no ref '{part}'; a commit needs all its 40 digits (`git rev-parse {part}`" in error.brief
    assert "nearest" not in error.brief


def test_a_commit_may_be_written_in_capitals(store: Store, repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    assert bring(store, moving(repository.folder, ref=commit.upper())).origin.endswith(f"-> {commit}")


def test_a_clone_of_another_user_serves(
    store: Store, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is what git's own tests have for it. It holds for the store's repositories, too."""
    bare = tmp_path / "mirror" / "haproxy.git"
    repository.git("clone", "--quiet", "--bare", ".", str(bare))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for place in (repository.folder, f"file://{repository.folder}", bare):
        assert contents(bring(store, moving(place, ref="master"))) == {"VERSION": "1\n"}
    assert bring(store, moving("https://127.0.0.1:1/haproxy.git", ref="master"), tmp_path / "mirror").path
    assert contents(bring(store, moving(repository.folder, kind="path"))) == {"VERSION": "1\n"}
    error = refusal(store, moving(repository.folder, ref="mastre"))
    assert "the nearest are master" in error.brief


def test_a_partial_clone_is_told_as_what_it_is_and_can_be_completed(
    store: Store, repository: Repository, tmp_path: Path
) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    url = f"file://{repository.folder}"
    repository.git("clone", "--quiet", "--filter=blob:none", "--no-checkout", url, str(clone))
    error = refusal(store, moving(clone, ref="master"))
    assert "it is a partial clone (made with --filter), and lacks files of that commit" in error.brief
    repository.git("-C", str(clone), "fetch", "--quiet", "--refetch", "--no-filter", "origin")
    assert contents(bring(store, moving(clone, ref="master"))) == {"VERSION": "1\n"}


@pytest.mark.parametrize("inside", [".git", ""])
def test_gits_own_folder_is_no_working_tree(
    store: Store, repository: Repository, tmp_path: Path, inside: str
) -> None:
    bare = repository.folder / inside if inside else tmp_path / "haproxy.git"
    if not inside:
        repository.git("clone", "--quiet", "--bare", ".", str(bare))
    error = refusal(store, moving(bare, kind="path"))
    assert f"{bare} is git's own folder (a bare repository), and has no files to build" in error.brief
    assert f"`git: {bare} BRANCH`" in error.resolution


def test_a_repository_that_is_not_there_says_what_was_tried(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    what = moving(tmp_path / "gone" / "haproxy", ref="master")
    error = refusal(store, what, tmp_path / "mirror")
    assert isinstance(error, SourceUnreachableError)
    assert error.brief == f"haproxy 3.0.11 from {what}: no place has it"
    tried = error.details.splitlines()
    assert len(tried) == 2
    assert tried[0].startswith(f"{tmp_path}/mirror/haproxy.git: git: fatal:")
    assert tried[1].startswith(f"{tmp_path}/gone/haproxy: git: fatal:")
    assert "haproxy.git into a folder" in error.resolution


def test_a_mirror_is_asked_first_and_said(store: Store, repository: Repository, tmp_path: Path) -> None:
    mirror = tmp_path / "mirrors"
    repository.git("clone", "--quiet", "--bare", str(repository.folder), str(mirror / "haproxy.git"))
    repository.commit(VERSION="2\n")
    got = bring(store, moving("https://nowhere.invalid/x/haproxy", ref="master"), mirror)
    assert contents(got) == {"VERSION": "1\n"}
    assert got.origin.startswith("git: https://nowhere.invalid/x/haproxy master -> ")
    assert got.origin.endswith(" (from a mirror)")
    beside = bring(store, moving(repository.folder, ref="master"), tmp_path / "empty")
    assert contents(beside) == {"VERSION": "2\n"}


def test_no_transport_but_the_matrix_own_whatever_this_machine_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text('[protocol "ext"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(FetchError, match="transport 'ext' not allowed"):
        git.resolve(f"ext::touch {tmp_path}/pwned", "master", deadline=time.monotonic() + 30)
    assert not (tmp_path / "pwned").exists()


def test_no_hook_runs_and_no_variable_of_a_hook_leads_astray(
    store: Store, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
        (hooks / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert contents(bring(store, moving(repository.folder, ref="master"))) == {"VERSION": "1\n"}
    assert not (tmp_path / "pwned").exists()


def test_a_server_that_does_not_answer_ends_at_the_deadline(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(process, "GRACE", 0.2)
    began = time.monotonic()
    error = refusal(store, moving("https://nowhere.invalid/haproxy", ref="master"), seconds=1)
    assert "took longer than its share" in error.brief
    assert time.monotonic() - began < 50


def test_without_git_a_person_knows_what_to_do(
    store: Store, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("env", "prlimit", "setpriv"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    error = refusal(store, moving(repository.folder, ref="master"))
    assert isinstance(error, PrerequisiteError)
    assert "`git` is not installed" in error.brief
    assert "apt-get install" in error.resolution


def test_a_look_keeps_nothing_and_knows_what_was_fetched(store: Store, repository: Repository) -> None:
    what = moving(repository.folder, ref="master")

    def seen() -> ResolvedSource:
        return seen_now(store, what)

    commit = repository.git("rev-parse", "HEAD")
    first = seen()
    assert (first.source.sha256, first.path) == (None, None)
    assert first.origin.endswith(commit)
    assert not list(store.git.iterdir())
    fetched = bring(store, what)
    assert seen().source == fetched.source


# tarball


@pytest.mark.parametrize(
    ("folder", "strip"), [("haproxy-3.5/", 1), ("./haproxy-3.5/", 2), ("", 0), ("./", 1)]
)
def test_a_tarball_is_taken_as_it_is(store: Store, tmp_path: Path, folder: str, strip: int) -> None:
    with tarfile.open(tmp_path / "h.tar.xz", "w:xz") as tar:
        for name in ("VERSION", "src/x.c"):
            tar.addfile(tarfile.TarInfo(folder + name))
    what = moving(tmp_path / "h.tar.xz", kind="tarball")
    seen, got = seen_now(store, what), bring(store, what)
    assert got.path is not None
    assert got.path.read_bytes() == (tmp_path / "h.tar.xz").read_bytes()
    assert (got.source, got.source.file, got.source.strip) == (seen.source, "h.tar.xz", strip)
    assert got.origin == f"tarball: {tmp_path / 'h.tar.xz'}"


def test_what_is_no_tarball_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("x")
    with tarfile.open(tmp_path / "out.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../out"))
    assert (
        "x.tar is no tarball that can be read"
        in refusal(store, moving(tmp_path / "x.tar", kind="tarball")).brief
    )
    assert "leads out of its folder" in refusal(store, moving(tmp_path / "out.tar", kind="tarball")).brief
    assert "none.tar cannot be read" in refusal(store, moving(tmp_path / "none.tar", kind="tarball")).brief


# prebuilt


def test_a_binary_and_a_package_are_taken_as_they_are(store: Store, tmp_path: Path) -> None:
    for name, content in (
        ("haproxy", b"\x7fELF and more"),
        ("haproxy_1~x+b1_amd64.deb", b"!<arch>\nand more"),
    ):
        (tmp_path / name).write_bytes(content)
        what = moving(tmp_path / name, kind="prebuilt")
        seen = seen_now(store, what)
        got = bring(store, what)
        assert got.path is not None
        assert got.path.read_bytes() == content
        assert got.path.name == name
        assert got.source == seen.source
        assert got.source.sha256 == hashlib.sha256(content).hexdigest()
        assert got.origin == f"prebuilt: {tmp_path / name}"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"#!/bin/sh\n", "neither an ELF program nor a .deb"), (None, "cannot be read: No such file")],
)
def test_what_is_no_program(store: Store, tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    error = refusal(store, moving(tmp_path / "x", kind="prebuilt"))
    assert isinstance(error, SourceUnreachableError)
    assert told in error.brief


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_what_is_no_file_is_refused_before_it_is_read(store: Store, tmp_path: Path, kind: str) -> None:
    what = {"device": Path("/dev/zero"), "pipe": tmp_path / "pipe", "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(what)
    error = refusal(store, moving(what, kind="prebuilt"))
    assert f"{what} cannot be read: " in error.brief
    assert not list((store.root / "sources").rglob("*"))


def test_a_program_that_is_too_large_is_refused_and_not_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "haproxy").write_bytes(b"\x7fELF" + bytes(1 << 20))
    monkeypatch.setattr(moving_module, "MAX_BYTES", 1 << 20)
    assert (
        "haproxy is larger than 1 MiB" in refusal(store, moving(tmp_path / "haproxy", kind="prebuilt")).brief
    )
    assert not list((store.root / "sources").rglob("*"))


def test_an_odd_file_name_is_made_plain(store: Store, tmp_path: Path) -> None:
    (tmp_path / "-a b$(id)").write_bytes(b"\x7fELF")
    assert bring(store, moving(tmp_path / "-a b$(id)", kind="prebuilt")).source.file == "a_b__id_"


# distro


def test_debian_s_own_haproxy_is_kept_under_its_own_name_and_digest(store: Store) -> None:
    what = moving("amd64", kind="distro")
    seen, got = seen_now(store, what), bring(store, what)
    name, content = PACKAGES["amd64"]
    assert got.path is not None
    assert (got.path.name, got.path.read_bytes()) == (name, content)
    assert got.source.sha256 == hashlib.sha256(content).hexdigest()
    assert got.origin == f"distro: amd64 -> {name}"
    assert (seen.source, seen.path) == (got.source, None)
    assert not bring(store, what).new
    assert bring(store, moving("armhf", kind="distro")).source.file == "haproxy_1_3a3.0.11-1_armhf.deb"


def test_without_its_image_debian_s_haproxy_is_unknown_and_named(store: Store) -> None:
    what = moving("riscv64", kind="distro")
    assert (seen_now(store, what).source.sha256, seen_now(store, what).path) == (None, None)
    error = refusal(store, what)
    assert isinstance(error, SourceUnreachableError)
    assert error.brief == "no image here has Debian's haproxy for riscv64 yet"
    assert "matrixctl run --filter haproxy=distro" in error.resolution


@pytest.mark.fault(
    "git is killed while it makes or fills the store's repository",
    "the next fetch mends it: half of a repository and locks that no one holds are no reason to fail",
)
@pytest.mark.parametrize("harm", ["begun", "locked", "damaged"])
def test_what_a_killed_git_left_is_mended(store: Store, repository: Repository, harm: str) -> None:
    first = bring(store, moving(repository.folder, ref="master"))
    (ours,) = store.git.iterdir()
    if harm == "begun":
        for path in (ours / "objects", ours / "refs"):
            shutil.rmtree(path)
    elif harm == "damaged":
        for path in (path for path in (ours / "objects").rglob("*") if path.is_file()):
            path.chmod(0o600)
            path.write_bytes(b"x")
        (note,) = ours.glob("matrixctl-*")
        note.write_bytes(b"\xff")
        assert bring(store, moving(repository.folder, ref="master")).source == first.source
    else:
        for name in ("shallow.lock", "config.lock", "packed-refs.lock", "refs/matrixctl/last.lock"):
            (ours / name).touch()
    repository.commit(main__c="int main(void) { return 2; }\n")
    again = bring(store, moving(repository.folder, ref="master"))
    assert again.new
    assert again.source.sha256 != first.source.sha256
    assert list(ours.rglob("*.lock")) == []


# pins


def bring_at(store: Store, what: Moving, at: str) -> ResolvedSource:
    return fetch(what, store=store, mirrors=(), deadline=time.monotonic() + 30, package=PACKAGES.get, at=at)


def test_a_pinned_commit_is_fetched_though_its_branch_moved_on(store: Store, repository: Repository) -> None:
    what = moving(repository.folder, ref="master")
    first = repository.git("rev-parse", "HEAD")
    repository.commit(VERSION="2\n")
    got = bring_at(store, what, first)
    assert contents(got) == {"VERSION": "1\n"}
    assert got.origin == f"git: {repository.folder} master -> {first}"
    assert contents(bring(store, what)) == {"VERSION": "2\n"}


def test_a_branch_that_moves_while_it_is_fetched_gives_the_pin(
    store: Store, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, real = repository.git("rev-parse", "HEAD"), git.resolve

    def moves_on(*args: str, deadline: float) -> tuple[str, str]:
        found = real(*args, deadline=deadline)
        repository.commit(VERSION="2\n")
        return found

    monkeypatch.setattr(git, "resolve", moves_on)
    assert contents(bring_at(store, moving(repository.folder, ref="master"), first)) == {"VERSION": "1\n"}


def test_a_pinned_commit_that_is_nowhere_is_said(store: Store, repository: Repository) -> None:
    with pytest.raises(SourceUnreachableError, match="git: "):
        bring_at(store, moving(repository.folder, ref="master"), "a" * 40)


def test_a_tree_that_is_not_the_pinned_one_is_refused(store: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "Makefile").write_text("all:\n")
    what = moving(tree, kind="path")
    at = moving_module.resolve(what, store=store, mirrors=(), deadline=time.monotonic() + 30)
    assert bring_at(store, what, at).source.sha256 == at
    (tree / "Makefile").write_text("all: more\n")
    with pytest.raises(ChecksumMismatchError, match="is not what was pinned"):
        bring_at(store, what, at)
