"""Rules against cells: the most specific counts, in any order; contradictions are named; nothing is slow."""

import random
import time
from collections.abc import Sequence
from datetime import date
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix_samples import SMALL, matrix

from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.matrix import capabilities
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import Expectations, resolve
from orchestrator.matrix.model import Cell, ExpectRule, Matrix
from orchestrator.matrix.select import select
from orchestrator.outcome import REASONS, Outcome, Reason

TODAY = date(2026, 11, 22)
HANG, CRASH, REFUSED = Reason.HANDSHAKE_THEN_HANG, Reason.SERVER_CRASHED, Reason.HANDSHAKE_REFUSED
CELLS = expand(matrix())
GCM = "TLS_AES_128_GCM_SHA256"


def rule(
    *when: str, says: Reason | None = HANG, cipher: str | None = None, until: str = "", line: int = 0
) -> ExpectRule:
    return ExpectRule(
        when=when,
        outcome=REASONS[says].outcome if says else Outcome.PASS,
        reason=says,
        cipher=cipher,
        because="https://example.org/1",
        until=until,
        place=f"matrix.yaml:{line}",
    )


def having(*rules: ExpectRule) -> Matrix:
    made = matrix()
    return Matrix(**{**vars(made), "expect": rules})


def resolved(*rules: ExpectRule, today: date = TODAY) -> Expectations:
    return resolve(having(*rules), CELLS, today)


def one(*filters: str) -> Cell:
    return select(CELLS, filters)[0]


def test_without_rules_nothing_is_expected() -> None:
    found = resolved()
    assert (found.rules, found.met, found.list_unmet()) == ((), (), ())
    assert found.find_rule(CELLS[0]) is None


@pytest.mark.parametrize(
    ("loses", "wins"),
    [
        (["arch=arm64"], ["arch=arm64", "cipher=default"]),
        (["tls=libressl-3.9.2"], ["haproxy<3.2", "tls=libressl*"]),
        (["tls=libressl"], ["tls=libressl-3.9.2"]),
        (["tls=libressl<4.0", "cipher=default"], ["tls=libressl-3.9.2", "cipher=default"]),
        (["tls=libressl*", "cipher=*"], ["tls=libressl*", "cipher=default"]),
        (["haproxy=3.0.11,3.1*"], ["haproxy=3.0.11,3.1.9"]),
        (["arch!=amd64"], ["arch=arm64"]),
        (["arch=arm64", "arch!=amd64", "arch=arm*"], ["arch=arm64", "tls=*"]),
    ],
)
def test_the_more_specific_rule_counts_in_either_order(loses: list[str], wins: list[str]) -> None:
    general, special = rule(*loses, says=HANG), rule(*wins, says=CRASH)
    both = select(CELLS, [*loses, *wins])
    for rules in ((general, special), (special, general)):
        found = resolved(*rules)
        assert {found.counting[cell.id].reason for cell in both} == {CRASH}


WORDS = {
    "arch": ["=arm64", "!=arm64", "=*", "=riscv64"],
    "haproxy": ["=3.0.11", "<3.1", "=3.0..3.1", "=2.8", "=3.0.11,3.2.0"],
    "tls": ["=libressl-3.9.2", "=libressl", "=libressl<4.0", "=openssl*", "=quictls@3.."],
    "cipher": ["=default", "!=default", "=*GCM*"],
}
AXIS_OF = {axis + word: axis for axis, words in WORDS.items() for word in words}
EXACT = {"arch=arm64", "haproxy=3.0.11", "haproxy=3.0.11,3.2.0", "tls=libressl-3.9.2", "cipher=default"}
whens = st.lists(st.sampled_from(sorted(AXIS_OF)), min_size=1, max_size=4, unique=True)
promises = st.sampled_from([HANG, CRASH, None])


def _left(text: str) -> frozenset[str]:
    try:
        return frozenset(cell.id for cell in select(CELLS, [text]))
    except MatrixctlError:
        return frozenset()


LEFT = {text: _left(text) for text in AXIS_OF}


