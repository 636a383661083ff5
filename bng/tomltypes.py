"""Values as configuration and user files write them, with messages a person can act on.

Every reader takes what ``tomllib`` gives and raises ValueError, which `bng.tomlfile` reports with
file, line and key.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import PlainValidator, Strict

from bng.pool.ranges import Ipv4Range

T = TypeVar("T")

List = Annotated[tuple[T, ...], Strict(False)]
"""A TOML array, as a tuple."""

MAX_VID = 4094
"""IEEE 802.1Q §9.6: 0 is a priority tag, 4095 is reserved."""


MAX_CPU = 1023
MAX_UDP_PORT = 65_535
MAX_PATH_BYTES = 90
"""What leaves room for a file name in the address of a unix socket, 107 bytes."""


@dataclass(frozen=True, slots=True)
class VlanRange:
    """VLAN ids from *low* to *high*, both included; 0 stands for a frame without this tag."""

    low: int
    high: int

    def __str__(self) -> str:
        return {(0, 0): "none", (0, MAX_VID): "any"}.get(
            (self.low, self.high), f"{self.low}-{self.high}"
        )


def reader(read: Callable[[str], T], form: str) -> PlainValidator:
    """Return a validator that takes a string and says *form* when *read* refuses it."""

    def validate(value: object) -> T:
        if isinstance(value, str):
            try:
                return read(value)
            except ValueError:
                pass
        raise ValueError(f"must be {form}")

    return PlainValidator(validate)


def _network(text: str) -> IPv4Network:
    if "/" not in text:
        raise ValueError(text)
    return IPv4Network(text)


def _network6(text: str) -> IPv6Network:
    if "/" not in text:
        raise ValueError(text)
    return IPv6Network(text)


def _address6(text: str) -> IPv6Address:
    if "%" in text:
        raise ValueError(text)
    return IPv6Address(text)


def _interface(text: str) -> IPv4Interface | IPv6Interface:
    if "/" not in text or "%" in text:
        raise ValueError(text)
    return ip_interface(text)


def _network_of_either(text: str) -> IPv4Network | IPv6Network:
    return _network6(text) if ":" in text else _network(text)


def _address_of_either(text: str) -> IPv4Address | IPv6Address:
    return _address6(text) if ":" in text else IPv4Address(text)


def _vlan_range(value: object) -> VlanRange:
    if value == "none":
        return VlanRange(0, 0)
    if value == "any":
        return VlanRange(0, MAX_VID)
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", value) if isinstance(value, str) else None
    if found is not None:
        low, high = int(found[1]), int(found[2] or found[1])
        if 1 <= low <= high <= MAX_VID:
            return VlanRange(low, high)
    raise ValueError(f'must be "none", "any", "100" or "100-199" (1 to {MAX_VID})')


def _vid(value: object) -> int:
    if value == "none":
        return 0
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value) and 1 <= int(value) <= MAX_VID:
        return int(value)
    raise ValueError(f'must be "none" or "100" (1 to {MAX_VID})')


def _absolute_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text or len(os.fsencode(text)) > MAX_PATH_BYTES:
        raise ValueError(text)
    return path


def _cpu(value: object) -> int | None:
    if value == "any":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CPU:
        return value
    raise ValueError(f'must be a CPU number, 0 to {MAX_CPU}, or "any"')


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(text)
    return int(text, 8)


def _pattern(pattern: str, form: str) -> PlainValidator:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return reader(read, form)


def _udp(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not port.isascii() or not 0 < int(port) <= MAX_UDP_PORT:
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        return IPv6Address(host[1:-1]), int(port)
    return IPv4Address(host), int(port)


def _udp_or_path(text: str) -> tuple[IPv4Address | IPv6Address | Path, int]:
    return (_absolute_path(text), 0) if text.startswith("/") else _udp(text)


_UDP_FORM = "an address with UDP port: 192.0.2.9:4739, [2001:db8::9]:4739"
UdpEndpoint = Annotated[tuple[IPv4Address | IPv6Address, int], reader(_udp, _UDP_FORM)]
UdpOrPath = Annotated[
    tuple[IPv4Address | IPv6Address | Path, int],
    reader(_udp_or_path, f"{_UDP_FORM}, or the path of a unix socket: /dev/log"),
]
Address = Annotated[IPv4Address, reader(IPv4Address, "an IPv4 address")]
Prefix = Annotated[IPv4Network, reader(_network, "an IPv4 prefix, host bits zero: 192.0.2.0/24")]
Address6 = Annotated[IPv6Address, reader(_address6, "an IPv6 address")]
Prefix6 = Annotated[IPv6Network, reader(_network6, "an IPv6 prefix, host bits zero: 2001:db8::/32")]
InterfaceAddress = Annotated[
    IPv4Interface | IPv6Interface,
    reader(_interface, "an address with prefix length: 192.0.2.1/24, 2001:db8::1/64"),
]
AnyAddress = Annotated[
    IPv4Address | IPv6Address, reader(_address_of_either, "an IPv4 or an IPv6 address")
]
AnyPrefix = Annotated[
    IPv4Network | IPv6Network,
    reader(_network_of_either, "a prefix, host bits zero: 192.0.2.0/24, 2001:db8::/32"),
]
AddressRange = Annotated[
    Ipv4Range,
    reader(
        Ipv4Range.parse, "an address, a prefix with host bits zero, or FIRST-LAST (both included)"
    ),
]
Vlans = Annotated[VlanRange, PlainValidator(_vlan_range)]
Vid = Annotated[int, PlainValidator(_vid)]
"""One VLAN id; 0 stands for a frame without this tag."""
AbsolutePath = Annotated[
    Path, reader(_absolute_path, f"an absolute path of at most {MAX_PATH_BYTES} bytes")
]
Cpu = Annotated[int | None, PlainValidator(_cpu)]
FileMode = Annotated[int, reader(_mode, 'an octal mode in quotes: "0660"')]
Name = Annotated[
    str, _pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name: up to 63 of A-Z a-z 0-9 _ . -")
]
PortName = Annotated[
    str, _pattern(r"[a-z0-9][a-z0-9-]{0,10}", "a port name: up to 11 of a-z 0-9 -")
]
Device = Annotated[
    str, _pattern(r"[^\s/:,=]{1,15}", "a device name: up to 15 characters, none of space / : , =")
]
OptionName = Annotated[
    str,
    _pattern(
        r"(?!(?:name|if|driver|role|mtu|worker|tap|pbit|parent|outer|inner|tpid)$)[a-z-]{1,31}",
        "a driver's key",
    ),
]
OptionValue = Annotated[str, _pattern(r"[^\s,=]{1,90}", "a string without space, comma, =")]
AccountName = Annotated[str, _pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}", "an account name")]
Label = Annotated[str, _pattern(r"[\x20-\x7e]{1,64}", "1 to 64 printable ASCII characters")]
