"""``explain``: whose an address is, and where a packet to it would go, from the live tables."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from bng.box import Box
from bng.mgmt.commands.trace import route_text
from bng.mgmt.nat import nat_address_of, nat_bypass_of, nat_of, port_forwards_of
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import MAX_PORT, PROTOCOLS, find_one, number, port_name, protocol, text
from bng.mgmt.select import user_of as user
from bng.session.model import Session
from dataplane import sight
from dataplane.binding import lib
from dataplane.fib6 import fib6_lookup

MAC_LEN = 6


@command(
    "explain",
    *("address", "port", "protocol", "from"),
    summary="Where a packet to an address would go, and why.",
)
def explain(box: Box, args: Args) -> object:
    """Return the answer in parts: route, adjacency, session, NAT; and a verdict in words."""
    wanted = text(args, "address")
    try:
        address = ip_address(wanted or "")
    except ValueError:
        raise CommandError(f"address: not an IP address: {wanted!r}") from None
    leaf = _look_up(box, address)
    answer: dict[str, object] = {"address": str(address)}
    if (sender := text(args, "from")) is not None:
        answer["from"] = _sender(box, find_one(box, sender), address)
    answer["route"] = route_text(box, leaf, address)
    if leaf.kind == lib.LEAF_SESSION:
        answer["session"] = _session(box, leaf.index)
        answer["verdict"] = _to_session(box, leaf.index, address)
        if isinstance(address, IPv4Address):
            answer |= _own_address(box, leaf.index, address)
    elif leaf.kind == lib.LEAF_ADJACENCY:
        adjacency = sight.adjacency(box.dataplane, leaf.index)
        answer["adjacency"] = adjacency
        answer["verdict"] = _verdict(adjacency, address)
        if adjacency["kind"] == "nat-pool":
            answer |= _nat(box, args, leaf.index)
    else:
        answer["verdict"] = f"no route: {_error(address, 'ICMP 3/0', 'ICMPv6 1/0')}"
    return answer


def _look_up(box: Box, address: IPv4Address | IPv6Address) -> sight.Leaf:
    if isinstance(address, IPv4Address):
        return sight.fib4_lookup(box.dataplane, address)
    return fib6_lookup(box.dataplane, address)


def _error(address: IPv4Address | IPv6Address, ip4: str, ip6: str) -> str:
    return f"dropped with {ip4 if address.version == 4 else ip6} to the sender"


def _sender(box: Box, session: Session, to: IPv4Address | IPv6Address) -> dict[str, object]:
    """Return what happens to the packets of a session, of one family, before they are looked up."""
    entry = box.dataplane.session_in[session.index]
    sender: dict[str, object] = {
        "user": session.user_name,
        "session": session.index,
        "state": sight.SESSION_STATES.get(int(entry.state), str(entry.state)),
        "features": sight.features(int(entry.features), sight.IN_FEATURES),
        "mtu": int(entry.mtu),
        "worker": int(entry.owner),
    }
    if to.version == 6:
        side = session.ipv6
        sources = [] if side is None else [str(network) for network in side.routes()]
        return sender | {"sources": sources, "forwarded": side is not None and side.on}
    return sender | {
        "source": str(session.ipv4_address),
        "nat": nat_of(box, session),
        "nat_address": nat_address_of(box, session),
        "nat_bypass": nat_bypass_of(box, session),
        "port_forwards": port_forwards_of(session),
    }


def _session(box: Box, index: int) -> dict[str, object]:
    """Return the entry that packets to a session take."""
    out = box.dataplane.session_out[index]
    return {
        "user": user(box, index),
        "session": index,
        "state": sight.SESSION_STATES.get(int(out.state), str(out.state)),
        "port": port_name(box, int(out.port)),
        "mac": bytes(out.header[0:MAC_LEN]).hex(":"),
        "features_out": sight.features(int(out.features), sight.OUT_FEATURES),
        "features_in": sight.features(
            int(box.dataplane.session_in[index].features), sight.IN_FEATURES
        ),
        "mtu": int(out.mtu),
        "worker": int(out.owner),
    }


def _own_address(box: Box, index: int, address: IPv4Address) -> dict[str, object]:
    """Return what NAT does to a packet to the public address of a session."""
    public = box.dataplane.session_cold[index].nat_public
    if public != int.from_bytes(address.packed, "little"):
        return {}
    inner = IPv4Address(int(box.dataplane.session_in[index].ip4).to_bytes(4, "little"))
    return {"nat": {"mode": "one-to-one", "inner": str(inner)}}


def _to_session(box: Box, index: int, address: IPv4Address | IPv6Address | None = None) -> str:
    """Return what comes of a packet to a session; of IPv6, when *address* is."""
    out = box.dataplane.session_out[index]
    state = sight.SESSION_STATES.get(int(out.state), str(out.state))
    who = f"session {index} of {user(box, index)}"
    if out.state != lib.SESSION_LIVE:
        return f"dropped: {who} is {state}"
    if isinstance(address, IPv6Address) and not out.features >> lib.FEATURE_OUT_IP6 & 1:
        return f"dropped: {who} is not served IPv6"
    return f"to {who} on {port_name(box, int(out.port))}, up to {out.mtu} bytes"


VERDICTS = {
    "glean": "dropped for now: the kernel is asked for the neighbour",
    "local": "to the kernel: an address of the box on a routed port",
    "gateway": "to the box itself, as subscribers see it: ICMP echo is answered",
    "blackhole": "dropped: blackhole",
    "nat-pool": "to the owner of the port, by NAT; give a port to see whose it is",
}


ERRORS = {"unreachable": ("ICMP 3/1", "ICMPv6 1/3"), "prohibit": ("ICMP 3/13", "ICMPv6 1/1")}


def _verdict(adjacency: dict[str, object], address: IPv4Address | IPv6Address) -> str:
    kind = str(adjacency["kind"])
    if kind in ERRORS:
        return _error(address, *ERRORS[kind])
    if kind == "neighbour":
        return (
            f"to neighbour {adjacency['mac']} on {adjacency['port']}, "
            f"up to {adjacency['mtu']} bytes"
        )
    if kind in {"group", "nexthop"}:
        hops = adjacency["next_hops"]
        assert isinstance(hops, list)  # noqa: S101 - those have them
        words = "; ".join(sight.next_hop(hop) for hop in hops)
        return f"by its flow to one of: {words}" if len(hops) > 1 else f"to {words}"
    return VERDICTS.get(kind, f"dropped: the adjacency is {kind}")


def _nat(box: Box, args: Args, adjacency: int) -> dict[str, object]:
    """Return what NAT knows of a public address, and of one of its ports."""
    index = int(box.dataplane.adjacencies[adjacency].index)
    entry = box.dataplane.nat_address[index]
    nat: dict[str, object] = {
        "worker": int(entry.owner),
        "blocks_free": int(entry.free_blocks),
        "sessions": box.manager.nat.entries[index].sessions,
    }
    if args.get("port") is None:
        return {"nat": nat}
    port = number(args, "port", 0, 0, MAX_PORT)
    nat["port"] = port
    if (answer := _forwarded(box, args, index, nat)) is not None:
        return answer
    owner = sight.nat_owner(box.dataplane, index, port)
    if owner is None:
        return {"nat": nat, "verdict": f"dropped: port {port} belongs to nobody"}
    found = {
        name: mapping
        for name in sight.NAT_PLANES
        if protocol(args) in {0, PROTOCOLS[name]}
        and (mapping := sight.nat_mapping(box.dataplane, index, name, port))
    }
    verdict = _to_session(box, owner[0])
    if not found:
        verdict = f"dropped: {user(box, owner[0])} has the block, but no mapping of port {port}"
    return {"nat": nat | found, "session": _session(box, owner[0]), "verdict": verdict}


def _forwarded(
    box: Box, args: Args, address: int, nat: dict[str, object]
) -> dict[str, object] | None:
    """Return whom a public port leads to, None when it is not forwarded."""
    found: dict[str, object] = {}
    sessions = set()
    for name in ("tcp", "udp"):
        forward = sight.nat_forward(
            box.dataplane, address, name, number(args, "port", 0, 0, MAX_PORT)
        )
        if forward is not None and protocol(args) in {0, PROTOCOLS[name]}:
            found[name] = {"inner_port": forward[1], "forward": True}
            sessions.add(forward[0])
    if not sessions:
        return None
    first = min(sessions)
    return {
        "nat": nat | found,
        "session": _session(box, first),
        "verdict": "; ".join(_to_session(box, index) for index in sorted(sessions)),
    }