def plainly(rules: Sequence[ExpectRule]) -> dict[str, set[Reason | None]]:
    """What the most specific rules say of each cell: cell by cell, rule by rule, without sets of bits."""
    answers: dict[str, set[Reason | None]] = {}
    for cell in CELLS:
        met = [one for one in rules if all(cell.id in LEFT[text] for text in one.when)]
        if met:
            highest = max(_rank(one) for one in met)
            answers[cell.id] = {one.reason for one in met if _rank(one) == highest}
    return answers


def _rank(one: ExpectRule) -> tuple[int, int]:
    axes = {AXIS_OF[text] for text in one.when}
    return len(axes), len({AXIS_OF[text] for text in one.when if text in EXACT})


@given(st.lists(st.tuples(whens, promises), max_size=5), st.randoms())
def test_the_order_of_the_rules_never_decides_and_every_contradiction_is_named(
    drawn: list[tuple[list[str], Reason | None]], mixer: random.Random
) -> None:
    rules = [rule(*when, says=says, line=line) for line, (when, says) in enumerate(drawn, 1)]
    answers = plainly(rules)
    for given_rules in (rules, mixer.sample(rules, len(rules))):
        if any(len(says) > 1 for says in answers.values()):
            with pytest.raises(UsageError, match="contradict") as caught:
                resolved(*given_rules)
            assert sum(f"{one.place} says" in caught.value.details for one in rules) >= 2
        else:
            found = resolved(*given_rules)
            assert {key: {won.reason} for key, won in found.counting.items()} == answers


def test_a_contradiction_names_both_rules_and_a_cell() -> None:
    with pytest.raises(UsageError) as caught:
        resolved(
            rule("tls=libressl*", says=HANG, line=4),
            rule("haproxy=3.0.11", "arch=arm64", says=CRASH, line=9),
            rule("haproxy<3.2", says=None, cipher=GCM, line=14),
        )
    assert caught.value.brief == "matrix.yaml: two rules contradict each other"
    assert caught.value.details == (
        "matrix.yaml:4 says fail: handshake-then-hang, matrix.yaml:14 says pass with TLS_AES_128_GCM_SHA256;"
        " both meet amd64--haproxy-3.0-dev12--libressl-3.9.2--TLS_AES_128_GCM_SHA256"
    )
    assert "say more in the one that is to count" in caught.value.resolution


def test_two_rules_that_say_the_same_are_no_contradiction() -> None:
    first, second = rule("tls=libressl*", line=1), rule("haproxy<3.2", line=2)
    assert (
        resolved(first, second).find_rule(one("tls=libressl*", "haproxy=3.0.11", "cipher=default")) == first
    )


def test_a_contradiction_that_a_third_rule_settles_is_none() -> None:
    rules = (rule("tls=libressl*", says=HANG), rule("haproxy=3.0.11", "tls=lib*", says=CRASH))
    found = resolved(*rules, rule("arch=*", "haproxy=3*", says=None))
    assert found.met == (30, 6, 90)


@pytest.mark.parametrize("when", ["tls=nossl*", "tls=quictls@3.0..", "arch=riscv64", "haproxy=1.0..2.0"])
def test_a_word_that_no_value_has_is_no_error_and_the_rule_is_told_to_be_unmet(when: str) -> None:
    found = resolved(rule("arch=arm64"), rule(when, "arch=arm64", says=CRASH, line=7))
    assert [one.place for one in found.list_unmet()] == ["matrix.yaml:7"]
    assert found.met == (45, 0)


# What is declared unsupported.

CCM = ("tls=libressl*", "cipher=*CCM*")


def asking(client: str) -> tuple[Cell, ...]:
    return expand(matrix({**SMALL, "client": [client]}))


@pytest.mark.parametrize(
    ("client", "says", "counts", "declared"),
    [
        # gtlsclient can offer CCM, LibreSSL lacks it: a rule about the server makes the cell worth a try.
        ("gtlsclient", CRASH, True, False),
        ("gtlsclient", None, True, False),
        ("gtlsclient", Reason.LIBRARY_CANNOT, True, True),
        ("gtlsclient", Reason.SOURCE_UNREACHABLE, False, True),
        ("gtlsclient", Reason.KILLED, False, True),
        # curl cannot even ask.
        ("curl", CRASH, False, True),
        ("curl", None, False, True),
    ],
)
def test_a_rule_about_the_server_makes_a_declared_cell_run(
    client: str, says: Reason | None, counts: bool, declared: bool
) -> None:
    cells = asking(client)
    found = resolve(having(rule(*CCM, says=says)), cells, TODAY)
    for cell in select(cells, CCM):
        assert capabilities.find_unsupported(cell) is not None
        assert (found.find_rule(cell) is not None, found.is_run(cell)) == (counts, counts)
        assert (found.find_declared(cell) is not None) is declared


