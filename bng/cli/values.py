"""How single values look: the end of a key is its unit.

``*_bytes`` are printed as kB, MB, GB (powers of 1000), ``*_s`` as 1d02h. JSON has plain numbers.
"""

import re

UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
NOTHING = "-"


def shown(key: str, value: object) -> str:
    """Return the text for *value* of *key*; nothing in it can steer a terminal."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _number(key, value)
        case list():
            return ", ".join(shown(key, item) for item in value) or NOTHING
        case dict():
            items = (f"{name} {shown(str(name), item)}" for name, item in value.items())
            return ", ".join(items) or NOTHING
        case _:
            return printable(str(value))


def _number(key: str, value: float) -> str:
    if key.endswith("_bytes"):
        return size(value)
    if key.endswith(("_s", "_s_ago")):
        return duration(value)
    if key.startswith("features_"):
        return f"{int(value):#x}"
    return str(value)


def printable(text: str) -> str:
    """Return *text* with control characters written as escapes: names come from subscribers."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(count: float) -> str:
    """Return a number of bytes with three digits or so: ``999 B``, ``1.23 GB``."""
    if count < 1000:
        return f"{count} B"
    step = 0
    while count >= 999.5:
        count /= 1000
        step += 1
    digits = 2 if count < 9.995 else 1 if count < 99.95 else 0
    return f"{count:.{digits}f} {UNITS[step - 1]}"


def duration(seconds: float) -> str:
    """Return seconds as the two largest units: ``1d02h``, ``3h05m``, ``4m09s``, ``12s``."""
    if seconds < 10:
        return f"{seconds:.3g}s"
    if seconds < 60:
        return f"{int(seconds)}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h"


def order(value: object) -> list[tuple[int, str]]:
    """Return a key that sorts numbers inside text as numbers."""
    parts = re.split(r"(\d+)", str(value))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]
