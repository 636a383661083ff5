"""Looking into the dataplane: clocks of its nodes, traces of packets, where the FIB leads.

Everything is read from the arena as it stands, without a lock: what is printed was true a moment
ago. Names of nodes, edges and features are those that the dataplane wrote there.
"""

import struct
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple

from dataplane.binding import (
    COMMAND,
    NO_SESSION,
    CommandType,
    Dataplane,
    Direction,
    Ring,
    ffi,
    lib,
)

TRACE_FILTER = struct.Struct("=4s4s2sBBII16sB3x")
TRACE_RECORD = struct.Struct("=IHHQQIIII4s4s2s2sHHHHHHBBBBBBBx")

IN_FEATURES = {
    int(getattr(lib, name)): name.removeprefix("FEATURE_IN_").lower()
    for name in dir(lib)
    if name.startswith("FEATURE_IN_")
}
OUT_FEATURES = {
    int(getattr(lib, name)): name.removeprefix("FEATURE_OUT_").lower()
    for name in dir(lib)
    if name.startswith("FEATURE_OUT_")
}
ADJACENCY_KINDS = {
    int(getattr(lib, name)): name.removeprefix("ADJ_").lower().replace("_", "-")
    for name in dir(lib)
    if name.startswith("ADJ_")
}
SESSION_STATES = {
    int(getattr(lib, f"SESSION_{name}")): name.lower()
    for name in ("FREE", "NEGOTIATING", "LIVE", "PAUSED", "CLOSED")
}
DROP_REASONS = {
    direction: {
        name.removeprefix(prefix).lower().replace("_", "-"): int(getattr(lib, name))
        for name in dir(lib)
        if name.startswith(prefix)
    }
    for direction, prefix in ((Direction.IN, "IN_DROP_"), (Direction.OUT, "OUT_DROP_"))
}
"""By direction, the indexes of ``session_cold.in_drops`` and ``out_drops`` by name."""
NAT_PLANES = {name: int(getattr(lib, f"NAT_{name.upper()}")) for name in ("tcp", "udp", "icmp")}


def session_drops(dataplane: Dataplane, index: int, direction: Direction) -> dict[str, int]:
    """Return how many packets of session *index* were dropped in *direction*, by reason.

    Each count but that of ``policed`` stops at 2^32 - 1.
    """
    cold = dataplane.session_cold[index]
    counts = cold.in_drops if direction is Direction.IN else cold.out_drops
    by_reason = {name: int(counts[index]) for name, index in DROP_REASONS[direction].items()}
    return {**by_reason, "policed": int(cold.policed[direction].red_packets)}


class Edge(NamedTuple):
    """Where an edge leads; *reason* is that of a drop, or empty."""

    next: str
    reason: str


class Node(NamedTuple):
    """A node of the graph, its edges by number."""

    name: str
    edges: list[Edge]


class TraceRecord(NamedTuple):
    """``struct trace_record`` of dataplane.h, and its bytes; addresses of 4 bytes or of 16."""

    packet: int
    node: int
    edge: int
    tsc: int
    monotonic_ns: int
    session: int
    generation: int
    leaf: int
    arg: int
    source: bytes
    destination: bytes
    source_port: bytes
    destination_port: bytes
    len: int
    arc: int
    n_bytes: int
    bytes_of: int
    outer_vid: int
    inner_vid: int
    protocol: int
    ttl: int
    rx_port: int
    tx_port: int
    pkt_flags: int
    cause: int
    flags: int
    data: bytes

    @property
    def number(self) -> int:
        """Of the trace."""
        return self.packet >> 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """``struct trace_filter``: all that is given must fit.

    *session* is (index, generation), *port* an index, *l4_port* of TCP or UDP or an ICMP
    identifier.
    """

    session: tuple[int, int] | None = None
    prefix: IPv4Network | IPv6Network | None = None
    protocol: int = 0
    l4_port: int = 0
    port: int | None = None

    def record(self, number: int, count: int, lease_ms: int) -> bytes:
        """Pack CMD_TRACE."""
        ip6 = isinstance(self.prefix, IPv6Network)
        address, mask, length = bytes(16), bytes(16), 0
        if self.prefix is not None:
            address, mask = self.prefix.network_address.packed, self.prefix.netmask.packed
            length = self.prefix.prefixlen
        body = TRACE_FILTER.pack(
            bytes(4) if ip6 else address[:4],
            bytes(4) if ip6 else mask[:4],
            self.l4_port.to_bytes(2, "big"),
            self.protocol,
            lib.TRACE_ANY if self.port is None else self.port,
            count,
            lease_ms,
            address if ip6 else bytes(16),
            length if ip6 else 0,
        )
        index, generation = self.session or (NO_SESSION, 0)
        return COMMAND.pack(CommandType.TRACE, 0, index, generation, number, 0, body)


def trace_off_record() -> bytes:
    """Pack the CMD_TRACE that ends a trace."""
    return COMMAND.pack(CommandType.TRACE, 0, 0, 0, 0, 0, b"")


