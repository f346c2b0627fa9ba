"""Jinja, set up once: undefined names are errors, and whatever reaches a shell goes through ``sh``."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator import resources


class Renderer:
    """Renders files of ``templates/``; ``overlay`` is a folder whose files come first."""

    def __init__(self, overlay: Path | None = None) -> None:
        folders = [overlay] if overlay is not None else []
        folders.append(resources.root() / "templates")
        # S701: shell and HAProxy files are no HTML; each value is quoted by the template's own filter.
        self._environment = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )
        self._environment.filters["sh"] = lambda value: shlex.quote(str(value))

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """The text of one template."""
        return self._environment.get_template(template).render(values)

    def source(self, name: str) -> str:
        """A file that is used as it is."""
        loader = self._environment.loader
        if loader is None:  # cannot be: the constructor sets it
            raise RuntimeError(name)
        return loader.get_source(self._environment, name)[0]
