"""NAT44 of GRE and ESP: one subscriber at a time for each public address, remote and protocol."""

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import GRE
from scapy.packet import Packet

from dataplane.binding import EventType, NatRefusal

from .harness import FEATURE_IN_NAT44, Frame, lib
from .nat44 import INNER, OTHER, PASSED, PUBLIC, REMOTE, Nat, judge, nat, nat_args, udp

SECOND = "203.0.113.2"
ROUTER = "192.0.2.254"
PROTOCOLS = (47, 50)
LAYERS = {
    "gre": GRE() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"inside",
    "gre with key and sequence": GRE(key_present=1, key=7, seqnum_present=1) / IPv6(),
    "esp": ESP(spi=0x1234, seq=9, data=b"sealed"),
}


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


@pytest.fixture
def two_addresses() -> Iterator[Nat]:
    for box in nat(*nat_args(), f"--nat-address={SECOND}"):
        box.generations[1] = box.dp.bind(3, session_id=33)
        box.dp.up(3, box.generations[1], "100.64.0.4", nat_address=2, features_in=FEATURE_IN_NAT44)
        yield box


def tunnel(session: int = 0, dst: str = REMOTE, proto: int = 47, **ip: Any) -> Packet:
    return IP(src=INNER[session], dst=dst, proto=proto, **ip) / b"\0\0\x08\0tunnelled"


def tunnel_back(src: str = REMOTE, proto: int = 47, **ip: Any) -> Packet:
    return IP(src=src, dst=PUBLIC, proto=proto, **ip) / b"\0\0\x08\0tunnelled"


def flows(box: Nat) -> int:
    """Return how many flows there are; what counts them must agree."""
    table = box.dp.section(lib.SECTION_NAT_PROTOCOL, "struct nat_protocol")
    live = [table[i] for i in range(4096) if table[i].session]
    addresses = box.dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")
    assert sum(addresses[i].protocol_flows for i in range(box.dp.header.n_nat_addresses)) == len(
        live
    )
    return len(live)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_only_the_addresses_change_there_and_back(box: Nat, layer: Packet) -> None:
    packet = IP(src=INNER[0], dst=REMOTE, tos=0xB8, id=77) / layer
    there = box.sent(packet)
    assert (there.src, there.dst, there.tos, there.id) == (PUBLIC, REMOTE, 0xB8, 77)
    assert bytes(there)[20:] == bytes(layer)
    home = box.got(IP(src=REMOTE, dst=PUBLIC) / layer)
    assert (home.src, home.dst) == (REMOTE, INNER[0])
    assert bytes(home)[20:] == bytes(layer)
    assert flows(box) == 1


@pytest.mark.parametrize("proto", PROTOCOLS)
def test_another_subscriber_is_refused_the_same_remote(box: Nat, proto: int) -> None:
    box.sent(tunnel(0, proto=proto))
    packet = tunnel(1, proto=proto)
    refused = box.out(packet, 1)
    assert (refused.edge_name, refused.cause, refused.arg) == ("drop: remote-taken", 3, 13)
    assert refused.data == bytes(packet)
    cold = box.dp.session_cold(1)
    assert cold.nat_refused == cold.in_drops[lib.IN_DROP_NAT] == 1
    (event,) = box.dp.events()
    assert (event.type, event.session, event.arg) == (EventType.NAT_REFUSED, 1, NatRefusal.TAKEN)
    box.got(tunnel_back(proto=proto))  # the first one has it still
    box.sent(tunnel(1, dst=OTHER, proto=proto), 1)
    box.sent(tunnel(1, proto=97 - proto), 1)
    box.got(tunnel_back(proto=97 - proto), 1)


def test_subscribers_on_different_addresses_share_a_remote(two_addresses: Nat) -> None:
    box = two_addresses
    box.sent(tunnel())
    frame = box.out(IP(src="100.64.0.4", dst=REMOTE, proto=47) / b"\0\0\x08\0", 3)
    assert (frame.edge_name, IP(frame.data).src) == (PASSED, SECOND)
    assert flows(box) == 2


@pytest.mark.parametrize("proto", PROTOCOLS)
def test_nobody_comes_in_who_was_not_spoken_to(box: Nat, proto: int) -> None:
    assert box.back(tunnel_back(proto=proto)).edge_name == "drop: no-mapping"
    box.sent(tunnel(proto=proto))
    assert box.back(tunnel_back(OTHER, proto=proto)).edge_name == "drop: no-mapping"
    assert box.back(tunnel_back(proto=97 - proto)).edge_name == "drop: no-mapping"
    box.got(tunnel_back(proto=proto))


