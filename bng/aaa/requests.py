"""What RADIUS is told: Access-Request (RFC 2865 §4.1) and Accounting-Request (RFC 2866 §4.1).

Attributes are (name, value) pairs in the order of sending. `Nas` says who we are and how lines are
written; the formats of Calling-Station-Id, Called-Station-Id and NAS-Port-Id are templates.
"""

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, assert_never

from bng.aaa.attributes import FRAMED_USER, PPP
from bng.aaa.reading import Value
from bng.ethernet import AccessLine, Mac
from bng.ppp.credentials import (
    ChapCredentials,
    Credentials,
    MsChap1Credentials,
    MsChap2Credentials,
    PapCredentials,
    encode_name,
)

Attributes = list[tuple[str, Value]]

PPPOEOE, PPPOEOVLAN, PPPOEOQINQ = 32, 33, 34
"""NAS-Port-Type (RFC 2865 §5.41, RFC 4603)."""
MAX_TEXT_BYTES = 253
MAX_CHARACTER_BYTES = 4
"""Of UTF-8 (RFC 3629 §3)."""
LINE_ATTRIBUTES_OF_ACCESS = frozenset(
    {
        "Actual-Data-Rate-Upstream",
        "Actual-Data-Rate-Downstream",
        "Access-Loop-Encapsulation",
        "IWF-Session",
    }
)
"""RFC 4679 §4: the others MUST NOT be in an Access-Request; accounting has them all."""


class Subscriber(Protocol):
    """Who and where a subscriber is, as found: a session, or a question to AAA about one."""

    @property
    def acct_session_id(self) -> str:
        """Acct-Session-Id."""
        ...

    @property
    def line(self) -> AccessLine:
        """Port and tags."""
        ...

    @property
    def mac(self) -> Mac:
        """The client's."""
        ...

    @property
    def service_name(self) -> str:
        """Service-Name that it asked for."""
        ...

    @property
    def circuit_id(self) -> bytes | None:
        """Agent-Circuit-Id (RFC 4679 §3.3.1), as the access node sent it."""
        ...

    @property
    def remote_id(self) -> bytes | None:
        """Agent-Remote-Id (RFC 4679 §3.3.2)."""
        ...

    @property
    def line_attributes(self) -> tuple[tuple[str, int | bytes], ...]:
        """The other attributes of RFC 4679, by name."""
        ...

    @property
    def interface_id(self) -> int | None:
        """What IPv6CP has settled for the client; None: it is not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Nas:
    """Who we are towards RADIUS. *ports* are names by index."""

    identifier: str
    ip4: IPv4Address | None = None
    ip6: IPv6Address | None = None
    ports: Mapping[int, str] = field(default_factory=dict)
    calling_station_id: str = "{mac}"
    called_station_id: str = "{port}"
    nas_port_id: str = "{port}:{vlans}"

    def render(self, template: str, who: Subscriber) -> str:
        """Return *template* with the fields of `TEMPLATE_FIELDS` filled in."""
        return "".join([text + fill(self, who) for text, fill in _parts(template)])

    @property
    def templates(self) -> tuple[tuple[str, str], ...]:
        """The attributes that are made from templates, in the order of sending."""
        return (
            ("NAS-Port-Id", self.nas_port_id),
            ("Calling-Station-Id", self.calling_station_id),
            ("Called-Station-Id", self.called_station_id),
        )


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


TEMPLATE_FIELDS: Mapping[str, Callable[[Nas, Subscriber], str]] = {
    "port": lambda nas, who: nas.ports.get(who.line.port, str(who.line.port)),
    "svid": lambda nas, who: str(who.line.outer_vid),
    "cvid": lambda nas, who: str(who.line.inner_vid),
    "vlans": lambda nas, who: ".".join(str(tag.vid) for tag in who.line.tags) or "0",
    "mac": lambda nas, who: str(who.mac),
    "mac_dashes": lambda nas, who: who.mac.hex("-").upper(),
    "mac_digits": lambda nas, who: who.mac.hex(),
    "service": lambda nas, who: who.service_name,
    "circuit_id": lambda nas, who: _text(who.circuit_id),
    "remote_id": lambda nas, who: _text(who.remote_id),
    "nas": lambda nas, who: nas.identifier,
}
"""What a template may name."""


def _nothing(_nas: Nas, _who: Subscriber) -> str:
    return ""


@cache
def _parts(template: str) -> list[tuple[str, Callable[[Nas, Subscriber], str]]]:
    """Return the parts of a template: a text, and what is filled in behind it."""
    return [
        (text, _nothing if name is None else TEMPLATE_FIELDS[name])
        for text, name, _, _ in string.Formatter().parse(template)
    ]


def check_template(template: str) -> None:
    """Raises: ValueError that says what of *template* cannot be filled in."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{template!r}: {error}") from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in TEMPLATE_FIELDS or spec or conversion):
            known = ", ".join(TEMPLATE_FIELDS)
            raise ValueError(f"{template!r}: {{{name}}} is none of {known}")


