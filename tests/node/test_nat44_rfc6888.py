"""RFC 6888, requirement by requirement: carrier-grade NAT. nat44.md says which do not hold."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP

from dataplane.acl import Rule, compile_acl, with_counters
from dataplane.binding import SESSION_BYPASS, AclAction, CommandType, EventType, NatRefusal

from . import lab
from .harness import DEFAULT_ARGS, FEATURE_IN_NAT44, Frame, dataplane, ffi, lib
from .nat44 import (
    DELIVERED,
    INNER,
    OTHER,
    PASSED,
    PUBLIC,
    REMOTE,
    Nat,
    nat,
    nat_args,
    tcp,
    udp,
    udp_back,
)


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def ask(box: Nat, port: int, session: int = 0) -> str:
    return box.out(udp(sport=port, session=session), session).edge_name


@pytest.mark.parametrize("protocol", [33, 132, 136], ids=["dccp", "sctp", "udp-lite"])
def test_req_1_a_transport_whose_rules_are_not_kept_does_not_pass(box: Nat, protocol: int) -> None:
    packet = IP(src=INNER[0], dst=REMOTE, proto=protocol) / bytes(20)
    assert box.out(packet).edge_name == "drop: protocol-not-translated"
    packet = IP(src=REMOTE, dst=PUBLIC, proto=protocol) / bytes(20)
    assert box.back(packet).edge_name == "drop: protocol-not-translated"


def test_req_2_a_subscriber_is_on_one_address_in_all_protocols() -> None:
    for box in nat(*nat_args(blocks=4), "--nat-address=203.0.113.2"):
        sources = {box.sent(udp(sport=1000 + n)).src for n in range(256)}
        sources |= {box.sent(tcp("S", sport=1000 + n)).src for n in range(256)}
        sources.add(box.sent(IP(src=INNER[0], dst=REMOTE) / ICMP(type=8, id=1)).src)
        assert sources == {PUBLIC}


def test_req_3_the_pool_has_any_number_of_addresses_wherever_they_are() -> None:
    pool = ["203.0.113.1", "203.0.113.2", "198.18.7.255", "192.0.2.0", "100.127.255.1"]
    with dataplane(*(f"--nat-address={address}" for address in pool), *DEFAULT_ARGS) as dp:
        for number, address in enumerate(pool):
            generation = dp.bind(number)
            inner = f"100.64.1.{number + 1}"
            dp.up(number, generation, inner, nat_address=number + 1, features_in=FEATURE_IN_NAT44)
            packet = IP(src=inner, dst=REMOTE) / UDP(sport=5000, dport=53)
            assert Nat(dp, [0] * 5).sent(packet, number).src == address


def test_req_4_ports_and_identifiers_of_a_subscriber_are_limited(box: Nat) -> None:
    assert [ask(box, port) for port in range(128)] == [PASSED] * 128
    assert ask(box, 128) == "drop: port-limit"
    echo = IP(src=INNER[0], dst=REMOTE) / ICMP(type=8)
    for ident in range(128):
        echo[ICMP].id = ident
        box.sent(echo)
    echo[ICMP].id = 128
    assert box.out(echo).edge_name == "drop: port-limit"
    assert ask(box, 128, session=1) == PASSED


@pytest.mark.parametrize(("size", "blocks"), [(64, 1), (64, 3), (256, 1)])
def test_req_4a_the_limit_is_configured(size: int, blocks: int) -> None:
    for box in nat(*nat_args(block_size=size, blocks=blocks)):
        edges = [ask(box, port) for port in range(size * blocks + 1)]
        assert edges == [PASSED] * (size * blocks) + ["drop: port-limit"]


def test_req_4c_the_rate_of_new_mappings_is_limited() -> None:
    for box in nat(*nat_args(), "--nat-mappings-per-s=10"):
        assert [ask(box, port) for port in range(11)] == [PASSED] * 10 + ["drop: mapping-rate"]
        assert ask(box, 0, session=1) == PASSED
        box.at(1)
        assert [ask(box, port) for port in range(20, 31)] == [PASSED] * 10 + ["drop: mapping-rate"]


def test_req_5_the_memory_of_a_subscriber_is_bounded() -> None:
    args = ("--nat-filtering=address-dependent", "--nat-session-remotes=3")
    for box in nat(*nat_args(), *args, "--nat-session-mappings=100"):
        for number in range(3):
            box.sent(udp(dst=f"192.0.2.{number + 1}"))
        assert box.out(udp(dst=OTHER)).edge_name == "drop: remote-limit"
        edges = [ask(box, port) for port in range(100)]
        assert edges == [PASSED] * 99 + ["drop: mapping-limit"]
        cold = box.dp.session_cold(0)
        assert (cold.nat_mappings, cold.nat_remotes) == (100, 3)


@pytest.mark.parametrize("most", [1, 5])
def test_req_5a_the_bounds_are_configured(most: int) -> None:
    args = ("--nat-filtering=address-dependent", f"--nat-session-remotes={most + 1}")
    for box in nat(*nat_args(), *args, f"--nat-session-mappings={most}"):
        edges = [ask(box, port) for port in range(most + 1)]
        assert edges == [PASSED] * most + ["drop: mapping-limit"]
        edges = [box.out(udp(sport=0, dst=f"192.0.2.{n}")).edge_name for n in range(most + 1)]
        assert edges == [PASSED] * most + ["drop: remote-limit"]


def test_req_5b_state_is_allocated_at_a_limited_rate() -> None:
    for box in nat(*nat_args(), "--nat-mappings-per-s=5"):
        for port in range(100):
            box.out(tcp("S", sport=port))
        assert box.dp.session_cold(0).nat_mappings == 5


def test_req_6_some_destinations_are_reached_untranslated(box: Nat) -> None:
    there = int(IPv4Address(REMOTE))
    rule = Rule(AclAction.PERMIT, destination=(there, there))
    assert lab.set_acl(box.dp, 0, with_counters(compile_acl([rule], AclAction.DENY), 1)) == 0
    record = lab.command(CommandType.SESSION_BYPASS, 0, box.generations[0], SESSION_BYPASS.pack(1))
    assert box.dp.command(record) == 0
    both = lib.FEATURE_IN_NAT44_BYPASS, lib.FEATURE_IN_NAT44
    arc = sum(1 << bit for bit in both)
    frames = [Frame(data=bytes(packet), session=0, arc=arc) for packet in (udp(), udp(dst=OTHER))]
    edges = [frame.edge_name for frame in box.dp.node("nat44_bypass", frames)]
    assert edges == ["ip4_lookup", "nat44_in2out"]


def test_req_7_filtering_is_endpoint_independent_unless_configured(box: Nat) -> None:
    external = box.port_of(5000)
    box.got(udp_back(external, src=OTHER, sport=9))
    for strict in nat(*nat_args(), "--nat-filtering=address-dependent"):
        external = strict.port_of(5000)
        assert strict.back(udp_back(external, src=OTHER)).edge_name == "drop: filtered"


def test_req_8_ports_given_back_rest_120_seconds() -> None:
    args = ("--nat-quarantine=120", "--nat-quarantine-percent=100")
    for box in nat(*nat_args(block_size=4096, blocks=1), *args):
        mine = box.port_of(5000) & ~4095
        box.release(0)
        for number in range(2, 15):  # all that is free
            box.dp.up(number, box.dp.bind(number), f"100.64.2.{number}", nat_address=1)
        generation = box.dp.bind(20)
        for at in (0, 119):
            box.at(at)
            with pytest.raises(RuntimeError, match="-28"):
                box.dp.up(20, generation, "100.64.2.20", nat_address=1)
        box.at(120)
        box.dp.up(20, generation, "100.64.2.20", nat_address=1, features_in=FEATURE_IN_NAT44)
        packet = IP(src="100.64.2.20", dst=REMOTE) / UDP(sport=1, dport=2)
        assert box.sent(packet, 20)[UDP].sport & ~4095 == mine


def test_req_8a_ports_of_tracked_tcp_are_used_again_at_once(box: Nat) -> None:
    external = {int(box.sent(tcp("S", sport=n))[TCP].sport) for n in range(128)}
    assert box.out(tcp("S", sport=200)).edge_name == "drop: port-limit"
    box.at(240)
    assert int(box.sent(tcp("S", sport=200))[TCP].sport) in external


def test_req_8b_ports_that_are_a_subscribers_for_good_are_used_again_at_once() -> None:
    args = ("--nat-address=203.0.113.1,deterministic", *nat_args(block_size=64, blocks=1)[-2:])
    with dataplane(*DEFAULT_ARGS, *args, "--nat-quarantine=120") as dp:
        box, place = Nat(dp, [0, 0]), {"nat_address": 1, "nat_blocks": (101, 1)}
        for _ in range(3):
            box.generations[0] = dp.bind(0)
            dp.up(0, box.generations[0], INNER[0], features_in=FEATURE_IN_NAT44, **place)
            external = {box.port_of(port) for port in range(64)}
            assert external == set(range(6400, 6464))
            box.release(0)
        assert box.log() == []


def test_req_11a_and_11b_the_packet_is_dropped_and_its_sender_told() -> None:
    for box in nat(*nat_args(block_size=4096, blocks=64)):
        for number in range(2, 15):
            box.dp.up(number, box.dp.bind(number), f"100.64.2.{number}", nat_address=1)
        for port in range(4096):
            assert ask(box, port) == PASSED
        frame = box.out(udp(sport=4096))
        assert (frame.edge_name, frame.cause, frame.arg) == ("drop: no-free-block", 3, 1)
        assert frame.data == bytes(udp(sport=4096))


def test_req_11c_the_operator_hears_of_it(box: Nat) -> None:
    for port in range(130):
        ask(box, port)
    (event,) = box.dp.events()
    assert (event.type, event.session) == (EventType.NAT_REFUSED, 0)
    assert event.arg == NatRefusal.PORTS
    assert box.dp.session_cold(0).nat_refused == 2


def test_req_11d_no_mapping_makes_room_for_another(box: Nat) -> None:
    external = {port: box.port_of(port) for port in range(128)}
    for port in range(128, 200):
        assert ask(box, port) == "drop: port-limit"
    for port, known in external.items():
        assert box.back(udp_back(known)).edge_name == DELIVERED
        assert box.port_of(port) == known


def test_req_12_no_destination_is_logged(box: Nat) -> None:
    names = {name for name, _ in ffi.typeof("struct nat_log_record").fields}
    assert not any(word in name for name in names for word in ("remote", "destination", "peer"))
    for port in range(70):
        box.port_of(port)
    box.release(0)
    remote = bytes(map(int, REMOTE.split(".")))
    records = box.log()
    assert len(records) == 5
    assert not any(remote in bytes(ffi.buffer(record)) for record in records)


def test_req_13_every_port_of_an_address_is_given() -> None:
    for box in nat(*nat_args(block_size=4096, blocks=64)):
        box.release(1)
        block_size, blocks = 4096, 15
        template = bytearray(bytes(IP(src=INNER[0], dst=REMOTE) / UDP(dport=53, chksum=0)))
        external = set()
        for port in range(block_size * blocks):
            template[20:22] = port.to_bytes(2, "big")
            if port % 61 == 0:  # a part of them is enough to see which block each is in
                external.add(IP(box.out(bytes(template)).data)[UDP].sport >> 12)
            else:
                assert box.out(bytes(template)).edge_name == PASSED
        assert external == set(range(1, 16))
        assert box.out(udp(sport=65_000)).edge_name == "drop: no-free-block"


def test_req_14_one_record_tells_of_many_mappings(box: Nat) -> None:
    box.log()
    for port in range(128):
        box.port_of(port)
        box.sent(tcp("S", sport=port))
    (record,) = box.log()  # the second block: the first was logged with the session
    assert record.type == lib.NAT_LOG_BLOCK_ALLOCATED
    assert record.port_last - record.port_first == 63


def test_req_15_ports_and_blocks_are_left_to_chance() -> None:
    blocks, steps = set(), set()
    for _ in range(4):
        for box in nat(*nat_args(block_size=1024, blocks=1)):
            ports = [box.port_of(5000 + n) for n in range(100)]
            blocks.add(ports[0] >> 10)
            steps |= {b - a for a, b in pairwise(ports)}
    assert len(blocks) > 1
    assert len(steps) > 200