def test_what_nobody_declares_runs_whatever_is_expected() -> None:
    cell = one("tls=openssl-3.5.7", "cipher=default", "haproxy=3.0.11")
    for says in (HANG, Reason.SOURCE_UNREACHABLE, Reason.LIBRARY_CANNOT, None):
        found = resolved(rule("tls=openssl*", says=says))
        assert (found.find_rule(cell) is not None, found.is_run(cell), found.find_declared(cell)) == (
            True,
            True,
            None,
        )


# Time.


@pytest.mark.parametrize(
    ("until", "today", "filters", "why"),
    [
        ("", date(2999, 1, 1), ["haproxy=3.2.0"], ""),
        ("2026-11-22", date(2026, 11, 22), ["haproxy=3.2.0"], ""),
        (
            "2026-11-22",
            date(2026, 11, 23),
            ["haproxy=3.2.0"],
            "it was to hold until 2026-11-22, and today is 2026-11-23",
        ),
        ("haproxy 3.1", TODAY, ["haproxy=3.1.9"], ""),
        ("haproxy 3.1.8", TODAY, ["haproxy=3.1.9"], "it was to hold until haproxy 3.1.8, and this is 3.1.9"),
        (
            "haproxy 3.1.9",
            TODAY,
            ["haproxy=3.2-dev5"],
            "it was to hold until haproxy 3.1.9, and this is 3.2-dev5",
        ),
        ("libressl 3.9.2", TODAY, ["tls=libressl-3.9.2"], ""),
        (
            "libressl 3.9.1",
            TODAY,
            ["tls=libressl-3.9.2"],
            "it was to hold until libressl 3.9.1, and this is 3.9.2",
        ),
        ("libressl 3.9.1", TODAY, ["tls=openssl-3.5.7"], ""),
        ("openssl 3.0", TODAY, ["tls=openssl-distro"], ""),
    ],
)
def test_when_a_rule_is_out_of_date(until: str, today: date, filters: list[str], why: str) -> None:
    found = resolved(rule("arch=*", until=until), today=today)
    cells = select(CELLS, [*filters, "cipher=default"])
    assert found.explain_stale(found.rules[0], cells) == why


def test_a_rule_that_counts_for_none_of_the_cells_is_not_stale_for_them() -> None:
    found = resolved(
        rule("arch=arm64", until="2020-01-01"), rule("arch=arm64", "haproxy=3.0.11", until="haproxy 3.0")
    )
    assert not found.explain_stale(found.rules[0], select(CELLS, ["arch=amd64"]))
    assert not found.explain_stale(found.rules[0], select(CELLS, ["haproxy=3.0.11", "cipher=default"]))
    assert found.explain_stale(found.rules[0], select(CELLS, ["cipher=default"]))


@pytest.mark.whole
def test_a_hundred_rules_over_a_hundred_thousand_cells_take_a_moment() -> None:
    many = {
        "arch": ["amd64", "arm64"],
        "haproxy": [f"3.{minor}.{patch}" for minor, patch in product(range(5), range(40))],
        "tls": [f"openssl-3.5.{number}" for number in range(50)],
        "cipher": [
            GCM,
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "default",
            "TLS_AES_128_CCM_SHA256",
        ],
    }
    made = matrix(many)
    rules = tuple(
        rule(f"haproxy=3.{n % 5}.{n % 40}", f"tls=openssl<=3.5.{n % 50}", line=n) for n in range(100)
    )
    cells = expand(made)
    started = time.process_time()
    found = resolve(Matrix(**{**vars(made), "expect": rules}), cells, TODAY)
    spent = time.process_time() - started
    assert len(cells) == 100_000
    assert sum(found.met) > 1000
    assert spent < 3, f"{spent:.2f} s"