def identity(nas: Nas) -> Attributes:
    """Return who asks: NAS-Identifier, NAS-IP-Address, NAS-IPv6-Address."""
    found: Attributes = [("NAS-Identifier", nas.identifier)]
    if nas.ip4 is not None:
        found.append(("NAS-IP-Address", nas.ip4))
    if nas.ip6 is not None:
        found.append(("NAS-IPv6-Address", nas.ip6))
    return found


def nas_port(line: AccessLine) -> int:
    """Return NAS-Port (RFC 2865 §5.5): port, outer and inner VLAN in one number."""
    return (line.port & 0xFF) << 24 | line.outer_vid << 12 | line.inner_vid


def _cut(text: str) -> str:
    """Return what of *text* an attribute holds."""
    if len(text) * MAX_CHARACTER_BYTES <= MAX_TEXT_BYTES:
        return text
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")


def said(nas: Nas, who: Subscriber, name: str) -> Value | None:
    """Return what requests about *who* say for attribute *name*, of those that `subscriber` has."""
    match name:
        case "NAS-Port":
            return nas_port(who.line)
        case "ADSL-Agent-Circuit-Id":
            return who.circuit_id
        case "ADSL-Agent-Remote-Id":
            return who.remote_id
    return next((_cut(nas.render(text, who)) for known, text in nas.templates if known == name), "")


def subscriber(nas: Nas, who: Subscriber, *, of_access: bool = False) -> Attributes:
    """Return where a subscriber is, the same in every request about him.

    Of an Access-Request (*of_access*) only those of `LINE_ATTRIBUTES_OF_ACCESS`.
    """
    line = who.line
    found = identity(nas)
    found += [
        ("NAS-Port", nas_port(line)),
        ("NAS-Port-Type", (PPPOEOE, PPPOEOVLAN, PPPOEOQINQ)[min(len(line.tags), 2)]),
    ]
    for name, template in nas.templates:
        if text := _cut(nas.render(template, who)):
            found.append((name, text))
    found += [("Service-Type", FRAMED_USER), ("Framed-Protocol", PPP)]
    if who.circuit_id:
        found.append(("ADSL-Agent-Circuit-Id", who.circuit_id))
    if who.remote_id:
        found.append(("ADSL-Agent-Remote-Id", who.remote_id))
    found += (
        pair
        for pair in who.line_attributes
        if not of_access or pair[0] in LINE_ATTRIBUTES_OF_ACCESS
    )
    if who.interface_id is not None:  # RFC 3162 §2.2
        found.append(("Framed-Interface-Id", who.interface_id.to_bytes(8)))
    found.append(("Acct-Session-Id", who.acct_session_id))
    return found


