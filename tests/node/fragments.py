"""Datagrams cut into fragments, sent through the whole graph of a translated lab."""

from scapy.layers.inet import ICMP, IP, TCP, UDP, defragment, fragment
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE
from scapy.packet import Packet

from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane
from .lab import CLIENT_IP, SERVER, furnish, routed_frame, session_frame
from .nat44 import PUBLIC, judge

SECOND_IP = "100.64.0.2"
PAYLOAD = bytes(i * 7 & 0xFF for i in range(3000))
QUERY = UDP(sport=5000, dport=53)


def translated(dp: Dataplane) -> Dataplane:
    """Sessions 0 (PPPoE id 1) and 1 (id 2), both behind the one public address."""
    furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
    dp.up(1, dp.bind(1), SECOND_IP, nat_address=1, features_in=FEATURE_IN_NAT44)
    return dp


def cut(packet: Packet, size: int = 1000) -> list[Packet]:
    """Return the fragments, with lengths and checksums of their own."""
    return [IP(bytes(part)) for part in fragment(IP(bytes(packet)), size)]


def upstream(dp: Dataplane, *packets: Packet, session_id: int = 1) -> list[Packet]:
    """Send into a session; return what left for the network, each with a right header."""
    dp.receive(ACC, *(session_frame(bytes(p), session_id=session_id) for p in packets))
    return [header_judged(bytes(Ether(frame)[IP])) for frame in dp.sent(WAN)]


def downstream(dp: Dataplane, *packets: Packet) -> list[tuple[int, Packet]]:
    """Send from the network; return what left into which session."""
    dp.receive(WAN, *(routed_frame(bytes(p)) for p in packets))
    return to_sessions(dp)


def to_sessions(dp: Dataplane) -> list[tuple[int, Packet]]:
    decoded = [Ether(frame) for frame in dp.sent(ACC)]
    return [(int(e[PPPoE].sessionid), header_judged(bytes(e[IP]))) for e in decoded]


def header_judged(data: bytes) -> Packet:
    packet, anew = IP(data), IP(data)
    del anew.chksum
    assert IP(bytes(anew)).chksum == packet.chksum
    return packet


def whole(fragments: list[Packet]) -> Packet:
    """Put a datagram together again; scapy and all its checksums must agree."""
    (packet,) = defragment(fragments)
    packet = IP(bytes(packet))
    packet.flags = 0
    del packet.chksum
    return judge(bytes(packet))


def answer(query: Packet, payload: bytes = PAYLOAD, id: int = 4711) -> Packet:
    """Return a large answer to what left."""
    outer = IP(src=query.dst, dst=query.src, id=id)
    if UDP in query:
        return outer / UDP(sport=query[UDP].dport, dport=query[UDP].sport) / payload
    if TCP in query:
        return outer / TCP(sport=query[TCP].dport, dport=query[TCP].sport, flags="SA") / payload
    return outer / ICMP(type=0, id=query[ICMP].id, seq=query[ICMP].seq) / payload


def question(
    dp: Dataplane, layer: Packet = QUERY, src: str = CLIENT_IP, session_id: int = 1
) -> Packet:
    """Make a mapping with a small packet; return it as it left."""
    small = layer.copy()
    small.remove_payload()
    (sent,) = upstream(dp, IP(src=src, dst=SERVER) / small, session_id=session_id)
    return sent


def wait(dp: Dataplane, seconds: float) -> None:
    dp.advance(seconds, step=0.02)


def lone(n: int, dst: str = PUBLIC) -> Packet:
    """Return a later fragment whose first never comes; each n is another datagram."""
    return IP(src="198.51.100.1", dst=dst, id=n, frag=100, proto=17) / bytes(64)
