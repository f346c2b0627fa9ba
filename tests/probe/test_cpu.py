"""CPU features and their contradictions, from what ``ld.so --list-diagnostics`` said on real machines."""

import pytest
from fakes import cell

from orchestrator.arch import ARCHES
from orchestrator.matrix.model import Cell, ExecutionValue
from orchestrator.probe.cpu import find_contradiction, read_features

EPYC = """\
dl_hwcap=0x2
x86.cpu_features.features[0x0].cpuid[0x0]=0xa00f11
x86.cpu_features.features[0x0].cpuid[0x2]=0xfffa3203
x86.cpu_features.features[0x1].cpuid[0x1]=0x219c05ab
x86.cpu_features.features[0x1].cpuid[0x2]=0x40069c
x86.cpu_features.features[0x2].cpuid[0x2]=0xc003f3
"""
QEMU_WITHOUT_AES = """\
qemu-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]
x86.cpu_features.features[0x0].cpuid[0x2]=0xf4d83201
x86.cpu_features.features[0x1].cpuid[0x1]=0x209c07a9
x86.cpu_features.features[0x1].cpuid[0x2]=0x400004
"""
ALL_OF_AMD64 = ("aes", "pclmulqdq", "avx2", "vaes", "vpclmulqdq", "sha_ni")
ALL_OF_ARM64 = ("aes", "pmull", "sha2", "sha512", "sve")


def on(execution: str, arch: str = "amd64") -> Cell:
    return cell(arch=arch, execution=ExecutionValue(name=execution, cpu=execution))


@pytest.mark.parametrize(
    ("arch", "said", "found"),
    [
        pytest.param("amd64", EPYC, ALL_OF_AMD64, id="this machine"),
        pytest.param("amd64", QEMU_WITHOUT_AES, ("avx2", "sha_ni"), id="qemu without aes"),
        pytest.param("arm64", "dl_hwcap=0xecfffffb\ndl_hwcap2=0x0\n", ALL_OF_ARM64, id="qemu's max"),
        pytest.param("arm64", "dl_hwcap=0x887\n", (), id="no crypto extensions"),
        pytest.param("arm64", "dl_hwcap2=0xff\n", (), id="the second word alone"),
        pytest.param("arm64", "dl_hwcaps_subdirs_active=0xff\n", (), id="another word"),
        pytest.param("s390x", "dl_hwcap=0x2b3f\n", ("msa", "vx"), id="qemu's z"),
        pytest.param(
            "ppc64el",
            "dl_hwcap=0x58000580\ndl_hwcap2=0x8ee00000\n",
            ("aes", "altivec", "vsx"),
            id="qemu's power9",
        ),
        pytest.param("ppc64el", "dl_hwcap=0xdc0065c2\ndl_hwcap2=0x0\n", ("altivec", "vsx"), id="a POWER7"),
        pytest.param("riscv64", "dl_hwcap=0x112d\n", (), id="never told"),
        pytest.param("amd64", "", (), id="nothing said"),
    ],
)
def test_what_the_loader_says_of_the_cpu(arch: str, said: str, found: tuple[str, ...]) -> None:
    assert read_features(ARCHES[arch], said) == found


@pytest.mark.parametrize(
    ("asked", "said", "wrong"),
    [
        (on("aes-on"), EPYC, None),
        (on("aes-off"), QEMU_WITHOUT_AES, None),
        (on("aes-off"), EPYC, "has AES instructions, and aes-off"),
        (on("aes-on"), QEMU_WITHOUT_AES, "has no AES instructions, and aes-on"),
        (on("aes-off"), "qemu-x86_64: something else\n", "does not tell"),
        (on("aes-on", "arm64"), "dl_hwcap=0x119ffb\n", None),
        (on("aes-on", "arm64"), "dl_hwcap=0x887\n", "has no AES"),
        (on("aes-on", "ppc64el"), "dl_hwcap2=0x8ee00000\n", None),
        (on("aes-on", "ppc64el"), "dl_hwcap2=0x0\n", "has no AES"),
        (on("aes-off", "s390x"), "", None),
        (on("Haswell,-aes"), EPYC, None),
        (cell(), EPYC, None),
    ],
)
def test_a_cpu_that_was_not_asked_for_is_seen(asked: Cell, said: str, wrong: str | None) -> None:
    found = find_contradiction(asked, said)
    assert (found is None) == (wrong is None)
    assert (wrong or "") in (found or "")
