"""The AEAD self-test itself: its tables are right, it passes where a library does, it sees planted faults."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aead_expected
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from orchestrator import resources
from orchestrator.arch import ARCHES
from orchestrator.plan.render import Renderer
from orchestrator.probe.selftest import read
from orchestrator.record.model import AeadCheck

pytestmark = pytest.mark.whole

SOURCES = resources.find_root() / "templates" / "aead"
SUITES = ("AES_128_GCM", "AES_256_GCM", "CHACHA20_POLY1305", "AES_128_CCM")
OTHERS: dict[str, Any] = {"AES_128_GCM": AESGCM, "AES_256_GCM": AESGCM, "CHACHA20_POLY1305": ChaCha20Poly1305}
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"


def test_the_table_of_hashes_is_what_another_implementation_computes() -> None:
    assert (SOURCES / "expected.h").read_text() == aead_expected.header()


def _entries(name: str, fields: int) -> list[list[str]]:
    text = (SOURCES / "vectors.h").read_text()
    table = text[text.index(f"{name}[] = {{") :].partition("\n};")[0]
    joined = re.sub(r'"\s*\n\s*"', "", table)
    found = re.findall(
        r'\{ "([^"]+)", SUITE_(\w+)' + r',\s*"([0-9a-f]*)"' * fields + r"\s*\}", joined, flags=re.DOTALL
    )
    return [list(one) for one in found]


def test_the_known_answers_are_right() -> None:
    vectors = _entries("VECTORS", 5)
    assert len(vectors) == (SOURCES / "vectors.h").read_text().count("SUITE_") - 4 - len(_entries("MASKS", 3))
    for source, suite, *texts in vectors:
        key, iv, aad, text, sealed = map(bytes.fromhex, texts)
        tag = len(sealed) - len(text)
        aead = AESCCM(key, tag_length=tag) if suite == "AES_128_CCM" else OTHERS[suite](key)
        assert aead.encrypt(iv, text, aad) == sealed, source
    assert {suite for _, suite, *_ in vectors} == set(SUITES)


def test_the_masks_of_headers_are_right() -> None:
    masks = _entries("MASKS", 3)
    for source, suite, *texts in masks:
        key, sample, mask = map(bytes.fromhex, texts)
        if suite == "CHACHA20_POLY1305":
            made = Cipher(algorithms.ChaCha20(key, sample), None).encryptor().update(bytes(5))
        else:
            made = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(sample)[:5]
        assert made == mask, source
    assert {suite for _, suite, *_ in masks} == set(SUITES)


# With a compiler and the system's own library. The toolchain's containers have both: tests/containers.

compiled = pytest.mark.skipif(
    not (shutil.which("gcc") and Path("/usr/include/openssl/evp.h").exists()),
    reason="needs gcc and libssl-dev; tests/containers/test_selftest.py does it in a container",
)


class _Distro:
    name, source = "openssl-distro", "distro"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aead")
    values = {"work": "/work", "target": ARCHES["amd64"], "tls": _Distro}
    script = Renderer().render("build/selftest.sh.j2", values)
    subprocess.run(
        ["sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", "WORK": str(folder), "CC": "gcc", "TLS": ""},
        check=True,
        timeout=120,
        capture_output=True,
    )
    return folder


def checks(program: Path, **environment: str) -> dict[tuple[str, str], AeadCheck]:
    done = subprocess.run([program], env=environment, check=False, timeout=60, capture_output=True)
    library, found, problem = read(done.stdout.decode(), exit_code=done.returncode, timed_out=False)
    assert (problem, done.stderr) == ("", b"")
    assert library
    return {(check.suite, check.check): check for check in found if check.api == "evp-cipher"}


@compiled
def test_a_sound_library_passes_every_check(built: Path) -> None:
    found = checks(built / "out" / "selftest")
    assert {check.ok for check in found.values()} == {True}, found
    assert {suite for suite, _ in found} == {
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        CHACHA,
        "TLS_AES_128_CCM_SHA256",
    }
    assert {check for _, check in found} == {
        *("known-answer", "header-protection", "open-after-reject"),
        *("seal", "seal-in-place", "seal-unaligned", "seal-in-place-unaligned"),
        *("open", "open-in-place", "open-unaligned", "open-in-place-unaligned"),
        *("reject-tag", "reject-aad", "reject-ciphertext"),
    }


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
static int is(EVP_CIPHER_CTX *ctx, int nid) { return EVP_CIPHER_CTX_get_nid(ctx) == nid; }
#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
int EVP_DecryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl)
{
    REAL(EVP_DecryptUpdate);
    UPDATE
    return real(ctx, out, outl, in, inl);
}
int EVP_DecryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl)
{
    REAL(EVP_DecryptFinal_ex);
    FINAL
    return real(ctx, out, outl);
}
"""


