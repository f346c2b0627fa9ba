"""Jinja, set up once: undefined names are errors, and whatever reaches a shell goes through ``sh``."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator import resources
from orchestrator.errors import UsageError


class Renderer:
    """Renders files of ``templates/``; ``overlay`` is a folder whose files come first."""

    def __init__(self, overlay: Path | None = None) -> None:
        folders = [overlay] if overlay is not None else []
        folders.append(resources.root() / "templates")
        self._loader = ChoiceLoader([FileSystemLoader(folder) for folder in folders])
        self._names = frozenset(self._loader.list_templates())
        # No autoescape: shell and HAProxy files are no HTML, and each value goes through its own filter.
        self._environment = ImmutableSandboxedEnvironment(
            loader=self._loader,
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )
        self._environment.filters["sh"] = lambda value: shlex.quote(str(value))

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """The text of one template."""
        return self._environment.get_template(template).render(values)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._names

    def source(self, name: str) -> str:
        """A file that is used as it is.

        :raises UsageError: if there is none, which for ``build/`` means: no recipe for that library.
        """
        try:
            return self._loader.get_source(self._environment, name)[0]
        except TemplateNotFound:
            raise UsageError(
                f"There is no template {name}.",
                resolution="A TLS library can be built from source once templates/build has a recipe for it.",
            ) from None
