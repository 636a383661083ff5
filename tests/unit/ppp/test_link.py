"""Properties of the whole link: its size, its timers, its end."""

import gc
import tracemalloc

from bng.ppp.actions import DownReason, LinkDown
from bng.ppp.config import AuthMethod
from bng.ppp.link import Link
from tests.unit.ppp.peer import (
    LCP,
    MAGIC,
    NAK,
    PAP,
    PROTREJ,
    REQ,
    Peer,
    config,
    counting_entropy,
    packet,
)

LIMIT_BYTES = 4096


def test_an_opened_link_with_all_its_layers_takes_less_than_4_kb() -> None:
    settings = config(AuthMethod.CHAP_MD5)
    links: list[Link] = []
    Peer(settings).open_all()  # what is made once only
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(50):
            links.append(Peer(settings).open_all().link)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / len(links) < LIMIT_BYTES


def test_a_link_is_no_cycle_and_goes_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        peer = Peer().open_all()
        peer.link.lower_down(peer.now)
        del peer
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_link_without_lower_layer_has_no_deadline_and_hears_nothing() -> None:
    link = Link(config(AuthMethod.PAP), counting_entropy())
    assert link.next_deadline() is None
    assert link.receive(packet(LCP, REQ, 1, MAGIC), 0.0) == link.tick(1e9) == []


def test_a_link_that_never_came_up_can_end() -> None:
    up_never = Link(config(AuthMethod.PAP), counting_entropy())
    assert up_never.lower_down(0.0) == [LinkDown(DownReason.LOWER_DOWN)]
    closed = Link(config(AuthMethod.PAP), counting_entropy())
    assert closed.close(0.0) == [LinkDown(DownReason.ADMIN)]


def test_the_first_reason_is_the_one_reported() -> None:
    peer = Peer().open_all()
    peer.note(peer.link.close(peer.now, DownReason.AUTH_FAILED))
    peer.note(peer.link.close(peer.now, DownReason.ADMIN))
    peer.note(peer.link.lower_down(peer.now))
    assert peer.down == [LinkDown(DownReason.AUTH_FAILED)]


def test_packets_that_are_not_for_an_authenticator_are_counted() -> None:
    peer = Peer(config(AuthMethod.PAP))
    peer.open_lcp()
    assert peer.send(PAP, 2, b"\0") == []
    assert peer.link.discarded == 1


def test_a_protocol_reject_of_a_protocol_that_we_never_sent_changes_nothing() -> None:
    peer = Peer().open_all()
    assert peer.send(LCP, PROTREJ, b"\x80\xfd") == []
    assert peer.wait(100) == []
    assert not peer.down


def test_a_nak_of_authentication_that_we_did_not_ask_for_changes_nothing() -> None:
    peer = Peer(config())
    peer.wait(0.1)
    before = peer.last(LCP, REQ)
    (again,) = peer.send(LCP, NAK, bytes.fromhex("0304c023"), before[2])
    assert again[3] == before[3]


def test_discards_of_an_ncp_are_still_counted_after_it_is_gone() -> None:
    peer = Peer().open_all()
    peer.send(0x8021, 2, b"", 200)
    assert peer.link.discarded == 1
    peer.note(peer.link.lower_down(peer.now))
    assert peer.link.discarded == 1