def trace_records(dataplane: Dataplane, worker: int) -> list[TraceRecord]:
    """Take a batch of trace records of a worker; [] when there are none."""
    return [
        _trace_record(raw)
        for raw in dataplane.records(worker, Ring.TRACE)
        if len(raw) >= TRACE_RECORD.size
    ]


def _trace_record(raw: bytes) -> TraceRecord:
    """Take a record apart; the addresses of IPv6 stand behind it."""
    size = TRACE_RECORD.size
    record = TraceRecord._make((*TRACE_RECORD.unpack_from(raw), raw[size:]))
    if not record.flags & lib.TRACE_IP6:
        return record
    data = record.data
    return record._replace(source=data[:16], destination=data[16:32], data=data[32:])


def measure_record(on: bool) -> bytes:
    """Pack CMD_MEASURE."""
    return COMMAND.pack(CommandType.MEASURE, 0, 0, 0, int(on), 0, b"")


def nodes(dataplane: Dataplane) -> list[Node]:
    """Return the graph's nodes; their place is their id."""
    names = dataplane.node_names
    return [
        Node(
            ffi.string(names[n].name).decode(),
            [
                Edge(ffi.string(edge.next).decode(), ffi.string(edge.reason).decode())
                for edge in names[n].edge[0 : names[n].n_edges]
            ],
        )
        for n in range(dataplane.header.n_nodes)
    ]


def node_runtime(dataplane: Dataplane) -> Iterator[tuple[int, str, int, int, int]]:
    """Yield (worker, node, calls, packets, clocks), in the order of the flow."""
    runtime = dataplane.node_runtime
    names = dataplane.node_names
    for worker in range(dataplane.n_workers):
        for n in range(dataplane.header.n_nodes):
            entry = runtime[worker * lib.MAX_NODES + n]
            name = ffi.string(names[n].name).decode()
            yield worker, name, int(entry.calls), int(entry.packets), int(entry.clocks)


def features(bitmap: int, names: dict[int, str]) -> list[str]:
    """Return the names of the features in a session's bitmap, in the order of the arc."""
    return [names.get(bit, f"bit {bit}") for bit in range(16) if bitmap >> bit & 1]


# ---- the FIB


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the FIB holds for an address: the route's length, ``enum fib_leaf_kind``, its index."""

    length: int
    kind: int
    index: int

    @classmethod
    def of(cls, word: int) -> "Leaf":
        """Take a leaf apart."""
        return cls(word >> 22 & 63, word >> 28 & 7, word & 0x3FFFFF)

    def prefix(self, address: IPv4Address | IPv6Address) -> IPv4Network | IPv6Network:
        """Return the route's prefix, given any address in it."""
        return ip_network((address, min(self.length, address.max_prefixlen)), strict=False)


def fib4_lookup(dataplane: Dataplane, address: IPv4Address) -> Leaf:
    """Look an address up as the dataplane does."""
    number = int(address)
    pages = dataplane.fib4_pages
    word = dataplane.fib4_root[number >> 16]
    for octet in (number >> 8 & 0xFF, number & 0xFF):
        if word >> 31:
            word = pages[(word & 0x7FFFFFFF) << 8 | octet]
    return Leaf.of(word)


def mac_of(word: int) -> bytes:
    """Return the MAC that ``mac_word()`` of node/l2.h made a number of."""
    return (word >> 16).to_bytes(4, sys.byteorder) + (word & 0xFFFF).to_bytes(2, sys.byteorder)


def claims(dataplane: Dataplane, leaf: Leaf) -> tuple[int, bytes] | None:
    """Return how often hosts claimed the box's address that *leaf* is of, and the last one's MAC.

    None: it is no address of the box that is in use.
    """
    entry = dataplane.adjacencies[leaf.index]
    if leaf.kind != lib.LEAF_ADJACENCY or entry.kind != lib.ADJ_LOCAL:
        return None
    return int(entry.claims), mac_of(int(entry.claimed_by))


def advertised(dataplane: Dataplane, port: int, address: IPv6Address) -> bytes | None:
    """Return the MAC of the host that said last on a routed port that *address* is its own."""
    for worker in range(dataplane.n_workers):
        row = dataplane.ports[port].control[worker]
        if row.advertised_by and bytes(row.advertised) == address.packed:
            return mac_of(int(row.advertised_by))
    return None


def adjacency(dataplane: Dataplane, index: int) -> dict[str, object]:
    """Return an adjacency in words: its kind, of a neighbour where it sends, of a group to whom."""
    entry = dataplane.adjacencies[index]
    row: dict[str, object] = {
        "adjacency": index,
        "kind": ADJACENCY_KINDS.get(int(entry.kind), f"kind {entry.kind}"),
    }
    address = IPv4Address(bytes(ffi.buffer(ffi.addressof(entry, "address"), 4)))
    has_members = entry.kind in {lib.ADJ_GROUP, lib.ADJ_NEXTHOP}
    if int(address):
        row["address"] = str(address)
    elif not has_members and any(entry.ip6):
        row["address"] = str(IPv6Address(bytes(entry.ip6)))
    if entry.kind in {lib.ADJ_NEIGHBOUR, lib.ADJ_GLEAN, lib.ADJ_LOCAL}:
        row["port"] = ffi.string(dataplane.ports[entry.port].name).decode()
    if entry.kind == lib.ADJ_NEIGHBOUR:
        row["mac"] = bytes(entry.rewrite[0:6]).hex(":")
        row["mtu"] = int(entry.mtu)
    if has_members:
        slots = Counter(int(member) for member in entry.member)
        row["members"] = sorted(slots)
        row["next_hops"] = [
            {**adjacency(dataplane, member), "slots": slots[member]} for member in sorted(slots)
        ]
    return row


