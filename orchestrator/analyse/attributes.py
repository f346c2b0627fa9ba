"""What a finished cell is: its axes, and what follows from them or was seen, under names that users can type.

docs/localisation.md lists them with the place of a record that each is read from.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from orchestrator.arch import ARCHES
from orchestrator.errors import NothingSelectedError
from orchestrator.frozen_value import Value
from orchestrator.matrix import capabilities
from orchestrator.matrix.clients import CLIENTS
from orchestrator.matrix.model import AXES, HaproxyValue, TlsValue
from orchestrator.matrix.select import Named, find_names, parse
from orchestrator.record.model import Axes, CellRecord, SelfTest

FACTORS = ("negotiated", "quic-api", "aes", "emulated", "word-size", "byte-order", "patched", "client-stack")
"""Derived attributes that may be the condition of a cluster, the more telling ones first."""
SYMPTOMS = ("selftest",)
"""Derived attributes that are another sight of the same fault, and so never its condition."""
ATTRIBUTES = (*AXES, *FACTORS, *SYMPTOMS)

Attributes = Mapping[str, Named | None]
"""Of one cell, by name. ``None``: not known."""
Tests = Mapping[tuple[str, str, str], SelfTest]


class Fact(Value):
    """A value of a derived attribute."""

    name: str


def index_tests(tests: Iterable[SelfTest]) -> Tests:
    """Return the self-tests by library, architecture and execution."""
    return {(test.tls, test.arch, test.execution): test for test in tests}


def describe(cell: CellRecord, tests: Tests) -> Attributes:
    """Return all attributes of a cell."""
    axes, seen, proof = cell.axes, cell.observations, cell.attestation
    found = predict(axes, host=cell.execution.host_arch)
    found["emulated"] = _make_fact("yes" if cell.execution.mode == "emulated" else "no")
    if proof is not None and proof.quic_api:
        found["quic-api"] = _make_fact(proof.quic_api)
    if seen is None or seen.h3 is None:
        found["negotiated"] = None  # nothing was ever offered
    elif seen.negotiated_cipher:
        found["negotiated"] = _make_fact(seen.negotiated_cipher)
    elif cell.captured_cipher:
        found["negotiated"] = _make_fact(cell.captured_cipher)
    found["aes"] = _find_aes(cell)
    found["selftest"] = _find_failed_check(axes, found["negotiated"], tests)
    return found


def predict(axes: Axes, *, host: str) -> dict[str, Named | None]:
    """Return what is known of a cell before it is run.

    :param host: the architecture of the engine's machine.
    """
    arch, suite = ARCHES.get(axes.arch.name), axes.cipher.suite
    stack = CLIENTS.get(axes.client.family)
    return {
        **{axis: getattr(axes, axis) for axis in AXES},
        # A client that offers one suite gets this one or none.
        "negotiated": _make_fact(suite) if suite else None,
        "quic-api": _find_quic_api(axes.haproxy, axes.tls),
        "aes": None,
        "emulated": _make_fact("yes" if axes.arch.name != host or axes.execution.cpu else "no"),
        "word-size": _make_fact(str(arch.cpus.word_size)) if arch else None,
        "byte-order": _make_fact(arch.cpus.byte_order) if arch else None,
        "patched": _name_patched(axes.haproxy, axes.tls),
        "client-stack": _make_fact(stack.stack) if stack else None,
        "selftest": None,
    }


def choose(
    cells: Sequence[CellRecord], attributes: Sequence[Attributes], filters: Sequence[str]
) -> list[int]:
    """Return the positions of the cells that match every filter, in order.

    A filter on an attribute that is not known of a cell does not match it, negated or not.

    :raises UsageError: for a bad filter, or one with a value that no cell has.
    :raises NothingSelectedError: if no cell is left.
    """
    left = list(range(len(cells)))
    said = []
    for text in filters:
        item = parse(text, ATTRIBUTES)
        values = {value.name: value for one in attributes if (value := one[item.axis]) is not None}
        allowed = find_names(item, values)
        fits = {
            i for i, one in enumerate(attributes) if (v := one[item.axis]) is not None and v.name in allowed
        }
        said.append(f"{item.text} leaves {len(fits)} of {len(cells)}")
        left = [i for i in left if i in fits]
    if filters and not left:
        raise NothingSelectedError("the selection matches no cell of the run", details="\n".join(said))
    return left


@lru_cache(maxsize=1024)
def _make_fact(name: str) -> Fact:
    return Fact(name=name)


def _find_quic_api(haproxy: HaproxyValue, tls: TlsValue) -> Fact | None:
    return _find_declared_api(haproxy.version, tls.family, tls.version)


@lru_cache(maxsize=4096)
def _find_declared_api(haproxy: str, family: str, version: str) -> Fact | None:
    try:
        api = capabilities.find_quic_api(
            HaproxyValue(name=haproxy, version=haproxy),
            TlsValue(name=version, family=family, version=version),
        )
    except StopIteration:  # a family that the table does not know: a record may come from anywhere
        return None
    return _make_fact(api)


def _name_patched(haproxy: HaproxyValue, tls: TlsValue) -> Fact:
    return _make_fact("+".join(n for n, one in (("haproxy", haproxy), ("tls", tls)) if one.patches) or "no")


def _find_aes(cell: CellRecord) -> Fact | None:
    arch, features = ARCHES.get(cell.axes.arch.name), cell.execution.cpu_features
    if arch is None or "aes" not in arch.cpus.bits or not features:
        return None
    return _make_fact("yes" if "aes" in features else "no")


def _find_failed_check(axes: Axes, negotiated: Named | None, tests: Tests) -> Fact | None:
    """Return the first check that the library fails with the cell's suite, or ``passed``."""
    test = tests.get((axes.tls.name, axes.arch.name, axes.execution.name))
    if test is None or negotiated is None:
        return None
    checks = [check for check in test.checks if check.suite == negotiated.name]
    failed = next((check.check for check in checks if check.ok is False), None)
    if failed is None and not any(check.ok for check in checks):
        return None
    return _make_fact(failed or "passed")