def faulty(folder: Path, *, update: str = "", final: str = "") -> Path:
    """A library to preload that does the wrong thing in one of the calls, with ``ctx``, ``in``, ``out``."""
    source, made = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM.replace("UPDATE", update).replace("FINAL", final))
    command = ["gcc", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl", "-lcrypto"]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return made


def failed(found: dict[tuple[str, str], AeadCheck]) -> set[tuple[str, str]]:
    return {key for key, check in found.items() if not check.ok}


@compiled
def test_what_cannot_open_in_place_is_seen(built: Path, tmp_path: Path) -> None:
    shim = faulty(
        tmp_path,
        update="if (is(ctx, NID_chacha20_poly1305) && out && out == in && inl > 0) {"
        "unsigned char wrong[20000]; memset(wrong, 1, inl); return real(ctx, out, outl, wrong, inl); }",
    )
    found = checks(built / "out" / "selftest", LD_PRELOAD=str(shim))
    assert failed(found) == {(CHACHA, "open-in-place"), (CHACHA, "open-in-place-unaligned")}
    assert found[CHACHA, "open-in-place"].detail == (
        "every length from 1 byte on; first with 1 byte, AAD of 0 bytes, offset 0: "
        "the library refuses what it sealed itself"
    )


@compiled
def test_a_tag_that_is_not_verified_is_seen(built: Path, tmp_path: Path) -> None:
    shim = faulty(tmp_path, final="if (is(ctx, NID_aes_256_gcm)) { *outl = 0; return 1; }")
    found = checks(built / "out" / "selftest", LD_PRELOAD=str(shim))
    suite = "TLS_AES_256_GCM_SHA384"
    assert failed(found) == {(suite, f"reject-{part}") for part in ("tag", "aad", "ciphertext")}


@compiled
def test_a_crash_and_an_endless_loop_lose_no_other_check(built: Path, tmp_path: Path) -> None:
    crash = "if (is(ctx, NID_aes_128_ccm) && out && out == in && inl == 64) raise(SIGSEGV);"
    found = checks(built / "out" / "selftest", LD_PRELOAD=str(faulty(tmp_path, update=crash)))
    suite = "TLS_AES_128_CCM_SHA256"
    assert failed(found) == {(suite, "open-in-place"), (suite, "open-in-place-unaligned")}
    assert (
        found[suite, "open-in-place"].detail == "crashes with SIGSEGV with 64 bytes, AAD of 0 bytes, offset 0"
    )


@compiled
def test_wrong_results_at_some_lengths_are_counted(built: Path, tmp_path: Path) -> None:
    shim = faulty(
        tmp_path,
        update="if (is(ctx, NID_aes_128_gcm) && out && inl == 320) {"
        "int ok = real(ctx, out, outl, in, inl); out[319] ^= 1; return ok; }",
    )
    found = checks(built / "out" / "selftest", LD_PRELOAD=str(shim))
    detail = found["TLS_AES_128_GCM_SHA256", "open"].detail
    assert detail == (
        f"1 of {len(aead_expected.LENGTHS)} lengths; first with 320 bytes, AAD of 0 bytes, offset 0: "
        "the plaintext is wrong"
    )


def test_what_the_program_prints_is_json() -> None:
    lines = ['{"library": "X 1"}', json.dumps(_line("seal", ok=True)), json.dumps(_line("open", ok=None))]
    library, found, problem = read("\n".join(lines), exit_code=0, timed_out=False)
    assert (library, [check.ok for check in found], problem) == ("X 1", [True, None], "")


def _line(check: str, *, ok: bool | None) -> dict[str, object]:
    return {"suite": CHACHA, "api": "evp-cipher", "check": check, "ok": ok, "detail": ""}
