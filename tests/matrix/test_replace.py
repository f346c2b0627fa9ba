"""Other values on an axis: what becomes of the includes, excludes, profiles and rules of a matrix."""

from dataclasses import replace
from pathlib import Path

import pytest
from matrix_samples import matrix, record

from orchestrator import resources
from orchestrator.errors import UsageError
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import AxisValue, HaproxyValue, Matrix, TlsValue
from orchestrator.matrix.replace import replace_values
from orchestrator.matrix.select import find_filters, select
from orchestrator.matrix.versionless import add_versions

TREE = HaproxyValue(name="haproxy-path", version="3.5-dev5", source="path", where="/x")
LIBRARY = TlsValue(name="libressl-path", family="libressl", version="4.4.0", source="path", where="/y")
DEFAULT = resources.find_root() / "matrix.yaml"


def ids(given: Matrix) -> list[str]:
    return [cell.id for cell in expand(given)]


def test_nothing_given_is_the_same_matrix() -> None:
    whole = matrix()
    assert replace_values(whole, []) is whole


def test_a_value_takes_the_place_of_the_axis() -> None:
    found = expand(replace_values(matrix(), [("haproxy", TREE)]))
    assert {cell.haproxy for cell in found} == {TREE}
    assert len(found) == 2 * 3 * 3
    assert found[0].id == "amd64--haproxy-path--openssl-distro--TLS_AES_128_GCM_SHA256"


def test_several_add_up_on_one_axis_and_on_two() -> None:
    release = record("haproxy", "3.0.11")
    found = expand(replace_values(matrix(), [("haproxy", TREE), ("haproxy", release), ("tls", LIBRARY)]))
    assert {cell.haproxy.name for cell in found} == {"haproxy-path", "3.0.11"}
    assert {cell.tls.name for cell in found} == {"libressl-path"}


def test_an_axis_that_the_file_leaves_out() -> None:
    found = expand(replace_values(matrix(), [("client", record("client", "aioquic"))]))
    assert {cell.client.name for cell in found} == {"aioquic"}


def test_includes_have_the_new_values_once_each() -> None:
    include = [
        {"arch": "armhf", "haproxy": name, "tls": "openssl-distro", "cipher": "default"}
        for name in ("3.0.11", "2.8.9", "distro")
    ]
    made = replace_values(matrix(include=include), [("haproxy", TREE)])
    assert [one for one in ids(made) if one.startswith("armhf")] == [
        "armhf--haproxy-path--openssl-distro--default"
    ]
    assert len(made.include) == 1


def test_a_matrix_of_includes_alone() -> None:
    include = [{"arch": "amd64", "haproxy": "2.8.9", "tls": "openssl-distro", "cipher": "default"}]
    made = replace_values(matrix({}, include=include), [("haproxy", TREE), ("tls", LIBRARY)])
    assert ids(made) == ["amd64--haproxy-path--libressl-path--default"]


def test_an_exclude_of_a_replaced_value_is_gone_and_said() -> None:
    exclude = [
        {"haproxy": "3.0.11", "tls": "openssl-3.5.7"},
        {"arch": "arm64", "cipher": "default"},
        {"haproxy": "3.2.0", "arch": "arm64"},
    ]
    made = replace_values(
        matrix(exclude=exclude), [("haproxy", record("haproxy", "3.2.0")), ("tls", LIBRARY)]
    )
    assert [{axis: value.name for axis, value in one.items()} for one in made.exclude] == [
        {"arch": "arm64", "cipher": "default"},
        {"haproxy": "3.2.0", "arch": "arm64"},
    ]
    assert made.notes == (
        (
            "matrix.yaml: --with replaces haproxy and tls; left out, since only replaced values have it:"
            " 1 of exclude"
        ),
    )


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (("haproxy=3.0.11", "arch=arm64"), ("arch=arm64",)),
        (("haproxy=3.0.11,haproxy-path",), ("haproxy=haproxy-path",)),
        (("haproxy!=3.0.11",), ()),
        (("haproxy!=3.0.11,haproxy-*",), ("haproxy!=haproxy-*",)),
        (("haproxy<=3.1",), ()),
        (("haproxy>=3.0.11",), ("haproxy>=3.0.11",)),
        (("haproxy=3.0-dev..3.1,3.5-dev..",), ("haproxy=3.5-dev..",)),
        (("haproxy=nothing-has-it",), ("haproxy=nothing-has-it",)),
        (("tls=libressl,openssl",), ("tls=libressl,openssl",)),
    ],
)
def test_of_a_profile_what_only_replaced_values_have_is_left_out(
    filters: tuple[str, ...], left: tuple[str, ...]
) -> None:
    made = replace_values(matrix(profiles={"quick": filters}), [("haproxy", TREE)])
    assert made.profiles == {"quick": left}


def test_a_family_that_is_gone_is_left_out_of_a_profile() -> None:
    made = replace_values(matrix(profiles={"p": ("tls=openssl,libressl<4.0",)}), [("tls", LIBRARY)])
    assert made.profiles == {"p": ()}
    with_it = replace_values(matrix(profiles={"p": ("tls=openssl,libressl",)}), [("tls", LIBRARY)])
    assert with_it.profiles == {"p": ("tls=libressl",)}


