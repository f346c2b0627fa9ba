"""Why cells fail: the smallest combinations that cover the failures of a run and no pass. Pure.

docs/localisation.md says how, and how well it was measured to work.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any, Literal

from orchestrator.analyse.attributes import ATTRIBUTES, SYMPTOMS, choose
from orchestrator.analyse.conditions import describe_border, write_condition
from orchestrator.analyse.decide import Hypothesis, find_deciding, find_neighbours
from orchestrator.analyse.search import Box, Rows, Space, Values, find_models, list_positions
from orchestrator.analyse.table import FailureKind, Table, make_table, pick
from orchestrator.frozen_value import Value, describe_schema
from orchestrator.matrix.model import AXES
from orchestrator.outcome import FAILURES, Outcome, Reason
from orchestrator.record.model import Exploration, RunRecord

Confidence = Literal["strong", "fair", "weak"]

_FEW, _ENOUGH, _BORDER = 3, 5, 3
"""Failing cells below which a cluster is weak, and from which it may be strong; passing cells that a strong
one has beyond each condition."""
_MOST_ALTERNATIVES = 4
_LOOKED_AT = 20_000
"""Cells of a cluster, and of its neighbourhood, that are looked at for pairs."""
_SLACK_BITS = 3.5
"""By how much the condition of an alternative may be longer: a surcharge and a rounding."""
_RENAMED = {"client-stack": "client"}
"""Attributes that only say an axis in other words."""


class Cluster(Value):
    """Cells that fail alike, and the smallest conjunction of conditions that holds for them and no pass."""

    id: str
    """A hash of outcome, reason and conditions."""
    outcome: Outcome
    reason: Reason | None
    when: tuple[str, ...]
    """Filters: the cells for which all hold."""
    cells: tuple[str, ...]
    """The failing cells of that reason for which ``when`` holds."""
    maybe: tuple[str, ...]
    """The same, as far as is known: of an attribute of theirs nothing is."""
    passing: int
    """Cells that pass though ``when`` holds: exceptions that are taken for noise."""
    exceptions: tuple[str, ...]
    """Those cells."""
    others: int
    """All other cells that ran and did not fail for another reason."""
    others_failing: int
    """How many of these fail for the same reason: other clusters, or unexplained."""
    otherwise: Mapping[str, int]
    """Cells for which ``when`` holds and that fail for other reasons, by reason."""
    mixed: int
    """How many of ``cells`` passed in some of their attempts or runs."""
    irrelevant: tuple[str, ...]
    """Axes on which nothing depends: cells that differ there alone end alike, inside and just outside."""
    confounded: tuple[tuple[str, str], ...]
    """A condition, and another one that held in the very same cells of all that ran."""
    alternatives: tuple[tuple[str, ...], ...]
    """Other conjunctions of equal size that explain the same cells."""
    borders: tuple[str, ...]
    """Between which versions a condition begins or ends."""
    confidence: Confidence
    because: str
    """Why it is not more."""
    cause: str
    """What the self-test of the library says of these cells."""
    decide: tuple[str, ...]
    """Words for ``matrixctl run``: the fewest cells whose outcome tells this explanation from the others."""


class Explanation(Value):
    """What ``matrixctl explain --format json`` prints."""

    schema_version: Literal[1] = 1
    run: str
    also: tuple[str, ...]
    """The runs that add outcomes."""
    notes: tuple[str, ...]
    """What makes it weaker than it looks."""
    failing: int
    passing: int
    missing: int
    """Cells that say nothing: blocked, error, unsupported, not judged."""
    clusters: tuple[Cluster, ...]
    unexplained: tuple[str, ...]
    """Failing cells that no cluster explains."""
    neighbours: tuple[str, ...]
    """Words for ``matrixctl run``: what to run next where a single cell fails."""


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, of an explanation."""
    return describe_schema(Explanation, "matrixctl explain --format json")


def explain(records: Sequence[RunRecord], filters: Sequence[str] = ()) -> Explanation:
    """Explain the failures of several runs together: what failed in one of them is a failure.

    The first run gives the explanation its name; what fails in others alone is told as a note.

    :raises UsageError: for a bad filter, and for runs whose cells are not the same ones.
    :raises NothingSelectedError: if a filter leaves no cell.
    """
    table = make_table(records)
    if filters:
        cells = [row.cell for row in table.rows]
        table = pick(table, choose(cells, table.attributes, filters))
    first, *others = (one.run for one in records)
    notes = (
        *(
            f"{run.id} is a run of another matrix: its cells count as they are"
            for run in others
            if run.matrix_digest != first.matrix_digest
        ),
        *(f"{run.id} is not finished" for run in (first, *others) if run.status != "finished"),
        *(_tell_exploration(one, one.run.exploration) for one in records if one.run.exploration),
        *_tell_foreign(table, records[0]),
    )
    return explain_table(table, run=first.id, also=tuple(run.id for run in others), notes=notes)


