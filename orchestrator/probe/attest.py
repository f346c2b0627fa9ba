"""Attestation: is what ran really what was declared?

HAProxy's own "LibreSSL" and "AWS-LC" interop jobs built QuicTLS for ten months, since a build argument
was misspelt (commit 335471970); a name on a job proves nothing.
"""

import io
import re
from dataclasses import dataclass

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from orchestrator.matrix.model import Cell
from orchestrator.outcome import Reason
from orchestrator.plan.plan import PREFIX
from orchestrator.record.model import Attestation

_TLS_LIBRARIES = ("libssl", "libcrypto", "libwolfssl")
_BROKEN = (ELFError, AssertionError, OverflowError, ValueError)
"""What pyelftools raises at a file that was cut or harmed: mostly its own error, but not always."""
_LIBRARY = "(?:OpenSSL|SSL library)"
"""How ``haproxy -vv`` calls it, whatever library it is: 3.0 the first way, 3.3 the second."""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """What the HAProxy file itself shows. ``elf_machine`` is ``None`` if it is no ELF file."""

    elf_machine: str | None
    needed: tuple[str, ...]
    prefixes: tuple[str, ...]
    """The installation prefixes of source-built TLS libraries whose mark stands in it."""


def inspect(content: bytes) -> Binary:
    """Read the ELF header, the dynamic section and the marks of a binary."""
    marks = sorted(set(re.findall(rb"%b/([A-Za-z0-9._+-]+)" % PREFIX.encode(), content)))
    prefixes = tuple(mark.decode() for mark in marks)
    try:
        elf = ELFFile(io.BytesIO(content))
        dynamic = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
        needed = tuple(
            str(getattr(tag, "needed"))  # noqa: B009 - pyelftools sets it per kind of tag
            for section in dynamic
            for tag in section.iter_tags()
            if tag.entry.d_tag == "DT_NEEDED"
        )
        return Binary(elf_machine=str(elf["e_machine"]), needed=needed, prefixes=prefixes)
    except _BROKEN:
        return Binary(elf_machine=None, needed=(), prefixes=prefixes)


def attest(cell: Cell, binary: Binary, machine: str | None, vv: str | None) -> Attestation:
    """Put together what the machine, ``haproxy -vv`` and the file said. Judges nothing."""
    text = vv or ""
    features = set(_line(text, r"^Feature list : (.*)$", "").split())
    quic = "+QUIC" in features if features else None
    return Attestation(
        machine=(machine or "").strip() or None,
        elf_machine=binary.elf_machine,
        haproxy_version=_line(text, r"^HAProxy version (\S+)") or None,
        tls_built=_line(text, rf"^Built with {_LIBRARY} version : (.*)$") or None,
        tls_running=_line(text, rf"^Running on {_LIBRARY} version : (.*)$") or None,
        tls_prefix_found=None if cell.tls.source == "distro" else cell.tls.name in binary.prefixes,
        needed=binary.needed,
        quic=quic,
        quic_api=None if not quic else "compat" if "+QUIC_OPENSSL_COMPAT" in features else "native",
    )


def _line(text: str, pattern: str, default: str = "") -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else default


def misbuilt(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    """The first way in which the proof differs from the declaration, with a sentence; else ``None``."""
    for check in (_wrong_arch, _wrong_version, _wrong_library, _no_quic):
        found = check(cell, proof)
        if found is not None:
            return found
    return None


def _wrong_arch(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    arch = cell.arch.arch
    if proof.elf_machine != arch.elf_machine:
        return (
            Reason.WRONG_ARCH,
            f"The binary is {proof.elf_machine or 'no ELF file'}, not {arch.elf_machine}.",
        )
    if proof.machine != arch.machine:
        return Reason.WRONG_ARCH, f"The server's machine is {proof.machine}, not {arch.machine}."
    return None


def _wrong_version(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    said, declared = proof.haproxy_version or "", cell.haproxy.version
    if said != declared and not said.startswith(f"{declared}-"):
        return Reason.WRONG_VERSION, f"The binary says it is HAProxy {said or '(nothing)'}, not {declared}."
    return None


def _wrong_library(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    shared = [name for name in proof.needed if name.startswith(_TLS_LIBRARIES)]
    found = _wrong_distro(shared) if cell.tls.source == "distro" else _wrong_source(cell, proof, shared)
    return (Reason.WRONG_LIBRARY, found) if found else None


def _wrong_distro(shared: list[str]) -> str | None:
    return None if shared else "The binary does not ask for the distribution's TLS library."


def _wrong_source(cell: Cell, proof: Attestation, shared: list[str]) -> str | None:
    if shared:
        return f"The binary asks for {', '.join(shared)} instead of holding {cell.tls.name}."
    if not proof.tls_prefix_found:
        return f"The mark of {cell.tls.name} is not in the binary."
    built, running = _own_name(proof.tls_built), _own_name(proof.tls_running)
    if built != running:
        return f"Built with {built}, running on {running}."
    # As a whole: 3.5.1 is in 3.5.11 as well.
    if not re.search(rf"(?<![0-9A-Za-z.]){re.escape(cell.tls.version)}(?![0-9A-Za-z.])", built):
        return f"Built with {built}, declared is {cell.tls.version}."
    return None


def _own_name(said: str | None) -> str:
    """AWS-LC is built as ``OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)`` and runs as ``AWS-LC 5.1.0``."""
    compatible = re.search(r"\(compatible; (.*)\)", said or "")
    return compatible[1] if compatible else said or "nothing"


def _no_quic(_: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    if proof.quic is False:
        return Reason.NO_QUIC, "HAProxy's feature list says -QUIC."
    return None
