"""The AEAD self-tests as tables: libraries by suites at a glance, every check on demand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.outcome import Outcome
from orchestrator.record.model import AeadCheck, RunRecord, SelfTest


@dataclass(frozen=True, kw_only=True)
class SuiteSlot:
    """One suite of one self-test. ``good`` is ``None`` where the library has no such suite."""

    good: bool | None
    failed: tuple[AeadCheck, ...]


@dataclass(frozen=True, kw_only=True)
class SelftestRow:
    """One library on one architecture and CPU."""

    test: SelfTest
    slots: tuple[SuiteSlot, ...]

    @property
    def good(self) -> bool | None:
        """Return whether it is; ``None`` without a result. One that was cut short is not good."""
        if all(check.ok is None for check in self.test.checks):
            return None
        return not self.test.problem and not any(slot.failed for slot in self.slots)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Rows have a slot for every suite."""

    suites: tuple[str, ...]
    rows: tuple[SelftestRow, ...]


@dataclass(frozen=True, kw_only=True)
class SelftestDetail:
    """All checks of one self-test: a line per suite and interface, a slot per check."""

    checks: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[AeadCheck | None, ...]], ...]


def make_overview(tests: Sequence[SelfTest]) -> Overview:
    """Return all self-tests by suite, in the order in which the record has both."""
    suites = tuple(dict.fromkeys(check.suite for test in tests for check in test.checks))
    return Overview(
        suites=suites,
        rows=tuple(
            SelftestRow(
                test=test,
                slots=tuple(
                    _make_slot(check for check in test.checks if check.suite == suite) for suite in suites
                ),
            )
            for test in tests
        ),
    )


def find_unsound(record: RunRecord) -> tuple[SelfTest, ...]:
    """Return the self-tests that failed in a suite with which a cell of the same library and CPU passed.

    An honest exchange cannot show this, for example accepted forged packets: no cell fails, so the library
    has to be named for itself.
    """
    passed = {
        (
            cell.axes.tls.name,
            cell.axes.arch.name,
            cell.axes.execution.name,
            cell.observations.negotiated_cipher,
        )
        for cell in record.cells
        if cell.outcome is Outcome.PASS and cell.observations is not None
    }
    return tuple(
        test
        for test in record.selftests
        if any(
            check.ok is False and (test.tls, test.arch, test.execution, check.suite) in passed
            for check in test.checks
        )
    )


def make_detail(test: SelfTest) -> SelftestDetail:
    """Return every check of a self-test."""
    checks = tuple(dict.fromkeys(check.check for check in test.checks))
    found: dict[tuple[str, str], dict[str, AeadCheck]] = {}
    for check in test.checks:
        found.setdefault((check.suite, check.api), {})[check.check] = check
    return SelftestDetail(
        checks=checks,
        lines=tuple(
            (suite, api, tuple(line.get(name) for name in checks)) for (suite, api), line in found.items()
        ),
    )


def _make_slot(checks: Iterable[AeadCheck]) -> SuiteSlot:
    found = tuple(checks)
    failed = tuple(check for check in found if check.ok is False)
    good = False if failed else True if any(check.ok for check in found) else None
    return SuiteSlot(good=good, failed=failed)
