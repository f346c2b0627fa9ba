"""Sources that move in a plan: nothing is known of their builds before they are resolved, and all after."""

from dataclasses import replace

from fakes import cell
from plan_samples import planner, recipes, source

from orchestrator.matrix.model import Cell
from orchestrator.plan.action import BuildAction, SourceAction
from orchestrator.plan.plan import Plan

BRANCH = {"source": "git", "where": "https://example.org/x.git", "ref": "master"}
KEY = "source:haproxy-3.0.11 git: https://example.org/x.git master"
HAPROXY = "haproxy:haproxy-3.0.11--openssl-3.5.7--amd64"


def with_haproxy(one: Cell, **changes: object) -> Cell:
    haproxy = one.haproxy.model_copy(update=changes)
    return Cell(id=f"{one.id}-{haproxy.name}", **{**one.axes, "haproxy": haproxy})  # type: ignore[arg-type]


def planned(*cells: Cell, sha256: str = "") -> Plan:
    made = planner()
    if sha256:
        made = replace(made, moved={KEY: source("haproxy", "3.0.11", sha256=sha256)})
    return made.plan(cells)


def test_before_it_is_resolved_a_build_has_no_digest_and_no_problem() -> None:
    made = planned(with_haproxy(cell(), **BRANCH))
    build, moving = made.actions[HAPROXY], made.actions[KEY]
    assert isinstance(build, BuildAction)
    assert isinstance(moving, SourceAction)
    assert (build.recipe, build.digest, build.problem) == (None, None, "")
    assert (moving.source, moving.digest, moving.problem) == (None, None, "")
    assert str(moving.moving) == "git: https://example.org/x.git master"
    assert KEY in build.needs


def test_the_resolved_digest_is_part_of_the_build_s_alone() -> None:
    one = with_haproxy(cell(), **BRANCH)
    first, second, again = (planned(one, sha256=digit * 64) for digit in "121")
    assert first.actions[KEY].digest == "1" * 64
    assert first.actions[HAPROXY].digest == again.actions[HAPROXY].digest
    assert first.actions[HAPROXY].digest != second.actions[HAPROXY].digest
    library = "tls:openssl-3.5.7--amd64"
    assert first.actions[library].digest == second.actions[library].digest is not None


def test_two_values_of_one_branch_and_version_share_its_source() -> None:
    made = planned(
        with_haproxy(cell(), name="one", **BRANCH),
        with_haproxy(cell(), name="other", make_flags=("DEBUG=-g",), **BRANCH),
    )
    assert [key for key in made.actions if key.startswith("source:haproxy")] == [KEY]


def test_a_tarball_and_a_branch_of_one_version_are_two_sources() -> None:
    made = planned(cell(), with_haproxy(cell(), name="branch", **BRANCH))
    assert {key for key in made.actions if key.startswith("source:haproxy")} == {"source:haproxy-3.0.11", KEY}


def test_make_flags_of_a_branch_reach_its_build() -> None:
    made = planned(with_haproxy(cell(), make_flags=("DEBUG=-g",), **BRANCH), sha256="1" * 64)
    recipe = recipes(made)[HAPROXY]
    assert recipe.flags[-1] == "DEBUG=-g"


def test_what_is_prebuilt_needs_a_file_per_architecture_and_no_library() -> None:
    changes = {"source": "prebuilt", "where": "dist/haproxy_{arch}.deb"}
    made = planned(*(with_haproxy(cell(arch=arch), **changes) for arch in ("amd64", "arm64")))
    assert [key for key in made.actions if key.startswith("source:")] == [
        f"source:haproxy-3.0.11 prebuilt: dist/haproxy_{arch}.deb" for arch in ("amd64", "arm64")
    ]
    assert not [action for action in made.actions.values() if action.kind in {"tls", "selftest"}]