def _tell_exploration(record: RunRecord, one: Exploration) -> str:
    why = f": {one.end}" if one.end else ""
    return f"{len(record.cells)} of {one.selected} cells were asked for, to explain the failures{why}"


def _tell_foreign(table: Table, first: RunRecord) -> Iterator[str]:
    own = {cell.id for cell in first.cells if cell.outcome in FAILURES}
    failing = [row.cell.id for row in table.rows if isinstance(row.end, tuple)]
    count = sum(id_ not in own for id_ in failing)
    if count:
        fail = "does not fail" if count == 1 else "do not fail"
        yield f"{count} of the {len(failing)} failing cells {fail} in {first.run.id}, but in another run"


def explain_table(
    table: Table, *, run: str, also: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> Explanation:
    """Explain the failures of a table."""
    kinds = list(table.kinds)
    spaces = [
        Space(factors=table.factors, failing=table.kinds[kind], passing=table.passing) for kind in kinds
    ]
    clusters, unexplained = [], 0
    for kind, space, model in zip(kinds, spaces, find_models(spaces), strict=True):
        boxes = sorted(model.boxes, key=lambda box, space=space: -_count_failing(space, box))  # type: ignore[misc]
        clusters += [_describe(table, kind, space, box) for box in boxes]
        unexplained |= space.failing & ~space.find_covered(boxes)
    left = [table.rows[i].cell for i in list_positions(unexplained)]
    failing = reduce(or_, table.kinds.values(), 0).bit_count()
    return Explanation(
        run=run,
        also=also,
        notes=(*notes, *_list_notes(table, failing)),
        failing=failing,
        passing=table.passing.bit_count(),
        missing=len(table.rows) - table.ran.bit_count(),
        clusters=tuple(clusters),
        unexplained=tuple(cell.id for cell in left),
        neighbours=find_neighbours(table, left[0]) if len(left) == 1 else (),
    )


def _list_notes(table: Table, failing: int) -> Iterator[str]:
    if failing and not table.passing:
        yield "no cell passes, so nothing tells one value from another"
    if mixed := sum(row.mixed for row in table.rows):
        cells = "1 cell" if mixed == 1 else f"{mixed} cells"
        yield f"{cells} passed in some attempts or runs and failed in others; that counts as a failure"


def _count_failing(space: Space, box: Box) -> int:
    return (space.may_hold(box) & space.failing).bit_count()


def _describe(table: Table, kind: FailureKind, space: Space, box: Box) -> Cluster:
    known, may = space.holds(box), space.may_hold(box)
    cells, exceptions = known & space.failing, may & space.passing
    outside = (space.failing | space.passing) & ~may
    when = _write(table, box)
    same, others = _find_rivals(table, space, box)
    replaced = [_replace(box, index, other) for index, other in same]
    said = [when, *(_write(table, other) for other in replaced)]
    told = {frozenset(one) for one in said} | {_replace_suite(one) for one in said}
    texts = {text for other in others if frozenset(text := _write(table, other)) not in told}
    otherwise = _count_otherwise(table, kind, box)
    decide = find_deciding(table, cells, [_make_hypothesis(table, one) for one in (box, *others, *replaced)])
    confidence, because = _weigh(space, box, undecided=bool(texts or same))
    outcome, reason = kind
    return Cluster(
        id=hashlib.sha256(json.dumps([outcome, reason, sorted(when)]).encode()).hexdigest()[:16],
        outcome=outcome,
        reason=reason,
        when=when,
        cells=_list_ids(table, cells),
        maybe=_list_ids(table, may & ~known & space.failing),
        passing=exceptions.bit_count(),
        exceptions=_list_ids(table, exceptions),
        others=outside.bit_count(),
        others_failing=(outside & space.failing).bit_count(),
        otherwise={reason: rows.bit_count() for reason, rows in otherwise.items()},
        mixed=sum(table.rows[i].mixed for i in list_positions(cells)),
        irrelevant=tuple(_find_irrelevant(table, space, box, reduce(or_, otherwise.values(), 0))),
        confounded=tuple(
            (_write_one(table, index, dict(box)[index]), _write_one(table, *other)) for index, other in same
        ),
        alternatives=tuple(sorted(texts))[:_MOST_ALTERNATIVES],
        borders=tuple(_list_borders(table, space, box)),
        confidence=confidence,
        because=because,
        cause=_find_cause(table, cells, outside),
        decide=decide,
    )


def _list_ids(table: Table, rows: Rows) -> tuple[str, ...]:
    return tuple(table.rows[i].cell.id for i in list_positions(rows))


def _count_otherwise(table: Table, kind: FailureKind, box: Box) -> dict[str, Rows]:
    """Return the cells for which a box may hold and that fail for other reasons."""
    whole = Space(factors=table.factors, failing=table.ran, passing=0).may_hold(box)
    return {
        str(reason or outcome): rows & whole
        for (outcome, reason), rows in table.kinds.items()
        if (outcome, reason) != kind and rows & whole
    }


_AnyBox = tuple[tuple[int | str, Values | frozenset[str]], ...]


def _write(table: Table, box: Box | _AnyBox) -> tuple[str, ...]:
    order = sorted(box, key=lambda one: ATTRIBUTES.index(_name(table, one[0])))
    return tuple(_write_one(table, index, values) for index, values in order)


def _name(table: Table, index: int | str) -> str:
    return index if isinstance(index, str) else table.factors[index].name


def _write_one(table: Table, index: int | str, values: Values | frozenset[str]) -> str:
    name = _name(table, index)
    chosen = values if isinstance(values, frozenset) else _list_names(table, name, values)
    return write_condition(name, table.values[name], chosen)


def _list_names(table: Table, name: str, values: Values) -> frozenset[str]:
    return frozenset(value for i, value in enumerate(table.values[name]) if values >> i & 1)


def _list_borders(table: Table, space: Space, box: Box) -> Iterator[str]:
    """Yield the neighbouring versions of which one was seen to fail and the other one to pass."""
    for condition in box:
        index, values = condition
        name = table.factors[index].name
        rest = space.holds(tuple(one for one in box if one != condition))
        masks = dict(zip(table.values[name], table.factors[index].masks, strict=True))
        for inside, outside in describe_border(table.values[name], _list_names(table, name, values)):
            if rest & masks[inside] & space.failing and rest & masks[outside] & space.passing:
                yield f"{name}: it fails with {inside}, and not with {outside}"


def _make_hypothesis(table: Table, box: Box | _AnyBox) -> Hypothesis:
    found: Hypothesis = {}
    for index, values in box:
        name = _name(table, index)
        found[name] = values if isinstance(values, frozenset) else _list_names(table, name, values)
    return found


def _replace(box: Box, index: int, other: tuple[str, frozenset[str]]) -> _AnyBox:
    return tuple(other if one[0] == index else one for one in box)


def _replace_suite(when: tuple[str, ...]) -> frozenset[str]:
    """Return the same with the suite that was negotiated in place of the one that was forced."""
    return frozenset(
        f"negotiated={text.removeprefix('cipher=')}" if text.startswith("cipher=") else text for text in when
    )


Confounded = tuple[int, tuple[str, frozenset[str]]]
"""The factor of a condition, and another condition."""


def _drop_words(table: Table, box: Box, same: list[Confounded]) -> list[Confounded]:
    """Leave out the suite that was negotiated since it was forced: that is said already."""
    forced = {other[1] for _, other in same if other[0] == "cipher"}
    forced |= {_list_names(table, "cipher", v) for i, v in box if table.factors[i].name == "cipher"}
    return [one for one in same if one[1][0] != "negotiated" or one[1][1] not in forced]


def list_explanations(table: Table, space: Space, box: Box) -> list[Hypothesis]:
    """Return what a box says, and behind it each other explanation that fits as well."""
    same, others = _find_rivals(table, space, box)
    replaced = [_replace(box, index, other) for index, other in same]
    return [_make_hypothesis(table, one) for one in (box, *others, *replaced)]


def _find_rivals(table: Table, space: Space, box: Box) -> tuple[list[Confounded], list[Box]]:
    """Return the conditions that could stand in place of one, and the boxes in place of the whole."""
    same = _drop_words(table, box, list(_find_confounded(table, box)))
    return same, list(_find_alternatives(space, box))


def _find_confounded(table: Table, box: Box) -> Iterator[Confounded]:
    """Yield, for a condition, each other one that holds for the very same of all cells that ran."""
    named = {table.factors[index].name for index, _ in box}
    for index, values in box:
        holds = table.factors[index].find_rows(values)
        for name, others in table.values.items():
            if name in named or _RENAMED.get(name) == table.factors[index].name:
                continue
            factor = table.columns[name]
            inside = frozenset(
                value for value, mask in zip(others, factor.masks, strict=True) if mask & ~holds == 0
            )
            covered = reduce(or_, (m for v, m in zip(others, factor.masks, strict=True) if v in inside), 0)
            if inside and covered == holds and not factor.unknown & ~holds:
                yield index, (name, inside)


def _find_alternatives(space: Space, box: Box) -> Iterator[Box]:
    """Yield the boxes with one condition replaced that explain the same cells, and are no longer."""
    cells, exceptions = space.may_hold(box) & space.failing, space.may_hold(box) & space.passing
    known = space.holds(box) & space.failing
    for index, values in box:
        others = tuple(one for one in box if one[0] != index)
        rest = space.may_hold(others)
        for other, factor in enumerate(space.factors):
            if any(other == used for used, _ in box):
                continue
            wanted = sum(1 << v for v, mask in enumerate(factor.masks) if mask & cells)
            if wanted in {0, factor.full}:
                continue
            trial = tuple(sorted((*others, (other, wanted))))
            rows = rest & (factor.find_rows(wanted) | factor.unknown)
            same = known & ~space.holds(trial) == 0 and rows & space.passing & ~exceptions == 0
            if (
                same
                and space.measure_condition(other, wanted)
                <= space.measure_condition(index, values) + _SLACK_BITS
            ):
                yield trial


def _weigh(space: Space, box: Box, *, undecided: bool) -> tuple[Confidence, str]:
    """Return how much the cells prove, and why it is not more."""
    cells = (space.holds(box) & space.failing).bit_count()
    beyond = min(
        (
            space.may_hold(tuple(one for one in box if one != condition))
            & space.passing
            & ~space.may_hold((condition,))
        ).bit_count()
        for condition in box
    )
    if cells < _FEW:
        return "weak", f"{cells} cells are few"
    if beyond == 0:
        return "weak", "no cell that ran differs by one of its conditions alone and passes"
    if undecided:
        return "fair", "other explanations fit as well"
    if cells < _ENOUGH:
        return "fair", f"{cells} failing cells are few"
    if beyond < _BORDER:
        plural = "1 passing cell" if beyond == 1 else f"{beyond} passing cells"
        return "fair", f"one of its conditions rests on {plural}"
    return "strong", ""


def _find_irrelevant(table: Table, space: Space, box: Box, otherwise: Rows) -> Iterator[str]:
    """Yield the axes on which cells differ alone and end alike: failing ones inside, passing ones outside.

    Just outside, that is: all conditions but one hold.

    :param otherwise: cells inside that fail for another reason: what leads to them is not irrelevant.
    """
    inside = space.holds(box) & space.failing
    groups = [
        space.holds(tuple(one for one in box if one != condition))
        & space.passing
        & ~space.may_hold((condition,))
        for condition in box
    ]
    named = {table.factors[index].name for index, _ in box}
    for axis in AXES:
        if axis in named or len(table.values[axis]) == 1 or _has_pair(table, inside, axis, otherwise):
            continue
        if _has_pair(table, inside, axis) and any(_has_pair(table, group, axis) for group in groups):
            yield axis


def _has_pair(table: Table, rows: Rows, axis: str, others: Rows | None = None) -> bool:
    """Return whether two of the rows differ on one axis alone; or one of them, and one of others."""
    seen: dict[tuple[str, ...], str] = {}
    for key, value in _list_keys(table, rows, axis):
        if seen.setdefault(key, value) != value and others is None:
            return True
    return others is not None and any(
        seen.get(key, value) != value for key, value in _list_keys(table, others, axis)
    )


def _list_keys(table: Table, rows: Rows, axis: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the values of each row on all other axes, and on this one."""
    rest = [one for one in AXES if one != axis]
    for position in islice(list_positions(rows), _LOOKED_AT):
        axes = table.rows[position].cell.axes
        yield tuple(getattr(axes, one).name for one in rest), getattr(axes, axis).name


def _find_cause(table: Table, cells: Rows, outside: Rows) -> str:
    """Return what the self-test says: the sentence that most cells have, and how well it fits all of them."""
    said = Counter(cause for i in list_positions(cells) if (cause := table.rows[i].cell.cause))
    sentence = said.most_common(1)[0][0] if said else ""
    (symptom,) = SYMPTOMS
    failed = Counter(
        value.name
        for i in list_positions(cells)
        if (value := table.attributes[i][symptom]) and value.name != "passed"
    )
    if not failed:
        return sentence
    name, count = failed.most_common(1)[0]
    elsewhere = sum(
        value is not None and value.name == name
        for value in (table.attributes[i][symptom] for i in list_positions(outside))
    )
    total, other = cells.bit_count(), outside.bit_count()
    fits = f"{symptom}={name} in {count} of {total} of these cells, and in {elsewhere} of {other} others."
    return f"{sentence} {fits}" if sentence else fits
