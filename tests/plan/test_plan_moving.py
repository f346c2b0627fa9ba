"""Sources that move in a plan: nothing is known of their builds before they are resolved, and all after."""

from dataclasses import replace

from fakes import cell
from plan_samples import planner, recipes, source

from orchestrator.matrix.model import Cell
from orchestrator.plan.action import BuildAction, SourceAction
from orchestrator.plan.plan import Plan, estimate

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


DEBIAN_S = {"name": "distro", "source": "distro"}


def debian_s(arch: str = "arm64", sha256: str = "") -> Plan:
    """Debian's own HAProxy, before and after its package was read out of the image."""
    made = planner(packages={})
    if sha256:
        key = f"source:haproxy-3.0.11 distro: {arch}"
        made = replace(made, moved={key: source("haproxy", "3.0.11", sha256=sha256)})
    return made.plan([with_haproxy(cell(arch=arch, tls="openssl-distro"), **DEBIAN_S)])


def test_debian_s_own_haproxy_comes_out_of_the_image_in_which_it_runs() -> None:
    for arch, image in (("amd64", "runtime"), ("arm64", "emulated-runtime")):
        made = debian_s(arch)
        (taken,) = [one for one in made.actions.values() if isinstance(one, SourceAction)]
        (probe,) = [one for one in made.actions.values() if one.kind == "probe"]
        assert taken.needs == (f"image:{image}-{arch}",)
        assert taken.needs[0] in probe.needs


def test_a_haproxy_that_is_only_unpacked_needs_no_compiler_and_has_none_in_its_digest() -> None:
    key = "haproxy:haproxy-distro--openssl-distro--arm64"
    build = debian_s().actions[key]
    assert isinstance(build, BuildAction)
    assert not build.compiles
    assert build.toolchain == "image:toolchain-amd64"
    assert "image:toolchain-arm64" not in build.needs
    assert build.digest is None
    first, second, again = (debian_s(sha256=digit * 64).actions[key].digest for digit in "121")
    assert first == again != second
    assert None not in {first, second}, "although no toolchain's packages are known"


def test_only_the_self_test_of_debian_s_haproxy_needs_the_compiler_of_its_architecture() -> None:
    made = debian_s()
    (probe,) = [one for one in made.actions.values() if one.kind == "probe"]
    assert probe.optional == ("selftest:selftest--openssl-distro--arm64",)
    users = [key for key, action in made.actions.items() if "image:toolchain-arm64" in action.needs]
    assert users == [*probe.optional]


def test_what_is_only_unpacked_is_estimated_as_that() -> None:
    seconds = estimate(debian_s(), (), lambda _kind, _name: None)
    compiled = estimate(planned(cell()), (), lambda _kind, _name: None)
    assert seconds["haproxy:haproxy-distro--openssl-distro--arm64"] * 10 < compiled[HAPROXY]
