"""Rules in the file: what they become, and each fault with its place."""

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.matrix.load import load
from orchestrator.outcome import Outcome, Reason

HEAD = """version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro, libressl-3.9.2]
  cipher: [default]
expect:
"""
LINK = "because: https://a.example/1"
FAIL = (
    "build-failed, config-refused, not-ready, handshake-refused, handshake-broken, handshake-timeout,"
    " handshake-then-hang, server-crashed, sanitizer, wrong-cipher, not-http3, bad-certificate, bad-status,"
    " wrong-body, upload-incomplete, default-changed"
)
SUITES = (
    "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_CCM_SHA256"
)


def write(folder: Path, *rules: str) -> Path:
    path = folder / "m.yaml"
    path.write_text(HEAD + "".join(f"  - {{{one}}}\n" for one in rules))
    return path


def test_rules_know_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"when: [tls=libressl<4.0, haproxy=3.0.11], outcome: fail, reason: server-crashed, {LINK}",
        f"when: [cipher=default], outcome: pass, cipher: TLS_AES_128_GCM_SHA256, {LINK}, until: 2027-01-31",
        f"when: [arch=riscv64], outcome: blocked, reason: prerequisite, {LINK}, until: libressl 3.9.2",
    )
    first, second, third = load(path).expect
    assert (first.place, second.place, third.place) == ("m.yaml:8", "m.yaml:9", "m.yaml:10")
    assert first.when == ("tls=libressl<4.0", "haproxy=3.0.11")
    assert (first.outcome, first.reason, first.until) == (Outcome.FAIL, Reason.SERVER_CRASHED, "")
    assert (second.says, second.until) == ("pass with TLS_AES_128_GCM_SHA256", "2027-01-31")
    assert (third.says, third.because) == ("blocked: prerequisite", "https://a.example/1")


def test_a_rule_says_when_and_with_what_it_was_seen(tmp_path: Path) -> None:
    rule = f"when: [arch=amd64], outcome: pass, {LINK}"
    first, second = load(write(tmp_path, rule, f"{rule}, seen: 2026-11-28 HAProxy 3.4.0 on arm64")).expect
    assert (first.seen, second.seen) == ("", "2026-11-28 HAProxy 3.4.0 on arm64")
    (unseen,) = load(write(tmp_path, f"{rule}, seen: never")).expect
    assert unseen.seen == "never"
    for wrong in ("yesterday", "2026-11-28", "2026-13-01 HAProxy 3.4.0"):
        with pytest.raises(UsageError) as caught:
            load(write(tmp_path, f"{rule}, seen: {wrong}"))
        assert f"expect[0].seen: {wrong!r} is no day and what was run on it" in caught.value.details


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            f"when: [], outcome: fail, {LINK}",
            [
                f"8:5: expect[0]: fail needs a reason (reason: {FAIL})",
                "8:12: expect[0].when: the list is empty",
            ],
        ),
        (
            "outcome: passed, because: a link, when: [arch=amd64], until: soon",
            [
                (
                    "8:15: expect[0].outcome: no outcome 'passed'; did you mean 'pass'?"
                    " (outcome: pass, unsupported, blocked, error, misbuilt, fail)"
                ),
                (
                    "8:32: expect[0].because: 'a link' is no link:"
                    " it begins with https:// or http:// and has no spaces"
                ),
                (
                    "8:67: expect[0].until: 'soon' is neither a day (2027-01-31) nor a component and a"
                    " version (haproxy 3.0.11); components: haproxy, openssl, libressl, quictls, aws-lc,"
                    " wolfssl"
                ),
            ],
        ),
        (
            "when: [arhc=amd64, arch=amd64], outcome: fail, reason: no-quic, cipher: default, because: ftp://a/b",
            [
                (
                    "8:13: expect[0].when[0]: filter 'arhc=amd64': no axis 'arhc'; did you mean 'arch'?;"
                    " axes: arch, haproxy, tls, cipher, client, execution"
                ),
                f"8:61: expect[0].reason: no-quic is no reason of fail; it has {FAIL}",
                f"8:78: expect[0].cipher: no cipher 'default' (cipher: {SUITES})",
                (
                    "8:96: expect[0].because: 'ftp://a/b' is no link:"
                    " it begins with https:// or http:// and has no spaces"
                ),
            ],
        ),
        (
            "when: [arch=amd64], outcome: pass, reason: killed, becuse: https://a.example",
            [
                "8:5: expect[0]: the key 'because' is missing",
                "8:49: expect[0].reason: killed is no reason of pass, which has none: leave the key out",
                (
                    "8:57: expect[0].becuse: unknown key; did you mean 'because'?"
                    " (keys: when, outcome, reason, cipher, because, until, seen)"
                ),
            ],
        ),
        (
            f"when: arch=amd64, outcome: error, reason: killed, cipher: TLS_AES_128_GCM_SHA256, {LINK}",
            [
                "8:12: expect[0].when: a list belongs here, not 'arch=amd64'",
                (
                    "8:64: expect[0].cipher: a cipher is expected of cells that pass;"
                    " leave the key out, or say outcome: pass"
                ),
            ],
        ),
        (
            f"when: [arch=amd64], outcome: pass, {LINK}, until: 2026-02-30",
            ["8:78: expect[0].until: '2026-02-30' is no day: day is out of range for month"],
        ),
        (
            f"when: [arch=amd64], outcome: pass, {LINK}, until: haproxy latest",
            ["8:78: expect[0].until: 'latest' is no version such as 3.0.11, 3.0-dev13 or 3.3.0-quic1"],
        ),
        (
            f"when: [arch=amd64], outcome: pass, {LINK}, until: 2026",
            ['8:78: expect[0].until: YAML reads 2026 as the number 2026; write it in quotes: "2026"'],
        ),
        (
            f"when: [arch=riscv64, 'tls>=3.5', 'arch<3', 'tls=quictls<4'], outcome: pass, {LINK}",
            [
                (
                    "8:27: expect[0].when[1]: filter 'tls>=3.5': tls has several families, whose versions do"
                    " not compare; families: libressl, openssl; name one: 'tls=libressl>=3.5' or"
                    " tls=libressl@3.5.."
                ),
                (
                    "8:39: expect[0].when[2]: filter 'arch<3': the values of arch have no order;"
                    " values of arch: amd64; name them: arch=amd64"
                ),
            ],
        ),
    ],
)
def test_pinned_faults(tmp_path: Path, rule: str, expected: list[str]) -> None:
    path = write(tmp_path, rule)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert [line.removeprefix(f"{path}:") for line in caught.value.details.splitlines()] == expected
