"""Numbers for people. ``None`` means "not measured" and shows as a dash, never as zero."""

from datetime import datetime

NOT_MEASURED = "–"  # noqa: RUF001 - a dash stands for "nothing" in tables
_MINUTE = 60
_HOUR = 3600
_KIB = 1024


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun, as ``1 cell`` or ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_milliseconds(seconds: float | None) -> str:
    """Return seconds as milliseconds, one decimal below ten."""
    if seconds is None:
        return NOT_MEASURED
    value = seconds * 1000
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits are enough to compare


def format_duration(seconds: float | None) -> str:
    """Return seconds as ``0.42 s``, ``6 min 12 s`` or ``1 h 02 min``."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 10:  # noqa: PLR2004 - the first digit after the point is noise above
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def format_size(count: int) -> str:
    """Return bytes in binary units, as ``23.5 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TiB"


def format_moment(text: str | None) -> str:
    """Return an ISO 8601 time as ``2026-11-22 06:58 UTC``; anything else as it came."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return text or NOT_MEASURED
    return f"{time:%Y-%m-%d %H:%M} UTC"