def test_outbound_refreshes_and_inbound_does_not(box: Nat) -> None:
    box.sent(tunnel())
    box.at(299)
    box.sent(tunnel())
    box.at(598)
    box.got(tunnel_back())
    assert box.out(tunnel(1), 1).edge_name == "drop: remote-taken"
    box.at(599)
    assert box.back(tunnel_back()).edge_name == "drop: no-mapping"
    box.sent(tunnel(1), 1)  # free for another
    box.got(tunnel_back(), 1)
    assert flows(box) == 1


def test_the_timer_is_configured() -> None:
    for box in nat(*nat_args(), "--nat-timeout=protocol=60"):
        box.sent(tunnel())
        box.at(60)
        assert box.back(tunnel_back()).edge_name == "drop: no-mapping"


def test_the_sweep_ends_what_is_over(box: Nat) -> None:
    for n in range(50):
        box.sent(tunnel(dst=f"198.51.100.{n}"))
    box.at(300)
    assert flows(box) == box.dp.session_cold(0).nat_mappings == 50
    box.dp.advance(62)
    assert flows(box) == box.dp.session_cold(0).nat_mappings == 0


def test_all_flows_end_with_the_session(box: Nat) -> None:
    for n in range(50):
        box.sent(tunnel(dst=f"198.51.100.{n}", proto=PROTOCOLS[n % 2]))
    box.sent(tunnel(1), 1)
    box.release(0)
    assert flows(box) == 1
    assert box.dp.session_cold(0).nat_protocol_first == 0
    box.sent(tunnel(1, dst="198.51.100.7"), 1)
    box.connect(0)
    assert box.out(tunnel(0, dst="198.51.100.7")).edge_name == "drop: remote-taken"


def test_a_closed_session_gets_nothing(box: Nat) -> None:
    box.sent(tunnel())
    quote = bytes(box.sent(tunnel()))
    box.close(0)
    assert box.back(tunnel_back()).edge_name == "drop: session-not-live"
    error = IP(src=ROUTER, dst=PUBLIC) / ICMP(type=3, code=4) / quote
    assert box.back(error).edge_name == "drop: session-not-live"


def test_flows_count_as_mappings() -> None:
    for box in nat(*nat_args(), "--nat-session-mappings=3"):
        box.sent(tunnel())
        box.sent(tunnel(proto=50))
        box.port_of(5000)
        assert box.out(tunnel(dst=OTHER)).edge_name == "drop: mapping-limit"
        assert box.out(udp(sport=1)).edge_name == "drop: mapping-limit"
        box.sent(tunnel())
        box.at(300)
        box.sent(udp(sport=1))  # those whose time is over do not count
        assert flows(box) == 0


def test_new_flows_come_at_the_rate_of_new_mappings() -> None:
    for box in nat(*nat_args(), "--nat-mappings-per-s=2"):
        box.sent(tunnel())
        box.port_of(5000)
        assert box.out(tunnel(dst=OTHER)).edge_name == "drop: mapping-rate"
        box.sent(tunnel())


def test_one_subscriber_has_his_share_of_the_table_and_no_more() -> None:
    for box in nat(*nat_args(), "--nat-session-protocol-flows=3"):
        for n in range(3):
            box.sent(tunnel(dst=f"192.0.2.{n}"))
        refused = box.out(tunnel(dst=OTHER))
        assert (refused.edge_name, refused.cause, refused.arg) == ("drop: mapping-limit", 3, 13)
        box.sent(tunnel(dst="192.0.2.0"))  # those he has go on
        box.sent(tunnel(1, dst=OTHER), 1)  # and others have theirs
        box.at(300)  # what is over makes room
        box.sent(tunnel(dst="192.0.2.9"))
        assert box.dp.session_cold(0).nat_protocol_flows == 1
        box.release(0)
        assert box.dp.session_cold(0).nat_protocol_flows == 0


def test_a_full_table_refuses_and_evicts_nobody() -> None:
    for box in nat(*nat_args(), "--nat-protocol-flows=64", "--nat-session-protocol-flows=200"):
        passed = []
        for n in range(200):
            frame = box.out(tunnel(dst=f"192.0.2.{n}"))
            if frame.edge_name == PASSED:
                passed.append(n)
            else:
                assert frame.edge_name == "drop: protocol-flows-full"
                assert (frame.cause, frame.arg) == (3, 1)
        assert 48 <= len(passed) <= 64
        for n in passed:
            box.got(tunnel_back(f"192.0.2.{n}"))
        box.at(299)
        box.sent(tunnel(dst=f"192.0.2.{passed[0]}"))
        box.at(300)  # what is over makes room
        for n in range(200, 216):
            box.sent(tunnel(1, dst=f"192.0.2.{n}"), 1)
        box.got(tunnel_back(f"192.0.2.{passed[0]}"))


