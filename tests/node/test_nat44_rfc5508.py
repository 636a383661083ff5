"""RFC 5508, requirement by requirement: NAT behaviour for ICMP. nat44.md says which do not hold."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE
from scapy.packet import Packet

from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane, dataplane
from .lab import CLIENT_IP, GATEWAY, SERVER, WAN_IP, furnish, routed_frame, session_frame
from .nat44 import DELIVERED, INNER, OTHER, PUBLIC, REMOTE, Nat, judge, nat, nat_args, udp

ROUTER = "192.0.2.254"


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


@pytest.fixture
def graph() -> Iterator[Dataplane]:
    """The whole graph, with session 0 behind the public address."""
    with dataplane(*nat_args()) as dp:
        furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
        yield dp


def query(kind: int = 8, ident: int = 5000, dst: str = REMOTE, session: int = 0) -> Packet:
    return IP(src=INNER[session], dst=dst) / ICMP(type=kind, id=ident, seq=1) / b"data"


def reply(external: int, kind: int = 0, src: str = REMOTE) -> Packet:
    return IP(src=src, dst=PUBLIC) / ICMP(type=kind, id=external, seq=1) / b"data"


def error(quote: Packet | bytes, kind: int = 3, code: int = 1, **ip: object) -> Packet:
    """Return an error of a router about a packet that left through the NAT."""
    return IP(src=ROUTER, dst=PUBLIC, **ip) / ICMP(type=kind, code=code) / bytes(quote)


def arrived(box: Nat) -> tuple[Packet, Packet]:
    """Have the subscriber ask and be answered; return the answer as sent, and as he got it."""
    there = box.sent(udp())
    answer = IP(src=REMOTE, dst=PUBLIC) / UDP(sport=53, dport=there[UDP].sport) / b"answer"
    return IP(bytes(answer)), box.got(answer)


def quote_of(packet: Packet) -> Packet:
    return IP(bytes(packet[ICMP].payload))


@pytest.mark.parametrize(("kind", "answer"), [(8, 0), (13, 14)], ids=["echo", "timestamp"])
def test_req_1_queries_and_their_answers_pass(box: Nat, kind: int, answer: int) -> None:
    there = box.sent(query(kind))
    assert (there.src, there.dst, there[ICMP].type) == (PUBLIC, REMOTE, kind)
    home = box.got(reply(there[ICMP].id, answer))
    assert (home.src, home.dst, home[ICMP].id) == (REMOTE, INNER[0], 5000)
    assert bytes(home[ICMP].payload) == b"data"


def test_req_1a_the_identifier_is_the_same_for_every_host(box: Nat) -> None:
    there = {int(box.sent(query(dst=dst))[ICMP].id) for dst in (REMOTE, OTHER, "192.0.2.1")}
    assert len(there) == 1
    (external,) = there
    for src in (REMOTE, OTHER):
        assert box.got(reply(external, src=src))[ICMP].id == 5000


def test_req_2_a_query_is_remembered_60_seconds(box: Nat) -> None:
    external = box.sent(query())[ICMP].id
    box.at(59)
    box.got(reply(external))
    box.at(60)
    assert box.back(reply(external)).edge_name == "drop: no-mapping"


def test_req_2a_that_time_is_configured() -> None:
    for box in nat(*nat_args(), "--nat-timeout=icmp=120"):
        external = box.sent(query())[ICMP].id
        box.at(119)
        box.got(reply(external))
        box.at(120)
        assert box.back(reply(external)).edge_name == "drop: no-mapping"


def test_req_3_an_error_with_a_wrong_checksum_is_dropped_in_silence(box: Nat) -> None:
    wrong = error(box.sent(udp()))
    wrong[ICMP].chksum = 0x1111
    assert box.back(wrong).edge_name == "drop: bad-checksum"
    wrong = IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=3, chksum=1) / arrived(box)[1]
    assert box.out(wrong).edge_name == "drop: bad-checksum"


def test_req_3a_an_error_about_a_header_with_a_wrong_checksum_is_dropped(box: Nat) -> None:
    quote = box.sent(udp())
    quote.chksum ^= 1
    assert box.back(error(quote)).edge_name == "drop: bad-checksum"


@pytest.mark.parametrize("count", [1, 4, 5, 40])
def test_req_3b_options_in_the_quote_are_stepped_over(box: Nat, count: int) -> None:
    packet = udp()
    packet.options = [IPOption_NOP()] * count
    original = IP(bytes(packet))
    assert original.ihl == 5 + (count + 3) // 4
    home = box.got(error(box.sent(packet)))
    assert bytes(quote_of(home)) == bytes(original)


@pytest.mark.parametrize("layer", [TCP(sport=5000), UDP(sport=5000), ICMP(id=5000)])
def test_req_3c_the_transport_checksum_of_the_quote_is_not_looked_at(
    box: Nat, layer: Packet
) -> None:
    original = IP(bytes(IP(src=INNER[0], dst=REMOTE) / layer / b"data"))
    there = box.sent(original)
    there[1].chksum ^= 0x0101
    home = quote_of(box.got(error(there)))
    assert home[1].chksum != original[1].chksum  # as wrong as it came
    home[1].chksum = original[1].chksum
    assert bytes(home) == bytes(original)


def test_req_3d_padding_and_extensions_change_no_checksum_of_the_quote(box: Nat) -> None:
    original = IP(bytes(udp()))
    there = bytes(box.sent(udp()))
    extension = bytes(128 - len(there)) + bytes.fromhex("2000dfff")  # RFC 4884
    home = box.got(error(there + extension, kind=11, code=0))
    assert bytes(home[ICMP].payload) == bytes(original) + extension


def test_req_4_an_error_about_no_mapping_is_dropped_in_silence(box: Nat) -> None:
    quote = IP(src=PUBLIC, dst=REMOTE) / UDP(sport=2000, dport=53)
    frame = box.back(error(quote))
    assert frame.edge_name == "drop: no-mapping"
    there = box.sent(udp())
    there.src = OTHER  # nor about somebody else's packet
    del there.chksum
    assert box.back(error(there)).edge_name == "drop: no-mapping"


@pytest.mark.parametrize("layer", [TCP(sport=5000), UDP(sport=5000), ICMP(id=5000)])
def test_req_4a_the_quote_is_what_the_subscriber_sent(box: Nat, layer: Packet) -> None:
    original = IP(bytes(IP(src=INNER[0], dst=REMOTE) / layer / b"data"))
    home = box.got(error(box.sent(original)))
    assert bytes(quote_of(home)) == bytes(original)


@pytest.mark.parametrize(
    ("kind", "code"), [(3, code) for code in range(16)] + [(11, 0), (11, 1), (12, 0)]
)
def test_req_4b_type_and_code_stay(box: Nat, kind: int, code: int) -> None:
    home = box.got(error(box.sent(udp()), kind, code))
    assert (home[ICMP].type, home[ICMP].code) == (kind, code)


def test_req_4c_the_error_goes_to_the_source_of_what_it_quotes(box: Nat) -> None:
    home = box.got(error(box.sent(udp())))
    assert (home.src, home.dst) == (ROUTER, INNER[0])
    assert quote_of(home).src == INNER[0]


def test_req_5_an_error_of_the_subscriber_about_no_mapping_is_dropped(box: Nat) -> None:
    quote = IP(src=REMOTE, dst=INNER[0]) / UDP(sport=53, dport=5000)
    packet = IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=3) / quote
    assert box.out(packet).edge_name == "drop: no-mapping"


def test_req_5a_the_quote_is_what_the_server_sent(box: Nat) -> None:
    answer, home = arrived(box)
    out = box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=3) / home)
    assert bytes(quote_of(out)) == bytes(answer)


@pytest.mark.parametrize(("kind", "code"), [(3, 2), (3, 3), (3, 4), (11, 1), (12, 0)])
def test_req_5b_type_and_code_stay(box: Nat, kind: int, code: int) -> None:
    _, home = arrived(box)
    out = box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=kind, code=code) / home)
    assert (out[ICMP].type, out[ICMP].code) == (kind, code)


def test_req_5c_the_error_comes_from_the_public_address(box: Nat) -> None:
    _, home = arrived(box)
    out = box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=3) / home)
    assert (out.src, out.dst) == (PUBLIC, REMOTE)


def test_req_6_errors_neither_refresh_nor_delete(box: Nat) -> None:
    there = box.sent(query())
    external = int(there[ICMP].id)
    home = box.got(reply(external))
    box.at(59)
    box.got(error(there))
    box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=1) / home)
    box.got(reply(external))
    box.at(60)
    assert box.back(reply(external)).edge_name == "drop: no-mapping"


def test_req_7_hairpinned_errors_find_their_way(box: Nat) -> None:
    other = box.port_of(6000, session=1)
    sent = IP(bytes(IP(src=INNER[0], dst=PUBLIC) / UDP(sport=5000, dport=other) / b"x"))
    home = box.got(box.sent(sent), session=1)
    refused = IP(src=INNER[1], dst=home.src) / ICMP(type=3, code=3) / home
    back = box.got(box.sent(refused, session=1))
    assert back.src == PUBLIC
    assert bytes(quote_of(back)) == bytes(sent)


def test_req_7a_a_hairpinned_error_goes_to_the_source_of_what_it_quotes(box: Nat) -> None:
    other = box.port_of(6000, session=1)
    home = box.got(box.sent(udp(dst=PUBLIC, dport=other)), session=1)
    refused = IP(src=INNER[1], dst=home.src) / ICMP(type=3, code=3) / home
    back = box.got(box.sent(refused, session=1))
    assert back.dst == quote_of(back).src == INNER[0]


@pytest.mark.parametrize(
    "layer", [TCP(sport=9, flags="S"), UDP(sport=9), ICMP(id=9)], ids=["tcp", "udp", "icmp"]
)
def test_req_8_what_gets_no_mapping_is_dropped_with_13(box: Nat, layer: Packet) -> None:
    template = IP(src=INNER[0], dst=REMOTE) / layer
    for number in range(128):
        if ICMP in template:
            template[ICMP].id = 1000 + number
        else:
            template[1].sport = 1000 + number
        box.sent(template)
    frame = box.out(IP(src=INNER[0], dst=REMOTE) / layer)
    assert (frame.edge_name, frame.cause, frame.arg) == ("drop: port-limit", 3, 13)


def leaves(graph: Dataplane, packet: Packet) -> Packet:
    """Send from the subscriber; return what leaves for the server."""
    graph.receive(ACC, session_frame(bytes(packet)))
    (frame,) = graph.sent(WAN)
    return judge(bytes(Ether(frame)[IP]))


def comes_home(graph: Dataplane) -> Packet:
    (frame,) = graph.sent(ACC)
    return judge(bytes(Ether(frame)[PPPoE][IP]))


def test_req_10a_unreachable_and_time_exceeded_are_made_and_translated(graph: Dataplane) -> None:
    for destination, kind, code in [("10.3.0.1", 3, 0), ("10.6.0.1", 3, 13), (SERVER, 11, 0)]:
        ttl = 1 if kind == 11 else 64
        packet = IP(src=CLIENT_IP, dst=destination, ttl=ttl) / UDP(sport=5000, dport=53) / b"x"
        graph.receive(ACC, session_frame(bytes(packet)))
        made = comes_home(graph)
        assert (made.src, made.dst) == (GATEWAY, CLIENT_IP)
        assert made[ICMP].type == kind
        assert made[ICMP].code in {code, 1}
        assert bytes(quote_of(made)) == bytes(packet)
    there = leaves(graph, IP(src=CLIENT_IP, dst=SERVER) / UDP(sport=5000, dport=53))
    packet = IP(src=SERVER, dst=PUBLIC, flags="DF") / UDP(sport=53, dport=there[UDP].sport)
    graph.receive(WAN, routed_frame(bytes(packet / bytes(1470))))
    (frame,) = graph.sent(WAN)
    made = judge(bytes(Ether(frame)[IP]))
    assert (made.src, made[ICMP].type, made[ICMP].code) == (WAN_IP, 3, 4)


def test_req_10b_timestamp_and_parameter_problem_pass_and_the_rest_does_not(box: Nat) -> None:
    external = box.sent(query(13))[ICMP].id
    box.got(reply(external, 14))
    assert box.got(error(box.sent(udp()), kind=12, code=0))[ICMP].type == 12
    # redirect, router advertisement and solicitation, address mask
    for kind in (5, 9, 10, 17, 18):
        packet = IP(src=INNER[0], dst=REMOTE) / ICMP(type=kind)
        assert box.out(packet).edge_name == "drop: icmp-not-translated"
        packet = IP(src=REMOTE, dst=PUBLIC) / ICMP(type=kind)
        assert box.back(packet).edge_name == "drop: icmp-not-translated"


def test_req_10c_source_quench_and_information_do_not_pass(box: Nat) -> None:
    there = box.sent(udp())
    assert box.back(error(there, kind=4, code=0)).edge_name == "drop: icmp-not-translated"
    for kind in (15, 16):
        packet = IP(src=INNER[0], dst=REMOTE) / ICMP(type=kind, id=7)
        assert box.out(packet).edge_name == "drop: icmp-not-translated"


def test_req_10d_the_ds_field_passes_and_our_errors_have_precedence_6(graph: Dataplane) -> None:
    packet = IP(src=CLIENT_IP, dst=SERVER, tos=0xB8) / ICMP(type=8, id=7)
    there = leaves(graph, packet)
    assert there.tos == 0xB8
    router = IP(src=ROUTER, dst=PUBLIC, tos=0x48) / ICMP(type=3, code=1) / there
    graph.receive(WAN, routed_frame(bytes(router)))
    assert comes_home(graph).tos == 0x48
    packet.ttl = 1
    graph.receive(ACC, session_frame(bytes(packet)))
    assert comes_home(graph).tos == 0xC0


def test_req_10e_no_error_is_made_about_errors_and_later_fragments(graph: Dataplane) -> None:
    there = leaves(graph, IP(src=CLIENT_IP, dst=SERVER) / UDP(sport=5000, dport=53) / bytes(64))
    home = error(there, ttl=1)
    graph.receive(WAN, routed_frame(bytes(home)))
    assert graph.sent(WAN) == graph.sent(ACC) == []
    later = IP(src="198.18.0.9", dst=SERVER, ttl=1, proto=17, frag=5) / bytes(8)
    graph.receive(ACC, session_frame(bytes(later)))
    assert graph.sent(WAN) == graph.sent(ACC) == []
    counters = graph.counters()
    assert counters["icmp4_error/drop: about-icmp-error"] == 1
    assert counters["icmp4_error/drop: about-later-fragment"] == 1


def test_req_10f_errors_are_limited_in_rate(graph: Dataplane) -> None:
    packet = IP(src=CLIENT_IP, dst=SERVER, ttl=1) / UDP(sport=5000, dport=53)
    for _ in range(80):
        graph.receive(ACC, session_frame(bytes(packet)))
    assert len(graph.sent(ACC)) == 50
    assert graph.counters()["icmp4_error/drop: source-share-used-up"] == 30


@pytest.mark.parametrize("kind", [1, 2, 6, 7, 19, 30, 40, 42, 255])
def test_req_11_what_is_neither_query_nor_error_is_dropped(box: Nat, kind: int) -> None:
    external = int(box.sent(query())[ICMP].id)
    packet = IP(src=INNER[0], dst=REMOTE) / ICMP(bytes((kind, 0, 0, 0)) + bytes(20))
    assert box.out(packet).edge_name == "drop: icmp-not-translated"
    packet = IP(src=REMOTE, dst=PUBLIC) / ICMP(bytes((kind, 0, 0, 0)) + bytes(20))
    assert box.back(packet).edge_name == "drop: icmp-not-translated"
    assert box.back(reply(external)).edge_name == DELIVERED
