"""NAT44 in this process: packets into both nodes, scapy as judge of what comes out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from dataplane import binding

from .harness import DEFAULT_ARGS, FEATURE_IN_NAT44, START_NS, Dataplane, Frame, dataplane, ffi, lib

PUBLIC = "203.0.113.1"
INNER = ("100.64.0.1", "100.64.0.2")
REMOTE, OTHER = "198.51.100.9", "198.51.100.10"
PASSED = "ip4_lookup"
DELIVERED = "session_output"
PKT_TO_SESSION = 2
LEAF_ADJACENCY = 1 << 28


def nat_args(*, block_size: int = 64, blocks: int = 2) -> tuple[str, ...]:
    return (
        *DEFAULT_ARGS,
        f"--nat-address={PUBLIC}",
        f"--nat-block-size={block_size}",
        f"--nat-blocks={blocks}",
    )


@dataclass(slots=True)
class Nat:
    """One dataplane with a pool of one address and sessions 0 and 1 behind it."""

    dp: Dataplane
    generations: list[int]

    def pool_leaf(self, index: int = 0) -> int:
        """Return the FIB leaf of a pool address, as ip4_lookup would find it."""
        adjacency = self.dp.section(lib.SECTION_ADJACENCY, "struct adjacency")
        for i in range(self.dp.header.max_adjacencies):
            if adjacency[i].kind == lib.ADJ_NAT_POOL and adjacency[i].index == index:
                return LEAF_ADJACENCY | i
        raise LookupError("no NAT pool adjacency")

    def out(self, packet: Packet | bytes, session: int = 0) -> Frame:
        """Run nat44_in2out as the arc would."""
        frame = Frame(data=bytes(packet), session=session, arc=FEATURE_IN_NAT44)
        return self.dp.node("nat44_in2out", [frame])[0]

    def back(self, packet: Packet | bytes) -> Frame:
        """Run nat44_out2in as ip4_lookup would."""
        frame = Frame(data=bytes(packet), leaf=self.pool_leaf())
        return self.dp.node("nat44_out2in", [frame])[0]

    def sent(self, packet: Packet, session: int = 0) -> Packet:
        """Translate outbound; it must pass, right to the last checksum."""
        frame = self.out(packet, session)
        assert frame.edge_name == PASSED
        return judge(frame.data)

    def got(self, packet: Packet, session: int = 0) -> Packet:
        """Translate inbound; it must reach this session, right to the last checksum."""
        frame = self.back(packet)
        assert frame.edge_name == DELIVERED
        assert frame.session == session
        assert frame.flags & PKT_TO_SESSION
        return judge(frame.data)

    def at(self, seconds: float) -> None:
        """Set the time, counted from the start, without running anything."""
        self.dp.set_time(START_NS + round(seconds * 1e9))

    def port_of(self, inner: int, session: int = 0) -> int:
        """Return the external UDP port of an inner one, making the mapping."""
        packet = IP(src=INNER[session], dst=REMOTE) / UDP(sport=inner, dport=53)
        return int(self.sent(packet, session)[UDP].sport)

    def _end(self, kind: binding.CommandType, index: int) -> None:
        record = binding.COMMAND.pack(kind, 0, index, self.generations[index], 0, 1, b"")
        assert self.dp.command(record) == 0

    def close(self, index: int) -> None:
        """Stop forwarding for a session."""
        self._end(binding.CommandType.SESSION_CLOSE, index)

    def release(self, index: int) -> None:
        """End a session as bngd does: CLOSE, then RELEASE."""
        self.close(index)
        self._end(binding.CommandType.SESSION_RELEASE, index)

    def connect(self, index: int) -> None:
        """Bind a session and take it LIVE with NAT; a second time with a new generation."""
        self.generations[index] = generation = self.dp.bind(index)
        self.dp.up(index, generation, INNER[index], nat_address=1, features_in=FEATURE_IN_NAT44)

    def log(self) -> list[Any]:
        """Take the NAT log."""
        records = []
        for raw in self.dp.pop(0, binding.Ring.NAT_LOG):
            record = ffi.new("struct nat_log_record *")
            ffi.memmove(record, raw, len(raw))
            records.append(record)
        return records


def nat(*args: str) -> Iterator[Nat]:
    """Yield a dataplane with two translated sessions."""
    with dataplane(*(args or nat_args())) as dp:
        one = Nat(dp, [0, 0])
        one.at(0)
        one.connect(0)
        one.connect(1)
        yield one


def judge(data: bytes) -> Packet:
    """Let scapy compute every checksum anew; zero in UDP means none. Return the packet."""
    packet, anew = IP(data), IP(data)
    del anew.chksum
    for layer in (TCP, UDP, ICMP):
        if layer in anew and not (layer is UDP and packet[UDP].chksum == 0):
            del anew[layer].chksum
            break
    assert bytes(anew) == data, f"scapy: {anew.show2(dump=True)}\nours: {packet.show2(dump=True)}"
    return packet


def udp(sport: int = 5000, dst: str = REMOTE, dport: int = 53, session: int = 0) -> Packet:
    return IP(src=INNER[session], dst=dst) / UDP(sport=sport, dport=dport) / b"query"


def tcp(flags: str, sport: int = 5000, dst: str = REMOTE, dport: int = 80) -> Packet:
    return IP(src=INNER[0], dst=dst) / TCP(sport=sport, dport=dport, flags=flags)


def tcp_back(flags: str, external: int, src: str = REMOTE, sport: int = 80) -> Packet:
    return IP(src=src, dst=PUBLIC) / TCP(sport=sport, dport=external, flags=flags)


def udp_back(external: int, src: str = REMOTE, sport: int = 53) -> Packet:
    return IP(src=src, dst=PUBLIC) / UDP(sport=sport, dport=external) / b"answer"
