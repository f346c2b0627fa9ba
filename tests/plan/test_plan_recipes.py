"""A library without a recipe is said, not met as a traceback."""

import pytest

from orchestrator.errors import UsageError
from orchestrator.plan.render import Renderer


def test_a_library_without_a_recipe_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no template build/libressl\.sh\.j2") as caught:
        Renderer().source("build/libressl.sh.j2")
    assert "recipe" in caught.value.resolution
