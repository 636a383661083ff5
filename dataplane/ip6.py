"""Commands of IPv6, packed as ``ip6_shared.h`` says."""

import struct
from ipaddress import IPv4Network, IPv6Network

from dataplane.binding import CMD_FLAG_QUIET, COMMAND, CommandType, route4_record

SESSION_IP6 = struct.Struct("=QQQQB")
ROUTE6 = struct.Struct("=16sI")


def ip6_record(
    session: int,
    generation: int,
    cookie: int,
    *,
    on: bool,
    link_prefix: int = 0,
    delegated: int = 0,
    delegated_length: int = 0,
    interface_id: int = 0,
) -> bytes:
    """Pack CMD_SESSION_IP6; prefixes are the upper 64 bits of an address, 0 for none."""
    mask = ((1 << 64) - 1) ^ ((1 << 64 - delegated_length) - 1)
    body = SESSION_IP6.pack(link_prefix, delegated, mask, interface_id, on)
    return COMMAND.pack(CommandType.SESSION_IP6, 0, session, generation, 0, cookie, body)


def route6_record(
    kind: CommandType,
    prefix: bytes,
    length: int,
    *,
    session: int = 0,
    generation: int = 0,
    cookie: int = 0,
    quiet: bool = False,
) -> bytes:
    """Pack ROUTE6_ADD, ROUTE6_DEL, UNREACHABLE6_ADD or UNREACHABLE6_DEL."""
    flags = CMD_FLAG_QUIET if quiet else 0
    return COMMAND.pack(kind, flags, session, generation, 0, cookie, ROUTE6.pack(prefix, length))


def unreachable_record(prefix: IPv4Network | IPv6Network, *, on: bool) -> bytes:
    """Pack the quiet command, of either family, that what no longer prefix has is unreachable."""
    packed, length = prefix.network_address.packed, prefix.prefixlen
    if prefix.version == 4:
        kind = CommandType.UNREACHABLE4_ADD if on else CommandType.UNREACHABLE4_DEL
        return route4_record(kind, packed, length, quiet=True)
    kind = CommandType.UNREACHABLE6_ADD if on else CommandType.UNREACHABLE6_DEL
    return route6_record(kind, packed, length, quiet=True)
