"""What is asked of git: which commit a ref is, that commit alone, and its files as a tar.

git runs on the orchestrator's machine, never in a container, and never asks a person: no terminal, no hooks,
no transport but those that ``matrix.yaml`` may name. What a server sends is bounded: its words by
``bounds.REFS``, a pack and an archive as any download. Documentation: git(1), git-fetch(1), git-archive(1).
"""

import re
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from orchestrator import bounds
from orchestrator.errors import DeadlineError, PrerequisiteError
from orchestrator.execute.sources.download import MAX_BYTES, SHARE_OVER, FetchError
from orchestrator.execute.system import process
from orchestrator.execute.system.process import Completed
from orchestrator.matrix.origins import SCHEMES
from orchestrator.phrases import quote

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PART_OF_COMMIT = re.compile(r"[0-9a-fA-F]{4,39}")
_OURS = ("-c", "safe.directory=*")
"""For a repository that the command names itself, and so means: no matter who owns it."""
_PARTIAL = ("lazy fetching disabled", "from promisor remote")
"""In the words of a git that serves a clone without all its files."""
_NOT_FOUND = 127
_TOO_LARGE = ("File too large", "signal 25")
"""In git's last words, where it or one of its own programs met the limit (EFBIG, SIGXFSZ)."""
_STALE = b"stale info"
"""What ``git push --porcelain`` says where the branch is not as its lease has it (git 2.39, transport.c)."""
_NEAREST = 3

# A run may itself be started by a hook of git, whose variables would lead us to another repository.
_UNSET = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
_SET = {
    "GIT_ALLOW_PROTOCOL": ":".join((*SCHEMES, "http")),  # http: only a mirror can be named so
    "GIT_ASKPASS": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
    "SSH_ASKPASS_REQUIRE": "never",
}
_CONFIG = {
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "tar.umask": "0022",
}


_AUTHOR = ("-c", "user.name=matrixctl", "-c", "user.email=matrixctl@localhost")
"""Of our own commits, wherever they are made."""


class NoRefError(FetchError):
    """The repository exists, but has no such ref."""


class MovedError(FetchError):
    """The branch is another one than it was."""


def _in(repository: Path) -> tuple[str, ...]:
    return (*_OURS, "-C", str(repository))


def _name_upload_pack(place: str) -> list[str]:
    """Return how a folder's repository is read that another user owns: as ``path:`` does it.

    git-upload-pack(1): it is safe to fetch from a repository that is not trusted; the owner is checked
    nevertheless, and a variable or ``-c`` of ours does not reach the program that serves.
    """
    local = place.startswith(("/", "file://"))
    return ["--upload-pack=git -c 'safe.directory=*' upload-pack"] if local else []


