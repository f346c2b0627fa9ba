"""The cause of a failure in few words: what is named first, and by which cells are put together. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from orchestrator.analyse.alarms import find_common
from orchestrator.record.model import CellRecord

_UNKNOWN = "What the self-test says of it cannot be told"
_END = re.compile(r" \(|; |\.(?:\s|$)")


def name_cause(sentence: str) -> str:
    """Return what a self-test found, without its details; empty where it found nothing.

    Details, as lengths and offsets, differ from one architecture to the next, where the fault is the same.
    """
    if sentence.startswith(_UNKNOWN):
        return ""
    return _END.split(sentence, maxsplit=1)[0]


def name_causes(cells: Sequence[CellRecord], everything: Sequence[CellRecord]) -> tuple[str, ...]:
    """Return the causes of some failures, that of most cells first; where none is known, the reason.

    Where all have one reason, the values on which they agree are named with it.

    :param everything: all cells of the run.
    """
    found = Counter(name_cause(cell.cause) or str(cell.reason or "") for cell in cells)
    names = tuple(name for name, _ in found.most_common() if name)
    if len(names) == 1 and len(cells) > 1 and not any(name_cause(cell.cause) for cell in cells):
        common = " ".join(find_common(cells, everything))
        return (f"{names[0]}, each with {common}" if common else names[0],)
    return names


def count_causes(cells: Sequence[CellRecord]) -> int:
    """Return how many causes self-tests found, if they found one for each of the cells; else 0."""
    found = {name_cause(cell.cause) for cell in cells}
    return 0 if "" in found else len(found)
