"""What is taken in of an endless answer, and how the cut shows."""

import pytest

from orchestrator import bounds


def test_what_is_short_stays_as_it_is() -> None:
    assert bounds.cut("ab", 2) == "ab"
    head = bounds.Head(4)
    for piece in (b"ab", b"", b"cd"):
        head.add(piece)
    assert head.get_content() == b"abcd"


def test_a_cut_says_so_and_how_much_is_missing() -> None:
    assert bounds.cut("abcde", 2) == "ab… (cut after 2; 3 more characters)"
    head = bounds.Head(4)
    for _ in range(1000):
        head.add(b"abc")
    assert head.get_content() == b"abca\n(cut after 4; 2996 more bytes)\n"


@pytest.mark.parametrize(
    ("count", "said"), [(1 << 20, "1 MiB"), (16384, "16 KiB"), (400, "400"), (3 << 20, "3 MiB")]
)
def test_a_limit_is_told_in_round_units(count: int, said: str) -> None:
    assert bounds.format_size(count) == said


def test_lines_come_whole_whatever_the_pieces_are() -> None:
    lines = bounds.Lines(10)
    text = b"one\n\ntwo\nthree"
    found = [line for start in range(len(text)) for line in lines.split(text[start : start + 1])]
    assert found == [b"one", b"", b"two"]
    assert list(lines.split(b"!\n")) == [b"three!"]


def test_a_line_without_an_end_is_given_up() -> None:
    lines = bounds.Lines(10)
    assert list(lines.split(b"12345")) == []
    with pytest.raises(OverflowError, match="a line of more than 10"):
        list(lines.split(b"678901"))