def test_fragments_of_a_tunnel_need_no_first(box: Nat) -> None:
    later = box.sent(tunnel(proto=50, frag=185, id=5))
    assert (later.src, later.frag) == (PUBLIC, 185)
    home = box.got(tunnel_back(proto=50, frag=185, flags="MF", id=5))
    assert (home.dst, home.frag) == (INNER[0], 185)
    assert box.out(tunnel(1, proto=50, frag=185), 1).edge_name == "drop: remote-taken"


def test_what_is_too_big_or_too_old_is_answered_as_it_came(box: Nat) -> None:
    box.sent(tunnel())
    big = tunnel_back(flags="DF") / bytes(1480)
    frame = box.back(big)
    assert (frame.edge_name, frame.cause, frame.arg) == ("icmp4_error", 3, 1492 << 8 | 4)
    assert frame.data == bytes(big)
    assert box.back(tunnel_back(ttl=1)).edge_name == "icmp4_error"


@pytest.mark.parametrize("proto", PROTOCOLS)
@pytest.mark.parametrize("quoted", [28, 33])
def test_errors_from_outside_find_the_subscriber(box: Nat, proto: int, quoted: int) -> None:
    sent = bytes(tunnel(proto=proto))
    translated = bytes(box.sent(IP(sent)))
    error = IP(src=ROUTER, dst=PUBLIC) / ICMP(type=3, code=4, nexthopmtu=1400)
    home = box.got(error / translated[:quoted])
    assert (home.src, home.dst) == (ROUTER, INNER[0])
    assert bytes(home[ICMP].payload) == sent[:quoted]


@pytest.mark.parametrize("proto", PROTOCOLS)
def test_errors_of_the_subscriber_are_about_what_he_got(box: Nat, proto: int) -> None:
    quote = bytes(IP(src=REMOTE, dst=INNER[0], proto=proto) / b"tunnelled")
    error = IP(src=INNER[0], dst=REMOTE) / ICMP(type=3, code=2) / quote
    assert box.out(error).edge_name == "drop: no-mapping"
    box.sent(tunnel(proto=proto))
    out = box.sent(error)
    assert (out.src, out.dst) == (PUBLIC, REMOTE)
    assert bytes(out[ICMP].payload) == bytes(IP(src=REMOTE, dst=PUBLIC, proto=proto) / b"tunnelled")
    box.release(0)
    box.sent(tunnel(1, proto=proto), 1)
    box.connect(0)
    assert box.out(error).edge_name == "drop: no-mapping"  # another's flow


def test_errors_neither_refresh_nor_open(box: Nat) -> None:
    translated = bytes(box.sent(tunnel()))
    error = IP(src=ROUTER, dst=PUBLIC) / ICMP(type=11, code=0) / translated
    box.at(299)
    box.got(error)
    box.at(300)
    assert box.back(error).edge_name == "drop: no-mapping"


def test_tunnels_between_subscribers_turn_round(two_addresses: Nat) -> None:
    box = two_addresses
    there = box.sent(tunnel(dst=SECOND))

    def pool(packet: bytes, address: int) -> Frame:
        frame = Frame(data=packet, leaf=box.pool_leaf(address))
        return box.dp.node("nat44_out2in", [frame])[0]

    assert pool(bytes(there), 1).edge_name == "drop: no-mapping"  # he has not called back yet
    back = box.out(IP(src="100.64.0.4", dst=PUBLIC, proto=47) / b"\0\0\x08\0", 3)
    home = pool(back.data, 0)
    assert (home.session, judge(home.data).src, IP(home.data).dst) == (0, SECOND, INNER[0])
    arrived = pool(bytes(there), 1)
    assert (arrived.session, judge(arrived.data).src) == (3, PUBLIC)


def test_nobody_has_a_tunnel_to_his_own_public_address(box: Nat) -> None:
    assert box.out(tunnel(dst=PUBLIC)).edge_name == "drop: no-mapping"
    assert flows(box) == 0


@pytest.mark.parametrize("proto", [4, 41, 51, 132])
def test_other_protocols_are_not_translated(box: Nat, proto: int) -> None:
    for packet in (tunnel(proto=proto), tunnel(proto=proto, flags="MF")):
        assert box.out(packet).edge_name == "drop: protocol-not-translated"
    assert box.back(tunnel_back(proto=proto)).edge_name == "drop: protocol-not-translated"
