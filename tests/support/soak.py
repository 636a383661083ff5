"""A lab whose dataplane makes and checks its subscribers' data itself: ``tests/support/c/soak.c``.

Both processes run as in production, two workers, clients dial over a veth; but the data of their
sessions never touches a device, so it flows at any rate and every packet is accounted for:

    PREFIX-sub              PREFIX-bng                             PREFIX-inet
    +-----------------+   +------------------------------------+   +-----------------+
    | clients    sub0 |---| acc0: worker 0     worker 1: wan0  |---| inet0 192.0.2.2 |
    | (control only)  |   |    data made and checked in memory |   | (control only)  |
    +-----------------+   +------------------------------------+   +-----------------+
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from bng.dataplane_launch import BINARY_VARIABLE
from dataplane.binding import ffi, lib
from tests.support import cmake
from tests.support.client.subscriber import Subscriber
from tests.support.lab import Lab, default_config
from tests.support.netns import run

UP, DOWN = 0, 1
UNLIMITED = 0xFFFFFFFF
REMOTES = (IPv4Address("198.18.0.10"), IPv4Address("198.19.0.11"))
FIRST_PORT = 20_000
WORKER_NICE = -5
_MAGIC = 0x314B414F53474E42
_HEADER_BYTES, _FLOW_BYTES, _FRAME_BYTES, _FRAME_ROOM = 4096, 256, 1024, 1022
_RATE_AT, _HOSTILE_AT, _OFFERED_AT, _SEEN_AT = 16, 24, 64, 192
_WORKERS = 16
_PROGRAM = "bng-dataplane-soak"
_OFFERED = struct.Struct("=QQQ")
_SEEN = struct.Struct("=QQQQQ")
_FLOW = struct.Struct("=4s4s4s2s2s6s")  # behind active and incarnation
_ARRIVED = struct.Struct("=QIII")
_SENT_AT, _ARRIVED_AT, _OUTER_AT, _DOWN_SENT_AT = 64, (128, 152), 176, 192


@dataclass(frozen=True, slots=True)
class Count:
    """What came of a flow, or of many, in one direction."""

    sent: int = 0
    received: int = 0
    late: int = 0
    damaged: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.sent + other.sent,
            self.received + other.received,
            self.late + other.late,
            self.damaged + other.damaged,
        )

    @property
    def whole(self) -> bool:
        """Say whether all arrived, in order and undamaged."""
        return self.sent == self.received and not self.late and not self.damaged


@dataclass(frozen=True, slots=True)
class Offered:
    """What the generators have sent in one direction: ours, ours given up, hostile."""

    sent: int
    behind: int
    hostile: int


class Area:
    """The memory shared with the dataplane: flows, rates, hostile frames, counts."""

    def __init__(self, path: Path, flows: int, frames: int = 1 << 14) -> None:
        self.path = path
        self.n_flows = flows
        self._frames_at = _HEADER_BYTES + flows * _FLOW_BYTES
        size = self._frames_at + frames * _FRAME_BYTES
        with path.open("wb+") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        struct.pack_into("=QII", self._map, 0, _MAGIC, flows, frames)

    def close(self) -> None:
        """Let go of the memory."""
        self._map.close()

    # ---- how fast ----

    def rate(self, up: int, down: int) -> None:
        """Send so many packets a second in all, `UNLIMITED` for what goes."""
        struct.pack_into("=II", self._map, _RATE_AT, up, down)

    def hostile(self, direction: int, frames: list[bytes]) -> None:
        """Fill every vector of a direction with *frames*, in turn, as fast as they are taken."""
        half = (len(self._map) - self._frames_at) // _FRAME_BYTES // 2
        first = direction * half
        if len(frames) > half:
            raise ValueError(f"{len(frames)} frames, at most {half}")
        for number, frame in enumerate(frames):
            at = self._frames_at + (first + number) * _FRAME_BYTES
            if len(frame) > _FRAME_ROOM:
                raise ValueError(f"a frame of {len(frame)} bytes")
            struct.pack_into(f"=H{len(frame)}s", self._map, at, len(frame), frame)
        struct.pack_into("=I", self._map, _HOSTILE_AT + 4 * direction, first)
        struct.pack_into("=I", self._map, _HOSTILE_AT + 8 + 4 * direction, len(frames))

    # ---- flows ----

    def start(self, flow: int, incarnation: int, subscriber: Subscriber, port: int) -> None:
        """Have *subscriber* send and be answered; the flow has ended before, or never was."""
        at = _HEADER_BYTES + flow * _FLOW_BYTES
        self._map[at : at + _FLOW_BYTES] = bytes(_FLOW_BYTES)
        _FLOW.pack_into(
            self._map,
            at + 8,
            subscriber.address.packed,
            *(remote.packed for remote in REMOTES),
            port.to_bytes(2, "big"),
            subscriber.session_id.to_bytes(2, "big"),
            subscriber.mac,
        )
        struct.pack_into("=I", self._map, at + 4, incarnation)
        struct.pack_into("=I", self._map, at, 1)

    def stop(self, flow: int) -> None:
        """Have nothing more sent; what is under way still arrives."""
        struct.pack_into("=I", self._map, _HEADER_BYTES + flow * _FLOW_BYTES, 0)

    def count(self, flow: int, direction: int) -> Count:
        """Return what came of a flow."""
        at = _HEADER_BYTES + flow * _FLOW_BYTES
        sent_at = at + (_SENT_AT, _DOWN_SENT_AT)[direction]
        received, _, late, damaged = _ARRIVED.unpack_from(self._map, at + _ARRIVED_AT[direction])
        sent = int.from_bytes(self._map[sent_at : sent_at + 8], "little")
        return Count(sent, received, late, damaged)

    def public(self, flow: int) -> tuple[IPv4Address, int]:
        """Return the public address and port of a flow."""
        at = _HEADER_BYTES + flow * _FLOW_BYTES + _OUTER_AT
        return IPv4Address(self._map[at : at + 4]), int.from_bytes(self._map[at + 4 : at + 6])

    def total(self, direction: int) -> Count:
        """Return what came of all flows that have not been started anew."""
        counts = (self.count(flow, direction) for flow in range(self.n_flows))
        return sum(counts, Count())

    # ---- sums ----

    def offered(self, direction: int) -> Offered:
        """Return what was sent since the start."""
        return Offered(*_OFFERED.unpack_from(self._map, _OFFERED_AT + 64 * direction))

    def received(self) -> tuple[int, int]:
        """Return how many packets arrived, upstream and downstream."""
        rows = self._seen()
        return sum(row[UP] for row in rows), sum(row[DOWN] for row in rows)

    def stray(self) -> int:
        """Return how many arrived that belong to no flow."""
        return sum(row[2] for row in self._seen())

    def other(self) -> int:
        """Return how many other packets left the dataplane."""
        return sum(row[3] for row in self._seen())

    def inner(self) -> int:
        """Return how many of them went to the network with an inner address."""
        return sum(row[4] for row in self._seen())

    def _seen(self) -> list[tuple[int, ...]]:
        return [_SEEN.unpack_from(self._map, _SEEN_AT + 64 * w) for w in range(_WORKERS)]


def program() -> Path:
    """Build the dataplane with ports of this kind and return it."""
    return cmake.build("bench", _PROGRAM, options=("-DBENCH=ON",)) / _PROGRAM


def sanitized() -> Path:
    """The same with ASan and UBSan."""
    return cmake.sanitized(_PROGRAM) / _PROGRAM


def config(directory: Path, count: int) -> dict[str, Any]:
    """Return bng.toml for *count* subscribers and two workers, laid over the lab's."""
    cpus = sorted(os.sched_getaffinity(0))
    ports = [
        port | {"worker": number} for number, port in enumerate(default_config(directory)["port"])
    ]
    return {
        "dataplane": {
            "workers": [cpus[0], cpus[-1]],
            "max_sessions": 2 * count + 64,
            "buffers_per_worker": 8192,
        },
        "port": ports,
        "route": [{"prefix": "198.18.0.0/15", "via": "192.0.2.2"}],
        "session": {"setup_per_s": 100_000},
        "pppoe": {"max_half_open": count, "max_sessions_per_vlan": 65_534},
        "ppp": {"lcp_echo_interval_s": 300},
        "nat": {
            "pool": [{"name": "public", "addresses": ["198.51.100.0/26"]}],
            "port_block_size": 256,
            "filtering": "address-dependent",
            "remotes_per_worker": 1 << 18,
            "port_quarantine_s": 2,
        },
    }


