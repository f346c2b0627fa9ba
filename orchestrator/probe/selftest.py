"""The AEAD self-test of a library: its output read, results joined, and what it says of a failed cell.

The program is templates/aead/aead.c; docs/selftest.md tells what it checks. Pure.
"""

import json
import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from pydantic import ValidationError

from orchestrator import bounds
from orchestrator.frozen_value import replace_surrogates
from orchestrator.matrix.capability_table import AeadApi
from orchestrator.outcome import Outcome, Reason
from orchestrator.probe.observe import name_signal
from orchestrator.record.model import AeadCheck, CellRecord, Exchange, SelfTest

_CHECKS = 1000
"""That are believed; the program writes about a hundred."""
INITIAL = "TLS_AES_128_GCM_SHA256"
"""Protects the first packets of every QUIC connection, whatever is negotiated (RFC 9001, 5.2)."""

_APIS = {"evp-cipher": "EVP_CIPHER", "evp-aead": "EVP_AEAD"}

_EXPLAINS = {
    Reason.HANDSHAKE_REFUSED,
    Reason.HANDSHAKE_BROKEN,
    Reason.HANDSHAKE_TIMEOUT,
    Reason.HANDSHAKE_THEN_HANG,
    Reason.SERVER_CRASHED,
    Reason.SANITIZER,
    Reason.BAD_STATUS,
    Reason.WRONG_BODY,
    Reason.UPLOAD_INCOMPLETE,
}
"""Failures that a faulty AEAD can cause; a refused configuration or a wrong certificate has other causes."""

_SAYS = {
    "known-answer": ("gives other answers than the published ones for", "", ""),
    "seal": ("does not seal as it should with", "", ""),
    "open": ("cannot open what it sealed with", "", ""),
    "seal-in-place": ("does not seal as it should in place with", "seal", "out of place it does"),
    "open-in-place": ("cannot open in place what it sealed with", "open", "out of place it can"),
    "seal-unaligned": (
        "does not seal as it should at an unaligned address with",
        "seal",
        "at an aligned one it does",
    ),
    "seal-in-place-unaligned": (
        "does not seal as it should in place at an unaligned address with",
        "seal-in-place",
        "at an aligned one it does",
    ),
    "open-unaligned": (
        "cannot open at an unaligned address what it sealed with",
        "open",
        "at an aligned one it can",
    ),
    "open-in-place-unaligned": (
        "cannot open in place at an unaligned address what it sealed with",
        "open-in-place",
        "at an aligned one it can",
    ),
    "open-after-reject": ("cannot open a good packet after a forged one with", "", ""),
    "header-protection": ("gives a wrong mask for packet headers with", "", ""),
}
"""Check -> what its failure means; another check, and what is said where that one passed. The most basic
first. What fails to reject a forgery is not here: it makes no honest exchange fail."""


def read(output: str, *, exit_code: int, timed_out: bool) -> tuple[str, tuple[AeadCheck, ...], str]:
    """Return what the library calls itself, the checks, and what is wrong with the output, if anything.

    What the program said before it was stopped counts.
    """
    library, checks, strange = "", list[AeadCheck](), 0
    for line in output.splitlines():
        try:
            said = json.loads(line)
            if isinstance(said, dict) and "library" in said:
                library = bounds.cut(str(replace_surrogates(said["library"])), bounds.WORDS)
            elif len(checks) == _CHECKS:
                strange += 1
            else:
                checks.append(_cut_check(AeadCheck.model_validate(replace_surrogates(said))))
        except (ValueError, ValidationError, RecursionError):
            strange += 1
    return (
        library,
        tuple(checks),
        _find_problem(exit_code, timed_out=timed_out, strange=strange, told=bool(checks)),
    )


def _cut_check(said: AeadCheck) -> AeadCheck:
    short = {name: bounds.cut(getattr(said, name), bounds.WORDS) for name in ("suite", "check", "detail")}
    return said.model_copy(update=short)


def _find_problem(exit_code: int, *, timed_out: bool, strange: int, told: bool) -> str:
    if timed_out:
        return "The self-test did not end in time; what it said before is here."
    if exit_code:
        died = name_signal(exit_code)
        return f"The self-test {f'died of {died}' if died else f'ended with exit code {exit_code}'}."
    if strange or not told:
        return (
            f"The self-test wrote {strange} lines that are no result."
            if strange
            else "The self-test was silent."
        )
    return ""


