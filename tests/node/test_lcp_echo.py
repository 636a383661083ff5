"""lcp_echo: answers, originates, counts misses, finds loops and idle sessions (RFC 1661 5.8)."""

import errno

import pytest

from dataplane.binding import EventType

from . import lab
from .harness import ACC, CLIENT_MAC, DEFAULT_ARGS, WAN, Dataplane, Frame, dataplane, lib

OURS, PEERS = 0x11111111, 0x22222222


def from_client(packet: bytes) -> bytes:
    return lab.session_frame(packet, lab.PPP_LCP)


def to_client(packet: bytes) -> bytes:
    return lab.session_frame(packet, lab.PPP_LCP, source=lab.BOX, destination=CLIENT_MAC)


def requests_sent(dp: Dataplane) -> list[int]:
    """Return the ids of the Echo-Requests that left."""
    frames = dp.sent(ACC)
    for frame in frames:
        expected = bytes((9, frame[23])) + b"\x00\x08" + OURS.to_bytes(4, "big")
        assert frame == to_client(expected)
    return [frame[23] for frame in frames]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(200))])
def test_a_request_is_answered_with_our_magic_and_its_data(dp: Dataplane, data: bytes) -> None:
    lab.start_echo(dp, lab.furnish(dp))
    dp.receive(ACC, from_client(lab.echo(9, PEERS, data) + bytes(5)))
    assert dp.sent(ACC) == [to_client(lab.echo(10, OURS, data))]
    assert dp.session_cold(0).echo_rx == 1


def test_the_answer_carries_the_control_priority(dp: Dataplane) -> None:
    dp.port(ACC).control_pbit = 5
    lab.start_echo(dp, lab.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1]))
    dp.receive(ACC, lab.session_frame(lab.echo(9, PEERS), lab.PPP_LCP, tags=lab.QINQ))
    assert dp.sent(ACC) == [
        lab.session_frame(
            lab.echo(10, OURS),
            lab.PPP_LCP,
            source=lab.BOX,
            destination=CLIENT_MAC,
            tags=lab.QINQ,
            priority=5,
        )
    ]


@pytest.mark.parametrize("length", [0, 7, 9, 0xFFFF])
def test_a_wrong_length_is_silently_discarded(dp: Dataplane, length: int) -> None:
    lab.start_echo(dp, lab.furnish(dp))
    dp.receive(ACC, from_client(lab.echo(9, PEERS, length=length)))
    assert dp.sent(ACC) == []
    assert dp.counters()["lcp_echo/drop: length-wrong"] == 1


def test_a_request_is_dropped_at_every_length_it_is_cut_to(dp: Dataplane) -> None:
    lab.start_echo(dp, lab.furnish(dp))
    request = lab.echo(9, PEERS)
    for length in range(1, len(request)):
        dp.receive(ACC, from_client(request[:length]))
    assert dp.sent(ACC) == []
    assert dp.counters()["lcp_echo/drop: length-wrong"] == len(request) - 1


def test_our_own_magic_is_a_loop_told_once(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.start_echo(dp, generation)
    dp.receive(ACC, *[from_client(lab.echo(9, OURS))] * 3)
    assert dp.sent(ACC) == []
    assert [(e.type, e.session, e.generation) for e in dp.events()] == [
        (EventType.LOOP, 0, generation)
    ]
    assert dp.session_cold(0).flags == lib.SESSION_FLAG_LOOP


def test_without_magic_numbers_nothing_is_a_loop(dp: Dataplane) -> None:
    lab.start_echo(dp, lab.furnish(dp), ours=0, peers=0)
    dp.receive(ACC, from_client(lab.echo(9, 0)))
    assert dp.sent(ACC) == [to_client(lab.echo(10, 0))]


def test_a_dead_client_is_asked_and_then_told_lost_once(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.start_echo(dp, generation, interval_ms=10_000, failures=3)
    dp.advance(9, step=0.5)
    assert requests_sent(dp) == []
    dp.advance(30, step=0.5)
    assert len(requests_sent(dp)) == 3
    assert dp.events() == []
    dp.advance(30, step=0.5)
    assert requests_sent(dp) == []
    assert [(e.type, e.session, e.generation) for e in dp.events()] == [
        (EventType.ECHO_LOST, 0, generation)
    ]
    assert dp.session_cold(0).flags == lib.SESSION_FLAG_ECHO_LOST
    assert dp.session_cold(0).echo_tx == 3


def test_a_loss_that_finds_no_room_in_the_ring_is_told_later(dp: Dataplane) -> None:
    ring = dp.section(lib.SECTION_RING, "struct ring")[lib.RING_EVENT]
    lab.start_echo(dp, lab.furnish(dp), interval_ms=1_000, failures=1)
    at, full = int(ring.tail), int(ring.size)
    ring.head += full
    dp.advance(10, step=0.5)
    ring.head = at
    assert dp.session_cold(0).flags == 0
    dp.advance(2, step=0.5)
    assert [event.type for event in dp.events()] == [EventType.ECHO_LOST]


def test_a_request_that_could_not_be_sent_is_no_miss() -> None:
    with dataplane(*DEFAULT_ARGS, "--workers=-,-", "--buffers=512") as dp:
        lab.start_echo(dp, lab.furnish(dp), interval_ms=10_000)
        with pytest.raises(RuntimeError, match=str(-errno.ENOMEM)):
            for _ in range(513):
                assert dp.node("handoff", [Frame(data=b"", arg=1)])[0].edge_name == "consumed"
        dp.set_time(dp.now_ns + 20_000_000_000)
        dp.run()  # worker 0 has no buffer left before worker 1 frees them
        assert dp.session_cold(0).echo_missed == dp.session_cold(0).echo_tx == 0
        dp.advance(1.1)
        assert dp.session_cold(0).echo_missed == dp.session_cold(0).echo_tx == 1
        assert len(requests_sent(dp)) == 1


def test_ids_of_requests_differ(dp: Dataplane) -> None:
    lab.start_echo(dp, lab.furnish(dp), interval_ms=1000, failures=200)
    dp.advance(10, step=0.25)
    ids = requests_sent(dp)
    assert len(ids) > 3
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("kind", ["reply", "request", "data", "control"])
def test_whatever_the_client_sends_counts_as_alive(dp: Dataplane, kind: str) -> None:
    lab.start_echo(dp, lab.furnish(dp), interval_ms=5000, failures=2)
    frames = {
        "reply": from_client(lab.echo(10, PEERS)),
        "request": from_client(lab.echo(9, PEERS)),
        "data": lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)),
        "control": lab.session_frame(bytes(4), 0x8021),
    }
    for _ in range(30):
        dp.receive(ACC, frames[kind])
        dp.advance(2, step=0.5)
    assert dp.events() == []
    assert dp.session_cold(0).echo_tx == 0


