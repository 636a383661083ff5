"""pppoe_padt: a frame for an unknown id draws one PADT (RFC 2516 section 5.5)."""

import pytest
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoED

from . import lab
from .harness import ACC, CLIENT_MAC, Dataplane

TAGS = [(), ((0x9100, 7),), lab.QINQ]


@pytest.mark.parametrize("tags", TAGS)
def test_the_padt_repeats_id_and_tags_with_the_control_priority(
    dp: Dataplane, tags: tuple[lab.Tag, ...]
) -> None:
    dp.port(ACC).control_pbit = 6
    dp.receive(ACC, lab.session_frame(bytes(60), session_id=0x1234, tags=tags, priority=1))
    padt = bytes.fromhex("11a712340000")
    expected = lab.ethernet(
        padt, 0x8863, source=lab.BOX, destination=CLIENT_MAC, tags=tags, priority=6
    )
    assert dp.sent(ACC) == [expected]


def test_scapy_reads_the_padt(dp: Dataplane) -> None:
    dp.receive(ACC, lab.session_frame(bytes(60), session_id=0xFFFE))
    padt = Ether(dp.sent(ACC)[0])
    assert (padt.dst, padt.type) == (CLIENT_MAC.hex(":"), 0x8863)
    assert (padt[PPPoED].code, padt[PPPoED].sessionid, padt[PPPoED].len) == (0xA7, 0xFFFE, 0)


def test_a_client_gets_one_padt_per_second(dp: Dataplane) -> None:
    frames = [lab.session_frame(bytes(40), session_id=5)] * 10
    dp.receive(ACC, *frames)
    assert len(dp.sent(ACC)) == 1
    dp.advance(0.9)
    dp.receive(ACC, *frames)
    assert dp.sent(ACC) == []
    dp.advance(0.2)
    dp.receive(ACC, *frames)
    assert len(dp.sent(ACC)) == 1


def test_one_client_does_not_use_up_what_is_for_all(dp: Dataplane) -> None:
    dp.receive(ACC, *[lab.session_frame(bytes(40), session_id=5)] * 1000)
    assert len(dp.sent(ACC)) == 1
    dp.receive(ACC, lab.session_frame(bytes(40), session_id=5, source=lab.OTHER))
    assert len(dp.sent(ACC)) == 1


def test_one_svlan_does_not_use_up_what_is_for_all(dp: Dataplane) -> None:
    macs = [b"\x02\x00\x00\x00\x00" + bytes((i,)) for i in range(250)]
    noisy, other = ((0x8100, 7),), ((0x8100, 8),)
    dp.receive(ACC, *[lab.session_frame(bytes(40), source=m, tags=noisy) for m in macs[20:]])
    assert len(dp.sent(ACC)) == 50
    dp.receive(ACC, *[lab.session_frame(bytes(40), source=m, tags=other) for m in macs[:20]])
    assert len(dp.sent(ACC)) >= 14, "a few clients may share a bucket with others"
    assert dp.counters()["pppoe_padt/drop: svlan-share-used-up"] > 150


@pytest.mark.parametrize("session_id", [0, 0xFFFF])
def test_reserved_ids_draw_nothing(dp: Dataplane, session_id: int) -> None:
    dp.receive(ACC, lab.session_frame(bytes(40), session_id=session_id))
    assert dp.sent(ACC) == []
