"""One image build, and what it means that one failed."""

import io
import tarfile
import tempfile
from collections.abc import Mapping
from typing import IO

from orchestrator import bounds
from orchestrator.arch import Arch
from orchestrator.errors import EngineError, UnpackError
from orchestrator.execute.engine.engine import Engine, ExecResult
from orchestrator.execute.images import apt_output, bootstrap
from orchestrator.execute.system.deadline import explain_deadline

_SHOWN = 20
"""Lines of a failed build's output that an error carries."""


def build(
    engine: Engine,
    *,
    tag: str,
    dockerfile: str,
    arch: Arch,
    labels: Mapping[str, str],
    proxies: Mapping[str, str],
    root: IO[bytes] | None = None,
    root_name: str = "root.tar",
    limit: float,
) -> None:
    """Build and tag one image. ``root`` is a tarball that the Dockerfile ADDs as ``root_name``.

    :raises EngineError: with the last lines of the build's output; ``UnpackError`` for a package.
    :raises SourceUnreachableError: where apt could not fetch what it needs, with apt's words.
    :raises DeadlineError: after ``limit`` seconds.
    """
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as tar:
            _add(tar, "Dockerfile", io.BytesIO(dockerfile.encode()))
            if root is not None:
                _add(tar, root_name, root)
        context.seek(0)
        done = engine.build_image(
            tag, context, platform=arch.platform, labels=labels, arguments=proxies, timeout=limit
        )
    refuse_failure(done, tag, limit)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = content.seek(0, io.SEEK_END)
    member.mode = 0o644
    content.seek(0)
    tar.addfile(member, content)


def refuse_failure(done: ExecResult, what: str, limit: float) -> None:
    """Raise what it means that an image, or a file for one, was not made; see ``build``.

    :param what: names it to a person.
    """
    if done.timed_out:
        raise explain_deadline(
            f"The image {what}",
            limit,
            "image",
            details="See whether the package mirror is reachable and quick: matrixctl doctor",
        )
    if done.exit_code == 0:
        return
    said = done.stdout.decode(errors="replace").splitlines()
    last = [bounds.cut(line, bounds.WORDS) for line in said if line.strip()]
    bootstrap.blame_the_mirror(what, last)
    why = done.stderr.decode(errors="replace") or f"its script ended with exit code {done.exit_code}"
    shown = last[-_SHOWN:]
    unpacking = apt_output.find_unpack_error(shown)
    brief, details = f"making the image {what} failed: {why}", "\n".join(shown)
    resolution = "If a mirror has moved on, begin again: matrixctl clean --images"
    if unpacking:
        raise UnpackError(brief, said=unpacking, details=details, resolution=resolution)
    raise EngineError(brief, details=details, resolution=resolution)
