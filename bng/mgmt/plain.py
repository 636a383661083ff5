"""What the attribute model holds, in the types of JSON and in words."""

from dataclasses import asdict
from typing import Any

from bng.aaa.model import FramedIpv6Route, FramedRoute, PortForward, RatePolicy


def plain(value: object) -> object:
    """Return *value* in the types of JSON; what a rate or a route does not say is left out."""
    match value:
        case PortForward():
            return str(value)
        case tuple() | list():
            return [plain(item) for item in value]
        case RatePolicy() | FramedRoute() | FramedIpv6Route():
            return {name: json(part) for name, part in asdict(value).items() if part}
        case bytes():
            return octets(value)
        case _:
            return json(value)


def words(value: object) -> str:
    """Return *value* as one line for people."""
    match plain(value):
        case list(items):
            return ", ".join(words(item) for item in items)
        case dict(parts):
            return " ".join(f"{name} {words(part)}" for name, part in parts.items())
        case bool(flag):
            return "yes" if flag else "no"
        case other:
            return str(other)


def octets(value: bytes) -> str:
    """Return text where it is text, else hex."""
    text = value.decode("ascii", errors="replace")
    return text if value and value.isascii() and text.isprintable() else "0x" + value.hex()


def json(value: Any) -> object:  # noqa: ANN401 - whatever a profile's field holds
    """Return *value* in the types of JSON, addresses as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case list() | tuple():
            return [json(item) for item in value]
        case dict():
            return {key: json(item) for key, item in value.items()}
        case _:
            return str(value)
