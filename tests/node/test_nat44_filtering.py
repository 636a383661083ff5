"""Who may send to a mapping (RFC 4787 REQ-8), and which of its connections keep it open."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from dataplane import binding
from dataplane.binding import NatFiltering, NatSet

from .harness import lib
from .nat44 import (
    DELIVERED,
    INNER,
    OTHER,
    PUBLIC,
    REMOTE,
    Nat,
    nat,
    nat_args,
    tcp,
    tcp_back,
    udp,
    udp_back,
)

TRANSITORY_S, ESTABLISHED_S = 240, 7440
DEPENDENT = (*nat_args(), "--nat-filtering=address-dependent")


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat(*DEPENDENT)


@pytest.fixture
def open_box() -> Iterator[Nat]:
    yield from nat()


@pytest.fixture
def small_box() -> Iterator[Nat]:
    yield from nat(*DEPENDENT, "--nat-session-remotes=4")


def remotes(one: Nat, session: int = 0) -> int:
    return int(one.dp.session_cold(session).nat_remotes)


def numbered(n: int) -> str:
    return f"192.0.2.{n}"


def connect(one: Nat, dst: str, sport: int = 5000) -> int:
    """Shake hands with a remote; return the external port."""
    external = int(one.sent(tcp("S", sport=sport, dst=dst))[TCP].sport)
    one.got(tcp_back("SA", external, src=dst))
    one.sent(tcp("A", sport=sport, dst=dst))
    return external


def finish(one: Nat, external: int, dst: str, sport: int = 5000) -> None:
    """Close a connection from both sides."""
    one.sent(tcp("FA", sport=sport, dst=dst))
    one.got(tcp_back("FA", external, src=dst))
    one.sent(tcp("A", sport=sport, dst=dst))


def is_open(one: Nat, external: int, src: str) -> bool:
    frame = one.back(tcp_back("A", external, src=src, sport=9999))
    assert frame.edge_name in (DELIVERED, "drop: no-mapping")
    return frame.edge_name == DELIVERED


def test_only_addresses_that_were_sent_to_may_answer(box: Nat) -> None:
    external = box.port_of(5000)
    box.got(udp_back(external))
    box.got(udp_back(external, sport=9))  # the address counts, not the port
    packet = udp_back(external, src=OTHER)
    frame = box.back(packet)
    assert frame.edge_name == "drop: filtered"
    assert frame.data == bytes(packet)
    assert box.sent(udp(dst=OTHER))[UDP].sport == external
    box.got(udp_back(external, src=OTHER))
    box.got(udp_back(external))


def test_a_too_big_packet_of_a_stranger_is_not_answered(box: Nat) -> None:
    external = box.port_of(5000)
    packet = IP(src=OTHER, dst=PUBLIC, flags="DF") / UDP(sport=1, dport=external) / bytes(1465)
    assert box.back(packet).edge_name == "drop: filtered"


@pytest.mark.parametrize("count", [2, 10, 60])
def test_every_one_of_many_remotes_may_answer_and_no_other(box: Nat, count: int) -> None:
    external = box.port_of(5000)
    for n in range(1, count + 1):
        assert box.sent(udp(dst=numbered(n)))[UDP].sport == external
    for n in range(1, count + 1):
        box.got(udp_back(external, src=numbered(n)))
    assert box.back(udp_back(external, src=numbered(count + 1))).edge_name == "drop: filtered"
    assert remotes(box) == count + 1


def test_icmp_queries_and_tcp_are_filtered_too(box: Nat) -> None:
    identifier = box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=8, id=7))[ICMP].id
    reply = IP(src=OTHER, dst=PUBLIC) / ICMP(type=0, id=identifier)
    assert box.back(reply).edge_name == "drop: filtered"
    reply.src = REMOTE
    box.got(reply)
    external = connect(box, REMOTE)
    assert box.back(tcp_back("S", external, src=OTHER)).edge_name == "drop: filtered"
    box.got(tcp_back("S", external, sport=81))


def test_an_error_about_a_packet_that_was_never_sent_is_filtered(box: Nat) -> None:
    external = box.port_of(5000)

    def error(about: str) -> IP:
        quoted = IP(src=PUBLIC, dst=about) / UDP(sport=external, dport=53)
        return IP(src="192.0.2.254", dst=PUBLIC) / ICMP(type=3, code=1) / quoted

    assert box.back(error(OTHER)).edge_name == "drop: filtered"
    assert box.back(error(REMOTE)).edge_name == DELIVERED


def test_a_remote_beyond_the_limit_is_refused_and_the_subscriber_is_told(small_box: Nat) -> None:
    external = small_box.port_of(5000)
    for n in range(1, 4):
        small_box.sent(udp(dst=numbered(n)))
    packet = udp(dst=numbered(9))
    frame = small_box.out(packet)
    assert (frame.edge_name, frame.cause, frame.arg) == ("drop: remote-limit", 3, 13)
    assert frame.data == bytes(packet)
    assert small_box.dp.session_cold(0).in_drops[lib.IN_DROP_NAT] == 1
    assert small_box.back(udp_back(external, src=numbered(9))).edge_name == "drop: filtered"
    small_box.got(udp_back(external, src=numbered(3)))
    # another subscriber has his own
    packet = udp(session=1)
    packet.dst = OTHER
    small_box.sent(packet, 1)


def test_a_packet_that_is_refused_keeps_no_mapping(small_box: Nat) -> None:
    external = small_box.port_of(5000)
    for n in range(1, 4):
        small_box.sent(udp(dst=numbered(n)))
    small_box.at(299)
    assert small_box.out(udp(dst=numbered(9))).edge_name == "drop: remote-limit"
    small_box.at(300)
    assert small_box.back(udp_back(external)).edge_name == "drop: no-mapping"


def test_entries_whose_time_is_over_make_room() -> None:
    args = (*DEPENDENT, "--nat-remotes=64", "--nat-session-remotes=65535")
    for box in nat(*args):
        external = box.port_of(5000)

        def known(step: int, box: Nat = box) -> int:
            answers = [box.out(udp(dst=f"192.0.{step}.{n}")).edge_name for n in range(200)]
            return answers.count("ip4_lookup")

        assert 40 <= known(2) <= 64
        assert remotes(box) <= 64
        for at in (299, 598):  # the mapping lives on, by its first remote
            box.at(at)
            assert box.port_of(5000) == external
        assert known(3) >= 40
        assert remotes(box) <= 64


def test_filtering_changes_live(box: Nat) -> None:
    external = box.port_of(5000)

    def tell(filtering: int, remotes: int = 4096) -> int:
        return box.dp.control(binding.nat_set_record(1, NatSet(NatFiltering(filtering), remotes)))

    assert box.back(udp_back(external, src=OTHER)).edge_name == "drop: filtered"
    assert tell(0) == 0
    box.got(udp_back(external, src=OTHER))
    assert tell(1) == 0
    assert box.back(udp_back(external, src=OTHER)).edge_name == "drop: filtered"
    assert tell(1, 65_536) == -22
    bad = binding.COMMAND.pack(
        binding.CommandType.NAT_SET, 0, 0, 0, 0, 1, binding.NAT_SET.pack(2, 1, 0, 0, 0, 50, 0)
    )
    assert box.dp.control(bad) == -22


@pytest.mark.parametrize("what", ["release", "expiry"])
def test_a_mapping_takes_its_remotes_along(box: Nat, what: str) -> None:
    box.port_of(5000)
    for n in range(1, 40):
        box.sent(udp(dst=numbered(n)))
    connect(box, REMOTE)
    connect(box, OTHER)
    assert remotes(box) == 42
    if what == "release":
        box.release(0)
    else:
        box.at(ESTABLISHED_S)
        box.dp.advance(61)
    assert remotes(box) == 0
    entries = box.dp.section(lib.SECTION_NAT_REMOTE, "struct nat_remote")
    assert not any(entries[i].slot for i in range(65_536))


def test_a_new_mapping_of_the_same_port_knows_no_old_remotes(box: Nat) -> None:
    known = set()
    for turn in range(40):  # the same port comes back sooner or later
        box.at(300 * turn)
        external = box.port_of(5000)
        assert box.back(udp_back(external, src=OTHER)).edge_name == "drop: filtered"
        if external in known:
            return
        known.add(external)
        box.sent(udp(dst=OTHER))
    pytest.fail("no port came back")


def test_a_mapping_ends_soon_only_when_its_last_connection_closed(open_box: Nat) -> None:
    external = connect(open_box, REMOTE)
    for n in range(1, 10):
        assert connect(open_box, numbered(n)) == external
    finish(open_box, external, REMOTE)
    for n in range(1, 9):
        finish(open_box, external, numbered(n))
    open_box.at(TRANSITORY_S + 1)
    assert is_open(open_box, external, numbered(9))
    finish(open_box, external, numbered(9))
    open_box.at(2 * TRANSITORY_S)
    assert is_open(open_box, external, numbered(9))
    open_box.at(2 * TRANSITORY_S + 1)
    assert not is_open(open_box, external, numbered(9))


def test_a_reset_of_one_of_several_is_taken_back_by_its_next_segment(open_box: Nat) -> None:
    external = connect(open_box, REMOTE)
    connect(open_box, OTHER)
    finish(open_box, external, REMOTE)
    open_box.got(tcp_back("R", external, src=OTHER))
    open_box.sent(tcp("A", dst=OTHER))
    open_box.at(ESTABLISHED_S - 1)
    assert is_open(open_box, external, OTHER)


def test_each_connection_of_a_shared_mapping_refreshes_it(open_box: Nat) -> None:
    external = connect(open_box, REMOTE)
    connect(open_box, OTHER)
    open_box.at(7000)
    open_box.got(tcp_back("A", external, src=OTHER))
    open_box.at(7000 + ESTABLISHED_S - 1)
    assert is_open(open_box, external, OTHER)
    open_box.at(7000 + ESTABLISHED_S)
    assert not is_open(open_box, external, OTHER)


def test_with_remotes_unknown_nothing_shortens_the_timer() -> None:
    for box in nat(*nat_args(), "--nat-session-remotes=1"):
        external = connect(box, REMOTE)
        connect(box, OTHER)  # no room for it
        finish(box, external, REMOTE)
        assert remotes(box) == 1
        box.at(ESTABLISHED_S - 1)
        assert is_open(box, external, OTHER)
        box.at(ESTABLISHED_S)
        assert not is_open(box, external, OTHER)


def test_without_filtering_udp_needs_no_memory_of_remotes(open_box: Nat) -> None:
    for n in range(1, 40):
        open_box.sent(udp(dst=numbered(n)))
    assert remotes(open_box) == 0


def test_subscribers_meet_through_the_public_address_when_both_have_sent(box: Nat) -> None:
    first, second = box.port_of(5000, 0), box.port_of(6000, 1)
    knock = IP(src=PUBLIC, dst=PUBLIC) / UDP(sport=first, dport=second)
    assert box.back(knock).edge_name == "drop: filtered"
    packet = IP(src=INNER[1], dst=PUBLIC) / UDP(sport=6000, dport=first)
    assert box.sent(packet, 1)[UDP].sport == second
    box.got(knock, 1)
