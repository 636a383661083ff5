"""When NAT44 mappings end (RFC 4787 REQ-5 and REQ-6, RFC 5382 REQ-5, RFC 5508 REQ-2)."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from .nat44 import DELIVERED, INNER, OTHER, PUBLIC, REMOTE, Nat, nat, tcp, tcp_back, udp, udp_back

TRANSITORY_S, ESTABLISHED_S = 240, 7440


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def is_open(box: Nat, external: int) -> bool:
    """Ask with a segment of a stranger, which neither refreshes nor changes state."""
    frame = box.back(tcp_back("A", external, src="192.0.2.1"))
    assert frame.edge_name in (DELIVERED, "drop: no-mapping")
    return frame.edge_name == DELIVERED


def lives_for(box: Nat, external: int, start_s: int, timer_s: int) -> None:
    """The mapping, used last at start_s, is there for timer_s and not longer."""
    box.at(start_s + timer_s - 1)
    assert is_open(box, external)
    box.at(start_s + timer_s)
    assert not is_open(box, external)


def establish(box: Nat) -> int:
    """Shake hands; return the external port."""
    external = int(box.sent(tcp("S"))[TCP].sport)
    box.got(tcp_back("SA", external))
    assert box.sent(tcp("A"))[TCP].sport == external
    return external


def test_udp_lives_300_seconds_after_the_last_outbound_packet(box: Nat) -> None:
    external = box.port_of(5000)
    box.at(299)
    assert box.port_of(5000) == external
    box.at(598)
    box.got(udp_back(external))  # inbound does not refresh
    box.at(599)
    assert box.back(udp_back(external)).edge_name == "drop: no-mapping"


def test_an_expired_mapping_met_by_its_own_port_is_made_anew(box: Nat) -> None:
    box.port_of(5000)
    box.at(300)
    external = box.port_of(5000)
    assert box.port_of(5000) == external
    assert box.dp.session_cold(0).nat_mappings == 1
    box.got(udp_back(external))


def test_an_icmp_query_lives_60_seconds(box: Nat) -> None:
    echo = IP(src=INNER[0], dst=REMOTE) / ICMP(type=8, id=77)
    external = box.sent(echo)[ICMP].id
    answer = IP(src=REMOTE, dst=PUBLIC) / ICMP(type=0, id=external)
    box.at(59)
    assert box.got(answer)[ICMP].id == 77
    box.at(60)
    assert box.back(answer).edge_name == "drop: no-mapping"


def test_an_unanswered_syn_lives_240_seconds(box: Nat) -> None:
    lives_for(box, int(box.sent(tcp("S"))[TCP].sport), 0, TRANSITORY_S)


def test_a_syn_ack_alone_does_not_establish(box: Nat) -> None:
    external = int(box.sent(tcp("S"))[TCP].sport)
    box.got(tcp_back("SA", external))
    lives_for(box, external, 0, TRANSITORY_S)


def test_a_handshake_that_ends_in_a_reset_does_not_establish(box: Nat) -> None:
    external = int(box.sent(tcp("S"))[TCP].sport)
    box.got(tcp_back("SA", external))
    box.sent(tcp("RA"))
    box.at(10)
    box.got(tcp_back("SA", external))  # again, for the reset was lost
    lives_for(box, external, 10, TRANSITORY_S)


def test_an_established_connection_lives_more_than_two_hours(box: Nat) -> None:
    lives_for(box, establish(box), 0, ESTABLISHED_S)


def test_a_connection_from_outside_establishes_too(box: Nat) -> None:
    external = int(box.sent(tcp("S"))[TCP].sport)
    box.got(tcp_back("S", external))  # simultaneous open
    box.sent(tcp("SA"))
    box.sent(tcp("A"))
    lives_for(box, external, 0, ESTABLISHED_S)


def test_inbound_segments_of_the_connection_refresh_it(box: Nat) -> None:
    external = establish(box)
    box.at(7000)
    box.got(tcp_back("A", external))
    lives_for(box, external, 7000, ESTABLISHED_S)


def test_fin_from_one_side_keeps_the_long_timer_and_from_both_ends_it(box: Nat) -> None:
    external = establish(box)
    box.sent(tcp("FA"))
    box.at(TRANSITORY_S)
    assert is_open(box, external)
    box.got(tcp_back("FA", external))
    lives_for(box, external, TRANSITORY_S, TRANSITORY_S)


@pytest.mark.parametrize("side", ["subscriber", "remote"])
def test_rst_shortens_and_the_next_segment_takes_that_back(box: Nat, side: str) -> None:
    external = establish(box)

    def reset() -> None:
        if side == "subscriber":
            box.sent(tcp("R"))
        else:
            box.got(tcp_back("R", external))

    reset()
    box.at(TRANSITORY_S - 1)
    box.sent(tcp("A"))  # so it was forged
    box.at(TRANSITORY_S * 3)
    assert is_open(box, external)
    reset()
    lives_for(box, external, TRANSITORY_S * 3, TRANSITORY_S)


def test_a_strangers_rst_and_fin_shorten_nothing(box: Nat) -> None:
    external = establish(box)
    box.sent(tcp("FA"))
    box.got(tcp_back("R", external, src=OTHER))
    box.got(tcp_back("FA", external, sport=81))
    lives_for(box, external, 0, ESTABLISHED_S)


def test_while_another_connection_shares_the_mapping_nothing_shortens_it(box: Nat) -> None:
    external = establish(box)
    assert box.sent(tcp("S", dst=OTHER))[TCP].sport == external
    box.sent(tcp("FA"))
    box.got(tcp_back("FA", external))
    box.got(tcp_back("R", external))
    box.at(ESTABLISHED_S - 1)
    assert is_open(box, external)


def test_a_probe_that_the_host_refuses_changes_nothing(box: Nat) -> None:
    external = establish(box)
    box.sent(tcp("FA"))
    box.got(tcp_back("FA", external))
    box.at(100)
    box.got(tcp_back("S", external, src=OTHER))
    box.sent(tcp("RA", dst=OTHER))
    lives_for(box, external, 0, TRANSITORY_S)


def test_strangers_keep_no_shared_mapping_open(box: Nat) -> None:
    external = establish(box)
    box.sent(tcp("S", dst=OTHER))
    box.at(7000)
    box.got(tcp_back("S", external, src="192.0.2.9"))
    box.got(tcp_back("A", external, src="192.0.2.9"))
    lives_for(box, external, 0, ESTABLISHED_S)


def test_a_shared_mapping_is_established_by_its_second_connection_too(box: Nat) -> None:
    external = int(box.sent(tcp("S"))[TCP].sport)
    box.sent(tcp("S", dst=OTHER))
    box.got(tcp_back("SA", external, src=OTHER))
    box.sent(tcp("A", dst=OTHER))
    lives_for(box, external, 0, ESTABLISHED_S)


def test_a_new_connection_after_the_old_one_closed_starts_over(box: Nat) -> None:
    external = establish(box)
    box.sent(tcp("FA"))
    box.got(tcp_back("FA", external))
    box.at(100)
    assert box.sent(tcp("S", dst=OTHER))[TCP].sport == external
    box.got(tcp_back("SA", external, src=OTHER))
    box.sent(tcp("A", dst=OTHER))
    box.sent(tcp("R", dst=OTHER))  # its own connection, not one of many
    lives_for(box, external, 100, TRANSITORY_S)


def test_the_sweep_frees_what_nobody_asks_for(box: Nat) -> None:
    for port in range(100):
        box.port_of(port)
    assert box.dp.session_cold(0).nat_mappings == 100
    box.at(301)
    box.dp.advance(61)
    assert box.dp.session_cold(0).nat_mappings == 0


def test_the_sweep_leaves_what_lives(box: Nat) -> None:
    external = {port: box.port_of(port) for port in range(100)}
    box.at(200)
    kept = {port: box.port_of(port) for port in range(0, 100, 2)}
    box.at(301)
    box.dp.advance(61)
    assert box.dp.session_cold(0).nat_mappings == 50
    for port, known in kept.items():
        assert known == external[port]
        assert box.sent(udp(sport=port)).sport == known
