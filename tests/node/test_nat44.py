"""NAT44: mappings, filtering, checksums, what is dropped (RFC 4787, 5382, 5508)."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.packet import Packet, Raw

from dataplane.binding import Direction

from .harness import FEATURE_IN_NAT44, Frame, dataplane
from .nat44 import (
    DELIVERED,
    INNER,
    OTHER,
    PASSED,
    PUBLIC,
    REMOTE,
    Nat,
    judge,
    nat,
    nat_args,
    tcp,
    udp,
    udp_back,
)


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def test_one_inner_port_has_one_external_port_to_all_remotes(box: Nat) -> None:
    first = box.sent(udp(dst=REMOTE))
    second = box.sent(udp(dst=OTHER, dport=9999))
    assert (first.src, second.src) == (PUBLIC, PUBLIC)
    assert first[UDP].sport == second[UDP].sport >= 1024
    assert (first.dst, first[UDP].dport) == (REMOTE, 53)
    assert (second.dst, second[UDP].dport) == (OTHER, 9999)


def test_two_inner_ports_and_two_subscribers_never_share_an_external_port(box: Nat) -> None:
    external = {box.port_of(port, session) for port in range(100) for session in (0, 1)}
    assert len(external) == 200


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1371, 1372])
@pytest.mark.parametrize(
    "layer",
    [
        TCP(sport=5000, dport=80, flags="PA", seq=7, ack=9),
        UDP(sport=5000, dport=53),
        ICMP(type=8, id=5000, seq=3),
        ICMP(type=13, id=5000, seq=3),
    ],
    ids=["tcp", "udp", "echo", "timestamp"],
)
def test_checksums_are_right_there_and_back(box: Nat, layer: Packet, size: int) -> None:
    data = bytes(i * 7 & 0xFF for i in range(size))
    there = box.sent(IP(src=INNER[0], dst=REMOTE) / layer.copy() / Raw(data))
    assert there.src == PUBLIC
    back = there.copy()
    back.src, back.dst = there.dst, there.src
    del back.chksum
    if ICMP in back:
        back[ICMP].type += 1 if back[ICMP].type == 13 else -8
    else:
        back[1].sport, back[1].dport = there[1].dport, there[1].sport
    del back[1].chksum
    home = box.got(back)
    assert (home.src, home.dst) == (REMOTE, INNER[0])
    assert home[1].id == 5000 if ICMP in home else home[1].dport == 5000
    assert bytes(home)[-size:] == data or not size


def test_a_wrong_checksum_stays_wrong(box: Nat) -> None:
    frame = box.out(IP(src=INNER[0], dst=REMOTE) / UDP(sport=1, dport=2, chksum=0x1234) / b"x")
    assert frame.edge_name == PASSED
    with pytest.raises(AssertionError, match="scapy"):
        judge(frame.data)


def test_a_udp_checksum_of_zero_stays_zero(box: Nat) -> None:
    there = box.sent(IP(src=INNER[0], dst=REMOTE) / UDP(sport=1, dport=2, chksum=0) / b"x")
    assert there[UDP].chksum == 0
    back = IP(src=REMOTE, dst=PUBLIC) / UDP(sport=2, dport=there[UDP].sport, chksum=0) / b"x"
    assert box.got(back)[UDP].chksum == 0


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff(box: Nat) -> None:
    external = box.port_of(5000)
    sent = IP(src=PUBLIC, dst=REMOTE) / UDP(sport=external, dport=53) / bytes(2)
    filler = IP(bytes(sent))[UDP].chksum  # data that brings the sum to 0xffff
    packet = IP(src=INNER[0], dst=REMOTE) / UDP(sport=5000, dport=53) / filler.to_bytes(2, "big")
    assert box.sent(packet)[UDP].chksum == 0xFFFF


def test_ip_options_are_stepped_over(box: Nat) -> None:
    packet = IP(src=INNER[0], dst=REMOTE, options=[IPOption_NOP()] * 8) / UDP(sport=7, dport=8)
    there = box.sent(packet)
    assert there.ihl == 7
    assert box.port_of(7) == there[UDP].sport


def test_anyone_may_answer_to_a_mapping(box: Nat) -> None:
    external = box.port_of(5000)
    home = box.got(udp_back(external, src=OTHER, sport=12345))
    assert (home.src, home.dst, home[UDP].dport) == (OTHER, INNER[0], 5000)


def test_a_port_without_mapping_leads_nowhere(box: Nat) -> None:
    external = box.port_of(5000)
    packet = udp_back(external ^ 1)
    frame = box.back(packet)
    assert frame.edge_name == "drop: no-mapping"
    assert frame.data == bytes(packet)
    # the planes are apart: a UDP mapping lets no TCP in
    packet = IP(src=REMOTE, dst=PUBLIC) / TCP(sport=80, dport=external, flags="S")
    assert box.back(packet).edge_name == "drop: no-mapping"


def test_a_packet_from_a_framed_route_passes_as_it_is(box: Nat) -> None:
    packet = IP(src="192.0.2.77", dst=REMOTE) / UDP(sport=5, dport=6)
    frame = box.out(packet)
    assert frame.edge_name == PASSED
    assert frame.data == bytes(packet)


def test_without_a_block_nothing_leaves_with_its_inner_address() -> None:
    with dataplane(*nat_args()) as dp:
        dp.up(0, dp.bind(0), INNER[0])
        frame = Frame(data=bytes(udp()), session=0, arc=FEATURE_IN_NAT44)
        assert dp.node("nat44_in2out", [frame])[0].edge_name == "drop: no-mapping"


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (IP(src=INNER[0], dst=REMOTE, proto=132) / bytes(20), "protocol-not-translated"),
        (IP(src=INNER[0], dst=REMOTE, flags="MF") / ICMP(type=3), "fragment-without-ports"),
        (IP(src=INNER[0], dst=REMOTE) / ICMP(type=5), "icmp-not-translated"),
        (IP(src=INNER[0], dst=REMOTE) / ICMP(type=0, id=9), "no-mapping"),
        (IP(src=INNER[0], dst=REMOTE) / TCP(sport=9, flags="R"), "no-mapping"),
    ],
)
def test_what_cannot_be_translated_is_dropped_with_its_reason(
    box: Nat, packet: Packet, reason: str
) -> None:
    frame = box.out(packet)
    assert frame.edge_name == f"drop: {reason}"
    assert frame.data == bytes(packet)
    assert box.dp.counters()[f"nat44_in2out/drop: {reason}"] == 1
    assert box.dp.drops(0, Direction.IN) == {"nat": 1}
    assert box.dp.session_cold(0).nat_mappings == 0
    packet.src, packet.dst = REMOTE, PUBLIC
    del packet.chksum
    assert box.back(packet).edge_name == f"drop: {reason}"


def test_a_first_fragment_is_translated(box: Nat) -> None:
    whole = bytes(IP(src=INNER[0], dst=REMOTE) / UDP(sport=5000, dport=53) / bytes(64))
    first = IP(whole[:60], flags="MF")
    first.flags, first.len, first.chksum = "MF", 60, None
    first = IP(bytes(first))
    frame = box.out(first)
    assert frame.edge_name == PASSED
    there = IP(frame.data)
    assert there.src == PUBLIC
    # the checksum is that of the whole datagram, as the receiver will put it together
    joined = IP(src=PUBLIC, dst=REMOTE, id=1) / UDP(sport=there[UDP].sport, dport=53) / bytes(64)
    assert there[UDP].chksum == IP(bytes(joined))[UDP].chksum


@pytest.mark.parametrize(
    ("layer", "need"),
    [
        (TCP(sport=1, dport=2, flags="S"), 20),
        (UDP(sport=1, dport=2) / bytes(12), 8),
        (ICMP(type=8, id=1) / bytes(12), 8),
    ],
    ids=["tcp", "udp", "icmp"],
)
def test_packets_that_end_anywhere_are_dropped_or_translated_whole(
    box: Nat, layer: Packet, need: int
) -> None:
    there = bytes(IP(src=INNER[0], dst=REMOTE) / layer)
    back = bytes(IP(src=REMOTE, dst=PUBLIC) / layer)
    for length in range(len(there) + 1):
        frame = box.out(there[:length])
        expected = PASSED if length >= 20 + need else "drop: truncated-header"
        assert frame.edge_name == expected, length
        assert len(frame.data) == length
        if length < 20 + need:
            assert frame.data == there[:length]
            assert box.back(back[:length]).edge_name == "drop: truncated-header", length


def test_a_too_big_packet_is_reported_as_its_sender_knows_it(box: Nat) -> None:
    external = box.port_of(5000)
    packet = IP(src=REMOTE, dst=PUBLIC, flags="DF") / UDP(sport=53, dport=external) / bytes(1465)
    assert len(packet) == 1493
    frame = box.back(packet)
    assert (frame.edge_name, frame.cause, frame.arg) == ("icmp4_error", 3, 1492 << 8 | 4)
    assert frame.data == bytes(packet)
    packet.flags = 0  # it will be fragmented
    assert box.back(packet).edge_name == DELIVERED


def test_a_packet_whose_time_ends_here_is_reported_as_its_sender_knows_it(box: Nat) -> None:
    packet = udp_back(box.port_of(5000))
    packet.ttl = 1
    frame = box.back(packet)
    assert (frame.edge_name, frame.cause, frame.arg) == ("icmp4_error", 11, 0)
    assert frame.data == bytes(packet)


def test_a_packet_for_an_address_of_another_worker_is_handed_over() -> None:
    with dataplane(*nat_args(), "--nat-address=203.0.113.2", "--workers=-,-") as dp:
        box = Nat(dp, [0, 0])
        packet = udp_back(2000)
        frame = Frame(data=bytes(packet), leaf=box.pool_leaf(1))
        (mine,) = dp.node("nat44_out2in", [frame], worker=1)
        (others,) = dp.node("nat44_out2in", [frame], worker=0)
        assert mine.edge_name == "drop: no-mapping"
        assert (others.edge_name, others.arg) == ("handoff", 1)
        assert others.data == bytes(packet)


def test_a_vector_mixes_all_kinds(box: Nat) -> None:
    packets = [udp(), tcp("S"), IP(src=INNER[0], dst=REMOTE, proto=132), udp(sport=77)] * 64
    frames = [Frame(data=bytes(p), session=0, arc=FEATURE_IN_NAT44) for p in packets]
    names = [f.edge_name for f in box.dp.node("nat44_in2out", frames)]
    assert names == [PASSED, PASSED, "drop: protocol-not-translated", PASSED] * 64
    assert box.dp.session_cold(0).nat_mappings == 3
