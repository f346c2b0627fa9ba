"""Versions of HAProxy and of TLS libraries, and their order."""

import re
from dataclasses import dataclass, field
from typing import Self

_LONGEST = 64
# Possessive, since a word may follow a word without anything between: there are 2^n ways to part n letters.
_TEXT = re.compile(
    r"(?P<release>[0-9]+(?:\.[0-9]+)*)(?P<rest>(?:[-+_.]?[A-Za-z]++[0-9]*+|[-+_][0-9]++)*+)", re.ASCII
)
_SUFFIX = re.compile(r"[-+_.]?(?P<word>[A-Za-z]*)(?P<number>[0-9]*)", re.ASCII)

# What comes before the release, in this order. Any other word comes after it: "-quic1", the letter of
# OpenSSL's 1.1.1w, "-stable" of wolfSSL.
_BEFORE = {"dev": -5, "alpha": -4, "beta": -3, "pre": -2, "rc": -1}
_END = (0, "", 0)
_AFTER = 1

Suffix = tuple[int, str, int]


@dataclass(frozen=True, order=True, kw_only=True)
class Version:
    """A version in a total order: 3.0-dev12 < 3.0-dev13 < 3.0.0 < 3.0.11, 3.3.0 < 3.3.0-quic1."""

    key: tuple[tuple[int, ...], tuple[Suffix, ...]]
    """The numbers without trailing zeros, then the suffixes with an end mark that sorts as the release."""
    release: tuple[int, ...] = field(compare=False)
    """The numbers as written: ``3.0`` names a series that ``3`` does not."""
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3.0-dev13``, ``3.3.0-quic1``, ``3.5.7``.

        :raises ValueError: for anything else, as in ``distro``.
        """
        match = _TEXT.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            raise ValueError(f"{text[:_LONGEST]!r} is no version such as 3.0.11, 3.0-dev13 or 3.3.0-quic1")
        release = tuple(int(number) for number in match["release"].split("."))
        suffixes = tuple(_parse_suffix(part) for part in _SUFFIX.finditer(match["rest"]) if part[0])
        return cls(key=(_strip_zeros(release), (*suffixes, _END)), release=release, text=text)

    def is_at_most(self, bound: Self) -> bool:
        """Return true up to ``bound`` and its whole series: 3.1.9 and 3.1.9-quic1 are at most 3.1."""
        return self <= bound or self._is_in_series(bound)

    def _is_in_series(self, bound: Self) -> bool:
        length = len(bound.release)
        padded = self.release + (0,) * (length - len(self.release))
        suffixes = bound.key[1][:-1]
        if not suffixes:
            return padded[:length] == bound.release
        return self.key[0] == bound.key[0] and self.key[1][: len(suffixes)] == suffixes

    def __str__(self) -> str:
        return self.text


def _parse_suffix(part: re.Match[str]) -> Suffix:
    word = part["word"].lower()
    return _BEFORE.get(word, _AFTER), word, int(part["number"] or 0)


def _strip_zeros(release: tuple[int, ...]) -> tuple[int, ...]:
    length = len(release)
    while length > 1 and release[length - 1] == 0:
        length -= 1
    return release[:length]
