"""What is in a row of the spool: attributes as JSON, and what is no such thing.

What cannot be read raises ValueError, whatever it is: a row that was damaged on the disk must cost
nothing but itself.
"""

import json
import math
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from radius.dictionary import Value

Attributes = tuple[tuple[str, Value], ...]
PAIR = 2
"""Name and value; type and text of a value."""


def dump(attributes: Iterable[tuple[str, Value]]) -> str:
    """Return attributes as JSON; what is neither number nor text carries its type."""
    return _JSON.encode(tuple(attributes))


def _dumped(value: Value) -> list[str]:
    """Return what JSON has no form for."""
    match value:
        case bytes():
            return ["x", value.hex()]
        case IPv6Network():
            return ["p", str(value)]
        case _:
            return ["a", str(value)]


_JSON = json.JSONEncoder(default=_dumped)


def restore(text: object) -> Attributes:
    """Return what `dump` wrote. Raises: ValueError."""
    found = _json(text)
    if not isinstance(found, list):
        raise ValueError("no list of attributes")
    return tuple(map(_pair, found))


def _json(text: object) -> object:
    if not isinstance(text, str):
        raise ValueError(f"{type(text).__name__} where a text should be")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _pair(pair: object) -> tuple[str, Value]:
    """Return an attribute. Exact types: what JSON gives is of no other, and a bool is no int."""
    if type(pair) is list and len(pair) == PAIR and type(pair[0]) is str:
        name, value = pair
        if type(value) is int or type(value) is str:
            return name, value
        if type(value) is list and len(value) == PAIR:
            kind, text = value
            if type(kind) is str and type(text) is str:
                return name, _typed(kind, text)
        if type(value) is bool:
            raise ValueError(f"{name}: a truth value")
    raise ValueError("no attribute")


def _typed(kind: str, text: str) -> Value:
    match kind:
        case "x":
            return bytes.fromhex(text)
        case "p":
            return IPv6Network(text)
        case "a":
            return IPv6Address(text) if ":" in text else IPv4Address(text)
        case _:
            raise ValueError(f"a value of kind {kind}")


def session_of(value: object) -> str:
    """Return the name of a session. Raises: ValueError."""
    if not isinstance(value, str):
        raise ValueError("a session without a name")
    return value


def time_of(value: object) -> float:
    """Return a wall time in seconds. Raises: ValueError."""
    if not isinstance(value, float | int) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no time")
    return float(value)


def counters_of(text: object) -> tuple[int, ...]:
    """Return the numbers of an open account. Raises: ValueError."""
    found = _json(text)
    if not isinstance(found, list):
        raise ValueError("no list of counters")
    if not all(type(number) is int and number >= 0 for number in found):
        raise ValueError("a counter that is no number")
    return tuple(found)
