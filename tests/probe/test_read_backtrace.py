"""What gdb says, read: which signal, which frames; and whether two programs have the same code."""

import subprocess
from pathlib import Path

from orchestrator.probe.backtrace import has_lines, hash_code, parse

BT = "== bt\n#0  a ()\n#1  b ()\n\n== info threads\n#9  no frame of it\n"


def test_the_last_signal_of_a_crash_counts_and_its_frames_are_read() -> None:
    found = parse(f"Program received signal SIGSEGV, Segmentation fault.\n{BT}")
    assert (found.signal, found.frames) == ("SIGSEGV", ("#0  a ()", "#1  b ()"))
    assert parse(f'Thread 2 "haproxy" received signal SIGABRT, Aborted.\n{BT}').signal == "SIGABRT"


def test_without_a_crash_there_are_no_frames() -> None:
    assert (parse(BT).signal, parse(BT).frames) == ("", ())
    assert parse(f"Program received signal SIGTERM, Terminated.\n{BT}").signal == ""
    assert parse(f"haproxy says: Program received signal SIGSEGV\n{BT}").signal == ""
    assert parse("").signal == ""


def test_a_flood_of_frames_is_cut() -> None:
    text = "Program received signal SIGSEGV\n== bt\n" + "".join(f"#{n}  {'x' * 999} ()\n" for n in range(99))
    found = parse(text)
    assert len(found.frames) == 12
    assert max(map(len, found.frames)) < 500


def test_what_is_no_program_has_no_code() -> None:
    assert hash_code(b"") == hash_code(b"\x7fELF") == hash_code(b"\x7fELF\x02\x01\x01" + bytes(99)) == ""
    assert not has_lines(b"\x7fELF")


def compiled(folder: Path, text: str, *flags: str) -> bytes:
    source, program = folder / "a.c", folder / "a"
    source.write_text(text)
    subprocess.run(["cc", "-O2", *flags, "-o", program, source], check=True)
    return program.read_bytes()


def test_g_changes_no_code_and_another_line_does(tmp_path: Path) -> None:
    text = "int main(int argc, char **argv) { return argc + 1; }\n"
    plain, debug = compiled(tmp_path, text), compiled(tmp_path, text, "-g")
    assert (has_lines(plain), has_lines(debug)) == (False, True)
    assert hash_code(plain) == hash_code(debug) != ""
    assert hash_code(compiled(tmp_path, text.replace("1", "argc"), "-g")) != hash_code(plain)
