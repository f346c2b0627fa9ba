"""What to report of one cell at HAProxy, as Markdown with the headings of its form for bugs. Pure.

The form: https://github.com/haproxy/haproxy/blob/master/.github/ISSUE_TEMPLATE/Bug.yml. Nothing is asked
there that LibreSSL, OpenSSL or curl would not ask. What others have said stands in fences: in one, nothing
is markup.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.matrix.model import Software, name_haproxy
from orchestrator.outcome import FAILURES, Outcome
from orchestrator.record.model import CellRecord, Component, RunRecord
from orchestrator.report import attempts, expectations, explanation, panel, text, trace, units
from orchestrator.report.provenance import find_made as made_of
from orchestrator.report.step_summary import escape

_EMPTY = "_No response_"
"""What a form of GitHub writes where nothing was filled in."""
_TAIL = 200
"""Lines of a log that are quoted. GitHub takes 65,536 characters in all."""
_LINE = 2000
_BACKTRACE = "backtrace.txt"
_LOGS = ("haproxy.log", "h3.stderr", "h3.log")
"""What is quoted of the evidence, in this order, if it is there."""
_CONFIGURATION = "haproxy.cfg"


def write_title(cell: CellRecord) -> str:
    """Return one line for the head of a report."""
    axes = cell.axes
    end = f"{cell.reason or cell.outcome or 'not judged'}"
    cipher = axes.cipher.suite or "the default ciphers"
    return escape(
        f"HTTP/3: {end} with {name_haproxy(axes.haproxy.name)}, {axes.tls.name}, {cipher} on {axes.arch.name}"
    )


def render(record: RunRecord, cell: CellRecord, files: Mapping[str, str], *, steps: Sequence[str]) -> str:
    """Return the sections of the form, filled in.

    :param files: those of the cell's evidence, and its build's, that are at hand: path and content.
    :param steps: how it is seen again, one Markdown sentence each.
    """
    record, cell = text.make_safe(record), text.make_safe(cell)
    sections = {
        "Detailed Description of the Problem": _describe(cell),
        "Expected Behavior": _expect(cell),
        "Steps to Reproduce the Behavior": _number(steps),
        "Do you have any idea what may have caused this?": _explain(record, cell),
        "Do you have an idea how to solve the issue?": (),
        "What is your configuration?": _quote(files, (_CONFIGURATION,), "haproxy"),
        "Output of `haproxy -vv`": _quote_version(cell, files),
        "Last Outputs and Backtraces": _quote_last_words(record, cell, files),
        "Additional Information": _add(record, cell),
    }
    return "".join(f"### {name}\n\n{_join(lines)}\n\n" for name, lines in sections.items())


def _join(lines: Iterable[str]) -> str:
    return "\n".join(lines).strip("\n") or _EMPTY


def _describe(cell: CellRecord) -> Iterator[str]:
    end = "Nothing fails" if cell.outcome is Outcome.PASS else str(cell.reason or cell.outcome)
    yield f"{escape(end)}: {escape(cell.message)}\n"
    for said in panel.list_complaints(cell):
        yield f"- {escape(said)}"
    columns = [
        (f"{title.split(',')[0]} {request.name}", request)
        for title, _, exchange in panel.list_exchanges(cell)
        for request in exchange.requests
    ]
    if columns:
        yield f"\n| | {' | '.join(escape(name) for name, _ in columns)} |"
        yield f"|---{'|---' * len(columns)}|"
        for line in panel.list_lines(cell):
            values = [value for value, _ in line.values][: len(columns)]
            yield f"| {line.label} | {' | '.join(map(escape, values))} |"
    if (
        cell.observations
        and cell.observations.server
        and (how := panel.describe_end(cell.observations.server))
    ):
        yield f"\nHAProxy {escape(how)}."
    if tally := attempts.tally(cell):
        yield f"\n{escape(tally)}."


def _expect(cell: CellRecord) -> Iterator[str]:
    axes = cell.axes
    if cell.expected and not cell.expected.rule:
        yield f"It is declared that this cannot work: {escape(expectations.describe(cell.expected))}."
        return
    cipher = f" with {escape(axes.cipher.suite)}" if axes.cipher.suite else ""
    yield f"Over HTTP/3{cipher} bodies of 1 KiB and 1 MiB arrive whole, and so does an upload of 1 MiB."
    control = cell.observations.control if cell.observations else None
    if cell.outcome in FAILURES and control is not None and not control.exit_code:
        yield "The same requests to the same process over TCP and HTTP/2 end so."
    if cell.expected:
        yield f"\nKnown: {escape(expectations.describe(cell.expected))}."


def _number(steps: Sequence[str]) -> Iterator[str]:
    return (f"{number}. {step}" for number, step in enumerate(steps, start=1))


def _explain(record: RunRecord, cell: CellRecord) -> Iterator[str]:
    if cell.cause:
        yield f"{escape(cell.cause)}\n"
    for cluster in (one for shown in explanation.show(record) for one in shown.every):
        if cell.id in explanation.list_members(cluster) and len(record.cells) > 1:
            when = _write_code(explanation.write_conditions(cluster))
            yield f"In a matrix of {len(record.cells)} cells this failure comes when `{when}`:"
            yield f"{escape(explanation.count_evidence(cluster))} ({cluster.confidence})."
            for name, said in explanation.list_details(cluster):
                if name in {"irrelevant", "border", "always together", "or"}:
                    yield f"- {name}: {escape(said)}"
    for test in record.selftests:
        axes = cell.axes
        if (test.tls, test.arch, test.execution) == (axes.tls.name, axes.arch.name, axes.execution.name):
            wrong = [check for check in test.checks if check.ok is False]
            said = test.problem or f"{len(wrong)} of {len(test.checks)} checks fail"
            of = f" of {escape(test.library)}" if test.library else ""
            yield f"\nSelf-test of the AEAD{of} on this architecture: {escape(said.rstrip('.'))}."
            for check in wrong:
                yield f"- {escape(check.suite)}, {check.api}, {escape(check.check)}: {escape(check.detail)}"


def _quote_version(cell: CellRecord, files: Mapping[str, str]) -> Iterator[str]:
    said = files.get(cell.build.vv or "")
    if said is not None:
        yield from _fence(said, "plain")
    elif cell.attestation:
        proof = cell.attestation
        lines = (
            "(of the whole only this was kept)",
            f"HAProxy version {proof.haproxy_version}",
            f"Built with: {proof.tls_built}",
            f"Running on: {proof.tls_running}",
        )
        yield from _fence("\n".join(map(text.flatten, lines)), "plain")


def _quote_last_words(record: RunRecord, cell: CellRecord, files: Mapping[str, str]) -> Iterator[str]:
    if cell.backtrace:
        yield f"Backtrace: {escape(panel.describe_backtrace(cell.backtrace))}.\n"
        found = [content for path, content in files.items() if path.rpartition("/")[2] == _BACKTRACE]
        for content in found or filter(None, ["\n".join(cell.backtrace.frames)]):
            yield from _fence(content, "plain", end=False)
        yield ""
    yield from _quote(files, _LOGS, "plain", named=True)
    if cell.traced and cell.traced.evidence:
        yield f"\nPackets and traces, in the folder `traced`: {escape(trace.describe_end(cell))}."
    if absence := trace.explain_absence(cell, trace.find_traces(record.cells)):
        yield f"\n{escape(str(absence))}."


def _quote(
    files: Mapping[str, str], names: Sequence[str], kind: str, *, named: bool = False
) -> Iterator[str]:
    for name in names:
        for path, content in files.items():
            if path.rpartition("/")[2] == name and content.strip():
                if named:
                    yield f"`{_write_code(name)}`:\n"
                yield from _fence(content, kind)


def _fence(content: str, kind: str, *, end: bool = True) -> Iterator[str]:
    """Yield the end, or the beginning, of a text as a block of code, which nothing in it can end."""
    lines = [text.shorten(line, _LINE) for line in text.make_printable(content).splitlines()]
    cut = [f"(cut: the {'last' if end else 'first'} {_TAIL} of {len(lines)} lines)"]
    chosen = lines[-_TAIL:] if end else lines[:_TAIL]
    shown = "\n".join([*(cut if len(lines) > _TAIL else []), *chosen])
    ticks = "`" * max([2, *(len(found) for found in re.findall(r"`+", shown))]) + "`"
    yield f"{ticks}{kind}\n{shown}\n{ticks}"


def _write_code(value: str) -> str:
    """Return text that stands between single back quotes."""
    return text.flatten(value).replace("`", "'")


def _add(record: RunRecord, cell: CellRecord) -> Iterator[str]:
    axes = cell.axes
    yield f"- HAProxy {escape(_describe_software(axes.haproxy))}"
    yield f"- {escape(axes.tls.family)} {escape(_describe_software(axes.tls))}"
    for made in made_of(cell, record):
        yield f"- {escape(made.name)}: {escape(made.words)}"
    yield f"- client: {escape(axes.client.name)}; server: {escape(panel.describe_execution(cell))}"
    for one in record.components:
        if _is_worth_naming(one, cell):
            yield f"- {one.kind} {escape(one.name)} {escape(one.version)}"
    run = record.run
    yield (
        f"- seen by matrixctl {escape(run.tool_version)}, {escape(units.format_moment(run.started_at))}, on "
        f"{escape(run.host.system)}, kernel {escape(run.host.kernel)}, {escape(record.engines)}"
    )


def _describe_software(software: Software) -> str:
    """Return version, source, flags and patches."""
    parts = [software.version or software.name, software.source]
    if software.make_flags:
        parts.append(f"make flags {' '.join(software.make_flags)}")
    parts += [f"patch {patch.name}" for patch in software.patches]
    return ", ".join(parts)


def _is_worth_naming(one: Component, cell: CellRecord) -> bool:
    """Return whether it is a source or emulator of this cell, or a package of its server or client."""
    arch = cell.axes.arch.name
    if one.kind == "source":
        return one.name in {"haproxy", cell.axes.tls.family} and one.version in {
            cell.axes.haproxy.version,
            cell.axes.tls.version,
        }
    if one.kind == "emulator":
        return cell.execution.mode == "emulated" and f"runtime-{arch}" in " ".join(one.used_by or ())
    return one.kind == "package" and (
        f" in client-{cell.execution.host_arch}" in one.name
        or one.name.endswith((f" in runtime-{arch}", f" in emulated-runtime-{arch}"))
    )
