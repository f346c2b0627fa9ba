"""The order of versions: golden lists, and the laws of a total order."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.versions import Version

versions = st.builds(
    lambda numbers, suffixes: Version.parse(".".join(map(str, numbers)) + "".join(suffixes)),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
    st.lists(
        st.sampled_from(["-dev1", "-dev12", "-rc1", "-alpha", "-quic1", "w", "+dfsg", "-2"]), max_size=2
    ),
)


@pytest.mark.parametrize(
    "ascending",
    [
        ["3.0-dev12", "3.0-dev13", "3.0.0", "3.0.1", "3.0.11", "3.1-dev0", "3.1.0"],
        ["3.3.0", "3.3.0-quic1", "3.3.0-quic2", "3.3.0-quic10", "3.3.1"],
        ["3.9.2", "4.0.0", "10.0.0"],
        ["4.0.0-dev1", "4.0.0-alpha1", "4.0.0-beta1", "4.0.0-pre1", "4.0.0-rc1", "4.0.0-rc2", "4.0.0"],
        ["1.1.1", "1.1.1a", "1.1.1w", "1.1.2"],
        ["5.7.2", "5.7.2-stable", "5.9.2"],
        ["0.42.0", "0.42.0+dfsg", "0.42.1"],
    ],
)
def test_golden_order(ascending: list[str]) -> None:
    parsed = [Version.parse(text) for text in ascending]
    assert all(low < high for low, high in pairwise(parsed))


def test_missing_numbers_are_zero() -> None:
    assert Version.parse("3.2") == Version.parse("3.2.0")
    assert hash(Version.parse("3.2")) == hash(Version.parse("3.2.0"))
    assert Version.parse("3.0-dev13") == Version.parse("3.0.0-dev13")
    assert str(Version.parse("3.2")) == "3.2"


@pytest.mark.parametrize(
    "text",
    [
        "distro",
        "",
        "v3.0",
        "3.",
        ".3",
        "3..0",
        "3.0-",
        "3.0 ",
        "3.0\n",
        "-1",
        "3.0-dev12!",
        "\u0663.0",
        "1" * 65,
    ],
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        Version.parse(text)


def test_what_is_nearly_a_version_is_refused_at_once() -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="is no version"):
        Version.parse("1" + "a" * 25 + ".")
    assert time.process_time() - began < 1


@given(versions, versions, versions)
def test_total_order(one: Version, two: Version, three: Version) -> None:
    assert (one < two) + (one == two) + (one > two) == 1
    if one <= two <= three:
        assert one <= three
    if one == two:
        assert hash(one) == hash(two)


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        ("3.1", ["3.0.11", "3.1.0", "3.1.9", "3.1.9-quic1", "3.1-dev5"], ["3.2-dev1", "3.2.0"]),
        ("3.1.5", ["3.1.5", "3.1.5-quic1"], ["3.1.6"]),
        ("3", ["3.9.2", "3"], ["4.0-rc1"]),
        ("3.0-dev13", ["3.0-dev12", "3.0-dev13", "3.0.0-dev13-quic1"], ["3.0-dev14", "3.0.0"]),
    ],
)
def test_an_upper_bound_includes_its_series(bound: str, inside: list[str], outside: list[str]) -> None:
    limit = Version.parse(bound)
    assert all(Version.parse(text).is_at_most(limit) for text in inside)
    assert not any(Version.parse(text).is_at_most(limit) for text in outside)


@given(versions, versions, versions)
def test_at_most_is_monotone(low: Version, high: Version, bound: Version) -> None:
    if low <= high and high.is_at_most(bound):
        assert low.is_at_most(bound)
