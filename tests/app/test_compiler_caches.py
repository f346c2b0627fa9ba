"""Which compiler caches a build reads and fills: nothing that a stranger ran fills what others read."""

from plan_samples import plan, recipes

from orchestrator.app.actions.build import choose_caches
from orchestrator.matrix.catalog import Moving
from orchestrator.matrix.model import Patch
from orchestrator.plan.action import Recipe

COMMON = "haproxy-amd64-arm64"


def recipe(*patches: Patch, moving: Moving | None = None) -> Recipe:
    made = recipes(plan())["haproxy:haproxy-3.0.11--openssl-3.5.7--arm64"]
    return made.model_copy(update={"patches": patches, "moving": moving})


def tree(where: str) -> Moving:
    return Moving(component="haproxy", version="3.0.11", kind="path", where=where, ref="")


FIX = Patch(path="fix.diff", name="fix.diff", sha256="ab" * 32)


def test_a_verified_tarball_fills_the_cache_of_all() -> None:
    assert choose_caches(recipe()) == ((COMMON,), COMMON)


def test_a_patched_build_reads_and_fills_none() -> None:
    assert choose_caches(recipe(FIX)) == ((COMMON,), None)
    assert choose_caches(recipe(FIX, moving=tree("/mine")))[1] is None


def test_a_place_that_moves_has_a_cache_of_its_own_and_begins_with_the_common_one() -> None:
    (mine, common), filled = choose_caches(recipe(moving=tree("/mine")))
    assert (common, filled) == (COMMON, mine)
    assert mine != COMMON
    assert choose_caches(recipe(moving=tree("/another")))[1] not in {mine, COMMON}


def test_what_a_script_brings_along_has_none() -> None:
    assert choose_caches(recipe().model_copy(update={"source": None})) == ((), None)
