from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.packet import Raw

from bng.errors import MalformedPacket
from bng.ipv6.packet import Datagram, build_udp, checksum, parse, parse_udp

ONE, TWO = IPv6Address("fe80::1"), IPv6Address("fe80::2")
UDP_PACKET = bytes(IPv6(src="fe80::1", dst="fe80::2") / UDP(sport=546, dport=547) / b"abc")


@pytest.mark.parametrize("payload", [b"", b"x", b"abcd", b"\xff" * 99])
def test_a_datagram_of_ours_is_the_one_of_scapy(payload: bytes) -> None:
    ours = build_udp(Datagram(ONE, TWO, 546, 547, payload))
    theirs = IPv6(src="fe80::1", dst="fe80::2", hlim=255, tc=0xC0)
    theirs = theirs / UDP(sport=546, dport=547) / Raw(payload)
    assert ours == bytes(theirs)
    assert parse_udp(parse(ours)) == Datagram(ONE, TWO, 546, 547, payload)


def test_a_checksum_of_zero_is_sent_as_all_ones() -> None:
    for number in range(0x10000):
        packet = build_udp(Datagram(ONE, TWO, 546, 547, number.to_bytes(2)))
        if packet[46:48] == b"\xff\xff":
            break
    assert packet[46:48] == b"\xff\xff"
    assert parse_udp(parse(packet)).payload == number.to_bytes(2)


def test_bytes_behind_the_payload_are_padding() -> None:
    assert parse(UDP_PACKET + b"padding").payload == UDP_PACKET[40:]


def test_options_headers_are_stepped_over() -> None:
    packet = IPv6(src="fe80::1", dst="fe80::2", hlim=7) / IPv6ExtHdrHopByHop()
    packet = packet / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(data=b"x")
    parsed = parse(bytes(packet))
    assert (parsed.next_header, parsed.hop_limit, parsed.payload[0]) == (58, 7, 128)
    assert checksum(parsed.ends, 58, parsed.payload) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        UDP_PACKET[:39],
        UDP_PACKET[:-1],
        b"\x45" + UDP_PACKET[1:],
        bytes(IPv6() / IPv6ExtHdrHopByHop())[:-1],
        bytes(IPv6(nh=0, plen=8)) + b"\x3a\x01" + bytes(6),
        bytes(IPv6(nh=0, plen=1)) + b"\x3a",
        bytes(IPv6(nh=60, plen=32)) + 4 * (b"\x3c\x00" + bytes(6)),
    ],
)
def test_what_is_no_packet_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse(data)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        UDP_PACKET[40:47],
        UDP_PACKET[40:44] + b"\0\7" + UDP_PACKET[46:],
        UDP_PACKET[40:44] + b"\0\x0c" + UDP_PACKET[46:],
        UDP_PACKET[40:46] + b"\0\0" + UDP_PACKET[48:],
        UDP_PACKET[40:-1] + b"d",
    ],
)
def test_what_is_no_datagram_is_malformed(datagram: bytes) -> None:
    packet = parse(UDP_PACKET)
    packet.payload = datagram
    with pytest.raises(MalformedPacket):
        parse_udp(packet)
