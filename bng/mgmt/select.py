"""Which sessions a command means: selectors that several commands share."""

from ipaddress import AddressValueError, IPv4Address

from bng.box import Box
from bng.ethernet import Mac
from bng.mgmt.registry import Args, CommandError
from bng.session.model import Session, State

SELECTORS = ("id", "user", "address", "mac", "port", "vlan", "state")
"""Argument names; a session must fit all that are given."""


def text(args: Args, name: str) -> str | None:
    """Return a string argument. Raises: CommandError when it is no string."""
    value = args.get(name)
    if value is None or isinstance(value, str):
        return value
    raise CommandError(f"{name}: must be a string")


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
        try:
            wanted = IPv4Address(address)
        except AddressValueError:
            raise CommandError(f"address: not an IPv4 address: {address!r}") from None
        sessions = [s for s in sessions if s.ipv4_address == wanted]
    return sessions


def _mac(value: str) -> Mac:
    try:
        return Mac.parse(value)
    except ValueError:
        raise CommandError(f"mac: not an Ethernet address: {value!r}") from None


def vlans_of(session: Session) -> str:
    """Return a session's VLAN ids, outermost first: ``100.7``, "" when untagged."""
    return ".".join(str(tag.vid) for tag in session.line.tags)


def port_name(box: Box, index: int) -> str:
    """Return the name of a port index."""
    return next((name for name, port in box.ports.items() if port == index), str(index))
