"""Names, codes and types of attributes (RFC 8044), read by pyrad from FreeRADIUS's file format.

Values are `Value`: int for *integer* and *date*, str for *string* (bytes when it is no UTF-8),
bytes for *octets* and every other type, and address objects.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from operator import methodcaller
from pathlib import Path

from pyrad import dictionary as pyrad_dictionary

from radius.errors import DictionaryError, MalformedValue

Value = int | str | bytes | IPv4Address | IPv6Address | IPv6Network
Key = int | tuple[int, int]
"""An attribute's type, or vendor and vendor type (RFC 2865 §5.26)."""

BUILT_IN = Path(__file__).parent / "dictionaries"
MAX_VALUE_BYTES = 253
MAX_VENDOR_VALUE_BYTES = 247
WIRES = 2048
"""Attributes whose bytes are kept: half of those of a request are the same in the next one."""
VENDOR = struct.Struct("!BBIBB")
"""Head of a Vendor-Specific with one attribute (RFC 2865 §5.26): types, lengths, the vendor."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its *type* is RFC 8044's name as dictionaries write it."""

    name: str
    key: Key
    type: str
    encode: Callable[[Value], bytes]
    """Returns the bytes of a value; raises what it will when it is none of *type*."""
    max_bytes: int


class Dictionary:
    """The attributes that are known: ours, and those of *extra* files, which may redefine them.

    Raises: DictionaryError.
    """

    def __init__(self, extra: Sequence[Path] = ()) -> None:
        self._by_name: dict[str, Attribute] = {}
        self._by_key: dict[Key, Attribute] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._words: dict[tuple[str, int], str] = {}
        self._pyrad = pyrad_dictionary.Dictionary()
        self._wire = lru_cache(WIRES)(self._encode_whole)
        for path in (*sorted(BUILT_IN.iterdir()), *extra):
            self._read(path)

    def says_the_same(self, other: "Dictionary") -> bool:
        """Compare attributes and words."""
        return (self._by_name, self._numbers) == (other._by_name, other._numbers)

    def __getitem__(self, name: str) -> Attribute:
        """Return the attribute called *name*. Raises: DictionaryError."""
        try:
            return self._by_name[name]
        except KeyError:
            raise DictionaryError(f"no attribute {name} in any dictionary") from None

    def __contains__(self, name: str) -> bool:
        """Say whether there is an attribute called *name*."""
        return name in self._by_name

    def find(self, key: Key) -> Attribute | None:
        """Return the attribute of *key*, None when no dictionary has it."""
        return self._by_key.get(key)

    def name(self, key: Key) -> str:
        """Return the name of *key*, or its numbers: ``Attr-26.9.1``."""
        found = self._by_key.get(key)
        if found is not None:
            return found.name
        return f"Attr-{key}" if isinstance(key, int) else f"Attr-26.{key[0]}.{key[1]}"

    def number(self, name: str, word: str) -> int:
        """Return the value that *word* stands for. Raises: DictionaryError."""
        try:
            return self._numbers[name, word]
        except KeyError:
            raise DictionaryError(f"{name}: no value called {word}") from None

    def text(self, key: Key, value: Value) -> str:
        """Return *value* as people read it: the word for a number that has one, hex for octets."""
        if isinstance(value, int):
            return self._words.get((self.name(key), value), str(value))
        return "0x" + value.hex() if isinstance(value, bytes) else str(value)

    def encode(self, name: str, value: Value) -> tuple[Key, bytes]:
        """Return key and value bytes. Raises: DictionaryError, MalformedValue."""
        attribute = self[name]
        return attribute.key, _encoded(attribute, value)

    def wire(self, name: str, value: Value) -> bytes:
        """Return the attribute as it is sent. Raises: DictionaryError, MalformedValue."""
        if type(value) is bytes:  # what a client proves his password with is not kept
            return self._encode_whole(name, value)
        return self._wire(name, value)

    def _encode_whole(self, name: str, value: Value) -> bytes:
        attribute = self._by_name.get(name) or self[name]
        data = _encoded(attribute, value)
        key, size = attribute.key, len(data)
        if isinstance(key, int):
            return bytes((key, size + 2)) + data
        return VENDOR.pack(26, size + 8, key[0], key[1], size + 2) + data

    def decode(self, key: Key, data: bytes) -> Value:
        """Return the value in *data*; that of an unknown key is bytes. Raises: MalformedValue."""
        attribute = self._by_key.get(key)
        if attribute is None:
            return data
        try:
            return _decode(attribute.type, data)
        except ValueError:
            raise MalformedValue(
                f"{attribute.name}: 0x{data.hex()} is no {attribute.type}"
            ) from None

    def _read(self, path: Path) -> None:
        try:
            self._pyrad.ReadDictionary(str(path))
        except OSError as error:
            raise DictionaryError(f"{path}: {error.strerror}") from None
        except pyrad_dictionary.ParseError as error:
            raise DictionaryError(f"{path}: {error}") from None
        vendors = self._pyrad.vendors
        for name, found in self._pyrad.attributes.items():
            if found.is_sub_attribute:
                continue
            code = int(found.code)
            key = (int(vendors.GetForward(found.vendor)), code) if found.vendor else code
            attribute = Attribute(
                name,
                key,
                found.type,
                _ENCODERS.get(found.type, _octets),
                MAX_VENDOR_VALUE_BYTES if found.vendor else MAX_VALUE_BYTES,
            )
            self._by_name[name] = self._by_key[key] = attribute
            for word, value in found.values.forward.items():
                self._numbers[name, word] = number = int.from_bytes(value, "big")
                self._words[name, number] = word


