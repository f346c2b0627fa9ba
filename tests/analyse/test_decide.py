"""The fewest cells that tell explanations apart, against all choices that there are."""

from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analyse.decide import _cover

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
