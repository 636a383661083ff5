"""RFC 7857, section by section: what it changes of RFC 4787, 5382 and 5508. nat44.md says which
parts do not hold."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from .fragments import SECOND_IP, cut, translated, upstream, whole
from .harness import dataplane
from .lab import CLIENT_IP, SERVER
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
STRANGER = "192.0.2.1"


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def opened(box: Nat, dst: str = REMOTE, sport: int = 5000) -> int:
    external = int(box.sent(tcp("S", dst=dst, sport=sport))[TCP].sport)
    box.got(tcp_back("SA", external, src=dst))
    box.sent(tcp("A", dst=dst, sport=sport))
    return external


def lives_for(box: Nat, external: int, start_s: int, timer_s: int) -> None:
    """The mapping, refreshed last at start_s, is there for timer_s and not longer."""
    probe = tcp_back("A", external, src=STRANGER)
    box.at(start_s + timer_s - 1)
    assert box.back(probe).edge_name == DELIVERED
    box.at(start_s + timer_s)
    assert box.back(probe).edge_name == "drop: no-mapping"


@pytest.mark.parametrize(
    ("segments", "timer_s"),
    [
        ([("out", "S")], TRANSITORY_S),
        ([("out", "S"), ("in", "SA")], TRANSITORY_S),
        ([("out", "S"), ("in", "SA"), ("out", "A")], ESTABLISHED_S),
        ([("out", "S"), ("in", "SA"), ("out", "A"), ("out", "FA")], ESTABLISHED_S),
        ([("out", "S"), ("in", "SA"), ("out", "A"), ("in", "FA")], ESTABLISHED_S),
        ([("out", "S"), ("in", "SA"), ("out", "A"), ("in", "FA"), ("out", "FA")], TRANSITORY_S),
        ([("out", "S"), ("in", "SA"), ("out", "A"), ("in", "R")], TRANSITORY_S),
        ([("out", "S"), ("in", "SA"), ("out", "A"), ("in", "R"), ("in", "A")], ESTABLISHED_S),
    ],
    ids=["syn", "syn-ack", "established", "fin out", "fin in", "both fins", "rst", "rst, then ack"],
)
def test_section_2_each_state_of_a_connection_has_its_timer(
    box: Nat, segments: list[tuple[str, str]], timer_s: int
) -> None:
    external = 0
    for way, flags in segments:
        if way == "out":
            external = int(box.sent(tcp(flags))[TCP].sport)
        else:
            box.got(tcp_back(flags, external))
    lives_for(box, external, 0, timer_s)


def test_section_2_1_an_opening_and_a_closing_connection_live_four_minutes(box: Nat) -> None:
    opening = int(box.sent(tcp("S", sport=6000))[TCP].sport)
    external = opened(box)
    box.sent(tcp("FA"))
    box.got(tcp_back("FA", external))
    box.at(TRANSITORY_S - 1)
    for port in (opening, external):
        assert box.back(tcp_back("A", port, src=STRANGER)).edge_name == DELIVERED
    box.at(TRANSITORY_S)
    for port in (opening, external):
        assert box.back(tcp_back("A", port, src=STRANGER)).edge_name == "drop: no-mapping"


def test_section_2_1_opening_and_closing_are_configured_apart() -> None:
    for box in nat(*nat_args(), "--nat-timeout=tcp-trans=300,tcp-closing=260"):
        opening = int(box.sent(tcp("S", sport=6000))[TCP].sport)
        closing = [opened(box)]
        box.sent(tcp("R"))
        for dst in (REMOTE, OTHER):  # two connections of one port
            closing.append(opened(box, dst=dst, sport=7000))
            box.sent(tcp("FA", sport=7000, dst=dst))
            box.got(tcp_back("FA", closing[-1], src=dst))
        for external, timer_s in ((closing[0], 260), (closing[1], 260), (opening, 300)):
            lives_for(box, external, 0, timer_s)


@pytest.mark.parametrize("side", ["subscriber", "server"])
def test_section_2_2_a_rst_is_translated_and_ends_nothing_for_four_minutes(
    box: Nat, side: str
) -> None:
    external = opened(box)
    box.at(1000)
    if side == "subscriber":
        there = box.sent(tcp("R"))
        assert (there.src, there[TCP].sport) == (PUBLIC, external)
    else:
        home = box.got(tcp_back("R", external))
        assert (home.dst, home[TCP].dport) == (INNER[0], 5000)
    lives_for(box, external, 1000, TRANSITORY_S)


def test_section_2_2_a_rst_that_belongs_to_no_connection_shortens_none(box: Nat) -> None:
    external = opened(box)
    box.got(tcp_back("R", external, src=OTHER))
    box.got(tcp_back("R", external, sport=81))
    lives_for(box, external, 0, ESTABLISHED_S)


def test_section_4_all_ports_of_a_subscriber_are_on_one_address_until_there_are_no_more() -> None:
    for box in nat(*nat_args(), "--nat-address=203.0.113.2"):
        assert {box.sent(udp(sport=1000 + n)).src for n in range(128)} == {PUBLIC}
        assert box.out(udp(sport=2000)).edge_name == "drop: port-limit"


def test_section_5_a_mapping_of_one_protocol_is_none_of_another(box: Nat) -> None:
    box.sent(tcp("S"))
    assert box.dp.session_cold(0).nat_mappings == 1
    box.sent(udp())
    assert box.dp.session_cold(0).nat_mappings == 2
    box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=8, id=5000))
    assert box.dp.session_cold(0).nat_mappings == 3


def test_section_6_a_mapping_lets_in_its_own_protocol_only(box: Nat) -> None:
    external = opened(box)
    assert box.back(udp_back(external)).edge_name == "drop: no-mapping"
    echo = IP(src=REMOTE, dst=PUBLIC) / ICMP(type=0, id=external)
    assert box.back(echo).edge_name == "drop: no-mapping"
    box.got(tcp_back("A", external, src=OTHER))


@pytest.mark.parametrize("filtering", ["endpoint-independent", "address-dependent"])
def test_section_7_what_a_stranger_sends_refreshes_nothing(filtering: str) -> None:
    for box in nat(*nat_args(), f"--nat-filtering={filtering}"):
        external = box.port_of(5000)
        box.at(299)
        expected = DELIVERED if filtering == "endpoint-independent" else "drop: filtered"
        assert box.back(udp_back(external, src=OTHER)).edge_name == expected
        box.at(300)
        assert box.back(udp_back(external)).edge_name == "drop: no-mapping"


def test_section_7_1_errors_of_the_subscriber_refresh_nothing(box: Nat) -> None:
    external = box.port_of(5000)
    home = box.got(udp_back(external))
    box.at(299)
    box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=3) / home)
    box.at(300)
    assert box.back(udp_back(external)).edge_name == "drop: no-mapping"


def test_section_7_1_a_rst_to_a_stranger_refreshes_nothing(box: Nat) -> None:
    external = opened(box)
    box.sent(tcp("FA"))
    box.got(tcp_back("FA", external))
    box.at(200)
    box.got(tcp_back("S", external, src=OTHER))
    box.sent(tcp("RA", dst=OTHER))
    lives_for(box, external, 0, TRANSITORY_S)


@pytest.mark.parametrize("connections", [1, 2])
def test_section_7_1_a_rst_after_a_rst_refreshes_nothing(box: Nat, connections: int) -> None:
    external = opened(box)
    if connections == 2:
        opened(box, dst=OTHER)
        box.sent(tcp("R", dst=OTHER))
    box.at(10)
    box.sent(tcp("R"))
    for at in range(20, 220, 20):
        box.at(at)
        box.got(tcp_back("R", external))
        box.sent(tcp("R"))
    lives_for(box, external, 10, TRANSITORY_S)


def test_section_8_parity_is_not_preserved_for_it_would_halve_the_choice(box: Nat) -> None:
    parity = {box.port_of(5000 + 2 * n) % 2 for n in range(60)}
    assert parity == {0, 1}


def test_section_9_the_port_is_not_foreseen_from_others() -> None:
    runs = []
    for _ in range(2):
        for box in nat(*nat_args(block_size=4096, blocks=1)):
            runs.append([box.port_of(5000 + n) for n in range(200)])
    steps = {b - a for a, b in pairwise(runs[0])}
    assert len(steps) > 150
    offsets = {a % 4096 - b % 4096 for a, b in zip(*runs, strict=True)}
    assert len(offsets) > 150  # the same inner ports, another start


def test_section_10_fragments_of_two_subscribers_never_share_an_id() -> None:
    with dataplane(*nat_args()) as box:
        translated(box)
        layers = [UDP(sport=port, dport=53) / (bytes([port]) * 3000) for port in (1, 2)]
        mine = cut(IP(src=CLIENT_IP, dst=SERVER, id=99) / layers[0])
        theirs = cut(IP(src=SECOND_IP, dst=SERVER, id=99) / layers[1])
        sent = []
        for one, other in zip(mine, theirs, strict=True):
            sent += upstream(box, one)
            sent += upstream(box, other, session_id=2)
        by_id: dict[int, list[Packet]] = {}
        for packet in sent:
            by_id.setdefault(int(packet.id), []).append(packet)
        assert len(by_id) == 2
        assert sorted(bytes(whole(parts))[-1] for parts in by_id.values()) == [1, 2]


def test_section_11_an_icmp_mapping_stays_until_its_own_timer_ends(box: Nat) -> None:
    echo = IP(src=INNER[0], dst=REMOTE) / ICMP(type=8, id=77)
    external = int(box.sent(echo)[ICMP].id)
    reply = IP(src=REMOTE, dst=PUBLIC) / ICMP(type=0, id=external)
    box.at(59)
    box.got(reply)
    box.at(60)
    assert box.back(reply).edge_name == "drop: no-mapping"


def test_section_12_queries_from_outside_and_hairpinned_errors_pass(box: Nat) -> None:
    external = int(box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=8, id=77))[ICMP].id)
    home = box.got(IP(src=OTHER, dst=PUBLIC) / ICMP(type=8, id=external))
    assert (home[ICMP].type, home[ICMP].id) == (8, 77)
    other = box.port_of(6000, session=1)
    sent = IP(bytes(udp(dst=PUBLIC, dport=other)))
    home = box.got(box.sent(sent), session=1)
    refused = IP(src=INNER[1], dst=home.src) / ICMP(type=3, code=3) / home
    back = box.got(box.sent(refused, session=1))
    assert bytes(IP(bytes(back[ICMP].payload))) == bytes(sent)
