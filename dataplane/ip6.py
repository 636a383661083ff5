"""Commands of IPv6, packed as ``ip6_shared.h`` says."""

import struct
from ipaddress import IPv4Network, IPv6Network

from dataplane.binding import COMMAND, CommandType, route_record

SESSION_IP6 = struct.Struct("=QQQQB")


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


def unreachable_record(prefix: IPv4Network | IPv6Network, *, on: bool) -> bytes:
    """Pack the quiet command, of either family, that what no longer prefix has is unreachable."""
    kind = CommandType[f"UNREACHABLE{prefix.version}_{'ADD' if on else 'DEL'}"]
    return route_record(kind, prefix.network_address.packed, prefix.prefixlen, quiet=True)
