"""The corpus is what it says: large, with a class for each value, and nothing in it twice."""

from pathlib import Path

import pytest
from hostile import CANARY, CORPUS, EVALUATED, Kind, executed, rows, tried


def test_the_corpus_is_large_and_has_every_class() -> None:
    assert len(CORPUS) >= 80
    assert {value.kind for value in CORPUS} == set(Kind)


def test_no_value_stands_there_twice() -> None:
    assert len({value.name for value in CORPUS}) == len(CORPUS) == len({value.text for value in CORPUS})


@pytest.mark.parametrize("fields", [1, 11, 37, 400])
def test_each_field_has_each_class_and_each_value_a_field(fields: int) -> None:
    chosen = list(rows(fields, whole=False))
    assert {value for row in chosen for value in row} == set(CORPUS)
    for number in range(fields):
        assert {row[number].kind for row in chosen} == set(Kind)
    pairs = [(number, value) for row in chosen for number, value in enumerate(row)]
    assert len(set(pairs)) == len(pairs)
    assert fields < 11 or len(pairs) < fields * len(CORPUS)


@pytest.mark.parametrize("fields", [1, 11, 400])
def test_the_whole_corpus_is_each_value_in_each_field_once(fields: int) -> None:
    pairs = [(number, value) for row in rows(fields, whole=True) for number, value in enumerate(row)]
    assert len(set(pairs)) == len(pairs) == fields * len(CORPUS)
    assert tried("texts", fields, len(pairs)).endswith(f"{len(pairs):,} of {len(pairs):,} pairs tried")


def test_the_traces_are_found_and_stand_in_no_value(tmp_path: Path) -> None:
    assert not executed(tmp_path, *(value.text for value in CORPUS))
    (tmp_path / CANARY).touch()
    assert len(executed(tmp_path, f"It is {EVALUATED}.")) == 2


def test_what_utf8_cannot_say_is_known() -> None:
    assert [value.name for value in CORPUS if not value.says] == ["unicode-surrogate"]
    assert all(value.data for value in CORPUS if value.text)
