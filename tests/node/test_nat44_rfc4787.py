"""RFC 4787, requirement by requirement: NAT behaviour for UDP. nat44.md says which do not hold."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP

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


def test_req_5_a_mapping_lives_five_minutes(box: Nat) -> None:
    external = box.port_of(5000)
    box.at(299)
    box.got(udp_back(external))
    box.at(300)
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


def test_req_9_a_hairpinned_packet_has_the_external_source(box: Nat) -> None:
    first, second = box.port_of(5000, 0), box.port_of(6000, 1)
    knock = IP(src=INNER[0], dst=PUBLIC) / UDP(sport=5000, dport=second)
    there = box.sent(knock)
    assert (there.src, there[UDP].sport) == (PUBLIC, first)
    home = box.got(there, 1)
    assert (home.src, home[UDP].sport) == (PUBLIC, first)
    assert (home.dst, home[UDP].dport) == (INNER[1], 6000)


def test_req_11_a_full_table_changes_neither_mapping_nor_filtering(box: Nat) -> None:
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


def test_req_13_too_big_with_df_draws_fragmentation_needed(box: Nat) -> None:
    external = box.port_of(5000)
    packet = IP(src=REMOTE, dst=PUBLIC, flags="DF") / UDP(sport=53, dport=external) / bytes(1465)
    frame = box.back(packet)
    assert (frame.edge_name, frame.cause, frame.arg & 0xFF) == ("icmp4_error", 3, 4)
    home = box.got(error_about(external, 3, 4))  # and those of others come through
    assert home[ICMP].code == 4
