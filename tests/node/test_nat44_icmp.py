"""ICMP errors through NAT44, both ways (RFC 5508 section 4)."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from .harness import FEATURE_IN_NAT44, Frame
from .nat44 import INNER, OTHER, PUBLIC, REMOTE, Nat, judge, nat, udp

ROUTER = "192.0.2.254"
LAYERS = {
    "tcp": TCP(sport=5000, dport=80, flags="S") / b"data!",
    "udp": UDP(sport=5000, dport=53) / b"data!",
    "echo": ICMP(type=8, id=5000, seq=1) / b"data!",
}


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def quote_of(data: bytes) -> bytes:
    """Return what an error quotes, after scapy agreed with all around it."""
    return bytes(judge(data)[ICMP].payload)


def error(quote: bytes, *, src: str, dst: str, kind: int = 3, code: int = 4) -> Packet:
    return IP(src=src, dst=dst) / ICMP(type=kind, code=code, nexthopmtu=1400) / quote


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("quoted", [28, 36, 38, 1500], ids="quote of {}".format)
def test_an_error_from_outside_quotes_what_the_subscriber_sent(
    box: Nat, layer: Packet, quoted: int
) -> None:
    original = bytes(IP(src=INNER[0], dst=REMOTE) / layer)
    frame = box.out(original)
    packet = error(frame.data[:quoted], src=ROUTER, dst=PUBLIC)
    home = box.got(packet)
    assert (home.src, home.dst) == (ROUTER, INNER[0])
    assert (home[ICMP].type, home[ICMP].code, home[ICMP].nexthopmtu) == (3, 4, 1400)
    # byte for byte, IP checksum, port and transport checksum where it was quoted
    assert quote_of(bytes(home)) == original[:quoted]


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("quoted", [28, 36, 38, 1500], ids="quote of {}".format)
def test_an_error_from_the_subscriber_quotes_what_the_remote_sent(
    box: Nat, layer: Packet, quoted: int
) -> None:
    there = IP(box.out(IP(src=INNER[0], dst=REMOTE) / layer).data)
    answer = there.copy()
    answer.src, answer.dst = REMOTE, PUBLIC
    if ICMP in answer:
        answer[ICMP].type = 0
    else:
        answer[1].sport, answer[1].dport = there[1].dport, there[1].sport
    del answer.chksum, answer[1].chksum
    frame = box.back(answer)
    packet = error(frame.data[:quoted], src=INNER[0], dst=REMOTE, code=3)
    out = box.sent(packet)
    assert (out.src, out.dst) == (PUBLIC, REMOTE)
    assert quote_of(bytes(out)) == bytes(answer)[:quoted]


def test_a_quote_without_udp_checksum_keeps_none(box: Nat) -> None:
    original = bytes(IP(src=INNER[0], dst=REMOTE) / UDP(sport=5, dport=6, chksum=0) / b"x")
    frame = box.out(original)
    home = box.got(error(frame.data, src=ROUTER, dst=PUBLIC))
    assert quote_of(bytes(home)) == original


def test_every_truncated_quote_is_dropped_or_translated_whole(box: Nat) -> None:
    original = bytes(udp())
    translated = box.out(original).data
    for length in range(len(translated) + 1):
        frame = box.back(error(translated[:length], src=ROUTER, dst=PUBLIC))
        if length < 28:
            assert frame.edge_name == "drop: truncated-header", length
        else:
            assert quote_of(frame.data) == original[:length]


def test_extensions_after_a_short_quote_are_left_alone(box: Nat) -> None:
    original = bytes(udp())
    translated = box.out(original).data
    extension = bytes(128 - len(translated)) + bytes.fromhex("2000dfff")  # RFC 4884
    home = box.got(error(translated + extension, src=ROUTER, dst=PUBLIC, kind=11, code=0))
    assert quote_of(bytes(home)) == original + extension


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chksum": 0x1111}, "bad-checksum"),
        ({"quote_checksum": 0x1111}, "bad-checksum"),
        ({"quote_source": OTHER}, "no-mapping"),
        ({"quote_port": 1}, "no-mapping"),
        ({"quote_fragment": 5}, "fragment-without-ports"),
        ({"quote_protocol": 47}, "no-mapping"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_an_error_that_is_not_about_a_mapping_is_dropped(
    box: Nat, change: dict[str, int], reason: str
) -> None:
    quote = IP(box.out(udp()).data)
    quote.src = change.get("quote_source", quote.src)
    quote[UDP].sport = change.get("quote_port", quote[UDP].sport)
    quote.frag = change.get("quote_fragment", 0)
    quote.proto = change.get("quote_protocol", 17)
    del quote.chksum
    if "quote_checksum" in change:
        quote.chksum = change["quote_checksum"]
    packet = error(bytes(quote), src=ROUTER, dst=PUBLIC)
    if "chksum" in change:
        packet[ICMP].chksum = change["chksum"]
    assert box.back(packet).edge_name == f"drop: {reason}"


def test_the_subscriber_cannot_send_errors_about_packets_he_never_got(box: Nat) -> None:
    quote = bytes(IP(src=REMOTE, dst=INNER[0]) / UDP(sport=53, dport=4242) / b"x")
    packet = error(quote, src=INNER[0], dst=REMOTE)
    assert box.out(packet).edge_name == "drop: no-mapping"
    box.port_of(4242)
    assert box.sent(packet).src == PUBLIC
    # nor about packets to somebody else
    quote = bytes(IP(src=REMOTE, dst=INNER[1]) / UDP(sport=53, dport=4242) / b"x")
    assert box.out(error(quote, src=INNER[0], dst=REMOTE)).edge_name == "drop: no-mapping"


def test_errors_do_not_refresh_a_mapping(box: Nat) -> None:
    translated = box.out(udp()).data
    box.at(299)
    box.got(error(translated, src=ROUTER, dst=PUBLIC))
    quote = bytes(IP(src=REMOTE, dst=INNER[0]) / UDP(sport=53, dport=5000) / b"x")
    box.sent(error(quote, src=INNER[0], dst=REMOTE))
    box.at(300)
    packet = error(translated, src=ROUTER, dst=PUBLIC)
    assert box.back(packet).edge_name == "drop: no-mapping"


def test_errors_about_hairpinned_packets_find_their_way(box: Nat) -> None:
    other = box.port_of(6000, session=1)
    sent = IP(src=INNER[0], dst=PUBLIC) / UDP(sport=5000, dport=other) / b"x"
    translated = box.sent(sent)
    arrived = box.got(translated, session=1)
    refused = error(bytes(arrived), src=INNER[1], dst=arrived.src, code=3)
    outside = box.sent(refused, session=1)
    home = box.got(outside, session=0)
    assert (home.src, home.dst) == (PUBLIC, INNER[0])
    assert quote_of(bytes(home)) == bytes(sent)


def test_a_fragmented_error_is_dropped(box: Nat) -> None:
    packet = error(box.out(udp()).data, src=ROUTER, dst=PUBLIC)
    packet.flags = "MF"
    assert box.back(packet).edge_name == "drop: fragment-without-ports"


def test_nothing_of_a_dropped_error_is_changed(box: Nat) -> None:
    packet = bytes(error(bytes(udp(sport=1)), src=INNER[0], dst=REMOTE))
    frame = Frame(data=packet, session=0, arc=FEATURE_IN_NAT44)
    (dropped,) = box.dp.node("nat44_in2out", [frame])
    assert dropped.edge_name == "drop: no-mapping"
    assert dropped.data == packet
