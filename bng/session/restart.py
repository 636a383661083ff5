"""What outlives bngd: the record of a session, and what became of those that were found. Sans-IO.

A record is written before its session goes live and whenever something of it changes, into the
arena and the journal: what the next bngd needs to go on. JSON, compressed when it is too long.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Network
from operator import attrgetter

from bng.aaa.model import AccessAccept, PortForward, SubscriberProfile
from bng.ethernet import AccessLine, Mac
from bng.session import ipv6_side
from bng.session.access import AccessMethod
from bng.session.actions import Handle
from bng.session.model import Cause, Counters, Session
from bng.session.packing import pack_fields, readers_of, unpack_fields

VERSION = 1
"""Of the record. What is added later has a default; what changes its meaning gets a new number."""
MAX_RECORD_BYTES = 1000
"""``CONTROL_RECORD_LEN`` of dataplane.h."""
ROOM_BYTES = 160
"""Kept free in a session's first record, for what is not known yet: when it came up, IPv6CP."""
MAX_TEXT_BYTES = 1 << 16

STANDING = {
    "id": "acct_session_id",
    "user": "user_name",
    "line": "line",
    "mac": "mac",
    "at": "created_at",
    "service": "service_name",
    "circuit": "circuit_id",
    "remote": "remote_id",
    "tr101": "line_attributes",
    "ip4": "ipv4_address",
    "gw": "gateway",
    "public": "nat_public",
    "mru": "peer_mru",
    "magic": "magics",
    "nat": "nat_place",
    "routes": "routes",
}
"""Fields of a session by key, written as they are; those that hardly change while it forwards."""
PASSING = {
    "if6": "interface_id",
    "families": "families",
    "up": "up_at",
    "accounted": "accounted",
    "until": "timeout_at",
    "cause": "cause",
}
"""The same; those that come and go."""
RECORDED = STANDING | PASSING
OF_THE_ACCEPT = {
    "classes": "classes",
    "interim": "interim_interval_s",
    "source": "source",
    "sources": "sources",
    "degraded": "degraded",
}
"""Fields of what AAA said last, by key."""
OF_THE_PROFILE = {field.name: field.name for field in fields(SubscriberProfile)}
FOR_PEOPLE = ("sources",)
"""Keys that a record without room goes without."""
NOT_RECORDED = frozenset(
    (
        *("handle", "method", "access", "state", "profile", "accept", "request_id", "answer"),
        *("waits_for", "waiters", "nat_tried", "moving_to", "nat_told", "install_request"),
        *("install_pending", "told", "policed", "filtered", "forwarded", "bypassed", "paused"),
        *("interim_at", "due", "detail", "adopted", "begun", "stopped"),
        *("ipv4_on", "local_interface_id", "ipv6"),
        "standing",
    )
)
"""The rest of a session: known from the arena, said in other keys, or of one bngd alone."""

