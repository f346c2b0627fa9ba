"""CPU features, from samples of real machines."""

import pytest

from orchestrator.arch import ARCHES
from orchestrator.probe.cpu import of_emulator, of_host

EPYC = """\
processor	: 0
vendor_id	: AuthenticAMD
model name	: AMD EPYC
flags		: fpu vme de pse tsc msr pae mce cx8 sse sse2 ht syscall nx lm constant_tsc nopl pni pclmulqdq \
ssse3 fma cx16 sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand avx2 avx512f sha_ni vaes vpclmulqdq
bugs		: sysret_ss_attrs
processor	: 1
flags		: fpu
"""
OLD = "flags\t\t: fpu sse sse2 ssse3 avx2x aesx\n"
NEOVERSE = """\
processor	: 0
BogoMIPS	: 243.75
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid sha3 sm3 sha512 sve
CPU implementer	: 0x41
"""
RASPBERRY_PI_4 = "Features\t: fp asimd evtstrm crc32 cpuid\n"

QEMU = """\
AT_PHDR:              0x5500000040
AT_ENTRY:             0x5500002640
AT_HWCAP:             ecfffffb
AT_CLKTCK:            100
AT_HWCAP2:            0x7f877fff
AT_PLATFORM:          aarch64
aarch64
"""
CORTEX_A53_WITHOUT_CRYPTO = "AT_HWCAP:             887\nAT_HWCAP2:            0x0\n"


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (EPYC, ("aes", "pclmulqdq", "avx2", "avx512f", "vaes", "vpclmulqdq", "sha_ni")),
        (OLD, ()),
        (NEOVERSE, ("aes", "pmull", "sha2", "sha512", "sve")),
        (RASPBERRY_PI_4, ()),
        ("", ()),
    ],
)
def test_the_hosts_features(text: str, features: tuple[str, ...]) -> None:
    assert of_host(text) == features


@pytest.mark.parametrize(
    ("arch", "auxv", "features"),
    [
        pytest.param("arm64", QEMU, ("aes", "pmull", "sha2", "sha512", "sve"), id="qemu 7.2"),
        pytest.param("arm64", CORTEX_A53_WITHOUT_CRYPTO, (), id="no crypto extensions"),
        pytest.param("arm64", "AT_HWCAP:             0x58\n", ("aes", "pmull", "sha2"), id="0x"),
        pytest.param("arm64", "AT_HWCAP2:            0xff\n", (), id="the second word alone"),
        pytest.param("arm64", "aarch64\n", (), id="not said"),
        pytest.param("amd64", "AT_HWCAP:             178bfbff\n", (), id="other bits on amd64"),
    ],
)
def test_the_emulators_features(arch: str, auxv: str, features: tuple[str, ...]) -> None:
    assert of_emulator(ARCHES[arch], auxv) == features
