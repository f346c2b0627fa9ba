"""Jinja, set up once: undefined names are errors, and all that reaches a shell goes through ``sh``.

Values are text to Jinja, never templates. What no allow-list has refused is refused here: a value with
a line break, which would be a line of its own in a script, a Dockerfile or a configuration.
"""

import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateNotFound, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator import resources
from orchestrator.errors import UsageError
from orchestrator.phrases import quote


def make_environment(loader: BaseLoader, **options: Any) -> ImmutableSandboxedEnvironment:
    """Make Jinja for all that is no page: a sandbox, StrictUndefined, the filter ``sh``, one line per value.

    No autoescape: shell and HAProxy files are no HTML, and each value goes through its own filter.
    """
    made = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_require_one_line,
        **options,
    )
    made.filters["sh"] = lambda value: shlex.quote(str(value))
    return made


def _require_one_line(value: Any) -> Any:
    text = str(value)
    if text.isprintable():
        return value
    raise UsageError(
        f"a value with a line break or an unprintable character is not rendered: {quote(text)}",
        resolution="Take it out of the matrix, of the sources or of a file's name.",
    )


@cache  # compiled once, however many renderers there are
def _load_ours() -> "_Templates":
    return _Templates()


class _Templates:
    """Our files, and those of ``overlays`` before them. ``texts`` are those of ``Renderer.text``."""

    def __init__(self, *overlays: Path) -> None:
        folders = (*overlays, resources.find_root() / "templates")
        self.loader = ChoiceLoader([FileSystemLoader(folder) for folder in folders])
        self.environment = make_environment(self.loader)
        self.names = frozenset(self.loader.list_templates())
        self.texts: dict[str, str] = {}


class Renderer:
    """Renders files of ``templates/``; ``overlay`` is a folder whose files come first."""

    def __init__(self, overlay: Path | None = None) -> None:
        self._templates = _load_ours() if overlay is None else _Templates(overlay)

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the text of one template."""
        return self._templates.environment.get_template(template).render(values)

    def has(self, name: str) -> bool:
        """Return whether there is such a file."""
        return name in self._templates.names

    def read_source(self, name: str) -> str:
        """Return a file that is used as it is.

        :raises UsageError: if there is no such file, which for ``build/`` means: no recipe for that library.
        """
        try:
            return self._templates.loader.get_source(self._templates.environment, name)[0]
        except TemplateNotFound:
            raise UsageError(
                f"There is no template {name}.",
                resolution="A TLS library can be built from source once templates/build has a recipe for it.",
            ) from None

    def read_text(self, name: str) -> str:
        """Return a template and all that it includes, as they stand: what decides what it can be rendered to.

        :raises UsageError: see ``source``.
        """
        known = self._templates.texts
        if name not in known:  # of two threads the second writes the same
            known[name] = self._read(name)
        return known[name]

    def _read(self, name: str) -> str:
        seen: dict[str, str] = {}
        left = [name]
        while left:
            one = left.pop()
            seen[one] = self.read_source(one)
            # A computed name is None there; ours are all plain text, which StrictUndefined does not forbid.
            named = meta.find_referenced_templates(self._templates.environment.parse(seen[one]))
            left += sorted(other for other in named if other is not None and other not in seen)
        return "\n".join(seen.values())
