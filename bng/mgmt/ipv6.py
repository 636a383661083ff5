"""What management shows of the IPv6 of a session."""

from ipaddress import IPv6Network

from bng.box import Box
from bng.ipv6.link import link_local
from bng.ipv6.server import Server
from bng.session.ipv6_side import Ipv6Side, current
from bng.session.model import IPV4, IPV6, Session

FAMILIES = {IPV4: "ipv4", IPV6: "ipv6"}


def families_of(session: Session) -> list[str]:
    """Return the families whose network protocol is open."""
    return [name for bit, name in FAMILIES.items() if session.families & bit]


def prefix_of(session: Session) -> str | None:
    """Return the prefix of the session's link."""
    side = session.ipv6
    return None if side is None or side.prefix is None else str(side.prefix)


def holds(session: Session, network: IPv6Network) -> bool:
    """Say whether *network*, an address or a prefix, leads to the session as a whole."""
    side = session.ipv6
    return side is not None and any(network.subnet_of(own) for own in side.routes())


def ipv6_of(box: Box, session: Session, now: float) -> dict[str, object]:
    """Return all that there is of a session's IPv6; *now* as the core counts."""
    side, entry = session.ipv6, box.dataplane.session_ip6[session.index]
    local = session.local_interface_id
    return {
        "interface_id": None if session.interface_id is None else f"{session.interface_id:016x}",
        "ipv6_gateway": None if side is None or local is None else str(link_local(local)),
        "ipv6_forwarded": side is not None and side.on,
        "delegated_prefixes": [] if side is None else [str(net) for net in side.delegated],
        "ipv6_addresses": [] if side is None else [str(address) for address in side.addresses],
        "ipv6_routes": [] if side is None else [str(net) for net in side.framed],
        "dhcpv6_leases": _leases(session, now),
        "deprecated_prefixes": [] if side is None else _deprecated(side, now),
        **_advertised(side, now),
        "ipv6_in_packets": int(entry.in_packets),
        "ipv6_in_bytes": int(entry.in_bytes),
        "ipv6_out_packets": int(entry.out_packets),
        "ipv6_out_bytes": int(entry.out_bytes),
    }


def _leases(session: Session, now: float) -> list[dict[str, object]]:
    side = session.ipv6
    if side is None:
        return []
    dhcpv6 = side.link.dhcpv6
    bindings = dhcpv6.bindings(offers=True) if isinstance(dhcpv6, Server) else []
    known = {binding.lease: binding for binding in bindings}
    rows: list[dict[str, object]] = []
    for lease, until in current(side).items():
        binding = known.get(lease)
        forever = until == float("inf")
        rows.append(
            {
                "lease": _shown(lease.network, delegated=lease.delegated),
                "ends_in_s": None if forever else round(until - now),
                "iaid": None if binding is None else binding.iaid,
                "duid": None if binding is None else binding.client_id.hex(),
            }
        )
    return rows


def _deprecated(side: Ipv6Side, now: float) -> list[dict[str, object]]:
    deprecated = side.link.advertiser.deprecated
    return [
        {"prefix": str(net), "ends_in_s": round(max(0, until - now))}
        for net, until in deprecated.items()
    ]


def _advertised(side: Ipv6Side | None, now: float) -> dict[str, object]:
    """Return when the last Router Advertisement was sent, by this bngd, and when one is due."""
    advertiser = None if side is None else side.link.advertiser
    sent = None if advertiser is None else advertiser.sent_at
    due = None if advertiser is None else advertiser.next_deadline()
    return {
        "advertised_s_ago": None if sent is None else round(now - sent),
        "advertised_in_s": None if due is None else round(max(0, due - now)),
    }


def _shown(network: IPv6Network, *, delegated: bool) -> str:
    return str(network if delegated else network.network_address)
