"""No text from outside is a command of a CI system where a line of ours shows it."""

import pytest
from actions_log import Command, obeyed
from hostile import CORPUS

from orchestrator.report.text import flatten, make_printable

BLANKS = [character for character in map(chr, range(0x3001)) if character.isspace()]
"""What .NET's TrimStart removes is what Python takes for white space."""


def test_the_tests_reader_of_a_log_reads_as_the_runner_does() -> None:
    log = "a\n \u3000::error file=a%2Cb,line=3::x%0Ay%25\n::unknown::x\n::error: x\nz ##[warning]w\n"
    log += "::stop-commands::t\n::error::unheard\n##[error]unheard\n::t::\n::notice::heard\n"
    assert obeyed(log) == [
        Command("error", {"file": "a,b", "line": "3"}, "x\ny%"),
        Command("warning", {}, "w"),
        Command("stop-commands", {}, "t"),
        Command("t", {}, ""),
        Command("notice", {}, "heard"),
    ]


@pytest.mark.parametrize("blank", ["", *BLANKS], ids=repr)
def test_white_space_of_any_kind_hides_no_command(blank: str) -> None:
    for text in (f"{blank}::error::owned", f"x\n{blank}{blank}::add-mask::a", f"x ##[error]{blank}owned"):
        assert obeyed(text)
        assert obeyed(make_printable(text)) == []
        assert obeyed(flatten(text)) == []


def test_no_value_of_the_corpus_is_a_command() -> None:
    assert sum(bool(obeyed(hostile.text)) for hostile in CORPUS) >= 5
    for hostile in CORPUS:
        for shown in (make_printable(hostile.text), flatten(hostile.text)):
            assert obeyed(shown) == [], hostile.name
