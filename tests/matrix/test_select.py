"""Selection: the grammar of filters, laws, errors with the nearest name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix_samples import matrix

from orchestrator.errors import Exit, NothingSelectedError, UsageError
from orchestrator.matrix.expand import expand
from orchestrator.matrix.model import AXES
from orchestrator.matrix.select import find_filters, select, select_ids

CELLS = expand(matrix())
ALL_HAPROXY = ["3.0-dev12", "3.0.11", "3.1.9", "3.2-dev5", "3.2.0"]
ALL_TLS = ["openssl-distro", "openssl-3.5.7", "libressl-3.9.2"]

FILTERS = [
    "arch=arm64",
    "arch!=arm64",
    "tls=openssl*",
    "tls!=openssl",
    "haproxy=..3.1",
    "haproxy>3.0",
    "tls=openssl>=3.5",
    "cipher=TLS_*,default",
    "client=curl",
]


def chosen(axis: str, text: str) -> list[str]:
    return list(dict.fromkeys(getattr(cell, axis).name for cell in select(CELLS, [text])))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("haproxy=3.0.11", ["3.0.11"]),
        ("haproxy!=3.0.11", ["3.0-dev12", "3.1.9", "3.2-dev5", "3.2.0"]),
        ("haproxy=haproxy", ALL_HAPROXY),
        ("haproxy=3.[01]*", ["3.0-dev12", "3.0.11", "3.1.9"]),
        ("haproxy=3.0.11,3.2*", ["3.0.11", "3.2-dev5", "3.2.0"]),
        ("haproxy<3.2", ["3.0-dev12", "3.0.11", "3.1.9", "3.2-dev5"]),
        ("haproxy=..3.1", ["3.0-dev12", "3.0.11", "3.1.9"]),
        ("haproxy<=3.1", ["3.0-dev12", "3.0.11", "3.1.9"]),
        ("haproxy>3.1", ["3.2-dev5", "3.2.0"]),
        ("haproxy>=3.2", ["3.2.0"]),
        ("haproxy=3.0..3.1", ["3.0.11", "3.1.9"]),
        ("haproxy=3.0..", ["3.0.11", "3.1.9", "3.2-dev5", "3.2.0"]),
        ("haproxy!=3.0..", ["3.0-dev12"]),
        (" haproxy = 3.0.11 , 3.1.9 ", ["3.0.11", "3.1.9"]),
    ],
)
def test_haproxy(text: str, expected: list[str]) -> None:
    assert chosen("haproxy", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls=openssl", ["openssl-distro", "openssl-3.5.7"]),
        ("tls=openssl*", ["openssl-distro", "openssl-3.5.7"]),
        ("tls=3.9.2", ["libressl-3.9.2"]),
        ("tls=distro", ["openssl-distro"]),
        ("tls=openssl>=3.5", ["openssl-3.5.7"]),
        ("tls=openssl@3.5..", ["openssl-3.5.7"]),
        ("tls=libressl<4.0", ["libressl-3.9.2"]),
        ("tls=openssl@3.5..3.5,libressl@..3", ["openssl-3.5.7", "libressl-3.9.2"]),
        ("tls!=openssl>=3.5", ["openssl-distro", "libressl-3.9.2"]),
    ],
)
def test_tls(text: str, expected: list[str]) -> None:
    assert chosen("tls", text) == expected


def test_a_series_below_is_the_same_by_both_spellings_for_releases() -> None:
    releases = [cell for cell in CELLS if "dev" not in cell.haproxy.version]
    assert select(releases, ["haproxy<3.2"]) == select(releases, ["haproxy=..3.1"])


@given(st.lists(st.sampled_from(FILTERS), max_size=4))
def test_filters_are_anded(filters: list[str]) -> None:
    sets = [{cell.id for cell in select(CELLS, [text])} for text in filters]
    expected = [cell for cell in CELLS if all(cell.id in ids for ids in sets)]
    if expected:
        assert list(select(CELLS, filters)) == expected
    else:
        with pytest.raises(NothingSelectedError):
            select(CELLS, filters)


PATTERNS = st.sampled_from(
    [("haproxy", one) for one in (*ALL_HAPROXY, "3.*", "..3.1", "3.1..", "3.0..3.1", "haproxy>3.1")]
    + [("tls", one) for one in (*ALL_TLS, "openssl", "distro", "openssl<3.5.8", "libressl@3..")]
)


def ids(text: str) -> set[str]:
    try:
        return {cell.id for cell in select(CELLS, [text])}
    except NothingSelectedError:
        return set()


@given(PATTERNS)
def test_equal_and_unequal_part_the_cells(pattern: tuple[str, str]) -> None:
    axis, word = pattern
    same, other = ids(f"{axis}={word}"), ids(f"{axis}!={word}")
    assert not same & other
    assert same | other == {cell.id for cell in CELLS}


@given(st.sampled_from(["3.0-dev12", "3.0", "3.0.11", "3.1", "3.1.9", "3.2", "3.2.0", "4"]))
def test_order_operators_have_complements(version: str) -> None:
    everything = {cell.id for cell in CELLS}
    for one, other in (("<", ">="), ("<=", ">")):
        below, above = ids(f"haproxy{one}{version}"), ids(f"haproxy{other}{version}")
        assert not below & above
        assert below | above == everything


TLS_VALUES = "values of tls: openssl-distro, openssl-3.5.7, libressl-3.9.2"
EXAMPLES = "examples: arch=arm64   tls=openssl*   cipher!=default   'haproxy<3.2'   haproxy=3.0..3.1"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "tsl=openssl",
            ["no axis 'tsl'; did you mean 'tls'?", "axes: arch, haproxy, tls, cipher, client, execution"],
        ),
        (
            "tls=opensl-3.5.7",
            ["no cell has tls 'opensl-3.5.7'; did you mean 'openssl-3.5.7'?", TLS_VALUES],
        ),
        ("tls=wolf*", ["no cell has tls 'wolf*'", TLS_VALUES]),
        ("tls!=nopenssl", ["no cell has tls 'nopenssl'; did you mean 'openssl'?", TLS_VALUES]),
        (
            "tls>=3.5",
            [
                "tls has several families, whose versions do not compare",
                "families: libressl, openssl",
                "name one: 'tls=libressl>=3.5' or tls=libressl@3.5..",
            ],
        ),
        (
            "tls=opensll>=3.5",
            ["no family 'opensll'; did you mean 'openssl'?", "families: libressl, openssl"],
        ),
        (
            "arch<64",
            ["the values of arch have no order", "values of arch: amd64, arm64", "name them: arch=amd64"],
        ),
        (
            "arch<arm64",
            [
                "cannot be read: 'arm64' is no version such as 3.0.11, 3.0-dev13 or 3.3.0-quic1",
                EXAMPLES,
            ],
        ),
        ("arm64", ["cannot be read: it is not axis, operator, value", EXAMPLES]),
        ("tls=a,,b", ["cannot be read: '' is no name, glob or range", EXAMPLES]),
    ],
)
def test_pinned_errors(text: str, lines: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        select(CELLS, [text])
    colon = "" if lines[0].startswith("cannot") else ":"
    assert str(caught.value) == f"filter {text!r}{colon} " + "\n".join(lines)
    assert caught.value.exit_code is Exit.USAGE


@given(
    st.text(max_size=30)
    | st.from_regex(r"(arch|tls|haproxy)[=!<>]{1,2}[a-z0-9.*@,<>=\[\]!-]{0,12}", fullmatch=True)
)
def test_any_text_is_a_selection_or_an_error_for_people(text: str) -> None:
    with suppress(UsageError, NothingSelectedError):
        assert select(CELLS, [text])


def test_values_are_checked_against_all_known_cells() -> None:
    amd64 = select(CELLS, ["arch=amd64"])
    with pytest.raises(UsageError):
        select(amd64, ["arch=arm64"])
    with pytest.raises(NothingSelectedError):
        select(amd64, ["arch=arm64"], known=CELLS)


def test_nothing_selected_says_what_each_filter_leaves() -> None:
    with pytest.raises(NothingSelectedError) as caught:
        select(CELLS, ["haproxy=3.0.11", "haproxy>3.0"])
    assert caught.value.exit_code is Exit.NOTHING_SELECTED
    assert caught.value.details == "haproxy=3.0.11 leaves 18 of 90\nhaproxy>3.0 leaves 54 of 90"


def test_no_filter_selects_everything_and_order_is_kept() -> None:
    assert select(CELLS, []) == CELLS
    assert select(CELLS, ["cipher=default,TLS_*"]) == CELLS


@pytest.mark.parametrize(
    "text", ["aes_128_ccm*", "AES_128_GCM_SHA256", "tls_aes_128_gcm_sha256", "*ccm_sha256"]
)
def test_a_cipher_is_named_in_any_case_and_without_its_prefix(text: str) -> None:
    (found,) = chosen("cipher", f"cipher={text}")
    assert text.casefold().strip("*").removeprefix("tls_") in found.casefold()


def test_what_begins_with_tls_is_no_default() -> None:
    assert "default" not in chosen("cipher", "cipher=tls_*")
    assert chosen("cipher", "cipher!=tls_*") == ["default"]


def test_a_part_of_one_id_is_enough_and_one_of_several_is_refused() -> None:
    (one,) = select(CELLS, ["arch=arm64", "haproxy=3.1.9", "tls=openssl-3.5.7", "cipher=*ccm*"])
    assert select_ids(CELLS, ["arm64--haproxy-3.1.9--openssl-3.5.7--tls_aes_128_ccm"]) == (one,)
    with pytest.raises(
        UsageError, match=r"'arm64--haproxy-3\.1\.9' is part of the ids of \d+ cells: "
    ) as error:
        select_ids(CELLS, [one.id, "arm64--haproxy-3.1.9"])
    assert "`matrixctl cells --format ids`" in error.value.resolution
    with pytest.raises(UsageError, match="no cell ''"):
        select_ids(CELLS, [""])


def test_select_ids() -> None:
    wanted = [CELLS[5].id, CELLS[2].id]
    assert select_ids(CELLS, wanted) == (CELLS[2], CELLS[5])
    with pytest.raises(UsageError, match=r"did you mean 'amd64--haproxy-3\.0\.11--openssl-distro--default'"):
        select_ids(CELLS, ["amd64--haproxy-3.0.11--openssl-distro--defalt"])


def test_profiles() -> None:
    declared = matrix(profiles={"quick": ("tls=openssl-distro",)})
    assert find_filters(declared, "quick") == ("tls=openssl-distro",)
    assert find_filters(declared, "full") == ()
    with pytest.raises(UsageError, match="no profile 'quikc'; did you mean 'quick'") as caught:
        find_filters(declared, "quikc")
    assert caught.value.details == "profiles: full, quick"


def test_every_axis_of_a_cell_can_be_filtered() -> None:
    for axis in AXES:
        name = getattr(CELLS[0], axis).name
        assert CELLS[0] in select(CELLS, [f"{axis}={name}"])