def join_results(first: SelfTest, second: SelfTest, where: str) -> SelfTest:
    """Return one result of two runs of the same self-test. ``where`` names the second.

    A check on which they differ has failed: the same program gave two answers.
    """
    if not first.checks or not second.checks:
        better = second if second.checks else first
        return better.model_copy(update={"evidence": (*first.evidence, *second.evidence)})
    others = {(check.suite, check.api, check.check): check for check in second.checks}
    checks = []
    for check in first.checks:
        other = others.get((check.suite, check.api, check.check), check)
        checks.append(check if other.ok == check.ok else _contradict(check, other, where))
    return first.model_copy(
        update={
            "checks": tuple(checks),
            "problem": first.problem or second.problem,
            "evidence": tuple(dict.fromkeys((*first.evidence, *second.evidence))),
        }
    )


def _contradict(check: AeadCheck, other: AeadCheck, where: str) -> AeadCheck:
    bad = check if check.ok is False else other
    passed = f"in {where} it failed" if other.ok is False else f"in {where} it did not"
    return check.model_copy(update={"ok": False, "detail": f"not each time, {passed}: {bad.detail}"})


def find_faults(test: SelfTest, suite: str, api: AeadApi) -> tuple[AeadCheck, ...]:
    """Return the failed checks that can make an honest exchange fail, a crash first, then the most basic."""
    order = list(_SAYS)
    failed = [
        check
        for check in test.checks
        if check.ok is False and (check.suite, check.api) == (suite, api) and check.check in _SAYS
    ]
    return tuple(sorted(failed, key=lambda check: (not _is_death(check), order.index(check.check))))


def find_cause(
    cell: CellRecord, tests: Iterable[SelfTest], api: AeadApi, *, lacks: AbstractSet[str] = frozenset()
) -> str:
    """Return what the self-test of the cell's library says of its failure, one sentence, or an empty text.

    :param tests: of the run; the one of the cell's library, architecture and CPU is looked for.
    :param api: the interface that the cell's HAProxy uses with that library.
    :param lacks: suites that the library does not have in TLS, whatever its ciphers can: never the cause.
    """
    if cell.outcome is not Outcome.FAIL or cell.reason not in _EXPLAINS:
        return ""
    mine = (cell.axes.tls.name, cell.axes.arch.name, cell.axes.execution.name)
    test = next((one for one in tests if (one.tls, one.arch, one.execution) == mine), None)
    if test is None:
        return ""
    suites = _list_suites(cell, test)
    for suite in (one for one in dict.fromkeys((*suites, INITIAL)) if one not in lacks):
        found = find_faults(test, suite, api)
        if found:
            always = " Every QUIC connection begins with that suite." if suite not in suites else ""
            return _explain(test, found[0]) + always
    return ""


def _list_suites(cell: CellRecord, test: SelfTest) -> Sequence[str]:
    """Return the forced suite; else what was negotiated; else what was over TCP; else any."""
    seen = cell.observations
    if cell.axes.cipher.suite:
        return (cell.axes.cipher.suite,)
    if seen is not None and seen.negotiated_cipher:
        return (seen.negotiated_cipher,)
    over_tcp = _find_negotiated(seen.control) if seen is not None else None
    return (over_tcp,) if over_tcp else tuple(dict.fromkeys(check.suite for check in test.checks))


def _find_negotiated(exchange: Exchange | None) -> str | None:
    requests = exchange.requests if exchange is not None else ()
    return next((request.cipher for request in requests if request.cipher), None)


def _explain(test: SelfTest, check: AeadCheck) -> str:
    # OpenSSL adds its date of release, which says nothing here.
    library = re.sub(r" \d{1,2} \w{3} \d{4}$", "", test.library) or test.tls
    phrase, other, contrast = _SAYS[check.check]
    if _is_death(check):
        where = f"in the self-test's check {check.check} of {check.suite} ({_APIS[check.api]})"
        return f"{library} {check.detail}, {where}."
    passed = any(
        one.ok and (one.suite, one.api, one.check) == (check.suite, check.api, other) for one in test.checks
    )
    told = f"{phrase} {check.suite} ({_APIS[check.api]}: {check.detail})"
    return f"{library} {told}{f'; {contrast}' if passed else ''}."


# A record has only the words of templates/aead/aead.c (run_suite) for it; a field would be another schema.
_DEATHS = ("does not end within ", "crashes with ", "ends with exit code ")


def _is_death(check: AeadCheck) -> bool:
    """Return whether the check never came to its end; else it ended with a wrong result."""
    return check.detail.startswith(_DEATHS)
