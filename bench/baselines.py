"""What a user would take otherwise, from packages that are no dependency of matrixctl: each finds boxes.

They are installed for the benchmark alone: scikit-learn, mlxtend, wittgenstein (docs/localisation.md).
"""

import importlib
from collections.abc import Sequence
from typing import Any

from bench.planted import ORDERED, Planted
from orchestrator.analyse.search import Box, Space, list_positions

_LEVELS = 3
"""Conditions of an item set."""
_PURE = 0.8
"""The share of failures from which a leaf or an item set counts as one that fails."""
_LEAST = 5


def grow_tree(planted: Planted) -> Sequence[Sequence[Box]]:
    """Grow a decision tree for each kind of failure; each leaf that fails is a box."""
    tree = importlib.import_module("sklearn.tree")
    found: list[Sequence[Box]] = []
    for space in planted.spaces:
        rows = [*list_positions(space.failing), *list_positions(space.passing)]
        columns = [
            (axis, None if axis in ORDERED else value)
            for axis, size in enumerate(planted.sizes)
            for value in ([0] if axis in ORDERED else range(size))
        ]
        data = [
            [
                planted.points[row][axis] if value is None else planted.points[row][axis] == value
                for axis, value in columns
            ]
            for row in rows
        ]
        fails = [bool(space.failing >> row & 1) for row in rows]
        made = tree.DecisionTreeClassifier(criterion="entropy", min_samples_leaf=_LEAST, random_state=0).fit(
            data, fails
        )
        full = {axis: (1 << size) - 1 for axis, size in enumerate(planted.sizes)}
        found.append(list(_list_leaves(made.tree_, 0, full, columns, planted.sizes)))
    return found


def _list_leaves(
    tree: Any,
    node: int,
    allowed: dict[int, int],
    columns: Sequence[tuple[int, int | None]],
    sizes: Sequence[int],
) -> Any:
    left, right = tree.children_left[node], tree.children_right[node]
    if left == right:
        passed, failed = tree.value[node][0] if len(tree.value[node][0]) > 1 else (0.0, 1.0)
        if failed / (passed + failed) >= _PURE:
            yield tuple(
                (axis, values) for axis, values in allowed.items() if values != (1 << sizes[axis]) - 1
            )
        return
    axis, value = columns[tree.feature[node]]
    if value is None:
        low = sum(1 << one for one in range(sizes[axis]) if one <= tree.threshold[node])
    else:
        low = ~(1 << value)
    yield from _list_leaves(tree, left, {**allowed, axis: allowed[axis] & low}, columns, sizes)
    yield from _list_leaves(tree, right, {**allowed, axis: allowed[axis] & ~low}, columns, sizes)


def mine_sets(planted: Planted) -> Sequence[Sequence[Box]]:
    """Mine frequent item sets of the failures (values, and bounds of versions), and cover with the best."""
    pandas = importlib.import_module("pandas")
    mining = importlib.import_module("mlxtend.frequent_patterns")
    found: list[Sequence[Box]] = []
    for space in planted.spaces:
        rows = list_positions(space.failing)
        if not rows:  # another fault covers all of its cells
            found.append([])
            continue
        items = {
            (axis, values) for axis, size in enumerate(planted.sizes) for values in _list_items(axis, size)
        }
        table = pandas.DataFrame(
            {
                item: [bool(item[1] >> planted.points[row][item[0]] & 1) for row in rows]
                for item in sorted(items)
            }
        )
        sets = mining.fpgrowth(
            table, min_support=max(_LEAST / len(rows), 0.02), use_colnames=True, max_len=_LEVELS
        )
        boxes = {box for one in sets["itemsets"] if (box := _join(one, planted.sizes))}
        found.append(_cover(space, sorted(boxes)))
    return found


def _list_items(axis: int, size: int) -> list[int]:
    values = [1 << value for value in range(size)]
    if axis in ORDERED:
        values += [(1 << bound) - 1 for bound in range(2, size)]
        values += [((1 << size) - 1) & ~((1 << bound) - 1) for bound in range(1, size - 1)]
    return values


def _join(items: Any, sizes: Sequence[int]) -> Box:
    allowed: dict[int, int] = {}
    for axis, values in items:
        allowed[axis] = allowed.get(axis, (1 << sizes[axis]) - 1) & values
    return tuple(sorted(allowed.items()))


def _cover(space: Space, boxes: Sequence[Box]) -> list[Box]:
    """Take the box that covers most of what is left, the shortest first, until none covers five cells."""
    pure = []
    for box in boxes:
        rows = space.may_hold(box)
        fails = (rows & space.failing).bit_count()
        if fails >= _LEAST and fails >= _PURE * rows.bit_count():
            pure.append((box, rows))
    chosen, left = [], space.failing
    while pure:
        box, rows = max(pure, key=lambda one: ((one[1] & left).bit_count(), -len(one[0])))
        if (rows & left).bit_count() < _LEAST:
            break
        chosen.append(box)
        left &= ~rows
    return chosen


def learn_rules(planted: Planted) -> Sequence[Sequence[Box]]:
    """Learn rules by RIPPER; versions are taken for values, since its bins would hide their borders."""
    pandas = importlib.import_module("pandas")
    wittgenstein = importlib.import_module("wittgenstein")
    found: list[Sequence[Box]] = []
    for space in planted.spaces:
        if not space.failing:
            found.append([])
            continue
        rows = [*list_positions(space.failing), *list_positions(space.passing)]
        table = pandas.DataFrame(
            {
                f"axis{axis}": [f"v{planted.points[row][axis]}" for row in rows]
                for axis in range(len(planted.sizes))
            }
        )
        table["end"] = ["fails" if space.failing >> row & 1 else "passes" for row in rows]
        made = wittgenstein.RIPPER(random_state=0)
        made.fit(table, class_feat="end", pos_class="fails")
        found.append(
            [
                tuple(sorted((int(cond.feature[4:]), 1 << int(cond.val[1:])) for cond in rule.conds))
                for rule in made.ruleset_.rules
            ]
        )
    return found
