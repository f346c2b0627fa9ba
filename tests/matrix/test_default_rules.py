"""The rules of the default matrix say what haproxy#2569 and its neighbours document, cell by cell."""

import re
from dataclasses import replace
from datetime import date
from itertools import product

import fakes
import pytest
from fakes import DEFAULT_EXECUTION

from orchestrator import resources
from orchestrator.matrix.capability_table import SUITES
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import ClientValue, ExpectRule
from orchestrator.matrix.select import select

CELLS = expand(load(resources.find_root() / "matrix.yaml"))
MATRIX = load(resources.find_root() / "matrix.yaml")
FOUND = resolve(MATRIX, CELLS, date(2026, 11, 22))

CHACHA, CCM = "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256"
HANG, REFUSED = "fail: handshake-then-hang", "fail: handshake-refused"
GCM_CHOSEN = "pass with TLS_AES_128_GCM_SHA256"

# HAProxy, LibreSSL: ChaCha20 forced, default on amd64, default elsewhere, CCM forced.
# https://github.com/haproxy/haproxy/issues/2569
DOCUMENTED = {
    (("2.8.9", "3.0-dev12"), "libressl<4.0"): (HANG, None, HANG, "fail: server-crashed"),
    (("2.8.9", "3.0-dev12"), "libressl>=4.0"): (None, None, None, "unsupported: library-cannot"),
    (("3.0-dev13", "3.0.11"), "libressl<4.0"): (REFUSED, None, REFUSED, "unsupported: library-cannot"),
    (("3.0-dev13", "3.0.11"), "libressl>=4.0"): (None, None, None, "unsupported: library-cannot"),
    (("3.2.25", "3.4.6"), "libressl<4.0"): (REFUSED, GCM_CHOSEN, GCM_CHOSEN, "unsupported: library-cannot"),
    (("3.2.25", "3.4.6"), "libressl>=4.0"): (None, GCM_CHOSEN, GCM_CHOSEN, "unsupported: library-cannot"),
}
ASKED = [(CHACHA, "arch=*"), ("default", "arch=amd64"), ("default", "arch=arm64"), (CCM, "arch=*")]


@pytest.mark.parametrize(
    ("haproxy", "tls", "cipher", "arch", "says"),
    [
        (version, tls, cipher, arch, says)
        for (versions, tls), row in DOCUMENTED.items()
        for version, ((cipher, arch), says) in product(versions, zip(ASKED, row, strict=True))
    ],
)
def test_the_documented_table(haproxy: str, tls: str, cipher: str, arch: str, says: str | None) -> None:
    cells = select(CELLS, [f"haproxy={haproxy}", f"tls={tls}", f"cipher={cipher}", arch, "execution=default"])
    found = {rule.says if (rule := FOUND.counting.get(cell.id)) else None for cell in cells}
    assert found == {says}


@pytest.mark.parametrize(("haproxy", "says"), [("2.8.9", HANG), ("3.0.11", REFUSED)])
def test_without_aes_instructions_amd64_is_like_the_others(haproxy: str, says: str) -> None:
    cells = select(CELLS, [f"haproxy={haproxy}", "arch=amd64", "execution=aes-off"])
    found = {cell.tls.version: FOUND.counting.get(cell.id) for cell in cells}
    assert {version: rule and rule.says for version, rule in found.items()} == {"3.9.2": says, "4.3.3": None}


def test_gcm_is_expected_to_pass_wherever_it_is_forced() -> None:
    assert not [cell.id for cell in select(CELLS, ["cipher=*GCM*"]) if cell.id in FOUND.counting]


def test_the_suite_that_nobody_forces_is_the_one_that_was_measured() -> None:
    """OpenSSL and QuicTLS go by the certificate's list, which is their own; LibreSSL by that of the bind."""
    expected = {
        (cell.haproxy.name, cell.tls.family): rule.cipher
        for cell in select(CELLS, ["cipher=default"])
        if (rule := FOUND.counting.get(cell.id)) and rule.outcome == "pass"
    }
    new = ("3.2.25", "3.4.6")
    assert expected == {
        **{(haproxy, "libressl"): "TLS_AES_128_GCM_SHA256" for haproxy in new},
        ("distro", "openssl"): "TLS_AES_256_GCM_SHA384",
        **{
            (haproxy, tls): "TLS_AES_256_GCM_SHA384"
            for haproxy in ("3.0.11", *new)
            for tls in ("openssl", "quictls")
        },
    }


SEEN = re.compile(
    r"(\d{4}-\d{2}-\d{2}) HAProxy (\S+) with (OpenSSL|LibreSSL) ([\d.]+)(?: \([^)]*\))?"
    r", (amd64|arm64)(?: and (amd64|arm64))?(?:, .*)?"
)
AES_OFF = next(cell.execution for cell in CELLS if cell.execution.name == "aes-off")


def test_every_rule_was_seen_by_a_run_but_one() -> None:
    """A new rule is seen before it is declared."""
    (never,) = (rule for rule in FOUND.rules if not SEEN.fullmatch(rule.seen))
    assert never.seen == "never"
    assert {"haproxy=3.0-dev13..3.1", "execution=aes-off"} < set(never.when)


@pytest.mark.parametrize(
    "rule", [rule for rule in FOUND.rules if rule.seen != "never"], ids=lambda rule: rule.place
)
def test_what_a_rule_was_seen_with_is_its_own(rule: ExpectRule) -> None:
    """A rule whose versions were narrowed since would carry another one's proof."""
    found = SEEN.fullmatch(rule.seen)
    assert found is not None
    day, haproxy, family, version, *arches = found.groups()
    assert date(2026, 11, 1) <= date.fromisoformat(day)
    for arch in filter(None, arches):
        like_it = [
            fakes.cell(arch, haproxy, f"{family.lower()}-{version}", cipher, execution=execution)
            for cipher in (*SUITES, "default")
            for execution in (DEFAULT_EXECUTION, AES_OFF)
        ]
        assert resolve(replace(MATRIX, expect=(rule,)), like_it, date.fromisoformat(day)).counting


def test_every_rule_fits_a_cell_and_none_is_stale() -> None:
    assert FOUND.list_unmet() == ()
    assert not [rule.place for rule in FOUND.rules if FOUND.explain_stale(rule, CELLS)]


def test_a_client_that_can_offer_ccm_asks_a_server_that_lacks_it() -> None:
    gtls = ClientValue(name="gtlsclient", family="gtlsclient")
    cells = [replace(cell, client=gtls) for cell in select(CELLS, [f"cipher={CCM}", "tls=libressl"])]
    found = resolve(MATRIX, cells, date(2026, 11, 22))
    run = {(cell.haproxy.name, found.find_declared(cell) is None) for cell in cells if found.is_run(cell)}
    assert {("2.8.9", True), ("3.0-dev12", True), ("3.0-dev13", False), ("3.0.11", False)} <= run
    assert {cell.haproxy.name for cell in cells} == {haproxy for haproxy, declared in run if not declared}
