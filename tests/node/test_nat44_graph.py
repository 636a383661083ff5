"""NAT44 through the whole graph: frames in at one port, out at another."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE
from scapy.packet import Packet

from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane, dataplane
from .lab import (
    CLIENT_IP,
    GATEWAY,
    SERVER,
    WAN_IP,
    adjacency,
    furnish,
    routed_frame,
    session_frame,
)
from .nat44 import PUBLIC, judge, nat_args

SECOND_IP = "100.64.0.2"


def translated(dp: Dataplane) -> Dataplane:
    """Sessions 0 (PPPoE id 1) and 1 (id 2), both behind the one public address."""
    furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
    dp.up(1, dp.bind(1), SECOND_IP, nat_address=1, features_in=FEATURE_IN_NAT44)
    return dp


@pytest.fixture
def box() -> Iterator[Dataplane]:
    with dataplane(*nat_args()) as dp:
        yield translated(dp)


def upstream(dp: Dataplane, packet: Packet, session_id: int = 1) -> None:
    dp.receive(ACC, session_frame(bytes(packet), session_id=session_id))


def to_server(dp: Dataplane) -> Packet:
    """Return the one packet that left for the server."""
    (frame,) = dp.sent(WAN)
    return judge(bytes(Ether(frame)[IP]))


def to_client(dp: Dataplane, session_id: int = 1) -> Packet:
    """Return the one packet that left into this session."""
    (frame,) = dp.sent(ACC)
    decoded = Ether(frame)
    assert decoded[PPPoE].sessionid == session_id
    return judge(bytes(decoded[IP]))


def quote_of(error: Packet) -> bytes:
    return bytes(error[ICMP].payload)


def udp(src: str = CLIENT_IP, dst: str = SERVER, sport: int = 5000, **ip: object) -> Packet:
    return IP(src=src, dst=dst, **ip) / UDP(sport=sport, dport=53) / b"query"


def test_a_query_leaves_with_the_public_address_and_the_answer_comes_home(box: Dataplane) -> None:
    upstream(box, udp())
    query = to_server(box)
    assert (query.src, query.dst, query.ttl) == (PUBLIC, SERVER, 63)
    answer = IP(src=SERVER, dst=PUBLIC) / UDP(sport=53, dport=query[UDP].sport) / b"answer"
    box.receive(WAN, routed_frame(bytes(answer)))
    home = to_client(box)
    assert (home.src, home.dst, home[UDP].dport, home.ttl) == (SERVER, CLIENT_IP, 5000, 63)


def test_another_worker_owns_the_address() -> None:
    args = (*nat_args(), "--nat-address=203.0.113.2", "--workers=-,-")
    with dataplane(*args) as dp:
        furnish(dp, nat_address=2, features_in=FEATURE_IN_NAT44, worker=1)
        upstream(dp, udp())
        query = to_server(dp)
        assert query.src == "203.0.113.2"
        answer = IP(src=SERVER, dst=query.src) / UDP(sport=53, dport=query[UDP].sport)
        dp.receive(WAN, routed_frame(bytes(answer)))
        assert to_client(dp)[UDP].dport == 5000
        assert dp.counters()["nat44_out2in/handoff"] == 1


def external_port(box: Dataplane, src: str, sport: int, session_id: int) -> int:
    upstream(box, udp(src=src, sport=sport), session_id)
    return int(to_server(box)[UDP].sport)


def test_two_subscribers_reach_each_other_by_their_public_address(box: Dataplane) -> None:
    second = external_port(box, SECOND_IP, 6000, 2)
    first = external_port(box, CLIENT_IP, 5000, 1)
    upstream(box, IP(src=CLIENT_IP, dst=PUBLIC) / UDP(sport=5000, dport=second) / b"hello")
    arrived = to_client(box, session_id=2)
    # RFC 4787 REQ-9: with the external source
    assert (arrived.src, arrived[UDP].sport) == (PUBLIC, first)
    assert (arrived.dst, arrived[UDP].dport) == (SECOND_IP, 6000)
    answer = IP(src=SECOND_IP, dst=PUBLIC) / UDP(sport=6000, dport=first) / b"hello too"
    upstream(box, answer, 2)
    assert to_client(box)[UDP].dport == 5000
    assert box.sent(WAN) == []


def test_a_hairpinned_packet_loses_one_hop_and_no_more(box: Dataplane) -> None:
    second = external_port(box, SECOND_IP, 6000, 2)
    there = IP(src=CLIENT_IP, dst=PUBLIC, ttl=9) / UDP(sport=5000, dport=second) / b"hello"
    upstream(box, there)
    assert to_client(box, session_id=2).ttl == 8


@pytest.mark.parametrize(
    ("ip", "size", "expected"), [({"ttl": 1}, 9, (11, 0)), ({"flags": "DF"}, 1440, (3, 4))]
)
def test_an_error_about_a_hairpinned_packet_quotes_what_its_sender_sent(
    box: Dataplane, ip: dict[str, object], size: int, expected: tuple[int, int]
) -> None:
    second = external_port(box, SECOND_IP, 6000, 2)
    box.session_out(1).mtu = 1400
    there = IP(src=CLIENT_IP, dst=PUBLIC, **ip) / UDP(sport=5000, dport=second) / bytes(size)
    upstream(box, there)
    error = to_client(box)
    assert (error.src, error[ICMP].type, error[ICMP].code) == (GATEWAY, *expected)
    assert quote_of(error) == bytes(there)[: len(quote_of(error))]


def test_traceroute_of_a_subscriber_shows_the_box(box: Dataplane) -> None:
    probe = udp(ttl=1)
    upstream(box, probe)
    error = to_client(box)
    assert (error.src, error.dst) == (GATEWAY, CLIENT_IP)
    assert (error[ICMP].type, error[ICMP].code) == (11, 0)
    assert quote_of(error) == bytes(probe)


def test_path_mtu_discovery_of_a_subscriber_works(box: Dataplane) -> None:
    adjacency(box, "192.0").mtu = 1400
    big = IP(src=CLIENT_IP, dst=SERVER, flags="DF") / TCP(sport=5000, dport=80) / bytes(1400)
    upstream(box, big)
    error = to_client(box)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1400)
    assert quote_of(error) == bytes(big)[: len(quote_of(error))]
    assert len(quote_of(error)) > 40


def test_path_mtu_discovery_of_a_server_works(box: Dataplane) -> None:
    external = external_port(box, CLIENT_IP, 5000, 1)
    big = IP(src=SERVER, dst=PUBLIC, flags="DF") / UDP(sport=53, dport=external) / bytes(1472)
    box.receive(WAN, routed_frame(bytes(big)))
    error = to_server(box)
    assert (error.src, error.dst) == (WAN_IP, SERVER)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1492)
    assert quote_of(error) == bytes(big)[: len(quote_of(error))]
    assert box.sent(ACC) == []


def test_an_answer_too_big_for_the_session_comes_home_in_fragments(box: Dataplane) -> None:
    external = external_port(box, CLIENT_IP, 5000, 1)
    data = bytes(i & 0xFF for i in range(1472))
    big = IP(src=SERVER, dst=PUBLIC, id=7) / UDP(sport=53, dport=external) / data
    box.receive(WAN, routed_frame(bytes(big)))
    parts = [Ether(frame)[PPPoE][IP] for frame in box.sent(ACC)]
    assert [(p.src, p.dst, p.id) for p in parts] == [(SERVER, CLIENT_IP, 7)] * 2
    joined = b"".join(bytes(p.payload) for p in parts)
    home = IP(src=SERVER, dst=CLIENT_IP) / UDP(sport=53, dport=5000) / data
    assert joined == bytes(home)[20:]


def test_a_subscriber_beyond_his_limit_is_told(box: Dataplane) -> None:
    for port in range(128):
        external_port(box, CLIENT_IP, port, 1)
    upstream(box, udp(sport=200))
    error = to_client(box)
    assert (error.src, error.dst) == (GATEWAY, CLIENT_IP)
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)
    assert quote_of(error) == bytes(udp(sport=200))
    assert box.sent(WAN) == []


def test_a_spoofed_source_never_reaches_the_table(box: Dataplane) -> None:
    upstream(box, udp(src="100.65.0.1"))
    assert box.sent(WAN) == []
    assert box.counters()["antispoof4/drop: source-spoofed"] == 1
    assert box.session_cold(0).nat_mappings == 0
    assert box.session_cold(1).nat_mappings == 0


def test_without_a_pool_address_a_subscriber_is_not_translated() -> None:
    with dataplane(*nat_args()) as dp:
        furnish(dp, ip4="198.51.100.77", features_in=FEATURE_IN_NAT44)
        upstream(dp, udp(src="198.51.100.77"))
        assert to_server(dp).src == "198.51.100.77"