def access(nas: Nas, who: Subscriber, credentials: Credentials) -> tuple[Attributes, bytes | None]:
    """Return an Access-Request, and the password that PAP brought, which is not hidden yet."""
    found: Attributes = [("User-Name", encode_name(credentials.user_name))]
    password: bytes | None = None
    match credentials:
        case PapCredentials():
            password = credentials.password
        case ChapCredentials():  # RFC 2865 §5.3, §5.40
            found += [
                ("CHAP-Password", bytes((credentials.identifier,)) + credentials.response),
                ("CHAP-Challenge", credentials.challenge),
            ]
        case MsChap1Credentials():  # RFC 2548 §2.1.3: identifier, flags, LM, NT
            response = credentials.response
            found += [
                ("MS-CHAP-Challenge", credentials.challenge),
                (
                    "MS-CHAP-Response",
                    bytes((credentials.identifier, response[48])) + response[:48],
                ),
            ]
        case MsChap2Credentials():  # RFC 2548 §2.3.2: identifier, flags, peer challenge, zeros, NT
            response = credentials.response
            found += [
                ("MS-CHAP-Challenge", credentials.challenge),
                (
                    "MS-CHAP2-Response",
                    bytes((credentials.identifier, response[48])) + response[:48],
                ),
            ]
        case _:
            assert_never(credentials)
    return found + subscriber(nas, who, of_access=True), password


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a session carried (RFC 2866 §5.3 to §5.6): IP bytes and packets, in from the client.

    Those of both versions are together, *in6_* and *out6_* is the part that was IPv6.
    """

    in_bytes: int = 0
    in_packets: int = 0
    out_bytes: int = 0
    out_packets: int = 0
    in6_bytes: int = 0
    in6_packets: int = 0
    out6_bytes: int = 0
    out6_packets: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of it, in order."""
        return (
            *(self.in_bytes, self.in_packets, self.out_bytes, self.out_packets),
            *(self.in6_bytes, self.in6_packets, self.out6_bytes, self.out6_packets),
        )


class AccountStatus(IntEnum):
    """Acct-Status-Type (RFC 2866 §5.1)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8


AUTHENTIC_RADIUS, AUTHENTIC_LOCAL = 1, 2
"""Acct-Authentic (RFC 2866 §5.6)."""
LOW32 = 0xFFFF_FFFF


def usage(carried: Usage, seconds: int) -> Attributes:
    """Return the counters, 64 bits in two attributes each (RFC 2869 §5.1, §5.2).

    No RFC has attributes for the part that was IPv6: those of ERX, which servers know, are there
    when there was any.
    """
    found: Attributes = [
        ("Acct-Session-Time", seconds & LOW32),
        ("Acct-Input-Octets", carried.in_bytes & LOW32),
        ("Acct-Input-Gigawords", carried.in_bytes >> 32 & LOW32),
        ("Acct-Input-Packets", carried.in_packets & LOW32),
        ("Acct-Output-Octets", carried.out_bytes & LOW32),
        ("Acct-Output-Gigawords", carried.out_bytes >> 32 & LOW32),
        ("Acct-Output-Packets", carried.out_packets & LOW32),
    ]
    return found + _usage_ipv6(carried) if any(carried.numbers[4:]) else found


def _usage_ipv6(carried: Usage) -> Attributes:
    return [
        ("ERX-IPv6-Acct-Input-Octets", carried.in6_bytes & LOW32),
        ("ERX-IPv6-Acct-Input-Gigawords", carried.in6_bytes >> 32 & LOW32),
        ("ERX-IPv6-Acct-Input-Packets", carried.in6_packets & LOW32),
        ("ERX-IPv6-Acct-Output-Octets", carried.out6_bytes & LOW32),
        ("ERX-IPv6-Acct-Output-Gigawords", carried.out6_bytes >> 32 & LOW32),
        ("ERX-IPv6-Acct-Output-Packets", carried.out6_packets & LOW32),
    ]


OF_ONE_RECORD = frozenset(
    (
        *("Acct-Status-Type", "Event-Timestamp", "Acct-Terminate-Cause"),
        *(name for name, _ in usage(Usage(in6_bytes=1), 0)),
    )
)
"""What tells of one moment of a session, and not who and where it is."""


def closing(
    last: Iterable[tuple[str, Value]], carried: Usage, seconds: int, wall: float, cause: int
) -> Attributes:
    """Return the Stop of a session that is gone, at the time *wall*; *last* is its last record."""
    return [
        ("Acct-Status-Type", int(AccountStatus.STOP)),
        *((name, value) for name, value in last if name not in OF_ONE_RECORD),
        ("Event-Timestamp", int(wall)),
        *usage(carried, seconds),
        ("Acct-Terminate-Cause", cause),
    ]


def on_off(nas: Nas, status: AccountStatus, acct_session_id: str, wall: float) -> Attributes:
    """Return Accounting-On or -Off (RFC 2866 §4.1, §5.1): the box itself begins, or ends."""
    return [
        ("Acct-Status-Type", int(status)),
        *identity(nas),
        ("Acct-Session-Id", acct_session_id),
        ("Event-Timestamp", int(wall)),
    ]