def next_hop(row: Mapping[str, object]) -> str:
    """Return in a few words where an `adjacency` leads."""
    if "port" not in row:
        return str(row["kind"])
    where = f"{row.get('address', 'the link')} on {row['port']}"
    return where if row["kind"] == "neighbour" else f"{where}, which is asked for"


def neighbours(dataplane: Dataplane) -> Iterator[tuple[dict[str, object], int]]:
    """Yield each next hop and neighbour, resolved or not, and when it was last used.

    That is in ms of CLOCK_MONOTONIC, to a tenth of a second or so; 0: never.
    """
    size = ffi.sizeof("struct adjacency")
    table = ffi.buffer(dataplane.adjacencies, size * dataplane.header.max_adjacencies)
    kinds: bytes = memoryview(table)[::size].tobytes()
    for index, kind in enumerate(kinds):
        if kind in {lib.ADJ_NEIGHBOUR, lib.ADJ_GLEAN}:
            row = adjacency(dataplane, index)
            if "address" in row:
                yield row, int(dataplane.adjacencies[index].used)


CONTROL_CLASSES = {
    name: int(getattr(lib, f"CONTROL_{name.upper()}"))
    for name in ("bgp", "bfd", "ospf", "isis", "routing", "neighbour", "stranger", "other")
}
"""``enum control_class``: what passes between routed ports and the kernel."""


def control(dataplane: Dataplane, port: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield (class, received, dropped of that, sent) of a routed port, over all workers."""
    rows = [dataplane.ports[port].control[w] for w in range(dataplane.n_workers)]
    for name, n in CONTROL_CLASSES.items():
        received, dropped, sent = (
            sum(int(getattr(row, what)[n]) for row in rows)
            for what in ("received", "dropped", "sent")
        )
        yield name, received, dropped, sent


def nat_owner(dataplane: Dataplane, address_index: int, port: int) -> tuple[int, int] | None:
    """Return (session, generation) that holds the block of a public port, None: nobody."""
    config = dataplane.nat_config[0]
    block = address_index * config.blocks_per_address + (port >> config.block_shift)
    entry = dataplane.nat_block[block]
    return (int(entry.session) - 1, int(entry.generation)) if entry.session else None


def nat_forward(
    dataplane: Dataplane, address_index: int, plane: str, port: int
) -> tuple[int, int] | None:
    """Return (session, inner port) that a forwarded public port leads to, None: it is not."""
    n = int(dataplane.nat_config[0].forwards_per_worker)
    first = n * int(dataplane.nat_address[address_index].owner)
    for entry in dataplane.nat_forward[first : first + n]:
        if (
            entry.session
            and (entry.address, entry.plane) == (address_index, NAT_PLANES[plane])
            and _host16(entry.external) == port
        ):
            return int(entry.session) - 1, _host16(entry.inner)
    return None


def nat_flows(dataplane: Dataplane, address_index: int) -> Iterator[tuple[int, int, IPv4Address]]:
    """Yield (session, IP protocol, remote) of what a public address has of GRE and ESP."""
    address = dataplane.nat_address[address_index]
    n = int(dataplane.nat_config[0].protocol_flows_per_worker)
    if address.protocol_flows:
        for entry in dataplane.nat_protocol[n * address.owner : n * (address.owner + 1)]:
            if entry.session and entry.address == address_index:
                remote = IPv4Address(int(entry.remote).to_bytes(4, "little"))
                yield int(entry.session) - 1, int(entry.protocol), remote


def nat_public(dataplane: Dataplane, index: int) -> IPv4Address | None:
    """Return the public address that is the session's own, None: it has none."""
    public = int(dataplane.session_cold[index].nat_public)
    return IPv4Address(public.to_bytes(4, "little")) if public else None


def nat_mapping(
    dataplane: Dataplane, address_index: int, plane: str, port: int
) -> dict[str, object] | None:
    """Return the live mapping of a public port in a plane, None when there is none."""
    at = (address_index * lib.NAT_PLANES + NAT_PLANES[plane]) << 16 | port
    slot = dataplane.nat_slot[at]
    if not slot.flags & lib.NAT_LIVE:
        return None
    row: dict[str, object] = {"inner_port": _host16(slot.inner_port)}
    if slot.flags & lib.NAT_MULTI:
        return row | {"several_remotes": True}
    remote = IPv4Address(int(slot.remote).to_bytes(4, "little"))
    return row | {"remote": str(remote), "remote_port": _host16(slot.remote_port)}


def _host16(port: int) -> int:
    """Turn a be16 of the arena into a number."""
    return int.from_bytes(int(port).to_bytes(2, "little"), "big")
