"""The image of a client that the matrix brings: ours, and in it below ROOT what the client comes from.

Its files lie there as they were, and of them the client alone is run (``templates/probe/own_client.py``):
driver, origin, good servers and the control's client stay ours. A hash of what goes in is part of the key.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from orchestrator import bounds
from orchestrator.arch import ARCHES
from orchestrator.atomic_files import FULL, read_limited
from orchestrator.errors import EngineError, SourceUnreachableError, UnpackError
from orchestrator.execute.engine.engine import UID, Engine
from orchestrator.execute.images import apt_output, dockerfiles, image_build, saved_image, workshop
from orchestrator.execute.images.workshop import ImageRecipe, ImageRef, Workshop
from orchestrator.execute.system.deadline import explain_deadline
from orchestrator.matrix import origins
from orchestrator.matrix.model import ClientValue
from orchestrator.plan.render import Renderer

_MAX_BYTES = bounds.ARCHIVE
_ASKED_S = 60
_DEB = b"!<arch>\n"
_CORRECT = "Correct the client's `{}` in the matrix."


def ensure(
    shop: Workshop, ours: ImageRef, client: ClientValue, toolchain: Callable[[], ImageRef]
) -> ImageRef:
    """Return the image of a client, made or found, in which the client was asked what it is.

    :param ours: the image of our own clients, which it grows from.
    :param toolchain: gives the image in which packages of the archive are extracted.
    :raises SourceUnreachableError: where what the client comes from is not there, or holds no such client.
    :raises EngineError, DeadlineError: where the image cannot be made.
    """
    with tempfile.TemporaryFile() as content:
        recipe, digest = _make_recipe(shop.engine, ours, client, content)

        def make_root(into: IO[bytes]) -> None:
            if _is_of_archive(client):
                _extract(shop, client, toolchain(), into)
            else:
                content.seek(0)
                for chunk in iter(lambda: content.read(1 << 20), b""):
                    into.write(chunk)

        try:
            made = workshop.ensure(
                shop,
                recipe,
                origin=describe_origin(client),
                digest=digest,
                make_root=None if _is_engines(client) else make_root,
            )
        except UnpackError as error:
            raise SourceUnreachableError(
                f"the packages of the client {client.name} cannot be unpacked: {error.said}",
                resolution=_CORRECT.format(client.source),
            ) from None
    return made.model_copy(update={"client": _ask(shop.engine, made, client)})


def find(engine: Engine, ours: ImageRef, client: ClientValue) -> ImageRef | None:
    """Return the image of a client if it is here, unproved; ``None`` also where its files are not."""
    with tempfile.TemporaryFile() as content:
        try:
            recipe, _ = _make_recipe(engine, ours, client, content)
        except SourceUnreachableError:
            return None
    return workshop.find(engine, recipe)


def describe_origin(client: ClientValue) -> str:
    """Return where a client comes from, as its value says it."""
    return f"{client.source} {' '.join(client.where)}"


def _is_of_archive(client: ClientValue) -> bool:
    return client.source == "package" and not origins.is_deb(client.where[0])


def _is_engines(client: ClientValue) -> bool:
    """Return whether the client is in an image that the engine has."""
    return client.source == "image" and not origins.is_saved(client.where[0])


def _make_recipe(
    engine: Engine, ours: ImageRef, client: ClientValue, content: IO[bytes]
) -> tuple[ImageRecipe, str | None]:
    """Return the recipe, and a digest of what it adds; write that to ``content``, but for an engine's image.

    What comes from the archive is not known before it is extracted: it has no digest.
    """
    theirs, mark, digest = "", "", None
    if _is_engines(client):
        theirs = mark = digest = _find_theirs(engine, client, ARCHES[ours.arch].platform.split("/")[1])
    elif _is_of_archive(client):
        mark = hashlib.sha256(_render_script(client, ours.arch).encode()).hexdigest()
    else:
        _write_tar(client, content)
        content.seek(0)
        mark = digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"  # type: ignore[arg-type]
    dockerfile = dockerfiles.render_own_client(
        ours.tag,
        theirs=theirs,
        mark=mark,
        debs=client.source == "package" and not _is_of_archive(client),
    )
    arch = ARCHES[ours.arch]
    key = workshop.make_key("client", arch, dockerfile, ours.key)
    made = ImageRecipe(
        name="client", arch=arch, target=arch, key=key, dockerfile=dockerfile, root_name=dockerfiles.OWN_TAR
    )
    return made, digest


def _find_theirs(engine: Engine, client: ClientValue, arch: str) -> str:
    """Return the id of the engine's image that the client is in; it is never pulled here."""
    (name,) = client.where
    found = engine.find_image(name)
    if found is None:
        raise SourceUnreachableError(
            f"the engine has no image {name} for the client {client.name}",
            resolution=f"Bring it there: docker pull {name}, or docker load, or docker build.",
        )
    if found.arch != arch:
        raise SourceUnreachableError(
            f"the image {name} of the client {client.name} is for {found.arch}, and clients run on {arch}",
            resolution=f"Take the one for this machine: docker pull --platform linux/{arch} {name}",
        )
    return found.id


