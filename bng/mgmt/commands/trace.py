"""``trace start``, ``trace read``, ``trace stop``: what each node made of some packets."""

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from bng.box import Box
from bng.io.tracer import MAX_COUNT, MAX_NUMBER, MAX_TIMEOUT_S, TraceError
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import MAX_PORT, PROTOCOLS, find_one, number, protocol, text, user_of
from dataplane import sight
from dataplane.binding import NO_SESSION, PuntCause, ffi, lib
from dataplane.fib6 import fib6_lookup

PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
PKT_TO_SESSION = 2
LOOKUPS = {"ip4_lookup", "ip6_lookup"}
OUTPUTS = {"port_output", "control_output"}


@command(
    "trace start",
    *("session", "address", "protocol", "l4_port", "port", "count", "timeout_s"),
    summary="Mark packets and have every node tell of them.",
)
def trace_start(box: Box, args: Args) -> object:
    """Start a trace of what fits every argument; it lives as long as it is read."""
    count = number(args, "count", 10, 1, MAX_COUNT)
    timeout_s = number(args, "timeout_s", 60, 1, int(MAX_TIMEOUT_S))
    wanted = _filter(box, args)
    try:
        started = box.tracer.start(wanted, count, timeout_s, box.loop.now())
    except TraceError as error:
        raise CommandError(f"trace: {error}") from None
    return {"number": started, "tsc_hz": int(box.dataplane.header.tsc_hz)}


@command("trace read", "number", summary="Take what a trace has seen, and keep it on.")
def trace_read(box: Box, args: Args) -> object:
    """Return a row for each node of each packet, and last how the trace is."""
    which = number(args, "number", 0, 1, MAX_NUMBER)
    try:
        records = box.tracer.read(which, box.loop.now())
    except TraceError as error:
        raise CommandError(f"trace: {error}") from None
    status: dict[str, object] = {"on": box.tracer.is_on(which), "lost": box.tracer.lost}
    return _rows(box, records, status)


@command("trace stop", "number", summary="End a trace.")
def trace_stop(box: Box, args: Args) -> object:
    """End a trace before its time."""
    try:
        box.tracer.stop(number(args, "number", 0, 1, MAX_NUMBER))
    except TraceError as error:
        raise CommandError(f"trace: {error}") from None
    return {}


def _filter(box: Box, args: Args) -> sight.TraceFilter:
    wanted = text(args, "session")
    session = None if wanted is None else find_one(box, wanted).handle
    port = text(args, "port")
    if port is not None and port not in box.ports:
        raise CommandError(f"port: no port {port!r}")
    address = text(args, "address")
    try:
        prefix = None if address is None else ip_network(address, strict=False)
    except ValueError:
        raise CommandError(f"address: not an IP address or prefix: {address!r}") from None
    return sight.TraceFilter(
        session=None if session is None else (session.index, session.generation),
        prefix=prefix,
        protocol=protocol(args),
        l4_port=number(args, "l4_port", 0, 0, MAX_PORT),
        port=None if port is None else box.ports[port],
    )


def _rows(
    box: Box, records: list[sight.TraceRecord], status: dict[str, object]
) -> Iterator[dict[str, object]]:
    nodes = sight.nodes(box.dataplane)
    wall_ns = time.time_ns() - time.monotonic_ns()
    for record in records:
        yield _step(box, nodes, record, wall_ns)
    yield {"status": status}


def _step(
    box: Box, nodes: list[sight.Node], record: sight.TraceRecord, wall_ns: int
) -> dict[str, object]:
    """Return what a record says; what it does not know is None."""
    node = nodes[record.node]
    edge = node.edges[record.edge]
    has_flow = bool(record.flags & lib.TRACE_HAS_TUPLE)
    row: dict[str, object] = {
        "packet": record.packet,
        "worker": record.packet >> 16 & 0xF,
        "node": node.name,
        "next": edge.next,
        "reason": edge.reason or None,
        "tsc": record.tsc,
        "wall_ns": record.monotonic_ns + wall_ns,
        "len": record.len,
        "port": _port(box, record.rx_port),
        "vlan": ".".join(str(vid) for vid in (record.outer_vid, record.inner_vid) if vid) or None,
        "session": None if record.session == NO_SESSION else record.session,
        "user": user_of(box, record.session),
        "flow": _flow(record) if has_flow else None,
        "ttl": record.ttl if has_flow else None,
        "features": _features(record) or None,
        "route": _route(box, record) if node.name in LOOKUPS and has_flow else None,
        "cause": _cause(edge.next, record),
        "to": _port(box, record.tx_port) if OUTPUTS & {node.name, edge.next} else None,
        "first": bool(record.flags & lib.TRACE_FIRST),
        "last": bool(record.flags & lib.TRACE_LAST),
        "injected": bool(record.flags & lib.TRACE_INJECTED),
    }
    if record.data:
        row["bytes"] = record.data.hex()
        row["bytes_of"] = record.bytes_of
    return row


def _port(box: Box, index: int) -> str:
    if index >= box.dataplane.header.n_ports:
        return str(index)
    return str(ffi.string(box.dataplane.ports[index].name).decode())


def _flow(record: sight.TraceRecord) -> str:
    name = PROTOCOL_NAMES.get(record.protocol, str(record.protocol))
    source, destination = ip_address(record.source), ip_address(record.destination)
    if name in {"icmp", "icmpv6"}:
        kind, code = record.destination_port
        return f"{name} {kind}/{code} id {_be(record.source_port)} {source} > {destination}"
    ports = (_be(record.source_port), _be(record.destination_port))
    if not any(ports):
        return f"{name} {source} > {destination}"
    if source.version == 6:
        return f"{name} [{source}]:{ports[0]} > [{destination}]:{ports[1]}"
    return f"{name} {source}:{ports[0]} > {destination}:{ports[1]}"


def _be(port: bytes) -> int:
    return int.from_bytes(port, "big")


def _features(record: sight.TraceRecord) -> list[str]:
    to_session = record.pkt_flags & PKT_TO_SESSION
    return sight.features(record.arc, sight.OUT_FEATURES if to_session else sight.IN_FEATURES)


def _cause(following: str, record: sight.TraceRecord) -> str | None:
    if following == "punt":
        return PuntCause(record.cause).name.lower().replace("_", "-")
    if following == "icmp4_error":
        return f"icmp {record.cause}/{record.arg & 0xFF}"
    if following == "icmp6_error":
        return f"icmpv6 {record.cause}/{record.arg & 0xFF}"
    return None


def _route(box: Box, record: sight.TraceRecord) -> str:
    """Return where the lookup led; of IPv6 the length is that of the route as it is now."""
    leaf, address = sight.Leaf.of(record.leaf), ip_address(record.destination)
    if isinstance(address, IPv6Address):
        leaf = replace(leaf, length=fib6_lookup(box.dataplane, address).length)
    return route_text(box, leaf, address)


def route_text(box: Box, leaf: sight.Leaf, address: IPv4Address | IPv6Address) -> str:
    """Return in a line where the FIB leads."""
    if leaf.kind == lib.LEAF_NONE:
        return "no route"
    prefix = leaf.prefix(address)
    if leaf.kind == lib.LEAF_SESSION:
        return f"{prefix} session {leaf.index} {user_of(box, leaf.index) or ''}".rstrip()
    if leaf.kind != lib.LEAF_ADJACENCY:
        return f"{prefix} leaf kind {leaf.kind} index {leaf.index}"
    row = sight.adjacency(box.dataplane, leaf.index)
    words = [str(row[key]) for key in ("kind", "address", "mac", "port") if key in row]
    return " ".join((str(prefix), *words))
