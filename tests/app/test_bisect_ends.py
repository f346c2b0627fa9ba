"""Between which versions a bisection looks."""

import pytest
from fakes import cell
from plan_samples import source

from orchestrator.app.bisect import list_versions
from orchestrator.matrix.catalog import Catalog

KNOWN = Catalog(
    sources={("haproxy", version): source("haproxy", version) for version in ("3.2", "3.0", "2.8", "3.1")}
)


@pytest.mark.parametrize(
    ("own", "good", "bad", "ends"),
    [
        ("3.2", "", "", ("2.8", "3.2")),
        ("3.1", "", "", ("2.8", "3.1")),
        ("2.8", "", "", ("2.8", "3.2")),
        ("3.3", "", "", ("2.8", "3.2")),
        ("3.0", "3.1", "", ("3.0", "3.1")),
        ("3.0", "3.0", "", ("3.0", "3.2")),
        ("3.2", "3.2", "", ("2.8", "3.2")),
        ("3.2", "", "3.0", ("2.8", "3.0")),
        ("3.1", "", "2.8", ("2.8", "3.2")),
        ("2.8", "3.0", "3.1", ("3.0", "3.1")),
    ],
)
def test_an_end_that_is_left_out_is_the_cell_s_own_version_or_the_oldest(
    own: str, good: str, bad: str, ends: tuple[str, str]
) -> None:
    """CELL is what fails: a version between the oldest and the newest would else not even be tried."""
    found, lacking = list_versions(cell(haproxy=own), "haproxy", KNOWN, good, bad)
    assert (found[0].name, found[-1].name) == ends
    assert lacking == ()
