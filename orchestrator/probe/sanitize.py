"""What the compiler's sanitizers report in a program's output. Pure.

The forms: https://github.com/google/sanitizers/wiki and compiler-rt's sanitizer_common, which GCC shares.
"""

import re

from orchestrator import bounds

_FATAL = re.compile(r"^(?:==\d+==\s*)?(?:ERROR|WARNING): (\w{1,40}Sanitizer): (.+)$", re.MULTILINE)
"""ThreadSanitizer and MemorySanitizer call their reports warnings, the former without the process' number."""
_SUMMARY = re.compile(r"^SUMMARY: (\w{1,40}Sanitizer): (.+)$", re.MULTILINE)
_UNDEFINED = re.compile(r"^([^\s:]{1,200}:\d{1,9}:\d{1,9}): runtime error: (.+)$", re.MULTILINE)


def find_report(text: str) -> str | None:
    """Return one sentence for the first report of a sanitizer, or ``None`` where there is none.

    A fatal one ends with a summary that names the place, which the first line does not.
    """
    fatal, undefined = _FATAL.search(text), _UNDEFINED.search(text)
    if fatal is not None and (undefined is None or fatal.start() < undefined.start()):
        summary = _SUMMARY.search(text, fatal.end())
        name, said = (summary or fatal).groups()
        return bounds.cut(f"{name} reports {said}", bounds.WORDS)
    if undefined is not None:
        said = f"UndefinedBehaviorSanitizer reports at {undefined[1]}: {undefined[2]}"
        return bounds.cut(said, bounds.WORDS)
    return None