class SoakLab(Lab):
    """A lab with that dataplane; *area* is there while it is up."""

    def __init__(
        self,
        prefix: str,
        directory: Path,
        binary: Path,
        *,
        flows: int,
        config: Mapping[str, Any],
        users: Mapping[str, Any],
    ) -> None:
        super().__init__(prefix, directory, config=config, users=users)
        self.binary = binary
        self.area = Area(directory / "soak", flows)

    def build(self) -> None:
        """Build; the ends of the veths say nothing on their own."""
        super().build()
        for netns, device in ((self.sub, "sub0"), (self.inet, "inet0")):
            run(netns, "sysctl", "-q", "-w", f"net.ipv6.conf.{device}.disable_ipv6=1")

    def start_dataplane(self) -> None:
        """Start the dataplane with ports of its own."""
        told = {BINARY_VARIABLE: str(self.binary), "BNG_SOAK": str(self.area.path)}
        before = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        try:
            super().start_dataplane()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self._prefer_workers()

    def _prefer_workers(self) -> None:
        """Let workers run first when they want to: bngd and the clients share their processors."""
        for task in Path(f"/proc/{self.process('bng-dataplane').pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), WORKER_NICE)

    def down(self) -> None:
        """Stop everything."""
        super().down()
        self.area.close()

    def arena(self) -> contextlib.AbstractContextManager[Any]:
        """Yield a mapping of the dataplane's arena, to be read only."""
        return mapped_arena(self.process("bng-dataplane").pid)


@contextlib.contextmanager
def mapped_arena(pid: int) -> Iterator[Any]:
    """Yield a mapping of the arena of the dataplane *pid*, to be read only."""
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    for path in sorted(descriptors, key=lambda entry: int(entry.name)):
        fd = _open_arena(path)
        if fd is None:
            continue
        binding = lib.binding_map(fd, os.fstat(fd).st_size, [], 0)
        if binding == ffi.NULL:
            os.close(fd)
            continue
        try:
            yield binding
        finally:
            lib.binding_unmap(binding)
        return
    raise RuntimeError("the dataplane has no arena")


def _open_arena(path: Path) -> int | None:
    """Open a descriptor of the dataplane when it is its arena."""
    target = os.readlink(path)
    if "(deleted)" not in target and "memfd" not in target:
        return None
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    if os.pread(fd, 8, 0) == b"BNGARENA"[::-1] or os.pread(fd, 8, 0) == b"BNGARENA":
        return fd
    os.close(fd)
    return None


def usage(binding: Any) -> dict[str, int]:
    """Return how full the tables of an arena are: what a leak would leave behind."""
    header = ffi.cast("struct arena_header *", lib.binding_base(binding))
    ring_groups = header.n_workers + 1

    def bytes_of(section: int) -> memoryview:
        size = header.section[section].stride * header.section[section].count
        return memoryview(ffi.buffer(lib.binding_section(binding, section), size))

    def entries(section: int, ctype: str) -> Any:
        return ffi.cast(f"{ctype} *", lib.binding_section(binding, section))

    sessions = entries(lib.SECTION_SESSION_IN, "struct session_in")
    control = entries(lib.SECTION_CONTROL, "struct control_record")
    policers = entries(lib.SECTION_POLICER, "struct policer")
    blocks = entries(lib.SECTION_NAT_BLOCK, "struct nat_block")
    remotes = entries(lib.SECTION_NAT_REMOTE, "struct nat_remote")
    adjacencies = entries(lib.SECTION_ADJACENCY, "struct adjacency")
    rings = entries(lib.SECTION_RING, "struct ring")
    nat = [
        entries(lib.SECTION_NAT_ADDRESS, "struct nat_address")[i]
        for i in range(header.n_nat_addresses)
    ]
    workers = [
        entries(lib.SECTION_WORKER, "struct worker_shared")[w] for w in range(header.n_workers)
    ]
    every = range(header.max_sessions)
    remotes_count = header.section[lib.SECTION_NAT_REMOTE].count * (
        header.section[lib.SECTION_NAT_REMOTE].stride // ffi.sizeof("struct nat_remote")
    )
    fib = _reachable(bytes_of(lib.SECTION_FIB4_ROOT), bytes_of(lib.SECTION_FIB4_PAGE))
    return {
        "sessions": sum(sessions[i].state != 0 for i in every),
        "sessions_of_workers": sum(int(worker.sessions) for worker in workers),
        "control_records": sum(control[i].sequence != 0 for i in every),
        "policers": sum(policers[i].mode != 0 for i in range(2 * header.max_sessions)),
        "session_ids": _nonzero_words(bytes_of(lib.SECTION_DOMAIN_PAGE)),
        "fib_pages": fib[0],
        "fib_leaves": fib[1],
        "adjacencies": sum(adjacencies[i].kind != 0 for i in range(header.max_adjacencies)),
        "acls": _nonzero_words(bytes_of(lib.SECTION_ACL)),
        "nat_blocks_used": sum(int(address.used_blocks) for address in nat),
        "nat_blocks_free": sum(int(a.free_blocks) + int(a.resting_blocks) for a in nat),
        "nat_mappings": sum(sum(address.live) for address in nat),
        "nat_protocol_flows": sum(int(address.protocol_flows) for address in nat),
        "nat_blocks_with_session": sum(
            blocks[i].session != 0 for i in range(header.section[lib.SECTION_NAT_BLOCK].count)
        ),
        "nat_slot_bytes": _nonzero_bytes(bytes_of(lib.SECTION_NAT_SLOT)),
        "nat_remotes": sum(remotes[i].slot != 0 for i in range(remotes_count)),
        "ring_bytes": sum(
            int(rings[i].head - rings[i].tail) for i in range(ring_groups * lib.RINGS_PER_GROUP)
        ),
        "buffers_free": sum(int(worker.buffers_free) for worker in workers),
        "command_errors": sum(int(worker.command_errors) for worker in workers),
    }


def _nonzero_bytes(area: memoryview) -> int:
    step = 1 << 24
    return sum(
        len(piece) - piece.count(0)
        for piece in (bytes(area[at : at + step]) for at in range(0, len(area), step))
    )


def _nonzero_words(area: memoryview) -> int:
    data = bytes(area)
    return sum(any(data[at : at + 4]) for at in range(0, len(data), 4)) if any(data) else 0


def _reachable(root: memoryview, pages: memoryview) -> tuple[int, int]:
    """Return (pages, leaves) that the FIB's root leads to; a leaf is a route's share of it."""
    page_words = bytes(pages)
    todo = [word for word in struct.unpack(f"={len(root) // 4}I", bytes(root)) if word]
    n_pages = n_leaves = 0
    while todo:
        word = todo.pop()
        if word >> 31:
            n_pages += 1
            page = struct.unpack_from("=256I", page_words, (word & 0x7FFFFFFF) * 1024)
            todo += [leaf for leaf in page if leaf]
        else:
            n_leaves += 1
    return n_pages, n_leaves