def resolve(place: str, ref: str, *, deadline: float) -> tuple[str, str]:
    """Return the full name of a ref in a repository, and its commit. As in git, a tag wins over a branch.

    :param place: a URL or an absolute folder.
    :param ref: a branch, a tag, a full name, ``HEAD``, or a commit, which is its own name.
    :raises NoRefError: with the nearest refs.
    :raises FetchError: if the repository does not answer.
    """
    if _COMMIT.fullmatch(ref.lower()):
        return ref.lower(), ref.lower()
    done = _run(
        ["ls-remote", "--quiet", *_name_upload_pack(place), "--", place, ref, f"{ref}^{{}}"],
        deadline=deadline,
    )
    commits = _parse_refs(done)
    for name in (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        commit = commits.get(f"{name}^{{}}", commits.get(name))  # of an annotated tag: what it stands for
        if commit:
            return name, commit
    if _PART_OF_COMMIT.fullmatch(ref):
        raise NoRefError(
            f"has no ref {quote(ref)}; a commit needs all its 40 digits (`git rev-parse {ref}` prints them)"
        )
    raise NoRefError(f"has no ref {quote(ref)}{_name_nearest(place, ref, deadline)}")


def fetch(place: str, name: str, commit: str, into: Path, *, deadline: float) -> str:
    """Fetch one commit, without history, into our bare repository; make the repository if it is missing.

    The caller holds the lock of the repository. What a killed git left in it is repaired.

    :param name: the ref that ``resolve`` gave, since not every server gives a commit by its digits.
    :returns: the commit; another one where the ref has moved since it was resolved.
    :raises FetchError: if that fails.
    """
    for half in (*into.rglob("*.lock"), *into.rglob("tmp_*")):
        half.unlink(missing_ok=True)
    # Harmless for a complete repository; completes one that was cut off.
    _run([*_OURS, "init", "--quiet", "--bare", "--template=", str(into)], deadline=deadline)
    if has(into, commit, deadline=deadline):
        return commit
    kept = "refs/matrixctl/last"
    _run(
        [
            *(*_in(into), "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"),
            *(*_name_upload_pack(place), "--", place, f"+{name}:{kept}"),
        ],
        deadline=deadline,
        largest=MAX_BYTES,
    )
    found = _run([*_in(into), "rev-parse", "--verify", f"{kept}^{{commit}}"], deadline=deadline)
    came = found.stdout.decode().strip()
    # A name of its own keeps it when the ref moves on.
    _run([*_in(into), "update-ref", f"refs/matrixctl/{came}", came], deadline=deadline)
    return came


def has(repository: Path, commit: str, *, deadline: float) -> bool:
    """Return whether our repository has the commit."""
    argv = [*_in(repository), "rev-parse", "--quiet", "--verify", f"refs/matrixctl/{commit}"]
    return _try(argv, deadline=deadline).exit_code == 0


def archive(repository: Path, commit: str, to: Path, *, prefix: str, deadline: float) -> None:
    """Write the files of a commit as a tar below one folder; no submodules; ``.gitattributes`` apply."""
    _run(
        [*_in(repository), "archive", "--format=tar", f"--prefix={prefix}/", "-o", str(to), commit],
        deadline=deadline,
        largest=MAX_BYTES,
    )


def show(repository: Path, commit: str, path: str, *, deadline: float) -> bytes:
    """Return the content of a file of a commit; nothing if it has no such file."""
    done = _try([*_in(repository), "cat-file", "blob", f"{commit}:{path}"], deadline=deadline)
    return done.stdout if done.exit_code == 0 else b""


def count_commits(tree: Path, tag: str, *, deadline: float) -> int:
    """Return how many commits the working tree is after a tag; 0 where git does not know that."""
    argv = [*_in(tree), "describe", "--tags", "--long", "--match", tag]
    done = _try(argv, deadline=deadline)
    found = re.fullmatch(
        rf"{re.escape(tag)}-([0-9]{{1,9}})-g[0-9a-f]+", done.stdout.decode("ascii", "replace").strip()
    )
    return int(found[1]) if found and done.exit_code == 0 else 0


def is_commit(ref: str) -> bool:
    """Return whether a ref is the whole name of a commit, which never moves."""
    return _COMMIT.fullmatch(ref) is not None


def find_commit(clone: Path, name: str, *, deadline: float) -> str:
    """Return the commit that a name stands for in a clone of the user's.

    :raises FetchError: if it is no clone, or has no such commit.
    """
    _run([*_in(clone), "rev-parse", "--git-dir"], deadline=deadline)
    argv = [*_in(clone), "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"]
    done = _try(argv, deadline=deadline)
    if done.exit_code != 0:
        raise NoRefError(f"has no commit {quote(name)}")
    return done.stdout.decode().strip()


def list_first_parents(clone: Path, first: str, last: str, *, deadline: float) -> list[tuple[str, str]]:
    """Return the commits from ``first`` to ``last`` along the first parents, each with its subject.

    Empty where ``first`` does not lie on that line.

    :raises FetchError: as git says.
    """
    argv = [*_in(clone), "log", "-z", "--first-parent", "--reverse", "--format=%H %s", f"{first}..{last}"]
    done = _run(argv, deadline=deadline)
    lines = [line.partition(" ") for line in done.stdout.decode("utf-8", "replace").split("\0") if line]
    line = [(commit, subject) for commit, _, subject in lines]
    if not line or _find_parent(clone, line[0][0], deadline) != first:
        return []
    head = _run([*_in(clone), "log", "-1", "--format=%s", first], deadline=deadline)
    return [(first, head.stdout.decode("utf-8", "replace").strip()), *line]


def _find_parent(clone: Path, commit: str, deadline: float) -> str:
    done = _try([*_in(clone), "rev-parse", "--quiet", "--verify", f"{commit}^1"], deadline=deadline)
    return done.stdout.decode().strip()


def list_files(tree: Path, *, deadline: float) -> list[str]:
    """Return the tracked files and the files that are neither tracked nor ignored, as relative paths."""
    done = _run(
        [*_in(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        deadline=deadline,
    )
    return sorted({path.decode("utf-8", "surrogateescape") for path in done.stdout.split(b"\0") if path})


def pull(repository: Path, remote: str, branch: str, *, deadline: float) -> str:
    """Fetch the newest commit of a branch into a working repository, without history.

    It is kept as ``refs/matrixctl/BRANCH``: what ``push`` takes to be there still.

    :returns: the commit; an empty text where there is no such branch.
    :raises FetchError: if the remote does not answer.
    """
    kept = f"refs/matrixctl/{branch}"
    name = f"refs/heads/{branch}"
    if name not in _parse_refs(_run([*_in(repository), "ls-remote", "--", remote, name], deadline=deadline)):
        _run([*_in(repository), "update-ref", "-d", kept], deadline=deadline)
        return ""
    _run(
        [*_in(repository), "fetch", "--quiet", "--depth=1", "--no-tags", "--", remote, f"+{name}:{kept}"],
        deadline=deadline,
        largest=MAX_BYTES,
    )
    return _run([*_in(repository), "rev-parse", "--verify", kept], deadline=deadline).stdout.decode().strip()


def read_blobs(repository: Path, commit: str, *, deadline: float) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each regular file of a commit of a working repository.

    :raises FetchError: where one is larger than ``bounds.BLOB``.
    """
    done = _run([*_in(repository), "ls-tree", "-r", "-z", commit], deadline=deadline)
    for entry in done.stdout.decode("utf-8", "surrogateescape").split("\0"):
        kind, _, path = entry.partition("\t")
        if kind.startswith("100644 blob "):
            argv = [*_in(repository), "cat-file", "blob", kind.split(" ")[2]]
            yield path, _run(argv, deadline=deadline, largest=bounds.BLOB).stdout


def push(
    repository: Path, remote: str, branch: str, files: Mapping[str, Path], message: str, *, deadline: float
) -> None:
    """Make these files the whole content of a branch, as one commit without a parent.

    :raises MovedError: if the branch is not as ``pull`` has found it.
    :raises FetchError: if the remote does not answer, or does not let us write.
    """
    kept = f"refs/matrixctl/{branch}"
    before = _try([*_in(repository), "rev-parse", "--quiet", "--verify", kept], deadline=deadline)
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": f"{scratch}/index"}
        for path, file in sorted(files.items()):
            argv = ["hash-object", "-w", "--no-filters", "--", str(file)]
            blob = (
                _run([*_in(repository), *argv], deadline=deadline, largest=MAX_BYTES).stdout.decode().strip()
            )
            entry = f"100644,{blob},{path}"
            argv = ["update-index", "--add", "--cacheinfo", entry]
            _run([*_in(repository), *argv], deadline=deadline, more=index)
        tree = _run([*_in(repository), "write-tree"], deadline=deadline, more=index)
    argv = [*_AUTHOR, *_in(repository), "commit-tree", "-m", message, tree.stdout.decode().strip()]
    commit = _run(argv, deadline=deadline).stdout.decode().strip()
    name = f"refs/heads/{branch}"
    lease = f"--force-with-lease={name}:{before.stdout.decode().strip()}"
    argv = [*_in(repository), "push", "--quiet", "--porcelain", lease, "--", remote, f"{commit}:{name}"]
    done = _try(argv, deadline=deadline, largest=MAX_BYTES)
    if _STALE in done.stdout:
        raise MovedError(f"{quote(branch)} has changed meanwhile")
    _check(done, MAX_BYTES)
    _run([*_in(repository), "update-ref", kept, commit], deadline=deadline)


def _name_nearest(place: str, ref: str, deadline: float) -> str:
    done = _run(
        ["ls-remote", "--quiet", "--heads", "--tags", *_name_upload_pack(place), "--", place],
        deadline=deadline,
    )
    plain = (name.removesuffix("^{}") for name in _parse_refs(done))  # any name that a server gives a ref
    names = {name.removeprefix("refs/heads/").removeprefix("refs/tags/") for name in plain}
    close = get_close_matches(ref, sorted(names), n=_NEAREST, cutoff=0.4) or sorted(names)[:_NEAREST]
    return f"; the nearest are {', '.join(close)}" if close else "; it has none at all"


def _parse_refs(done: Completed) -> dict[str, str]:
    lines = (line.partition("\t") for line in done.stdout.decode("utf-8", "replace").splitlines())
    return {name: commit for commit, _, name in lines if _COMMIT.fullmatch(commit)}


def _run(
    argv: Sequence[str],
    *,
    deadline: float,
    largest: int = bounds.REFS,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Completed:
    return _check(_try(argv, deadline=deadline, largest=largest, more=more), largest)


def _check(done: Completed, largest: int) -> Completed:
    """:raises FetchError: if git has failed."""
    if done.exit_code != 0:
        said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        if done.exit_code == -signal.SIGXFSZ or any(sign in line for line in said for sign in _TOO_LARGE):
            raise FetchError(f"git: it is larger than {bounds.format_size(largest)}")
        if any(sign in line for line in said for sign in _PARTIAL):
            raise FetchError(
                "git: it is a partial clone (made with --filter), and lacks files of that commit; complete it"
                " with `git fetch --refetch --no-filter`, or name its working tree with `path:`"
            )
        plain = [line for line in said if line.startswith(("fatal:", "error:"))] or said[-1:]
        raise FetchError(f"git: {plain[0] if plain else f'exit status {done.exit_code}'}")
    return done


def _try(
    argv: Sequence[str],
    *,
    deadline: float,
    largest: int = bounds.REFS,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Completed:
    environment = [word for name in _UNSET for word in ("-u", name)]
    environment += [f"{name}={value}" for name, value in {**_SET, **more}.items()]
    config = [word for name, value in _CONFIG.items() for word in ("-c", f"{name}={value}")]
    left = max(0.1, deadline - time.monotonic())
    # It ends with us, since its repository is free for others then; the limit holds for each file that it
    # writes, its output counted as one.
    guarded = ["setpriv", "--pdeathsig=KILL", "prlimit", f"--fsize={largest}"]
    try:
        done = process.run([*guarded, "env", *environment, "git", *config, *argv], timeout=left)
    except DeadlineError:
        raise FetchError(SHARE_OVER) from None
    if done.exit_code == _NOT_FOUND:
        missing = process.explain_missing("git")
        raise PrerequisiteError(missing.brief, resolution=missing.resolution)
    return done