def test_two_of_one_name_are_refused() -> None:
    other = TREE.model_copy(update={"where": "/z"})
    with pytest.raises(UsageError, match="two values of haproxy are called 'haproxy-path'"):
        replace_values(matrix(), [("haproxy", TREE), ("haproxy", other)])


def test_debians_own_haproxy_stays_with_its_own_library() -> None:
    distro = record("haproxy", "distro")
    assert {cell.tls.name for cell in expand(replace_values(matrix(), [("haproxy", distro)]))} == {
        "openssl-distro"
    }
    include = [{"arch": "armhf", "haproxy": "distro", "tls": "openssl-distro", "cipher": "default"}]
    made = replace_values(matrix(include=include), [("tls", LIBRARY)])
    assert made.include == ()
    with pytest.raises(UsageError, match="no cell is left") as caught:
        replace_values(matrix(), [("haproxy", distro), ("tls", LIBRARY)])
    assert "not with libressl-path" in caught.value.details


def test_what_the_matrix_excludes_itself_is_not_blamed_on_debian() -> None:
    whole = matrix(exclude=[{"arch": "amd64"}, {"arch": "arm64"}])
    with pytest.raises(UsageError, match="no cell is left") as caught:
        replace_values(whole, [("haproxy", TREE)])
    assert caught.value.details == ""


RULES = """
version: 1
axes: {arch: [amd64], haproxy: ["2.8.9", "3.0.11"], tls: [openssl-3.5.7, libressl-3.9.2], cipher: [default]}
expect:
  - {when: [haproxy=2.8.9, tls=libressl], outcome: fail, reason: not-ready, because: https://example.org/1}
  - {when: ["haproxy>=3.0.11", tls=libressl], outcome: fail, reason: not-ready, because: https://example.org/2}
  - {when: ["haproxy!=2.8.9", tls=openssl], outcome: fail, reason: not-ready, because: https://example.org/3}
"""


def test_a_rule_of_replaced_values_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(RULES)
    made = replace_values(load(tmp_path / "matrix.yaml"), [("haproxy", TREE)])
    assert [(rule.because[-1], rule.when) for rule in made.expect] == [
        ("2", ("haproxy>=3.0.11", "tls=libressl")),
        ("3", ("tls=openssl",)),
    ]
    assert made.notes[-1].endswith("only replaced values have it: 1 rule of expect")


def test_a_rule_that_fitted_cells_and_fits_none_now_is_left_out(tmp_path: Path) -> None:
    """Each of its filters has cells; all of them together had one in an include, which is Debian's now."""
    text = (
        RULES
        + """\
  - {when: [tls=openssl-3.5.7, arch=armhf], outcome: fail, reason: not-ready, because: https://example.org/4}
  - {when: [tls=openssl-3.5.7, arch=s390x], outcome: fail, reason: not-ready, because: https://example.org/5}
include:
  - {arch: armhf, haproxy: "2.8.9", tls: openssl-3.5.7, cipher: default}
  - {arch: armhf, haproxy: "2.8.9", tls: openssl-distro, cipher: default}
"""
    )
    (tmp_path / "matrix.yaml").write_text(text)
    made = replace_values(load(tmp_path / "matrix.yaml"), [("haproxy", record("haproxy", "distro"))])
    assert [rule.because[-1] for rule in made.expect] == ["3", "5"]  # 5 fitted none before either
    assert made.notes[-1].endswith("only replaced values have it: 3 rules of expect")


@pytest.mark.parametrize("profile", ["quick", "nightly", "mission", "issue-2569"])
def test_every_profile_of_the_default_matrix_selects_a_tree(profile: str) -> None:
    made = replace_values(load(DEFAULT), [("haproxy", TREE)])
    every = expand(made)
    found = select(every, find_filters(made, profile), known=every)
    assert {cell.haproxy for cell in found} == {TREE}


def _version(_: object) -> str:
    return "9.9"


def test_versions_are_filled_in_where_there_are_none_everywhere() -> None:
    unread = TREE.model_copy(update={"version": ""})
    values: dict[str, AxisValue] = {"arch": record("arch", "amd64"), "haproxy": unread, "tls": LIBRARY}
    whole = matrix({})
    whole = replace(
        whole,
        axes={axis: (value,) for axis, value in values.items()},
        include=(values,),
        exclude=({"haproxy": unread},),
    )
    asked: list[str] = []

    def read(software: HaproxyValue | TlsValue) -> str:
        asked.append(software.name)
        return software.version or "3.5"

    made = add_versions(whole, read)  # type: ignore[arg-type] # it is asked for these two alone
    known = TREE.model_copy(update={"version": "3.5"})
    assert made.axes["haproxy"] == (known,)
    assert made.include[0]["haproxy"] == known
    assert made.exclude == ({"haproxy": known},)
    assert asked == ["haproxy-path", "libressl-path"]


def test_releases_and_packages_are_not_asked_for_a_version() -> None:
    whole = matrix()
    assert add_versions(whole, _version) is whole
