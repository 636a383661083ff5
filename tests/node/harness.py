"""The dataplane in this process: sessions by commands, frames into nodes, counters by name."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from dataplane import _arena, binding, sight

ffi: Any = _arena.ffi
lib: Any = _arena.lib

NO_SESSION = 0xFFFFFFFF
CLIENT_MAC = bytes.fromhex("02c000000001")
FRAME_ROOM = 2048
START_NS = 1_000_000_000_000

FEATURE_IN_ANTISPOOF4 = 1 << 1
FEATURE_IN_MSS_CLAMP = 1 << 7
FEATURE_IN_NAT44 = 1 << 9
FEATURE_OUT_MSS_CLAMP = 1 << 7

DEFAULT_ARGS = (
    "--hugepages=off",
    "--sessions=1024",
    "--buffers=2048",
    "--fib4-pages=512",
    "--fib6-nodes=2048",
    "--adjacencies=256",
    "--port=name=acc0,driver=gen,role=access,mtu=1508",
    "--access=port=acc0,outer=any,inner=any",
    "--port=name=wan0,driver=gen,role=routed,mtu=1500,tap=bng-wan0,tap-driver=gen",
)
ACC, WAN, TWIN = 0, 1, 2


@dataclass(slots=True, kw_only=True)
class Frame:
    """A frame with the metadata a node sees; offsets count from its first byte."""

    data: bytes
    skip: int = 0
    session: int = NO_SESSION
    leaf: int = 0
    arg: int = 0
    arc: int = 0
    outer: tuple[int, int] = (0, 0)  # TPID, VID
    inner: tuple[int, int] = (0, 0)
    rx_port: int = 0
    tx_port: int = 0
    flags: int = 0
    cause: int = 0
    edge: int = 0
    edge_name: str = field(default="", compare=False)  # "next" or "drop: reason"

    @property
    def current(self) -> bytes:
        """Return the bytes from the current header on."""
        return self.data[self.skip :]


def _fill(slot: Any, frame: Frame) -> None:
    if len(frame.data) > FRAME_ROOM:
        raise ValueError(f"{len(frame.data)} bytes in a frame of at most {FRAME_ROOM}")
    slot.len = len(frame.data)
    ffi.memmove(slot.bytes, frame.data, len(frame.data))
    for name in ("skip", "session", "leaf", "arg", "arc", "rx_port", "tx_port", "flags"):
        setattr(slot, name, getattr(frame, name))
    slot.cause = frame.cause
    slot.outer_tpid, slot.outer_vid = frame.outer
    slot.inner_tpid, slot.inner_vid = frame.inner


def _frame(slot: Any) -> Frame:
    return Frame(
        data=bytes(ffi.buffer(slot.bytes, slot.len)),
        skip=slot.skip,
        session=slot.session,
        leaf=slot.leaf,
        arg=slot.arg,
        arc=slot.arc,
        outer=(slot.outer_tpid, slot.outer_vid),
        inner=(slot.inner_tpid, slot.inner_vid),
        rx_port=slot.rx_port,
        tx_port=slot.tx_port,
        flags=slot.flags,
        cause=slot.cause,
        edge=slot.edge,
    )


def _text(chars: Any) -> str:
    return bytes(ffi.string(chars)).decode()


class Dataplane:
    """One embedded dataplane. Time stands still until `advance`."""

    def __init__(self, *args: str) -> None:
        argv = [ffi.new("char[]", a.encode()) for a in ("bng-dataplane", *args)]
        self._embedded = lib.embedded_create(len(argv), ffi.new("char *[]", argv))
        if self._embedded == ffi.NULL:
            raise RuntimeError(f"no dataplane with {args}")
        self._binding = lib.binding_embedded(lib.embedded_arena(self._embedded))
        self.header = lib.binding_base(self._binding)
        self.now_ns = START_NS
        self.set_time(self.now_ns)
        self._edges = self._read_edges()
        self._generation = 0

    def close(self) -> None:
        """Free everything."""
        lib.binding_unmap(self._binding)
        lib.embedded_destroy(self._embedded)

    # ---- time ----

    def set_time(self, now_ns: int) -> None:
        """Set the monotonic clock of all workers."""
        self.now_ns = now_ns
        lib.embedded_set_time(self._embedded, now_ns)

    def advance(self, seconds: float, *, step: float = 0.02) -> None:
        """Move time on in steps as long as a sleeping worker's, and run what comes due."""
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.set_time(min(end_ns, self.now_ns + round(step * 1e9)))
            self.run()

    def run(self) -> None:
        """Turn all workers until nothing moves."""
        status = lib.embedded_run(self._embedded)
        if status:
            raise RuntimeError(f"packets left in the graph: {status}")

    # ---- frames ----

    def node(self, name: str, frames: Iterable[Frame], *, worker: int = 0) -> list[Frame]:
        """Run one node; what it consumed keeps the bytes that went in."""
        given = list(frames)
        slots = ffi.new("struct embedded_frame[]", max(1, len(given)))
        for slot, frame in zip(slots, given, strict=False):
            _fill(slot, frame)
        status = lib.embedded_run_node(self._embedded, worker, name.encode(), slots, len(given))
        if status:
            raise RuntimeError(f"{name}: {status}")
        result = [_frame(slots[i]) for i in range(len(given))]
        for frame in result:
            frame.edge_name = self.edge_name(name, frame.edge)
        return result

    def put(self, port: int, *frames: bytes) -> None:
        """Have whole frames wait at a port."""
        slots = ffi.new("struct embedded_frame[]", max(1, len(frames)))
        for slot, data in zip(slots, frames, strict=False):
            _fill(slot, Frame(data=bytes(data)))
        status = lib.embedded_put(self._embedded, port, slots, len(frames))
        if status:
            raise RuntimeError(f"receive on port {port}: {status}")

    def receive(self, port: int, *frames: bytes) -> None:
        """Put whole frames on a port and run until nothing moves."""
        self.put(port, *frames)
        self.run()

    def sent(self, port: int, most: int = 1024) -> list[bytes]:
        """Take the frames that left through a port."""
        slots = ffi.new("struct embedded_frame[]", most)
        n = lib.embedded_transmitted(self._embedded, port, slots, most)
        return [bytes(ffi.buffer(slots[i].bytes, slots[i].len)) for i in range(n)]

    def hold(self, count: int, *, worker: int = 0) -> None:
        """Keep so many buffers from a worker, as a device does that has not sent them."""
        if lib.embedded_hold(self._embedded, worker, count) != count:
            raise RuntimeError(f"worker {worker} has no {count} buffers")

    def buffers_in_use(self) -> int:
        """Return how many packet buffers are in no free list."""
        return int(lib.embedded_buffers_in_use(self._embedded))

    # ---- rings ----

    def push(self, group: int, ring: int, record: bytes) -> None:
        """Push one record as bngd does."""
        if lib.binding_push(self._binding, group, ring, record, len(record), 1) != 1:
            raise RuntimeError("ring full")

    def pop(self, group: int, ring: int) -> list[bytes]:
        """Take all records of a ring."""
        room = ffi.new("uint8_t[]", 1 << 16)
        records: list[bytes] = []
        while used := lib.binding_pop(self._binding, group, ring, room, len(room)):
            raw = bytes(ffi.buffer(room, used))
            at = 0
            while at < used:
                length = int.from_bytes(raw[at : at + 4], "little")
                records.append(raw[at + 8 : at + 8 + length])
                at += 8 + (length + 7) // 8 * 8
        return records

    def command(self, record: bytes, *, group: int = 0) -> int:
        """Push a command, run, and return the status of its completion."""
        self.push(group, binding.Ring.COMMAND, record)
        self.run()
        done = self.pop(group, binding.Ring.COMPLETION)
        if len(done) != 1:
            raise RuntimeError(f"{len(done)} completions for one command")
        return int(binding.COMPLETION.unpack(done[0])[1])

    def control(self, record: bytes) -> int:
        """Push a command to the control thread and return the status of its completion."""
        return self.command(record, group=self.header.n_workers)

    def punts(self, worker: int = 0) -> list[binding.Punt]:
        """Take what was punted."""
        size = binding.PUNT.size
        return [
            binding.Punt(*binding.PUNT.unpack(r[:size]), r[size:])
            for r in self.pop(worker, binding.Ring.PUNT)
        ]

    def events(self, worker: int = 0) -> list[binding.Event]:
        """Take the events of a worker."""
        return [
            binding.Event(*binding.EVENT.unpack(r)) for r in self.pop(worker, binding.Ring.EVENT)
        ]

    # ---- sessions ----

    def bind(
        self,
        index: int,
        *,
        session_id: int | None = None,
        mac: bytes = CLIENT_MAC,
        port: int = ACC,
        outer: tuple[int, int] = (0, 0),
        inner: tuple[int, int] = (0, 0),
        domain: int = 0,
        domain_page: int = 0,
        worker: int = 0,
    ) -> int:
        """Bind a session and return its generation; its PPPoE id is index + 1 by default."""
        self._generation += 1
        record = binding.bind_record(
            index,
            self._generation,
            1,
            outer=outer,
            inner=inner,
            domain=domain,
            domain_page=domain_page,
            session_id=index + 1 if session_id is None else session_id,
            mac=mac,
            port=port,
        )
        status = self.command(record, group=worker)
        if status:
            raise RuntimeError(f"bind: {status}")
        return self._generation

    def up(
        self,
        index: int,
        generation: int,
        ip4: str,
        *,
        nat_address: int = 0,
        features_in: int = 0,
        features_out: int = 0,
        mtu: int = 1492,
        mss: int = 0,
        idle_timeout_ms: int = 0,
        nat_blocks: tuple[int, int] = (0, 0),
        worker: int = 0,
    ) -> None:
        """Take a bound session LIVE; antispoof is always on."""
        up = binding.UP.pack(
            IPv4Address(ip4).packed,
            nat_address,
            features_in | FEATURE_IN_ANTISPOOF4,
            features_out,
            mtu,
            mtu,
            mss,
            idle_timeout_ms,
            *nat_blocks,
        )
        record = binding.COMMAND.pack(
            binding.CommandType.SESSION_UP, 0, index, generation, 0, 1, up
        )
        status = self.command(record, group=worker)
        if status:
            raise RuntimeError(f"up: {status}")

    def session(self, index: int, ip4: str, **options: Any) -> int:
        """Bind a session, take it LIVE and route its address to it; return the generation."""
        names = {"session_id", "mac", "port", "outer", "inner", "domain", "domain_page"}
        worker = options.pop("worker", 0)
        bind = {k: v for k, v in options.items() if k in names}
        generation = self.bind(index, worker=worker, **bind)
        rest = {k: v for k, v in options.items() if k not in names}
        self.up(index, generation, ip4, worker=worker, **rest)
        self.route(ip4, 32, index, generation)
        return generation

    def route(self, prefix: str, length: int, index: int, generation: int) -> None:
        """Route a prefix to a session."""
        route = binding.ROUTE[4].pack(IPv4Address(prefix).packed, length)
        record = binding.COMMAND.pack(
            binding.CommandType.ROUTE4_ADD, 0, index, generation, 0, 1, route
        )
        status = self.control(record)
        if status:
            raise RuntimeError(f"route: {status}")

    # ---- tables and counters ----

    def section(self, section: int, ctype: str) -> Any:
        """Return the start of a section as ``ctype *``."""
        return ffi.cast(f"{ctype} *", lib.binding_section(self._binding, section))

    def session_in(self, index: int) -> Any:
        """Return the upstream entry of a session."""
        return self.section(lib.SECTION_SESSION_IN, "struct session_in")[index]

    def session_out(self, index: int) -> Any:
        """Return the downstream entry of a session."""
        return self.section(lib.SECTION_SESSION_OUT, "struct session_out")[index]

    def session_cold(self, index: int) -> Any:
        """Return the cold entry of a session."""
        return self.section(lib.SECTION_SESSION_COLD, "struct session_cold")[index]

    def drops(self, index: int, direction: binding.Direction) -> dict[str, int]:
        """Return by reason what a session lost, without reasons that nothing was lost for."""
        cold = self.session_cold(index)
        counts = cold.in_drops if direction is binding.Direction.IN else cold.out_drops
        lost = {name: int(counts[i]) for name, i in sight.DROP_REASONS[direction].items()}
        lost["policed"] = int(cold.policed[direction].red_packets)
        return {name: count for name, count in lost.items() if count}

    def port(self, index: int) -> Any:
        """Return the shared entry of a port."""
        return self.section(lib.SECTION_PORT, "struct port_shared")[index]

    def _read_edges(self) -> dict[str, tuple[int, list[str]]]:
        nodes = self.section(lib.SECTION_NODE, "struct node_name")
        edges: dict[str, tuple[int, list[str]]] = {}
        for node in range(self.header.n_nodes):
            names = [
                f"drop: {_text(e.reason)}" if _text(e.reason) else _text(e.next)
                for e in nodes[node].edge[0 : nodes[node].n_edges]
            ]
            edges[_text(nodes[node].name)] = (node, names)
        return edges

    def edge_name(self, node: str, edge: int) -> str:
        """Return "next", or "drop: reason", of a node's edge."""
        return self._edges[node][1][edge]

    def counters(self) -> dict[str, int]:
        """Return all edge counters that moved, of all workers, by "node/edge name"."""
        section = self.header.section[lib.SECTION_EDGE_COUNTER]
        words = self.section(lib.SECTION_EDGE_COUNTER, "uint64_t")
        counts: dict[str, int] = {}
        for node, (number, names) in self._edges.items():
            for edge, name in enumerate(names):
                total = sum(
                    words[w * section.stride // 8 + number * lib.MAX_EDGES + edge]
                    for w in range(self.header.n_workers)
                )
                if total:
                    key = f"{node}/{name}"
                    counts[key] = counts.get(key, 0) + total
        return counts


@contextlib.contextmanager
def dataplane(*args: str) -> Iterator[Dataplane]:
    """Run a dataplane with these arguments instead of the usual ones; no buffer may leak."""
    dp = Dataplane(*args)
    try:
        yield dp
        assert dp.buffers_in_use() == 0
    finally:
        dp.close()
