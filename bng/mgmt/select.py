"""Which sessions a command means: selectors that several commands share."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network
from typing import TypeVar

from bng.box import Box
from bng.ethernet import Mac
from bng.mgmt.ipv6 import holds
from bng.mgmt.registry import Args, CommandError
from bng.session.model import Session, State

SELECTORS = ("id", "user", "address", "mac", "port", "vlan", "state")
"""Argument names; a session must fit all that are given."""
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58}
MAX_PORT = 0xFFFF
MAX_DIGITS = 10

T = TypeVar("T")


def text(args: Args, name: str) -> str | None:
    """Return a string argument. Raises: CommandError when it is no string."""
    value = args.get(name)
    if value is None or isinstance(value, str):
        return value
    raise CommandError(f"{name}: must be a string")


def number(args: Args, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number among the arguments. Raises: CommandError."""
    value = text(args, name)
    if value is None:
        return default
    if value.isdecimal() and len(value) <= MAX_DIGITS and low <= int(value) <= high:
        return int(value)
    raise CommandError(f"{name}: a whole number, {low} to {high}")


def protocol(args: Args) -> int:
    """Return the IP protocol among the arguments, 0 for none. Raises: CommandError."""
    value = text(args, "protocol")
    if value is None:
        return 0
    if value in PROTOCOLS:
        return PROTOCOLS[value]
    if value.isdecimal() and len(value) <= MAX_DIGITS and 0 < int(value) <= 255:
        return int(value)
    raise CommandError(f"protocol: {', '.join(PROTOCOLS)}, or 1 to 255")


def select(box: Box, args: Args) -> list[Session]:
    """Return the sessions that fit every selector given, in the order of their index.

    Raises: CommandError for a value that cannot be any session's.
    """
    sessions = list(_candidates(box, args))
    if (mac := text(args, "mac")) is not None:
        wanted = _mac(mac)
        sessions = [s for s in sessions if s.mac == wanted]
    if (port := text(args, "port")) is not None:
        if port not in box.ports:
            raise CommandError(f"port: no port {port!r}")
        sessions = [s for s in sessions if s.line.port == box.ports[port]]
    if (vlan := text(args, "vlan")) is not None:
        sessions = [s for s in sessions if vlan == vlans_of(s)]
    if (state := text(args, "state")) is not None:
        if state not in {s.value for s in State}:
            raise CommandError(f"state: one of {', '.join(s.value for s in State)}")
        sessions = [s for s in sessions if s.state.value == state]
    return sessions


def _candidates(box: Box, args: Args) -> list[Session]:
    sessions = list(box.manager.table)
    if (user := text(args, "user")) is not None:
        sessions = [s for s in sessions if s.user_name == user]
    if (session_id := text(args, "id")) is not None:
        sessions = [s for s in sessions if s.acct_session_id == session_id]
    if (address := text(args, "address")) is not None:
        wanted, wanted6 = _read(IPv4Address, address), _read(IPv6Network, address)
        if wanted is None and wanted6 is None:
            raise CommandError(f"address: not an IP address: {address!r}")
        sessions = [s for s in sessions if _has(s, wanted, wanted6)]
    return sessions


def _has(session: Session, address: IPv4Address | None, network: IPv6Network | None) -> bool:
    """Say whether an IPv4 address, or an IPv6 prefix or address, is the session's."""
    if address is not None:
        return session.ipv4_address == address
    return network is not None and holds(session, network)


def _mac(value: str) -> Mac:
    try:
        return Mac.parse(value)
    except ValueError:
        raise CommandError(f"mac: not an Ethernet address: {value!r}") from None


def find_one(box: Box, wanted: str) -> Session:
    """Return the session with that id, user name, address, IPv6 prefix or MAC.

    Raises: CommandError when there is none, or more than one.
    """
    address, network = _read(IPv4Address, wanted), _read(IPv6Network, wanted)
    mac = _read(Mac.parse, wanted)
    found = [
        s
        for s in box.manager.table
        if wanted in (s.acct_session_id, s.user_name)
        or (mac is not None and s.mac == mac)
        or _has(s, address, network)
    ]
    if not found:
        raise CommandError(f"no session {wanted!r}")
    if len(found) > 1:
        ids = ", ".join(s.acct_session_id for s in found)
        raise CommandError(f"{wanted!r} has several sessions: {ids}")
    return found[0]


def _read(read: Callable[[str], T], text: str) -> T | None:
    """Return what *text* is beside a name: an address, perhaps."""
    try:
        return read(text)
    except ValueError:
        return None


def user_of(box: Box, index: int) -> str | None:
    """Return whose the session at an index of the arena is, None when nobody is known."""
    if index >= box.dataplane.max_sessions:
        return None
    generation = int(box.dataplane.session_in[index].generation)
    session = box.manager.table.get(index, generation)
    return None if session is None else session.user_name


def vlans_of(session: Session) -> str:
    """Return a session's VLAN ids, outermost first: ``100.7``, "" when untagged."""
    return ".".join(str(tag.vid) for tag in session.line.tags)


def port_name(box: Box, index: int) -> str:
    """Return the name of a port index."""
    return next((name for name, port in box.ports.items() if port == index), str(index))