def _render_script(client: ClientValue, arch: str) -> str:
    return dockerfiles.render_own_client_script(client.where, arch)


def _extract(shop: Workshop, client: ClientValue, toolchain: ImageRef, into: IO[bytes]) -> None:
    script = _render_script(client, shop.arch.name)
    done = shop.engine.make_file(
        toolchain.id, script, "/root.tar", into, environment=shop.proxies, timeout=shop.limit
    )
    names = " ".join(client.where)
    unknown = apt_output.find_unknown(done.stdout.decode(errors="replace"))
    if done.exit_code and unknown:
        raise SourceUnreachableError(
            f"the archive has no {names}, which the client {client.name} is to come from",
            details="\n".join(unknown),
            resolution="Name a version that it has (`apt-cache madison`), or give the .deb files themselves.",
        )
    image_build.refuse_failure(done, f"of the client {client.name}", shop.limit)


def _write_tar(client: ClientValue, into: IO[bytes]) -> None:
    """Write the tar of a path, of .deb files or of a saved image: without dates and owners, so repeatable.

    :raises SourceUnreachableError: where one is not there, or is something else.
    """
    first = Path(client.where[0])
    try:
        if client.source == "image":
            saved_image.flatten(first, into, limit=_MAX_BYTES)
            return
        with tarfile.open(fileobj=into, mode="w") as tar:
            for name, file in _list_files(client):
                tar.addfile(*_make_entry(client, name, file))
                if into.tell() > _MAX_BYTES:
                    raise SourceUnreachableError(
                        f"{first} has more than {bounds.format_size(_MAX_BYTES)} in it"
                    )
    except OSError as error:
        if error.errno in FULL:  # our own disk: that says nothing of the files
            raise
        raise SourceUnreachableError(
            f"{error.filename or first} of the client {client.name} cannot be read: {error.strerror}",
            resolution=_CORRECT.format(client.source),
        ) from None


def _list_files(client: ClientValue) -> Iterator[tuple[str, Path]]:
    """Yield name below ROOT, and file; a single program gets the name of its family."""
    for number, where in enumerate(map(Path, client.where)):
        if client.source == "package":
            yield f"{number}.deb", where
        elif not where.is_dir():
            yield f"bin/{client.family}", where
        else:
            for folder, folders, names in os.walk(where):
                folders.sort()
                linked = [one for one in folders if (Path(folder) / one).is_symlink()]
                for name in sorted([*names, *linked]):
                    file = Path(folder) / name
                    yield str(file.relative_to(where)), file


def _make_entry(client: ClientValue, name: str, file: Path) -> tuple[tarfile.TarInfo, IO[bytes] | None]:
    """Return the entry of a file; in a folder a link stays one, since it may be to a place in its image."""
    entry = tarfile.TarInfo(name)
    entry.uid = entry.gid = UID
    if file.is_symlink() and str(file) not in client.where:
        entry.type, entry.linkname = tarfile.SYMTYPE, str(file.readlink())
        return entry, None
    content = read_limited(file, _MAX_BYTES)
    if client.source == "package" and not content.startswith(_DEB):
        raise SourceUnreachableError(f"{file} of the client {client.name} is no Debian package (.deb)")
    entry.size, entry.mode = len(content), 0o755
    return entry, io.BytesIO(content)


def _ask(engine: Engine, image: ImageRef, client: ClientValue) -> str:
    """Return what the client in its image says it is, once it says that it can do HTTP/3.

    :raises SourceUnreachableError: in the words of ``own_client.py`` where it cannot be used.
    """
    script = Renderer().read_source("probe/own_client.py")
    argv = ("python3", "-c", script, client.family, client.declared_version)
    done = engine.run(image.tag, argv, timeout=_ASKED_S)
    if done.timed_out:
        raise explain_deadline(f"The client {client.name}, asked what it is,", _ASKED_S, "request")
    answer = _parse_answer(done.stdout)
    if answer is None:
        last = done.stdout.decode(errors="replace").strip().splitlines()[-1:] or ["nothing was said"]
        raise EngineError(
            f"asking the client {client.name} what it is failed: {bounds.cut(last[0], bounds.WORDS)}"
        )
    if problem := answer["problem"]:
        raise SourceUnreachableError(
            f"the client {client.name} ({describe_origin(client)}) cannot be used: "
            f"{bounds.cut(problem, bounds.WORDS)}",
            resolution=_CORRECT.format(client.source),
        )
    return bounds.cut(answer["version"], bounds.WORDS)


def _parse_answer(output: bytes) -> dict[str, str] | None:
    try:
        answer: Any = json.loads(output.splitlines()[-1])
        return {name: str(answer[name]) for name in ("problem", "version")}
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
