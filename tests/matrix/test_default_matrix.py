"""What the default matrix and its profiles hold."""

from itertools import product
from math import prod

import pytest

from orchestrator import resources
from orchestrator.arch import ARCHES
from orchestrator.matrix import capabilities
from orchestrator.matrix.capability_table import CCM
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell
from orchestrator.matrix.schema import CIPHERS
from orchestrator.matrix.select import find_filters, select
from orchestrator.versions import Version

DEFAULT = resources.find_root() / "matrix.yaml"


def of_profile(name: str) -> list[Cell]:
    matrix = load(DEFAULT)
    return list(select(expand(matrix), find_filters(matrix, name)))


def test_the_quick_profile_keeps_its_cells() -> None:
    assert [cell.id for cell in of_profile("quick")] == [
        f"{arch}--haproxy-{haproxy}--openssl-distro--{cipher}"
        for haproxy in ("3.0.11", "distro")
        for arch in ("amd64", "arm64")
        for cipher in CIPHERS
    ]


def test_the_mission_is_the_whole_product_of_its_three_libraries() -> None:
    cells = [
        cell
        for cell in of_profile("mission")
        if (cell.client.name, cell.execution.name) == ("curl", "default")
    ]
    assert {cell.tls.family for cell in cells} == {"libressl", "openssl", "quictls"}
    axes = [{getattr(cell, axis).name for cell in cells} for axis in ("arch", "haproxy", "tls", "cipher")]
    assert axes[0] == {"amd64", "arm64"}
    assert len(cells) == prod(map(len, axes))


def test_ccm_is_offered_where_a_library_has_it() -> None:
    """By a client that can, on each architecture: QuicTLS with every HAProxy, OpenSSL with its own API."""
    asked = [
        cell
        for cell in of_profile("mission")
        if cell.cipher.suite == CCM and capabilities.find_unsupported(cell) is None
    ]
    haproxys = {value.name for value in load(DEFAULT).axes["haproxy"]}
    found = {(cell.arch.name, cell.haproxy.name, cell.tls.family) for cell in asked}
    assert {(arch, haproxy, "quictls") for arch in ("amd64", "arm64") for haproxy in haproxys} <= found
    assert {(arch, "openssl") for arch in ("amd64", "arm64")} <= {(arch, family) for arch, _, family in found}


@pytest.mark.parametrize("haproxy", ["2.8.9", "3.0-dev12", "3.0-dev13", "3.0.11"])
def test_issue_2569_has_every_cipher_before_and_after_each_fix(haproxy: str) -> None:
    found = {
        (cell.arch.name, Version.parse(cell.tls.version) < Version.parse("4.0"), cell.cipher.name)
        for cell in of_profile("issue-2569")
        if cell.haproxy.name == haproxy
    }
    assert found == set(product(("amd64", "arm64"), (True, False), CIPHERS))


def test_nobody_s_night_is_spent_on_history() -> None:
    assert {cell.haproxy.name for cell in of_profile("nightly")} == {
        "distro",
        *(value.name for value in load(DEFAULT).axes["haproxy"]),
    }


def test_every_entry_of_the_default_matrix_has_an_effect() -> None:
    assert load(DEFAULT).notes == ()


def test_debian_s_own_haproxy_is_there_for_every_architecture() -> None:
    found = {
        (cell.arch.name, cell.cipher.name) for cell in of_profile("full") if cell.haproxy.name == "distro"
    }
    missing = set(product(ARCHES, CIPHERS)) - found
    assert not missing, f"matrix.yaml: include `haproxy: distro` for {sorted(missing)}"
    assert found == set(product(ARCHES, CIPHERS))
