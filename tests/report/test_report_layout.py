"""How the HTML report is laid out, in a real Chromium: heads that stay in sight, paper, a phone."""

import nights
import pytest
from browsing import Reader

pytestmark = pytest.mark.browser

SCROLLED = """(() => {
  const grid = document.getElementById('grid');
  grid.scrollTo(grid.scrollWidth, grid.scrollHeight * 0.6);
  grid.scrollIntoView({block: 'start'});
  const box = grid.getBoundingClientRect();
  const side = grid.querySelector('.corner').getBoundingClientRect();
  const at = (x, y) => document.elementFromPoint(x, y);
  const names = [...grid.querySelectorAll('.head span')].filter((name) => at(...middle(name)) === name);
  function middle(element) {
    const place = element.getBoundingClientRect();
    return [place.left + place.width / 2, place.top + place.height / 2];
  }
  return {
    scrolls: [grid.scrollTop > 0, grid.scrollLeft > 0],
    corner: at(side.left + 5, side.bottom - 5).className,
    column: at(box.right - 30, side.bottom - 5).closest('thead') !== null,
    row: at(side.left + 5, side.bottom + 80).closest('th')?.scope,
    top: Math.abs(side.top - box.top) < 2 && Math.abs(side.left - box.left) < 2,
    haproxy: names.length ? names[0].textContent : '',
    under: names.length ? Math.round(names[0].closest('th').getBoundingClientRect().top - side.bottom) : null,
  };
})()"""


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_heads_of_a_large_grid_stay_in_sight(reader: Reader, width: int) -> None:
    """Those of the columns, of the rows, and the line that names HAProxy."""
    reader.open(nights.wide(2), width=width)
    found = reader.js(SCROLLED)
    assert isinstance(found, dict)
    assert found["scrolls"] == [True, True]
    assert (found["corner"], found["column"], found["row"], found["top"]) == ("corner", True, "row", True)
    assert found["haproxy"].startswith("HAProxy ")
    assert found["under"] == 0
