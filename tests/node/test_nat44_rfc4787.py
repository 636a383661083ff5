"""RFC 4787, requirement by requirement: NAT behaviour for UDP. nat44.md says which do not hold."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from dataplane import binding

from .fragments import (
    PAYLOAD,
    answer,
    cut,
    downstream,
    lone,
    question,
    translated,
    upstream,
    whole,
)
from .harness import ACC, FEATURE_IN_NAT44, WAN, dataplane
from .lab import CLIENT_IP, SERVER, adjacency, furnish, session_frame
from .nat44 import INNER, OTHER, PUBLIC, REMOTE, Nat, nat, nat_args, udp, udp_back


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


@pytest.fixture
def two_addresses() -> Iterator[Nat]:
    yield from nat(*nat_args(blocks=4), "--nat-address=203.0.113.2")


def error_about(external: int, kind: int, code: int) -> IP:
    """Return an ICMP error of a router about what the mapping sent."""
    quoted = IP(src=PUBLIC, dst=REMOTE) / UDP(sport=external, dport=53)
    return IP(src="192.0.2.254", dst=PUBLIC) / ICMP(type=kind, code=code) / quoted


def test_req_1_the_mapping_is_the_same_for_every_endpoint(box: Nat) -> None:
    external = {
        int(box.sent(udp(dst=dst, dport=dport))[UDP].sport)
        for dst in (REMOTE, OTHER, "192.0.2.1")
        for dport in (53, 80, 40_000)
    }
    assert len(external) == 1


def test_req_2_all_ports_of_a_subscriber_are_on_one_address(two_addresses: Nat) -> None:
    sources = {two_addresses.sent(udp(sport=1000 + n)).src for n in range(4 * 64)}
    assert sources == {PUBLIC}


def test_req_3_no_external_port_serves_two_inner_ones(box: Nat) -> None:
    ports = [box.port_of(n, session) for session in (0, 1) for n in range(100)]
    assert len(set(ports)) == 200


def test_req_5_and_5c_the_mapping_lives_five_minutes_by_default(box: Nat) -> None:
    external = box.port_of(5000)
    box.at(299)
    box.got(udp_back(external))
    box.at(300)
    assert box.back(udp_back(external)).edge_name == "drop: no-mapping"


def test_req_5b_the_timer_is_configured() -> None:
    for box in nat(*nat_args(), "--nat-timeout=udp=120"):
        external = box.port_of(5000)
        box.at(119)
        box.got(udp_back(external))
        box.at(120)
        assert box.back(udp_back(external)).edge_name == "drop: no-mapping"


def test_req_6_outbound_packets_refresh_to_whatever_remote(box: Nat) -> None:
    external = box.port_of(5000)
    box.at(200)
    box.sent(udp(dst=OTHER))
    box.at(499)
    box.got(udp_back(external))  # which does not refresh
    box.at(500)
    assert box.back(udp_back(external)).edge_name == "drop: no-mapping"


@pytest.mark.parametrize(
    ("filtering", "stranger"),
    [("endpoint-independent", "session_output"), ("address-dependent", "drop: filtered")],
)
def test_req_8_filtering_is_as_configured(filtering: str, stranger: str) -> None:
    for box in nat(*nat_args(), f"--nat-filtering={filtering}"):
        external = box.port_of(5000)
        assert box.back(udp_back(external, src=OTHER)).edge_name == stranger
        box.got(udp_back(external, sport=9999))


def test_req_8a_filtering_is_configured_and_changes_live(box: Nat) -> None:
    external = box.port_of(5000)
    box.got(udp_back(external, src=OTHER))
    strict = binding.NatSet(binding.NatFiltering.ADDRESS_DEPENDENT)
    assert box.dp.control(binding.nat_set_record(1, strict)) == 0
    assert box.back(udp_back(external, src=OTHER)).edge_name == "drop: filtered"


def test_req_9_and_9a_a_hairpinned_packet_has_the_external_source(box: Nat) -> None:
    first, second = box.port_of(5000, 0), box.port_of(6000, 1)
    knock = IP(src=INNER[0], dst=PUBLIC) / UDP(sport=5000, dport=second)
    there = box.sent(knock)
    assert (there.src, there[UDP].sport) == (PUBLIC, first)
    home = box.got(there, 1)
    assert (home.src, home[UDP].sport) == (PUBLIC, first)
    assert (home.dst, home[UDP].dport) == (INNER[1], 6000)


def test_req_10_payloads_that_an_alg_would_change_pass_as_they_are(box: Nat) -> None:
    sip = f"INVITE sip:b@{OTHER} SIP/2.0\r\nContact: <sip:a@{INNER[0]}:5060>\r\n".encode()
    packet = IP(src=INNER[0], dst=REMOTE) / UDP(sport=5060, dport=5060) / sip
    assert bytes(box.sent(packet)[UDP].payload) == sip


def test_req_11_the_full_table_changes_neither_mapping_nor_filtering(box: Nat) -> None:
    external = [box.port_of(n) for n in range(128)]
    assert box.out(udp(sport=500)).edge_name == "drop: port-limit"
    assert [box.port_of(n) for n in range(128)] == external
    box.got(udp_back(external[0], src=OTHER))


@pytest.mark.parametrize(("kind", "code"), [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)])
def test_req_12_no_icmp_message_ends_a_mapping(box: Nat, kind: int, code: int) -> None:
    external = box.port_of(5000)
    box.got(error_about(external, kind, code))
    box.got(udp_back(external))
    assert box.port_of(5000) == external


@pytest.mark.parametrize("router", ["192.0.2.254", OTHER, "10.0.0.1"])
def test_req_12a_icmp_is_not_filtered_by_its_source(box: Nat, router: str) -> None:
    packet = error_about(box.port_of(5000), 3, 1)
    packet.src = router
    assert box.got(packet).src == router


@pytest.mark.parametrize("code", range(16))
def test_req_12b_destination_unreachable_is_translated(box: Nat, code: int) -> None:
    home = box.got(error_about(box.port_of(5000), 3, code))
    assert (home.dst, home[ICMP].type, home[ICMP].code) == (INNER[0], 3, code)
    assert home[ICMP].payload.src == INNER[0]
    assert home[ICMP].payload.sport == 5000


def test_req_13_too_big_with_df_draws_fragmentation_needed(box: Nat) -> None:
    external = box.port_of(5000)
    packet = IP(src=REMOTE, dst=PUBLIC, flags="DF") / UDP(sport=53, dport=external) / bytes(1465)
    frame = box.back(packet)
    assert (frame.edge_name, frame.cause, frame.arg & 0xFF) == ("icmp4_error", 3, 4)
    home = box.got(error_about(external, 3, 4))  # and those of others come through
    assert home[ICMP].code == 4


def test_req_13a_too_big_without_df_is_fragmented_in_order() -> None:
    with dataplane(*nat_args()) as dp:
        furnish(dp, nat_address=1, features_in=FEATURE_IN_NAT44)
        adjacency(dp, "192.0").mtu = 576
        data = bytes(n & 0xFF for n in range(1400))
        packet = IP(src=CLIENT_IP, dst=SERVER, id=7) / UDP(sport=5000, dport=53) / data
        dp.receive(ACC, session_frame(bytes(packet)))
        fragments = [Ether(frame)[IP] for frame in dp.sent(WAN)]
        assert len(fragments) == 3
        assert [f.frag for f in fragments] == sorted(f.frag for f in fragments)
        assert all(f.src == PUBLIC and len(f) <= 576 for f in fragments)
        joined = b"".join(bytes(f.payload) for f in fragments)
        assert joined[8:] == data


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=["in order", "out of order"])
def test_req_14_fragments_pass_both_ways_in_order_and_out_of_order(order: tuple[int, ...]) -> None:
    with dataplane(*nat_args()) as dp:
        translated(dp)
        parts = cut(IP(src=CLIENT_IP, dst=SERVER, id=99) / UDP(sport=5000, dport=53) / PAYLOAD)
        there = upstream(dp, *(parts[i] for i in order))
        query = whole(sorted(there, key=lambda p: int(p.frag)))
        assert (query.src, bytes(query[UDP].payload)) == (PUBLIC, PAYLOAD)
        parts = cut(answer(query))
        home = [p for _, p in downstream(dp, *(parts[i] for i in order))]
        reply = whole(sorted(home, key=lambda p: int(p.frag)))
        assert (reply.dst, bytes(reply[UDP].payload)) == (CLIENT_IP, PAYLOAD)


def test_req_14a_a_flood_of_lone_fragments_costs_datagrams_in_order_nothing() -> None:
    with dataplane(*nat_args()) as box:
        translated(box)
        parts = cut(answer(question(box)))
        came = 0
        for part in parts:
            came += len(downstream(box, part, *(lone(n) for n in range(300))))
        assert came == 4
        box.advance(2.02)
