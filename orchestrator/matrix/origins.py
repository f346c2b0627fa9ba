"""Where a source that moves may come from, as ``matrix.yaml`` writes it.

Everything that passes here reaches git's command line or a file name, so each form is an allow-list. Forms of
URLs: gitprotocol(5) and git-fetch(1), of refs: git-check-ref-format(1).
"""

import re
from collections.abc import Callable
from pathlib import Path

from orchestrator.atomic_files import expand_home
from orchestrator.phrases import join_names, quote, suggest

SCHEMES = ("https", "ssh", "git", "file")
ARCH = "{arch}"
"""Stands for the architecture's name in ``prebuilt``."""

IMAGE = (
    r"^[a-z0-9][A-Za-z0-9._/-]*(:[0-9]+/[a-z0-9][A-Za-z0-9._/-]*)?"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?$"
)
"""A container image as an engine names it: https://pkg.go.dev/github.com/distribution/reference."""
APT = r"^[a-z0-9][a-z0-9.+-]*[a-z0-9.+](=[0-9A-Za-z.+:~-]+)?$"
"""A package of the archive, with or without its version, as apt-get(8) takes it."""
_SAVED = (".tar", ".tar.gz", ".tgz")

_PATH = r"[0-9A-Za-z._/+,=%~-]+"
_URL = re.compile(
    rf"(?:https|git)://[0-9A-Za-z][0-9A-Za-z.-]*(?::[0-9]+)?/{_PATH}"
    rf"|ssh://(?:[0-9A-Za-z_][0-9A-Za-z._-]*@)?[0-9A-Za-z][0-9A-Za-z.-]*(?::[0-9]+)?/{_PATH}"
    rf"|file:///{_PATH}"
)
_FOLDER = re.compile(_PATH)
_REF = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._/+@-]*")
_NO_REF = re.compile(r"\.\.|//|/\.|@\{|[./]$|\.lock(/|$)")
_LONGEST = 1024


def check_git(text: str) -> str | None:
    """Return why git may not get ``URL REF``, or ``None``."""
    words = text.split(" ")
    if len(words) != 2 or not all(words):  # noqa: PLR2004 - two words
        return f"{quote(text)} is no `URL REF`, as in `https://example.org/haproxy.git master`"
    url, ref = words
    return _check_url(url) or _check_ref(ref)


def check_folder(text: str) -> str | None:
    """Return why this names no file or folder, or ``None``."""
    if text.startswith("-"):
        return f"{quote(text)} begins with a dash; write ./ before it"
    if not text.isprintable() or not text.strip() or len(text) > _LONGEST:
        return f"{quote(text)} is no path"
    return None


def check_prebuilt(text: str) -> str | None:
    """Return why this names no binary or .deb, or ``None``."""
    if "{" in text.replace(ARCH, "") or "}" in text.replace(ARCH, ""):
        return f"{quote(text)} has another placeholder than {ARCH}"
    return check_folder(text)


def is_saved(image: str) -> bool:
    """Return whether this names the tar of a saved image, and no image of the engine."""
    return image.endswith(_SAVED)


def is_deb(package: str) -> bool:
    """Return whether this names the file of a package, and no package of the archive."""
    return package.endswith(".deb")


def check_image(text: str) -> str | None:
    """Return why this names neither an image nor a saved one, or ``None``."""
    if is_saved(text):
        return check_folder(text)
    if not re.fullmatch(IMAGE, text) or len(text) > _LONGEST:
        saved = join_names(_SAVED)
        return f"{quote(text)} is no image, as in example.org/curl:8.16, and no saved one ({saved})"
    return None


def check_package(text: str) -> str | None:
    """Return why this names neither a .deb nor a package of the archive, or ``None``."""
    if is_deb(text):
        return check_folder(text)
    if not re.fullmatch(APT, text) or len(text) > _LONGEST:
        return f"{quote(text)} is no package, as in curl or curl=8.14.1-2, and no .deb"
    return None


def locate(text: str, beside: Path) -> str:
    """Return a path of the file, seen from here: a relative one begins at ``beside``, the matrix' folder."""
    return str(beside / expand_home(text))


def split_git(text: str, beside: Path) -> tuple[str, str]:
    """Return URL and ref of an accepted ``git:``; a plain folder as ``locate`` says."""
    url, _, ref = text.partition(" ")
    return (url if "://" in url else locate(url, beside)), ref


def _check_url(url: str) -> str | None:
    scheme, separator, rest = url.partition("://")
    if re.search(r"//[^/]*:[^/]*@", url):
        return f"the URL {_NAMED}"
    for wrong, why in _REFUSED:
        if wrong(url):
            return f"{quote(url)} {why}"
    if not separator:
        return None if _FOLDER.fullmatch(url) else f"{quote(url)} is no URL and no plain folder's path"
    if scheme not in SCHEMES:
        asked = f"git is not asked over {quote(scheme)}{suggest(scheme, SCHEMES)}"
        return f"{quote(url)}: {asked} ({join_names(SCHEMES)})"
    if "@" in rest.partition("/")[0] and scheme != "ssh":
        return f"the URL {_NAMED}"
    return None if _URL.fullmatch(url) else f"{quote(url)} is no URL that git may be given"


_NAMED = "names a user or password, which would stand in every report; use git's credential helpers"
_REFUSED: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda url: url.startswith("-"), "begins with a dash"),
    (lambda url: "::" in url, "names a transport helper (`::`), which could run any program"),
    (
        lambda url: "://" not in url and ":" in url,
        "is neither a URL nor a folder; ssh is written as `ssh://git@host/path.git`",
    ),
)


def _check_ref(ref: str) -> str | None:
    if _REF.fullmatch(ref) and not _NO_REF.search(ref):
        return None
    return f"{quote(ref)} is no ref: a branch, a tag, or a commit's 40 digits"
