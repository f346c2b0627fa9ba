"""Attestation: is what ran really what was declared?

HAProxy's own "LibreSSL" and "AWS-LC" interop jobs built QuicTLS for ten months, since a build argument
was misspelt (commit 335471970); a name on a job proves nothing.
"""

import io
import re
from dataclasses import dataclass
from itertools import islice

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from orchestrator import bounds
from orchestrator.matrix import banner, capabilities
from orchestrator.matrix.model import Cell
from orchestrator.outcome import Reason
from orchestrator.plan.action import PREFIX
from orchestrator.record.model import Attestation

_TLS_LIBRARIES = ("libssl", "libcrypto", "libwolfssl")
_BROKEN = (ELFError, AssertionError, OverflowError, ValueError)
"""What pyelftools raises at a file that was cut or harmed: mostly its own error, but not always."""
_NEEDED = 64
"""Shared libraries that are listed; HAProxy asks for about six."""
_LIBRARY = "(?:OpenSSL|SSL library)"
"""How ``haproxy -vv`` calls it, whatever library it is: 3.0 the first way, 3.2 the second."""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """What the HAProxy file itself shows. ``elf_machine`` is ``None`` if it is no ELF file."""

    elf_machine: str | None
    needed: tuple[str, ...]
    prefixes: tuple[str, ...]
    """The installation prefixes of source-built TLS libraries whose mark stands in it."""
    interpreter: str = ""
    """The loader that the kernel is to start it with (PT_INTERP); empty if it names none."""


def inspect(content: bytes) -> Binary:
    """Read the ELF header, the dynamic section and the marks of a binary."""
    marks = sorted(set(re.findall(rb"%b/([A-Za-z0-9._+-]+)" % PREFIX.encode(), content)))
    prefixes = tuple(mark.decode() for mark in marks)
    try:
        elf = ELFFile(io.BytesIO(content))
        dynamic = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
        tags = (tag for section in dynamic for tag in section.iter_tags() if tag.entry.d_tag == "DT_NEEDED")
        needed = tuple(
            bounds.cut(str(getattr(tag, "needed")), bounds.WORDS)  # noqa: B009 - set per kind of tag
            for tag in islice(tags, _NEEDED)
        )
        interpreters = (
            one.get_interp_name() for one in elf.iter_segments() if isinstance(one, InterpSegment)
        )
        return Binary(
            elf_machine=str(elf["e_machine"]),
            needed=needed,
            prefixes=prefixes,
            interpreter=bounds.cut(str(next(interpreters, "")), bounds.WORDS),
        )
    except _BROKEN:
        return Binary(elf_machine=None, needed=(), prefixes=prefixes)


def attest(cell: Cell, binary: Binary, machine: str | None, vv: str | None) -> Attestation:
    """Put together what the machine, ``haproxy -vv`` and the file said. Judges nothing."""
    text = vv or ""
    features = set(_find_line(text, r"^Feature list : (.*)$").split())
    quic = "+QUIC" in features if features else None
    return Attestation(
        machine=_cut((machine or "").strip()),
        elf_machine=binary.elf_machine,
        haproxy_version=_cut(_find_line(text, r"^HAProxy version (\S+)")),
        tls_built=_cut(_find_line(text, rf"^Built with {_LIBRARY} version : (.*)$")),
        tls_running=_cut(_find_line(text, rf"^Running on {_LIBRARY} version : (.*)$")),
        tls_prefix_found=cell.tls.name in binary.prefixes if _is_built_here(cell) else None,
        needed=binary.needed,
        quic=quic,
        quic_api=None if not quic else "compat" if "+QUIC_OPENSSL_COMPAT" in features else "native",
    )


def _is_built_here(cell: Cell) -> bool:
    """Return whether the library was compiled by us, which leaves its mark in the binary."""
    return cell.tls.source != "distro" and cell.haproxy.is_compiled


def _find_line(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""


def _cut(text: str) -> str | None:
    return bounds.cut(text, bounds.WORDS) or None


def find_misbuild(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    """Return the first difference between proof and declaration, with a sentence; else ``None``."""
    for check in (_check_arch, _check_version, _check_library, _check_quic, _check_quic_api):
        found = check(cell, proof)
        if found is not None:
            return found
    return None


def _check_arch(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    arch = cell.arch.arch
    if proof.elf_machine != arch.elf_machine:
        return (
            Reason.WRONG_ARCH,
            f"The binary is {proof.elf_machine or 'no ELF file'}, not {arch.elf_machine}.",
        )
    if proof.machine != arch.machine:
        return Reason.WRONG_ARCH, f"The server's machine is {proof.machine}, not {arch.machine}."
    return None


def _check_version(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    said, declared = proof.haproxy_version or "", cell.haproxy.version
    if banner.is_haproxy(cell.haproxy, said):
        return None
    remedy = ""
    if cell.haproxy.moves:
        remedy = f" Set `version` of {cell.haproxy.name} in the matrix to what its source is."
    elif cell.haproxy.source == "distro":
        remedy = (
            " Debian's own has moved on: write {name: NAME, version: VERSION, source: distro} in the matrix."
        )
    found = f"The binary says it is HAProxy {said or '(nothing)'}, not {declared}."
    return Reason.WRONG_VERSION, found + remedy


def _check_library(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    shared = [name for name in proof.needed if name.startswith(_TLS_LIBRARIES)]
    found = (
        _check_source(cell, proof, shared) if _is_built_here(cell) else _check_foreign(cell, proof, shared)
    )
    return (Reason.WRONG_LIBRARY, found) if found else None


def _check_foreign(cell: Cell, proof: Attestation, shared: list[str]) -> str | None:
    """Compare what the library says of itself: one that we did not compile has no mark of ours in it."""
    if cell.tls.source == "distro" and (found := _check_distro(shared)):
        return found
    running = proof.tls_running or "nothing"
    if not cell.haproxy.is_compiled and not banner.is_declared(cell.tls, running):
        return f"The prebuilt binary runs on {banner.strip_compatible(running)}, not on {cell.tls.name}."
    return None


def _check_distro(shared: list[str]) -> str | None:
    return None if shared else "The binary does not ask for the distribution's TLS library."


def _check_source(cell: Cell, proof: Attestation, shared: list[str]) -> str | None:
    if shared:
        return f"The binary asks for {', '.join(shared)} instead of holding {cell.tls.name}."
    if not proof.tls_prefix_found:
        return f"The mark of {cell.tls.name} is not in the binary."
    built, running = proof.tls_built or "nothing", proof.tls_running or "nothing"
    if not banner.agree(built, running):
        return f"Built with {banner.strip_compatible(built)}, running on {banner.strip_compatible(running)}."
    if not banner.is_declared(cell.tls, built):
        return f"Built with {banner.strip_compatible(built)}, declared is {banner.spell_banner(cell.tls)}."
    return None


def _check_quic(_: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    if proof.quic is False:
        return Reason.NO_QUIC, "HAProxy's feature list says -QUIC."
    return None


def _check_quic_api(cell: Cell, proof: Attestation) -> tuple[Reason, str] | None:
    """Compare the QUIC API: HAProxy's configuration and requests follow from the declared one."""
    declared = capabilities.find_quic_api(cell.haproxy, cell.tls)
    if proof.quic_api is None or declared in {"none", proof.quic_api}:
        return None
    named = {"native": "the library's own QUIC API", "compat": "HAProxy's QUIC compatibility layer"}
    return (
        Reason.WRONG_QUIC_API,
        f"The binary uses {named[proof.quic_api]}, and declared is {named[declared]}.",
    )
