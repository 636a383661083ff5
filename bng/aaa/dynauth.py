"""What a CoA-Request or Disconnect-Request asks for (RFC 5176 §3): whose session, which change.

`read` takes the attributes by name and raises `Refused` with the Error-Cause that the NAK carries
(§3.5). Every attribute is mandatory (§2.3): one that cannot be had is never passed over. Which
attributes change a living session is said in `bng.aaa.attributes.ROWS`, column *live*.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from bng.aaa import attributes
from bng.aaa.attributes import FRAMED_USER
from bng.aaa.reading import Offered, Reading, Value
from bng.aaa.requests import Nas
from bng.ppp.credentials import decode_name

AUTHORIZE_ONLY = 17
"""Service-Type (RFC 5176 §3.2)."""


class ErrorCause(IntEnum):
    """Error-Cause (RFC 5176 §3.5): those that this box has a reason to send."""

    UNSUPPORTED_ATTRIBUTE = 401
    MISSING_ATTRIBUTE = 402
    NAS_IDENTIFICATION_MISMATCH = 403
    INVALID_REQUEST = 404
    UNSUPPORTED_SERVICE = 405
    INVALID_ATTRIBUTE_VALUE = 407
    ADMINISTRATIVELY_PROHIBITED = 501
    SESSION_CONTEXT_NOT_FOUND = 503
    SESSION_CONTEXT_NOT_REMOVABLE = 504
    RESOURCES_UNAVAILABLE = 506
    MULTIPLE_SESSION_SELECTION_UNSUPPORTED = 508


class Refused(Exception):
    """The request is not carried out. The text is for the log."""

    def __init__(self, cause: ErrorCause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What requests are read against: who we are, our addresses, what attributes may name."""

    nas: Nas
    own_addresses: Collection[IPv4Address] = ()
    offered: Offered = field(default_factory=Offered)


@dataclass(frozen=True, slots=True)
class Asked:
    """*keys*: what the session must have, by attribute; *change*: what it is to have."""

    disconnect: bool
    keys: Mapping[str, Value]
    change: Reading


NAS_KEYS: Mapping[str, Callable[[Known, Value], bool]] = {
    "NAS-Identifier": lambda known, value: value == known.nas.identifier,
    "NAS-IP-Address": lambda known, value: value in (known.nas.ip4, *known.own_addresses),
    "NAS-IPv6-Address": lambda known, value: value == known.nas.ip6,
}
"""NAS identification attributes (§3)."""
SESSION_KEYS: Mapping[str, type] = {
    "Acct-Session-Id": str,
    "User-Name": str,
    "Framed-IP-Address": IPv4Address,
    "Framed-Interface-Id": bytes,
    "Framed-IPv6-Prefix": IPv6Network,
    "Framed-IPv6-Address": IPv6Address,
    "Delegated-IPv6-Prefix": IPv6Network,
    "NAS-Port": int,
    "NAS-Port-Id": str,
    "Calling-Station-Id": str,
    "Called-Station-Id": str,
    "ADSL-Agent-Circuit-Id": bytes,
    "ADSL-Agent-Remote-Id": bytes,
}
"""Session identification attributes (§3; vendors' as note 7 of §3.6 allows), and their types.

What DHCPv6 gives identifies as well as what RFC 5176 knew of; none of it can change in a session.
"""
NO_MATTER = {"Proxy-State", "Message-Authenticator", "Event-Timestamp"}
ONCE = {*NAS_KEYS, *SESSION_KEYS, "Service-Type", "State", "Session-Timeout", "Idle-Timeout"}
"""Attributes of which there is one at most (§3.6)."""


def read(known: Known, pairs: Sequence[tuple[str, Value]], *, disconnect: bool) -> Asked:
    """Return what *pairs* ask for. Raises: Refused."""
    _check_nas(known, pairs)
    keys, rest = _keys(pairs)
    change = _disconnect(rest) if disconnect else _change(known, rest)
    if not keys:
        raise Refused(ErrorCause.MISSING_ATTRIBUTE, "nothing says which session")
    return Asked(disconnect, keys, change)


def _check_nas(known: Known, pairs: Sequence[tuple[str, Value]]) -> None:
    for name, value in pairs:
        ours = NAS_KEYS.get(name)
        if ours is not None and not ours(known, value):
            raise Refused(ErrorCause.NAS_IDENTIFICATION_MISMATCH, f"{name} {value!s}")


def _keys(
    pairs: Sequence[tuple[str, Value]],
) -> tuple[dict[str, Value], list[tuple[str, Value]]]:
    """Return what identifies the session, and the other attributes."""
    times = Counter(name for name, _ in pairs)
    if repeated := [name for name in times if times[name] > 1 and name in ONCE]:
        raise Refused(ErrorCause.INVALID_REQUEST, f"{repeated[0]}: more than one")
    keys: dict[str, Value] = {}
    rest: list[tuple[str, Value]] = []
    for name, value in pairs:
        kind = SESSION_KEYS.get(name)
        if kind is None:
            if name not in NAS_KEYS and name not in NO_MATTER:
                rest.append((name, value))
            continue
        if name == "User-Name" and isinstance(value, bytes):
            value = decode_name(value)
        if not isinstance(value, kind) or value in ("", b""):
            raise Refused(ErrorCause.INVALID_REQUEST, f"{name}: {value!r}")
        keys[name] = value
    return keys, rest


def _disconnect(rest: list[tuple[str, Value]]) -> Reading:
    """Return the Class that the Stop is to carry: nothing else is allowed (§3, note 4 of §3.6)."""
    for name, _ in rest:
        if name != "Class":
            raise Refused(ErrorCause.UNSUPPORTED_ATTRIBUTE, name)
    return _read(Offered(), rest)


def _change(known: Known, rest: list[tuple[str, Value]]) -> Reading:
    """Return the change of authorisation."""
    _check_service(rest)
    rest = [pair for pair in rest if pair[0] not in {"Service-Type", "State"}]
    for name, _ in rest:
        row = attributes.row_of(known.offered, name)
        if row is None or not row.live:
            raise Refused(ErrorCause.UNSUPPORTED_ATTRIBUTE, name)
    if not rest:
        raise Refused(ErrorCause.MISSING_ATTRIBUTE, "nothing says what to change")
    return _read(known.offered, rest)


def _check_service(rest: list[tuple[str, Value]]) -> None:
    """Check Service-Type (§3.2): what the session has, or nothing; there is no Authorize Only."""
    said = dict(rest)
    service = said.get("Service-Type")
    if service in (None, FRAMED_USER):
        return
    if service == AUTHORIZE_ONLY:
        if "State" not in said:
            raise Refused(ErrorCause.MISSING_ATTRIBUTE, "Authorize Only without State")
        if others := said.keys() - {"Service-Type", "State"}:
            raise Refused(ErrorCause.UNSUPPORTED_ATTRIBUTE, f"{min(others)} with Authorize Only")
    raise Refused(ErrorCause.UNSUPPORTED_SERVICE, f"Service-Type {service!s}")


def _read(offered: Offered, pairs: list[tuple[str, Value]]) -> Reading:
    """Return what *pairs* mean; what would be a warning in an Access-Accept is refused here."""
    reading = attributes.read(pairs, offered)
    wrong = reading.refusal or next(iter(reading.warnings), None)
    if wrong is not None:
        raise Refused(ErrorCause.INVALID_ATTRIBUTE_VALUE, wrong)
    return reading