_JSON = json.JSONEncoder(separators=(",", ":"))
_MADE_OF = attrgetter(*STANDING.values(), "profile", "accept")
"""Of a session: what `describe_standing` depends on."""
_SESSION = readers_of(Session, RECORDED.values())
_ACCEPT = readers_of(AccessAccept, OF_THE_ACCEPT.values())
_PROFILE = readers_of(SubscriberProfile, OF_THE_PROFILE.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A session that a former bngd left in the arena, and what the dataplane has of it."""

    handle: Handle
    live: bool
    """It forwards; not so before its first network protocol, when paused, when closed."""
    line: AccessLine
    mac: Mac
    session_id: int
    address: IPv4Address | None = None
    ipv6_on: bool = False
    ipv6_prefix: IPv6Network | None = None
    """The prefix of the link."""
    acl_in: int = 0
    acl_out: int = 0
    bypass: int = 0
    policed: bool = False
    nat_public: IPv4Address | None = None
    forwards: tuple[tuple[PortForward, int], ...] = ()
    """Each with the index of its public address."""
    record: Mapping[str, object]
    """What `read` made of its record; empty: there is none that can be read."""
    data: bytes = b""
    """The record itself."""

    @property
    def acct_session_id(self) -> str:
        """Its Acct-Session-Id, "" when nobody knows."""
        return str(self.record.get("id", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A session that was found and could not be adopted: closed, not yet released.

    *counters* are its last. *record* is empty when there was none that could be read; then its
    *acct_session_id* is "".
    """

    acct_session_id: str
    handle: Handle
    record: Mapping[str, object]
    counters: Counters
    cause: Cause


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of all sessions that a former bngd left in the arena."""

    adopted: list[Session]
    ended: list[Ended]


def encode(session: Session, room_bytes: int = 0) -> bytes | None:
    """Return the record of *session*; None: it does not fit beside *room_bytes* more."""
    limit = MAX_RECORD_BYTES - room_bytes
    passing = describe_passing(session)
    ipv6 = "" if session.ipv6 is None else f'"{ipv6_side.KEY}":{_ipv6(session.ipv6)},'
    whole = f"{_standing(session)[:-1]},{ipv6}{_JSON.encode(passing)[1:]}".encode()
    if len(whole) <= limit:
        return whole
    record = describe_standing(session) | passing
    short = {key: value for key, value in record.items() if key not in FOR_PEOPLE}
    if session.ipv6 is not None:
        short[ipv6_side.KEY] = ipv6_side.describe(session.ipv6, clients=False)
    less = _JSON.encode(short).encode()
    return next((c for c in map(zlib.compress, (whole, less)) if len(c) <= limit), None)


def _standing(session: Session) -> str:
    """Return the JSON of what hardly changes: a session that comes up is written down many times.

    It is made anew when anything that it is made of is not what it was.
    """
    made_of = _MADE_OF(session)
    if session.standing is None or session.standing[0] != made_of:
        session.standing = made_of, _JSON.encode(describe_standing(session))
    return session.standing[1]


def _ipv6(side: ipv6_side.Ipv6Side) -> str:
    """Return the JSON of what is recorded of IPv6, likewise."""
    if side.recorded is None:
        side.recorded = _JSON.encode(ipv6_side.describe(side))
    return side.recorded


def describe_standing(session: Session) -> dict[str, object]:
    """Return what is recorded of *session* and hardly changes."""
    record = {"v": VERSION, "method": session.method.name, **pack_fields(session, STANDING)}
    if session.profile is not None:
        record["profile"] = pack_fields(session.profile, OF_THE_PROFILE)
    if session.accept is not None:
        record |= pack_fields(session.accept, OF_THE_ACCEPT)
    return record


def describe_passing(session: Session) -> dict[str, object]:
    """Return the rest of what is recorded of *session*, but for IPv6."""
    return pack_fields(session, PASSING) | session.method.record(session)


def read(data: bytes) -> dict[str, object]:
    """Return a record by key, whatever its version. Raises: ValueError."""
    if not data.startswith(b"{"):
        unpack = zlib.decompressobj()
        try:
            data = unpack.decompress(data, MAX_TEXT_BYTES)
        except zlib.error as error:
            raise ValueError(str(error)) from None
    try:
        record = json.loads(data)
    except RecursionError:
        raise ValueError("lists in lists in lists") from None
    if not isinstance(record, dict):
        raise ValueError("not an object")
    return record


def restore(record: Mapping[str, object], handle: Handle, method: AccessMethod) -> Session:
    """Return the session that was recorded, without what is the access method's.

    Raises: ValueError when the record is of another version, or says what no record says.
    """
    if record.get("v") != VERSION:
        raise ValueError(f"a record of version {record.get('v')}")
    found = unpack_fields(_SESSION, RECORDED, record)
    try:
        session = Session(handle=handle, method=method, **found)
        session.profile = _profile(record.get("profile"))
        session.accept = AccessAccept(
            profile=session.profile, **unpack_fields(_ACCEPT, OF_THE_ACCEPT, record)
        )
    except TypeError as error:  # something is missing
        raise ValueError(str(error)) from None
    return session


def _profile(packed: object) -> SubscriberProfile:
    if not isinstance(packed, dict):
        raise ValueError("no profile")
    return SubscriberProfile(**unpack_fields(_PROFILE, OF_THE_PROFILE, packed))
