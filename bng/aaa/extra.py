"""Attributes that the configuration maps to fields: each is read as one that has a row already."""

from collections.abc import Callable, Mapping

from bng.aaa.attributes import BY_NAME
from bng.aaa.reading import Row

READ_AS: Mapping[str, tuple[str, ...]] = {
    "user_name": ("User-Name",),
    "ipv4_address": ("Framed-IP-Address",),
    "ipv4_pool": ("Framed-Pool",),
    "routes": ("Framed-Route",),
    "ipv4_dns": ("MS-Secondary-DNS-Server",),
    "ipv4_nbns": ("MS-Secondary-NBNS-Server",),
    "ipv6_interface_id": ("Framed-Interface-Id",),
    "ipv4": ("Bng-Ipv4",),
    "ipv6": ("Bng-Ipv6",),
    "ipv6_prefix": ("Framed-IPv6-Prefix",),
    "ipv6_pool": ("Framed-IPv6-Pool",),
    "ipv6_address": ("Framed-IPv6-Address",),
    "ipv6_address_pool": ("Stateful-IPv6-Address-Pool",),
    "delegated_prefix": ("Delegated-IPv6-Prefix",),
    "delegated_pool": ("Delegated-IPv6-Prefix-Pool",),
    "ipv6_routes": ("Framed-IPv6-Route",),
    "ipv6_dns": ("DNS-Server-IPv6-Address",),
    "ipv6_announced_routes": ("Route-IPv6-Information",),
    "ipv6_profile": ("Bng-Ipv6-Profile",),
    "rate_up": ("Bng-Rate-Up", "WISPr-Bandwidth-Max-Up"),
    "rate_down": ("Bng-Rate-Down", "WISPr-Bandwidth-Max-Down"),
    "acl_in": ("Bng-Acl-In",),
    "acl_out": ("Bng-Acl-Out",),
    "mtu": ("Framed-MTU",),
    "mss_clamp": ("Bng-Mss-Clamp",),
    "nat_profile": ("Bng-Nat-Profile",),
    "nat_address": ("Bng-Nat-Address",),
    "port_forwards": ("Bng-Nat-Port-Forward",),
    "session_timeout_s": ("Session-Timeout",),
    "idle_timeout_s": ("Idle-Timeout",),
    "simultaneous_use": ("Port-Limit",),
    "reply_message": ("Reply-Message",),
    "classes": ("Class",),
    "interim_interval_s": ("Acct-Interim-Interval",),
}
"""Every field that an answer can set, and the attribute as which others for it are read: of those
named here the one of the same type."""


def extra_row(name: str, wanted: str, type_of: Callable[[str], str]) -> Row:
    """Return the row of an attribute *name* that sets the field *wanted* of `READ_AS`.

    *type_of* returns the type that the dictionaries say. Raises: ValueError, what is wrong.
    """
    if known := BY_NAME.get(name):
        raise ValueError(f"has a meaning already: {known.source}")
    found, types = type_of(name), [type_of(twin) for twin in READ_AS[wanted]]
    if found not in types:
        raise ValueError(f"is {found}, {wanted} takes {' or '.join(types)}")
    twin = BY_NAME[READ_AS[wanted][types.index(found)]]
    return Row(name, f"radius.attributes, as {twin.name}", twin.read, twin.live)
