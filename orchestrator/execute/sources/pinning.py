"""Takes the pins of a selection: what each source that moves stands at now."""

import logging
import time
from collections.abc import Sequence

from orchestrator.errors import MatrixctlError
from orchestrator.execute.sources import unpinned
from orchestrator.execute.store.store import Store
from orchestrator.matrix.catalog import Moving
from orchestrator.matrix.model import Cell, Matrix
from orchestrator.matrix.pins import Pin, Pins, find_branches, find_moving

_log = logging.getLogger(__name__)


def take_pins(matrix: Matrix, cells: Sequence[Cell], store: Store, *, mirrors: Sequence[str]) -> Pins:
    """Return the pins of what moves in the cells, and of every branch of the matrix, whose version is read.

    git is asked for the commits, trees and files are read here, and nothing is kept.

    :raises MatrixctlError: where a source of the cells cannot be read; of the other branches that is said.
    """

    def take(what: Moving) -> Pin:
        deadline = time.monotonic() + matrix.limits.fetch
        at = unpinned.resolve(what, store=store, mirrors=mirrors, deadline=deadline)
        return Pin.model_validate({**what.model_dump(exclude={"version"}), "at": at})

    pins = {what: take(what) for what in find_moving(cells)}
    for what in find_branches(matrix):
        if what in pins:
            continue
        try:
            pins[what] = take(what)
        except MatrixctlError as error:
            _log.warning("%s %s has no pin, and no cell needs one: %s", what.component, what, error.brief)
    return Pins(matrix=matrix.digest, pins=tuple(pins.values()))
