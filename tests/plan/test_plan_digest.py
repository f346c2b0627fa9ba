"""Digests: fixed forever, moved by each input that decides an output, and by nothing else."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from fakes import cell
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import CATALOG, TOOLCHAIN, cells, digests, planner, source

from orchestrator.matrix.catalog import Catalog
from orchestrator.matrix.model import Cell, Patch
from orchestrator.plan.digest import compute_digest
from orchestrator.plan.render import Renderer

HAPROXY, LIBRARY = "haproxy:haproxy-3.0.11--openssl-3.5.7--arm64", "tls:openssl-3.5.7--arm64"
DISTRO = "haproxy:haproxy-3.0.11--openssl-distro--arm64"

# A change of the digests below means that every store is rebuilt from nothing: artifacts that are there
# are no longer found. Raise SCHEMA in orchestrator/plan/digest.py when the change is meant.
GOLDEN_EMPTY = "ffd759ebb1b52bf4b532cc1add38cf9b6c0692105de842fb38db5b2bb42ac3ed"
GOLDEN_FULL = "629c3b6dcc0da5710cc8aa5117a50e577045060eb37c30cb3d7968085abbc6dc"
GOLDEN_PLAN = {
    "haproxy:openssl-distro--amd64": "1743708167d16eca0d411c4cfa8a267676302e4860d48274149cfb56a69b1c8c",
    "tls:openssl-3.5.7--amd64": "db946c26c58f4cc494c31e07a6bb789fbbb622f566791d4ea60e4cb00bbb2c77",
    "haproxy:openssl-3.5.7--amd64": "a08eef771036cd7788199f117438276f89cf627bb0a24b6099ee898ec9f1f102",
    "haproxy:openssl-distro--arm64": "5375e97adff3417cf83d7dd747d589643c0bee57d2aa9d74c7f88d8751f7199c",
    "tls:openssl-3.5.7--arm64": "88106b09efc2cf24947be67184fcf4adc3c3b90dc624696053623f3a069d3aeb",
    "haproxy:openssl-3.5.7--arm64": "88fc7998d73489946e74be5e426c6b679cb129d63b9487741a664a71b4c18759",
}


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """Recipes of one line, so that the golden digests do not hang on the text of ours."""
    (tmp_path / "build").mkdir()
    for name in ("openssl", "haproxy"):
        (tmp_path / "build" / f"{name}.sh.j2").write_text(f"build {name}\n")
    return tmp_path


def test_golden_digests_of_canonical_json() -> None:
    assert compute_digest("tls", {}) == GOLDEN_EMPTY
    parents = ("b" * 64, "a" * 64)
    assert compute_digest("tls", {"b": [1, "ä"], "a": ("x",)}, parents) == GOLDEN_FULL


def test_golden_digests_of_a_plan(recipes: Path) -> None:
    found = digests(planner(renderer=Renderer(recipes)).plan(cells()))
    assert {key.replace("haproxy-3.0.11--", ""): value for key, value in found.items()} == GOLDEN_PLAN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    inputs=st.dictionaries(st.text(), JSON, max_size=4), other=st.dictionaries(st.text(), JSON, max_size=4)
)
def test_equal_inputs_in_any_order_and_only_those_have_one_digest(
    inputs: dict[str, object], other: dict[str, object]
) -> None:
    turned = dict(reversed(inputs.items()))
    assert compute_digest("tls", inputs) == compute_digest("tls", turned)
    assert (compute_digest("tls", inputs) == compute_digest("tls", other)) == (
        repr(_sorted(inputs)) == repr(_sorted(other))
    )


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_parents_count_as_a_set_and_each_of_them() -> None:
    assert compute_digest("haproxy", {}, ("a", "b")) == compute_digest("haproxy", {}, ("b", "a"))
    assert len({compute_digest("haproxy", {}, parents) for parents in ((), ("a",), ("b",), ("a", "b"))}) == 4


def test_the_kind_is_part_of_it() -> None:
    assert compute_digest("tls", {}) != compute_digest("haproxy", {})


# Each input of a compile, and the compiles whose digest it moves.


def _plan(
    *,
    catalog: Catalog = CATALOG,
    packages: Mapping[str, str] = TOOLCHAIN,
    renderer: Renderer | None = None,
    host: str = "amd64",
    emulated: bool = False,
    change: Callable[[Cell], Cell] = lambda one: one,
) -> dict[str, str | None]:
    made = planner(host=host, catalog=catalog, packages=packages, renderer=renderer, emulated=emulated)
    return digests(made.plan([change(one) for one in cells(arches=["arm64"])]))


def _catalog(component: str, **other: object) -> Catalog:
    key = (component, "3.0.11" if component == "haproxy" else "3.5.7")
    changed = CATALOG.sources[key].model_copy(update=other)
    return Catalog(sources={**CATALOG.sources, key: changed})


def _replaced(axis: str, **other: object) -> Callable[[Cell], Cell]:
    def change(one: Cell) -> Cell:
        axes = {**one.axes, axis: one.axes[axis].model_copy(update=other)}
        return Cell(id=one.id, **axes)  # type: ignore[arg-type]

    return change


ALL = {LIBRARY, HAPROXY, DISTRO}
PATCH = Patch(name="fix.diff", sha256="1" * 64, path="fix.diff")


@pytest.mark.parametrize(
    ("changed", "moved"),
    [
        pytest.param({"catalog": _catalog("openssl", sha256="0" * 64)}, {LIBRARY, HAPROXY}, id="tls source"),
        pytest.param({"catalog": _catalog("openssl", strip=2)}, {LIBRARY, HAPROXY}, id="tls strip"),
        pytest.param(
            {"catalog": _catalog("haproxy", sha256="0" * 64)}, {HAPROXY, DISTRO}, id="haproxy source"
        ),
        pytest.param(
            {"change": _replaced("tls", configure_flags=("no-asm",))}, {LIBRARY, HAPROXY}, id="configure flag"
        ),
        pytest.param(
            {"change": _replaced("tls", make_flags=("A=1",))}, {HAPROXY, DISTRO}, id="tls make flag"
        ),
        pytest.param(
            {"change": _replaced("haproxy", make_flags=("A=1",))}, {HAPROXY, DISTRO}, id="make flag"
        ),
        pytest.param({"change": _replaced("tls", patches=(PATCH,))}, {LIBRARY, HAPROXY}, id="tls patch"),
        pytest.param({"change": _replaced("haproxy", patches=(PATCH,))}, {HAPROXY, DISTRO}, id="patch"),
        pytest.param({"host": "arm64"}, ALL, id="host"),
        pytest.param({"emulated": True}, ALL, id="compiler's architecture"),
        *(
            pytest.param({"packages": {**TOOLCHAIN, name: "9"}}, moved, id=name)
            for name, moved in {
                "gcc-14-aarch64-linux-gnu": ALL,
                "binutils-aarch64-linux-gnu": ALL,
                "libc6-dev-arm64-cross": ALL,
                "linux-libc-dev-arm64-cross": ALL,
                "libcrypt-dev:arm64": ALL,
                "libssl-dev:arm64": {DISTRO},
            }.items()
        ),
    ],
)
def test_what_decides_an_output_moves_its_digest(changed: dict[str, object], moved: set[str]) -> None:
    before, after = _plan(), _plan(**changed)  # type: ignore[arg-type]
    assert {key for key in before if before[key] != after[key]} == moved


@pytest.mark.parametrize(("name", "moved"), [("openssl", {LIBRARY, HAPROXY}), ("haproxy", {HAPROXY, DISTRO})])
def test_the_text_of_a_recipe_moves_its_digest(recipes: Path, name: str, moved: set[str]) -> None:
    before = _plan(renderer=Renderer(recipes))
    (recipes / "build" / f"{name}.sh.j2").write_text("# one comment more\n")
    after = _plan(renderer=Renderer(recipes))
    assert {key for key in before if before[key] != after[key]} == moved


def test_what_a_recipe_includes_is_a_part_of_its_text(recipes: Path) -> None:
    (recipes / "build" / "haproxy.sh.j2").write_text("{% include 'build/outer' %}\n")
    (recipes / "build" / "outer").write_text("{% include 'build/inner' %}\n")
    texts = ("one", "other")
    found = []
    for text in texts:
        (recipes / "build" / "inner").write_text(text)
        found.append(_plan(renderer=Renderer(recipes)))
    before, after = found
    assert {key for key in before if before[key] != after[key]} == {HAPROXY, DISTRO}


def test_where_a_patch_lies_moves_no_digest() -> None:
    here, there = (
        _plan(change=_replaced("tls", patches=(PATCH.model_copy(update={"path": path, "name": path}),)))
        for path in ("a.diff", "b.diff")
    )
    assert here == there


def test_targets_differ() -> None:
    found = digests(planner().plan(cells()))
    assert len(set(found.values())) == len(found) == 6


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"packages": {**TOOLCHAIN, "perl": "9", "ccache": "9"}}, id="other tools"),
        pytest.param({"packages": {**TOOLCHAIN, "gcc-14-x86-64-linux-gnu": "9"}}, id="the native compiler"),
        pytest.param({"packages": {**TOOLCHAIN, "libssl-dev": "9", "libc6-dev": "9"}}, id="the host's libc"),
        pytest.param(
            {"catalog": Catalog(sources={**CATALOG.sources, ("x", "1"): source("x", "1")})},
            id="a source more",
        ),
        pytest.param(
            {"change": _replaced("cipher", suite="TLS_AES_256_GCM_SHA384", name="other")}, id="the cipher"
        ),
        pytest.param({"change": _replaced("client", family="other", name="other")}, id="the client"),
        pytest.param({"change": _replaced("haproxy", name="a name of its own")}, id="HAProxy's name"),
    ],
)
def test_what_decides_no_output_moves_no_digest(changed: dict[str, object]) -> None:
    assert set(_plan(**changed).values()) == set(_plan().values())  # type: ignore[arg-type]


@given(order=st.permutations(cells()))
def test_the_order_of_cells_moves_no_digest(order: list[Cell]) -> None:
    assert digests(planner().plan(order)) == digests(planner().plan(cells()))


def test_other_cells_move_no_digest() -> None:
    alone = digests(planner().plan([cell()]))
    together = digests(planner().plan(cells()))
    assert alone.items() <= together.items()


def test_a_digest_stays_from_one_planner_to_the_next() -> None:
    assert _plan() == _plan()
