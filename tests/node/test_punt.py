"""punt and inject: what bngd gets, how much of it, and what it sends (design, section 2)."""

import pytest

from dataplane import binding

from . import lab
from .harness import ACC, CLIENT_MAC, NO_SESSION, Dataplane

PADI = bytes.fromhex("110900000004") + bytes.fromhex("01010000")
TAGS = [(), ((0x8100, 7),), lab.QINQ]


@pytest.mark.parametrize("tags", TAGS)
def test_a_padi_arrives_with_its_line(dp: Dataplane, tags: tuple[lab.Tag, ...]) -> None:
    frame = lab.ethernet(PADI, 0x8863, destination=lab.BROADCAST, tags=tags) + bytes(10)
    dp.receive(ACC, frame)
    (punt,) = dp.punts()
    both = (*tags, (0, 0), (0, 0))
    assert (punt.cause, punt.port, punt.session) == (binding.PuntCause.DISCOVERY, ACC, NO_SESSION)
    assert (punt.outer_tpid, punt.outer_vid) == both[0]
    assert (punt.inner_tpid, punt.inner_vid) == both[1]
    assert (punt.source, punt.destination) == (CLIENT_MAC, lab.BROADCAST)
    assert punt.data == PADI + bytes(10)
    assert (punt.full_len, punt.monotonic_ns) == (len(PADI) + 10, dp.now_ns)


def test_control_arrives_from_the_protocol_field_on_without_padding(dp: Dataplane) -> None:
    generation = dp.bind(3, session_id=77)
    request = bytes.fromhex("0101000a0506deadbeef")
    dp.receive(ACC, lab.session_frame(request, lab.PPP_LCP, session_id=77) + bytes(30))
    (punt,) = dp.punts()
    assert (punt.session, punt.generation) == (3, generation)
    assert (punt.source, punt.destination) == (CLIENT_MAC, lab.BOX)
    assert punt.data == bytes.fromhex("c021") + request


@pytest.mark.parametrize(("size", "kept"), [(10, 12), (126, 128), (127, 128), (1400, 128)])
def test_unknown_protocols_are_cut_to_128_bytes(dp: Dataplane, size: int, kept: int) -> None:
    dp.bind(0)
    dp.receive(ACC, lab.session_frame(bytes(size), 0x80FD))
    (punt,) = dp.punts()
    assert (len(punt.data), punt.full_len) == (kept, size + 2)


def test_a_hostile_session_uses_up_its_own_share_only(dp: Dataplane) -> None:
    dp.bind(0)
    dp.bind(1, mac=lab.OTHER)
    flood = [lab.session_frame(bytes.fromhex("01010004"), lab.PPP_LCP)] * 1000
    dp.receive(ACC, *flood)
    assert [p.session for p in dp.punts()] == [0] * 40
    dial = lab.session_frame(bytes(4), lab.PPP_LCP, session_id=2, source=lab.OTHER)
    dp.receive(ACC, *flood, *[dial] * 12)
    assert [p.session for p in dp.punts()] == [1] * 12
    dp.advance(0.5)
    dp.receive(ACC, *flood)
    assert len(dp.punts()) == 20


def padi(mac: bytes, vid: int = 0) -> bytes:
    tags = ((0x8100, vid),) if vid else ()
    return lab.ethernet(PADI, 0x8863, source=mac, destination=lab.BROADCAST, tags=tags)


def test_a_hostile_client_uses_up_its_own_share_only(dp: Dataplane) -> None:
    dp.receive(ACC, *[padi(CLIENT_MAC)] * 1000, padi(lab.OTHER), padi(CLIENT_MAC, 5))
    sources = [(p.source, p.outer_vid) for p in dp.punts()]
    assert sources.count((CLIENT_MAC, 0)) == 20
    assert sources[20:] == [(lab.OTHER, 0), (CLIENT_MAC, 5)]
    dp.advance(1)
    dp.receive(ACC, *[padi(CLIENT_MAC)] * 1000)
    assert len(dp.punts()) == 10


def macs(n: int) -> list[bytes]:
    return [b"\x02\x00" + i.to_bytes(4, "big") for i in range(n)]


def test_a_storm_of_20000_padi_within_2_s_is_absorbed(dp: Dataplane) -> None:
    clients = macs(20_000)
    got = 0
    for step in range(20):
        dp.receive(ACC, *[padi(mac) for mac in clients[step * 1000 : step * 1000 + 1000]])
        got += len(dp.punts())
        dp.advance(0.1, step=0.1)
    assert got == 20_000


def test_an_s_vlan_full_of_invented_clients_does_not_starve_another(dp: Dataplane) -> None:
    clients = macs(24_000)
    got = 0
    for at in range(0, len(clients), 1000):
        dp.receive(ACC, *[padi(mac, 5) for mac in clients[at : at + 1000]])
        got += len(dp.punts())
    assert got == 20_000
    dp.receive(ACC, padi(CLIENT_MAC, 6))
    assert [p.outer_vid for p in dp.punts()] == [6]


def inject(kind: int, data: bytes, tags: tuple[lab.Tag, ...] = (), session: int = 0) -> bytes:
    both = (*tags, (0, 0), (0, 0))
    fields = (*both[0], *both[1], CLIENT_MAC, 0, 0)
    return binding.INJECT.pack(kind, ACC, 0, session, 1, *fields) + data


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("pbit", [0, 6, 7])
def test_discovery_leaves_with_the_tags_of_the_request(
    dp: Dataplane, tags: tuple[lab.Tag, ...], pbit: int
) -> None:
    dp.port(ACC).control_pbit = pbit
    pado = bytes.fromhex("110700000004") + bytes.fromhex("01010000")
    dp.push(0, binding.Ring.INJECT, inject(1, pado, tags))
    dp.run()
    expected = lab.ethernet(
        pado, 0x8863, source=lab.BOX, destination=CLIENT_MAC, tags=tags, priority=pbit
    )
    assert dp.sent(ACC) == [expected]


@pytest.mark.parametrize("tags", TAGS)
def test_control_leaves_with_the_sessions_header_and_its_own_protocol(
    dp: Dataplane, tags: tuple[lab.Tag, ...]
) -> None:
    both = (*tags, (0, 0), (0, 0))
    dp.port(ACC).control_pbit = 6
    assert dp.bind(0, session_id=0xABCD, outer=both[0], inner=both[1]) == 1
    dp.push(0, binding.Ring.INJECT, inject(2, bytes.fromhex("c02101010004")))
    dp.run()
    expected = lab.session_frame(
        bytes.fromhex("01010004"),
        lab.PPP_LCP,
        session_id=0xABCD,
        source=lab.BOX,
        destination=CLIENT_MAC,
        tags=tags,
        priority=6,
    )
    assert dp.sent(ACC) == [expected]
    assert dp.session_out(0).packets == 0


def test_inject_drops_a_record_at_every_length_it_is_cut_to(dp: Dataplane) -> None:
    dp.bind(0)
    records = [inject(1, PADI[:6]), inject(2, b"\xc0\x21")]
    for record in records:
        for length in range(32, len(record)):
            dp.push(0, binding.Ring.INJECT, record[:length])
            dp.run()
    assert dp.sent(ACC) == []
    assert dp.counters()["inject/drop: truncated"] == 6 + 2
