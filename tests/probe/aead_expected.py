"""Computes templates/aead/expected.h with another implementation; run as a program it prints the file."""

import sys
from collections.abc import Callable
from functools import reduce

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

# Edges of AES blocks, of Poly1305's and GHASH's unrolled loops (4, 5, 8 and 16 blocks), of ChaCha20's
# (1 to 16 blocks of 64 bytes), QUIC's datagrams (1200, 1252) and a TLS record.
LENGTHS = (
    *(0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 79, 80, 81, 127, 128, 129, 191, 192, 193),
    *(255, 256, 257, 319, 320, 321, 383, 384, 385, 511, 512, 513, 639, 640, 641, 767, 768, 769),
    *(1023, 1024, 1025, 1199, 1200, 1252, 1500, 4096, 8191, 16384),
)
AADS = (0, 13, 21, 32)
"""QUIC's header is 1 + 20 + 4 bytes at most for a short one; TLS 1.2 has 13."""

KEY = bytes(0x80 + 3 * i & 0xFF for i in range(32))
PLAIN = bytes(i * 31 + (i >> 8) * 7 + 1 & 0xFF for i in range(max(LENGTHS)))

SUITES: tuple[Callable[[bytes, bytes, bytes], bytes], ...] = (
    AESGCM(KEY[:16]).encrypt,
    AESGCM(KEY).encrypt,
    ChaCha20Poly1305(KEY).encrypt,
    AESCCM(KEY[:16]).encrypt,
)
"""In the order of the columns: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305, AES-128-CCM."""


def _iv(length: int, aad: int) -> bytes:
    base = bytearray(range(0x10, 0x1C))
    for place, value in ((9, aad), (10, length >> 8), (11, length & 0xFF)):
        base[place] ^= value
    return bytes(base)


def _hash(data: bytes) -> int:
    """FNV-1a of 64 bits."""
    return reduce(lambda value, byte: (value ^ byte) * 0x100000001B3 % (1 << 64), data, 0xCBF29CE484222325)


def row(length: int, aad: int) -> tuple[int, ...]:
    """The hash of ciphertext and tag, for each suite."""
    text, associated = PLAIN[:length], bytes(0xC3 + 5 * i & 0xFF for i in range(aad))
    return tuple(_hash(seal(_iv(length, aad), text, associated)) for seal in SUITES)


def header() -> str:
    """The file's text."""
    lengths = [", ".join(map(str, LENGTHS[i : i + 16])) for i in range(0, len(LENGTHS), 16)]
    rows = [
        f"\t\t{{ {', '.join(f'0x{value:016x}u' for value in row(length, aad))} }}, /* {length}, {aad} */"
        for length in LENGTHS
        for aad in AADS
    ]
    starts = range(0, len(rows), len(AADS))
    groups = ["\t{\n" + "\n".join(rows[i : i + len(AADS)]) + "\n\t}," for i in starts]
    lines = (
        "/* Made by tests/probe/aead_expected.py, which explains it: FNV-1a of ciphertext and tag,",
        " * by length of text, length of AAD (both in the comment) and suite (the order of SUITES). */",
        "",
        "static const size_t LENGTHS[] = {\n\t" + ",\n\t".join(lengths) + ",\n};",
        "",
        f"static const size_t AADS[] = {{ {', '.join(map(str, AADS))} }};",
        "",
        "static const uint64_t EXPECTED[][sizeof(AADS) / sizeof(AADS[0])][4] = {",
        *groups,
        "};",
        "",
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(header())