def _encoded(attribute: Attribute, value: Value) -> bytes:
    try:
        data = attribute.encode(value)
    except (ValueError, OverflowError, TypeError, AttributeError):
        raise MalformedValue(f"{attribute.name}: {value!r} is no {attribute.type}") from None
    if len(data) > attribute.max_bytes:
        limit = attribute.max_bytes
        raise MalformedValue(f"{attribute.name}: {len(data)} bytes, at most {limit} fit")
    return data


_integer, _integer64 = (methodcaller("to_bytes", size, "big") for size in (4, 8))
"""Numbers alone have that method."""


def _string(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _octets(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _ip4(value: Value) -> bytes:
    return (value if isinstance(value, IPv4Address) else IPv4Address(value)).packed


def _prefix(value: Value) -> bytes:
    """RFC 3162 §2.3."""
    prefix = IPv6Network(value)
    length = (prefix.prefixlen + 7) // 8
    return bytes((0, prefix.prefixlen)) + prefix.network_address.packed[:length]


_ENCODERS: dict[str, Callable[[Value], bytes]] = {
    "integer": _integer,
    "date": _integer,
    "integer64": _integer64,
    "string": _string,
    "ipaddr": _ip4,
    "ipv6addr": lambda value: IPv6Address(value).packed,
    "ipv6prefix": _prefix,
}
"""By type; all others are octets."""


def _decode(kind: str, data: bytes) -> Value:
    match kind:
        case "integer" | "date":
            return _number(data, 4)
        case "string":
            try:
                return data.decode()
            except UnicodeDecodeError:
                return data
        case "ipaddr":
            return IPv4Address(data)
        case "ipv6addr":
            return IPv6Address(data)
        case "ipv6prefix":
            return _ipv6_prefix(data)
        case "integer64":
            return _number(data, 8)
        case _:
            return data


def _number(data: bytes, size: int) -> int:
    if len(data) != size:
        raise ValueError(data)
    return int.from_bytes(data, "big")


def _ipv6_prefix(data: bytes) -> IPv6Network:
    """Read RFC 3162 §2.3: bits outside the prefix must be 0, missing ones are."""
    if not 2 <= len(data) <= 18 or data[1] > 128 or (len(data) - 2) * 8 < data[1]:
        raise ValueError(data)
    return IPv6Network((data[2:].ljust(16, b"\0"), data[1]))
