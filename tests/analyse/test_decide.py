"""The fewest cells that tell explanations apart, against all choices that there are."""

import shlex
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st
from samples import quick

from orchestrator import resources
from orchestrator.analyse.decide import _cover
from orchestrator.analyse.explain import explain
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import AXES
from orchestrator.matrix.select import select
from orchestrator.outcome import Outcome, Reason
from orchestrator.record.model import Axes

PARTS = st.frozensets(st.integers(0, 5), min_size=1)


@given(st.lists(PARTS, max_size=10, unique=True))
def test_no_smaller_choice_tells_as_much_apart(parts: list[frozenset[int]]) -> None:
    told = {part: str(number) for number, part in enumerate(parts)}
    wanted = frozenset(chain.from_iterable(parts))
    fewest = next(
        size
        for size in range(len(parts) + 1)
        if any(frozenset(chain.from_iterable(chosen)) == wanted for chosen in combinations(parts, size))
    )
    chosen = _cover(told)
    assert frozenset(chain.from_iterable(parts[int(one)] for one in chosen)) == wanted
    assert len(chosen) <= fewest + 1
    assert len(chosen) == fewest or fewest > 3


def test_the_words_for_a_neighbour_choose_it_alone() -> None:
    """Though the run was of one architecture and one client alone: its matrix has more."""
    every = expand(load(resources.find_root() / "matrix.yaml"))
    some = (
        "arch=amd64",
        "client=curl",
        "execution=default",
        "haproxy=3.0.11",
        "cipher=*GCM*",
        "tls=openssl*",
    )
    sample = quick().cells[0]
    cells = [
        sample.model_copy(update={"id": one.id, "axes": Axes.model_validate(one.axes), "observations": None})
        for one in select(every, some, known=every)
    ]
    passing = {"outcome": Outcome.PASS, "reason": None}
    failing = {"outcome": Outcome.FAIL, "reason": Reason.WRONG_BODY}
    first, *rest = cells
    kept = [one for one in rest if one.axes.tls != first.axes.tls and one.axes.cipher != first.axes.cipher]
    judged = (first.model_copy(update=failing), *(one.model_copy(update=passing) for one in kept))
    found = explain([quick().model_copy(update={"cells": judged})])
    assert found.unexplained == (first.id,)
    assert found.neighbours
    for words in found.neighbours:
        (one,) = select(every, shlex.split(words)[1::2], known=every)
        assert sum(one.axes[axis].name != getattr(first.axes, axis).name for axis in AXES) == 1