@pytest.mark.parametrize(("magic", "events"), [(OURS, [EventType.ECHO_LOST]), (0, []), (5, [])])
def test_a_reply_counts_whatever_its_magic_unless_it_is_our_own(
    dp: Dataplane, magic: int, events: list[EventType]
) -> None:
    lab.start_echo(dp, lab.furnish(dp), interval_ms=5000, failures=2)
    for _ in range(12):
        dp.receive(ACC, from_client(lab.echo(10, magic)))
        dp.advance(2, step=0.5)
    assert [e.type for e in dp.events()] == events


def test_downstream_traffic_does_not_count(dp: Dataplane) -> None:
    lab.start_echo(dp, lab.furnish(dp, idle_timeout_ms=8000), interval_ms=5000, failures=2)
    for _ in range(12):
        dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
        dp.advance(2, step=0.5)
    assert {e.type for e in dp.events()} == {EventType.ECHO_LOST, EventType.IDLE}


def test_misses_freeze_while_the_port_is_down(dp: Dataplane) -> None:
    lab.start_echo(dp, lab.furnish(dp), interval_ms=5000, failures=2)
    dp.port(ACC).flags = 0
    dp.advance(60, step=0.5)
    dp.port(ACC).flags = lib.PORT_UP
    dp.advance(4, step=0.5)
    assert (requests_sent(dp), dp.session_cold(0).echo_missed) == ([], 0)
    dp.advance(3, step=0.5)
    assert len(requests_sent(dp)) == 1
    assert [e.type for e in dp.events() if e.type == EventType.ECHO_LOST] == []


def test_a_session_without_data_is_idle_once_and_echo_does_not_help(dp: Dataplane) -> None:
    generation = lab.furnish(dp, idle_timeout_ms=10_000)
    lab.start_echo(dp, generation)
    for _ in range(20):
        dp.receive(ACC, from_client(lab.echo(9, PEERS)))
        dp.advance(1, step=0.5)
    assert [(e.type, e.generation) for e in dp.events()] == [(EventType.IDLE, generation)]
    assert dp.session_cold(0).flags == lib.SESSION_FLAG_IDLE


def test_data_from_the_client_puts_idle_off(dp: Dataplane) -> None:
    lab.furnish(dp, idle_timeout_ms=10_000)
    for _ in range(20):
        dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
        dp.advance(1, step=0.5)
    assert dp.events() == []


def test_spoofed_data_does_not_put_idle_off(dp: Dataplane) -> None:
    lab.furnish(dp, idle_timeout_ms=10_000)
    for _ in range(20):
        dp.receive(ACC, lab.session_frame(lab.udp("9.9.9.9", lab.SERVER)))
        dp.advance(1, step=0.5)
    assert [e.type for e in dp.events()] == [EventType.IDLE]


def test_every_session_is_visited_once_a_second(dp: Dataplane) -> None:
    for index in range(1000):
        generation = dp.bind(
            index, mac=b"\x02\x00\x00\x00" + index.to_bytes(2, "big"), domain_page=(index + 1) >> 8
        )
        dp.up(index, generation, f"100.64.{index >> 8}.{index & 255}", idle_timeout_ms=100)
    dp.advance(1.2)
    assert sorted(e.session for e in dp.events()) == list(range(1000))


def test_time_may_wrap(dp: Dataplane) -> None:
    wrap_ns = (1 << 32) * 1_000_000
    dp.set_time(wrap_ns - 20_000_000_000)
    lab.start_echo(dp, lab.furnish(dp, idle_timeout_ms=60_000), interval_ms=10_000, failures=3)
    dp.advance(35, step=0.5)
    assert len(requests_sent(dp)) == 3
    assert dp.events() == []
