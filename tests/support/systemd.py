"""The systemd units: where they are, what they say."""

from pathlib import Path

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
PREFIX = "/opt/bng/bin/"


def settings(unit: str) -> dict[str, list[str]]:
    """Return the values of each key of a unit, sections put together."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.setdefault(key, []).append(value)
    return found


def capabilities(unit: str) -> list[str]:
    """Return the capabilities that a unit leaves its process, as setpriv calls them."""
    [names] = settings(unit)["CapabilityBoundingSet"]
    return [name.removeprefix("CAP_").lower() for name in names.split()]
