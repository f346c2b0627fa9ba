"""A set of values is written as the plainest filter that selects it, and no other value."""

from itertools import combinations

import pytest

from orchestrator.analyse.attributes import ATTRIBUTES, Fact
from orchestrator.analyse.conditions import describe_border, write_condition
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.matrix.select import Named, find_names, parse


def tls(*names_: str) -> dict[str, Named]:
    return {
        name: TlsValue(name=name, family=name.rpartition("-")[0], version=name.rpartition("-")[2])
        for name in names_
    }


def haproxy(*versions: str) -> dict[str, Named]:
    return {version: HaproxyValue(name=version, version=version) for version in versions}


LIBRARIES = tls("libressl-3.6.3", "libressl-3.9.2", "libressl-4.0.1", "libressl-4.3.2", "openssl-3.5.7")
VERSIONS = haproxy("2.8.0", "2.8.9", "3.0-dev12", "3.0-dev13", "3.0.11", "distro")


@pytest.mark.parametrize(
    ("attribute", "values", "chosen", "text"),
    [
        ("tls", LIBRARIES, {"libressl-3.6.3", "libressl-3.9.2"}, "tls=libressl<4.0"),
        ("tls", LIBRARIES, {"libressl-4.0.1", "libressl-4.3.2"}, "tls=libressl>=4.0"),
        ("tls", LIBRARIES, {"libressl-3.9.2", "libressl-4.0.1"}, "tls=libressl@3.9.2..4.0.1"),
        ("tls", LIBRARIES, {name for name in LIBRARIES if name.startswith("libressl")}, "tls=libressl"),
        ("tls", LIBRARIES, {"libressl-3.6.3"}, "tls=libressl-3.6.3"),
        ("tls", LIBRARIES, LIBRARIES.keys() - {"libressl-3.9.2"}, "tls!=libressl-3.9.2"),
        ("tls", LIBRARIES, {"libressl-3.6.3", "openssl-3.5.7"}, "tls=libressl-3.6.3,openssl-3.5.7"),
        ("haproxy", VERSIONS, {"2.8.0", "2.8.9", "3.0-dev12"}, "haproxy<3.0-dev13"),
        ("haproxy", VERSIONS, {"3.0-dev13", "3.0.11"}, "haproxy>=3.0-dev13"),
        ("haproxy", VERSIONS, {"3.0-dev12", "3.0-dev13"}, "haproxy=3.0-dev12..3.0-dev13"),
        ("haproxy", VERSIONS, {"distro"}, "haproxy=distro"),
        ("byte-order", {name: Fact(name=name) for name in ("little", "big")}, {"big"}, "byte-order=big"),
    ],
)
def test_the_plainest_filter_is_written(
    attribute: str, values: dict[str, Named], chosen: set[str], text: str
) -> None:
    assert write_condition(attribute, values, chosen) == text


@pytest.mark.parametrize(("attribute", "values"), [("tls", LIBRARIES), ("haproxy", VERSIONS)])
def test_each_set_of_values_is_written_so_that_it_can_be_pasted(
    attribute: str, values: dict[str, Named]
) -> None:
    for size in range(1, len(values)):
        for chosen in map(set, combinations(values, size)):
            text = write_condition(attribute, values, chosen)
            assert find_names(parse(text, ATTRIBUTES), values) == chosen, text


def test_a_border_lies_between_two_versions() -> None:
    assert describe_border(LIBRARIES, {"libressl-3.6.3", "libressl-3.9.2"}) == (
        ("libressl-3.9.2", "libressl-4.0.1"),
    )
