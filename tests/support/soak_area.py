"""The memory that a soak run shares with its dataplane: ``tests/support/c/soak.h``.

Each subscriber has a flow of each of `KINDS`, which differ in where their packets come from. What
they look like, sent and arrived, is in ``tests/support/c/soak_flow.c``.
"""

import enum
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from pathlib import Path

from tests.support.client.subscriber import Subscriber

UP, DOWN = 0, 1
IP4, IP6 = 0, 1
UNLIMITED = 0xFFFFFFFF
REMOTES = (IPv4Address("198.18.0.10"), IPv4Address("198.19.0.11"))
REMOTES6 = (IPv6Address("2a00:10::10"), IPv6Address("2a00:11::11"))
FIRST_PORT = 20_000
_MAGIC = 0x314B414F53474E42
_HEADER_BYTES, _FLOW_BYTES, _FRAME_BYTES, _FRAME_ROOM = 4096, 256, 2048, 2046
_RATE_AT, _HOSTILE_AT, _FAULT_AT, _ROUTER_AT = 16, 24, 40, 52
_OFFERED_AT, _SEEN_AT, _REMOTES_AT = 64, 192, 1216
_WORKERS = 16
_OFFERED = struct.Struct("=QQQ")
_SEEN = struct.Struct("=QQQQQ")
_FLOW = struct.Struct("=16s2s2s6sBxH")  # behind active and incarnation
_ARRIVED = struct.Struct("=IIII")
_SENT_AT, _ARRIVED_AT, _OUTER_AT, _DOWN_SENT_AT = 64, (128, 144), 160, 192


@dataclass(frozen=True, slots=True)
class FlowKind:
    """What a flow is: its family, and a subscriber's address for it."""

    name: str
    source: Callable[[Subscriber], IPv4Address | IPv6Address]
    family: int


KINDS = (
    FlowKind("ipv4", attrgetter("address"), IP4),
    FlowKind("ipv4 as well", attrgetter("address"), IP4),
    FlowKind("ipv6 of the link", attrgetter("on_link"), IP6),
    FlowKind("ipv6 of the delegated prefix", attrgetter("at_home"), IP6),
)
FLOWS_EACH = len(KINDS)
TRANSLATED_EACH = sum(kind.family == IP4 for kind in KINDS)


class Harm(enum.IntEnum):
    """What may be done to one packet on purpose."""

    LOSE = 1
    REPEAT = 2
    FLIP = 3


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
        remotes = (remote.packed for remote in (*REMOTES, *REMOTES6))
        struct.pack_into("=16s16s16s16s", self._map, _REMOTES_AT, *remotes)

    def close(self) -> None:
        """Let go of the memory."""
        self._map.close()

    def router(self, mac: str) -> None:
        """Say whose Ethernet address the network's side has."""
        packed = bytes.fromhex(mac.replace(":", ""))
        self._map[_ROUTER_AT : _ROUTER_AT + 6] = packed

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

    def harm(self, flow: int, direction: int, harm: Harm, at: int = 0) -> None:
        """Do *harm* to the next packet of a flow that arrives; *at* is the byte that is flipped."""
        struct.pack_into("=IHH", self._map, _FAULT_AT + 4, flow, direction, at)
        struct.pack_into("=I", self._map, _FAULT_AT, harm)

    @property
    def harmed(self) -> bool:
        """Say whether the packet has come to which harm was to be done."""
        return not any(self._map[_FAULT_AT : _FAULT_AT + 4])

    # ---- flows ----

    def start(self, flow: int, incarnation: int, subscriber: Subscriber, port: int) -> None:
        """Have *subscriber* send and be answered; the flow has ended before, or never was."""
        at = _HEADER_BYTES + flow * _FLOW_BYTES
        kind = KINDS[flow % FLOWS_EACH]
        self._map[at : at + _FLOW_BYTES] = bytes(_FLOW_BYTES)
        _FLOW.pack_into(
            self._map,
            at + 8,
            kind.source(subscriber).packed,
            port.to_bytes(2, "big"),
            subscriber.session_id.to_bytes(2, "big"),
            subscriber.mac,
            kind.family,
            subscriber.mtu,
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
        """Return the public address and port of a flow of IPv4."""
        at = _HEADER_BYTES + flow * _FLOW_BYTES + _OUTER_AT
        return IPv4Address(self._map[at : at + 4]), int.from_bytes(self._map[at + 16 : at + 18])

    def total(self, direction: int) -> Count:
        """Return what came of all flows that have not been started anew."""
        return sum((self.of_kind(kind, direction) for kind in range(FLOWS_EACH)), Count())

    def of_kind(self, kind: int, direction: int) -> Count:
        """Return the same of the flows of one of `KINDS`."""
        counts = (self.count(flow, direction) for flow in range(kind, self.n_flows, FLOWS_EACH))
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
