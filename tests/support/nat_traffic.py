"""Packets of subscribers through the NAT of a box in memory, and the answers to them."""

from ipaddress import IPv4Address

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from bng.session.model import Session
from dataplane.binding import lib
from tests.node import lab
from tests.node.harness import ACC, WAN, ffi
from tests.support.memory_box import MemoryBox

SERVER = "192.0.2.9"


def join_network(box: MemoryBox) -> None:
    """Give the box a neighbour behind its routed port, the next hop to `SERVER`."""
    dp = box.embedded
    number = dp.header.max_adjacencies - 1
    lab.route16(dp, "192.0", lib.LEAF_ADJACENCY, number)
    entry = lab.adjacency(dp, "192.0")
    entry.kind, entry.port, entry.mtu = lib.ADJ_NEIGHBOUR, WAN, 1500
    ffi.memmove(entry.rewrite, lab.NEIGHBOUR + lab.WAN_MAC + b"\x08\x00", 14)


def session_of(box: MemoryBox, user: str) -> Session:
    """Return the one session of *user*."""
    (session,) = (s for s in box.manager.table if s.user_name == user)
    return session


def outbound(box: MemoryBox, session: Session, port: int) -> tuple[IPv4Address, int] | None:
    """Send UDP from *port*; return public address and port as the server sees them, if it does."""
    box.embedded.sent(WAN)
    packet = bytes(IP(src=str(session.ipv4_address), dst=SERVER) / UDP(sport=port, dport=53))
    pppoe_id = int(box.dataplane.session_cold[session.index].session_id)
    box.embedded.receive(
        ACC, lab.session_frame(packet, session_id=pppoe_id, source=bytes(session.mac))
    )
    seen = [Ether(frame) for frame in box.embedded.sent(WAN)]
    if not seen:
        return None
    (frame,) = seen
    return IPv4Address(frame[IP].src), int(frame[UDP].sport)


def inbound(box: MemoryBox, address: IPv4Address, port: int) -> bool:
    """Send UDP from the server; say whether a subscriber got it."""
    box.embedded.sent(ACC)
    packet = bytes(IP(src=SERVER, dst=str(address)) / UDP(sport=53, dport=port))
    box.embedded.receive(WAN, lab.routed_frame(packet))
    return len(box.embedded.sent(ACC)) == 1
