"""How requests travel: retransmission, failover, dead servers, probes, queues (RFC 5080, 5997)."""

from radius.client import Answered, Client, Failed, Failure, Send
from radius.packet import Code, Request
from radius.settings import Transport
from tests.unit.radius.wire import attributes, client, reply, server

ACCESS = Request(code=Code.ACCESS_REQUEST, attributes=(("User-Name", "alice"),))
STOP = Request(code=Code.ACCOUNTING_REQUEST, attributes=(("Acct-Status-Type", 2),), event_at=990.0)


def sends(core: Client) -> list[Send]:
    """Return what is to be sent, and nothing else is to be done."""
    actions = core.take()
    assert all(isinstance(action, Send) for action in actions)
    return [action for action in actions if isinstance(action, Send)]


def one(core: Client) -> Send:
    (send,) = sends(core)
    return send


def answer(core: Client, send: Send, now: float, code: int = 2) -> None:
    core.receive(send.server, send.socket, reply(send.data, code), now)


def test_an_answer_ends_a_request() -> None:
    core = client(server("a"))
    core.submit(ACCESS, "token", 0)
    answer(core, one(core), 0.25)
    (end,) = core.take()
    assert isinstance(end, Answered)
    assert (end.token, end.server, end.reply.code) == ("token", "a", Code.ACCESS_ACCEPT)
    assert core.next_deadline() is None
    state = core.servers[0]
    assert (state.outstanding, state.answer_s(0.5)) == (0, 0.25)
    assert state.counters == {"requests": 1, "accepts": 1}


def test_a_silent_server_gets_the_same_packet_again_then_the_next_server_a_new_one() -> None:
    """RFC 5080 §2.2.1: IRT, then doubled; the same id and authenticator (RFC 2865 §2.5)."""
    core = client(server("a"), server("b", priority=1), timeout_s=2, tries=3)
    core.submit(ACCESS, "token", 0)
    first = one(core)
    for at in (2, 6):
        assert core.next_deadline() == at
        core.tick(at)
        assert one(core) == first
    core.tick(14)
    second = one(core)
    assert (first.server, second.server) == (0, 1)
    assert second.data[4:20] != first.data[4:20]
    assert not core.servers[0].alive(14)
    answer(core, second, 15)
    (end,) = core.take()
    assert isinstance(end, Answered)
    assert end.server == "b"


def test_waits_are_jittered_and_bounded() -> None:
    core = client(server("a"), jitter=1.0, timeout_s=1, max_timeout_s=3, tries=9, give_up_s=99)
    core.submit(ACCESS, "token", 0)
    waits, now = [], 0.0
    for _ in range(4):
        at = core.next_deadline()
        assert at is not None
        waits.append(round(at - now, 3))
        core.tick(now := at)
    assert waits == [1.1, 2.31, 3.3, 3.3]


def test_a_server_that_answers_late_is_not_asked_again_before_it_can_answer() -> None:
    core = client(server("a"), timeout_s=2, tries=3)
    for number in range(20):
        core.submit(ACCESS, number, 10.0 * number)
        first = one(core)
        if number < 2:  # nothing is known of it yet
            core.tick(10.0 * number + 2)
            core.take()
        core.tick(10.0 * number + 2.5)
        answer(core, first, 10.0 * number + 2.5)
        core.take()
    assert core.servers[0].counters["retransmits"] == 1
    assert 3.1 < core.servers[0].patience_s < 3.2
    core.submit(ACCESS, "lost", 300)
    first = one(core)
    at = core.next_deadline()
    assert at is not None
    assert 303.1 < at < 303.2
    core.tick(at)
    assert one(core) == first  # the same packet


def test_patience_with_a_server_has_its_bound() -> None:
    core = client(server("a"), timeout_s=1, max_timeout_s=4, give_up_s=99)
    for number in range(9):
        core.submit(ACCESS, number, 100.0 * number)
        first = one(core)
        answer(core, first, 100.0 * number + 50)
        core.take()
    core.submit(ACCESS, "late", 2000)
    assert core.next_deadline() == 2004


def test_a_request_is_given_up_in_time() -> None:
    core = client(server("a"), timeout_s=2, tries=9, give_up_s=5)
    core.submit(ACCESS, "token", 0)
    core.tick(2)
    core.take()
    assert core.next_deadline() == 5
    core.tick(5)
    assert core.take() == [Failed("token", Failure.TIMEOUT)]
    assert core.servers[0].outstanding == 0


def test_with_one_server_dead_all_its_requests_go_to_the_other_at_once() -> None:
    core = client(server("a"), server("b", priority=1), timeout_s=1, tries=1)
    core.submit(ACCESS, 1, 0)
    core.submit(ACCESS, 2, 0.9)
    assert [send.server for send in sends(core)] == [0, 0]
    core.tick(1)
    assert [send.server for send in sends(core)] == [1, 1]
    core.submit(ACCESS, 3, 1.5)
    assert one(core).server == 1


def test_a_server_that_answers_others_is_not_dead() -> None:
    core = client(server("a"), timeout_s=1, tries=1)
    core.submit(ACCESS, 1, 0)
    first = one(core)
    core.submit(ACCESS, 2, 0.5)
    answer(core, one(core), 0.6)
    core.take()
    core.tick(1)
    again = one(core)
    assert (core.servers[0].alive(1), again.data != first.data) == (True, True)


def test_with_every_server_dead_requests_fail_at_once() -> None:
    core = client(server("a"), timeout_s=1, tries=1, dead_s=60, probe_s=None)
    core.submit(ACCESS, 1, 0)
    core.take()
    core.tick(1)
    assert core.take() == [Failed(1, Failure.NO_SERVER)]
    core.submit(ACCESS, 2, 30)
    assert core.take() == [Failed(2, Failure.NO_SERVER)]
    core.submit(ACCESS, 3, 61)  # dead_s is over: it is tried again
    assert one(core).server == 0


def test_a_dead_server_is_probed_and_lives_again_when_it_answers() -> None:
    """RFC 5997 §4.2."""
    core = client(server("a"), timeout_s=1, tries=1, dead_s=600, probe_s=10)
    core.submit(ACCESS, 1, 0)
    core.take()
    core.tick(1)
    core.take()
    assert core.next_deadline() == 11
    core.tick(11)
    probe = one(core)
    assert probe.data[0] == 12
    assert attributes(probe.data)[0][0] == 80  # the Message-Authenticator is first
    core.tick(12)  # no answer: one more later
    assert core.next_deadline() == 22
    core.tick(22)
    send = one(core)
    core.receive(0, send.socket, reply(send.data, 2, signed=False), 22.5)
    assert core.take() == []
    assert core.servers[0].alive(22.5)
    assert core.servers[0].counters["probes_answered"] == 1
    assert core.next_deadline() is None


def test_weights_divide_requests_among_equals() -> None:
    core = client(server("a", weight=3), server("b", weight=1))
    for token in range(8):
        core.submit(ACCESS, token, 0)
    assert [send.server for send in sends(core)] == [0, 0, 1, 0, 0, 0, 1, 0]


def test_more_source_ports_are_used_as_load_needs() -> None:
    core = client(server("a", max_outstanding=600))
    for token in range(600):
        core.submit(ACCESS, token, 0)
    places = [(send.socket, send.data[1]) for send in sends(core)]
    assert len(set(places)) == 600
    assert {number for number, _ in places} == {0, 1, 2}


def test_beyond_the_limit_requests_wait_their_turn_and_beyond_the_queue_they_fail() -> None:
    core = client(server("a", max_outstanding=1), queue_limit=1)
    for token in (1, 2, 3):
        core.submit(ACCESS, token, 0)
    first, failed = core.take()
    assert failed == Failed(3, Failure.QUEUE_FULL)
    assert isinstance(first, Send)
    assert core.waiting == 1
    answer(core, first, 1)
    end, second = core.take()
    assert isinstance(end, Answered)
    assert isinstance(second, Send)
    answer(core, second, 2)
    (end,) = core.take()
    assert isinstance(end, Answered)
    assert end.token == 2


def test_a_request_that_waited_too_long_fails() -> None:
    core = client(server("a", max_outstanding=1), give_up_s=5, timeout_s=4, tries=9)
    core.submit(ACCESS, 1, 0)
    core.submit(ACCESS, 2, 1)
    core.take()
    core.tick(4)
    core.take()
    core.tick(5)
    assert core.take()[0] == Failed(1, Failure.TIMEOUT)
    core.tick(6)
    assert Failed(2, Failure.TIMEOUT) in core.take()


def test_forged_late_and_broken_replies_are_counted_and_change_nothing() -> None:
    core = client(server("a"))
    core.submit(ACCESS, 1, 0)
    send = one(core)
    core.receive(0, 0, reply(send.data, 2, secret=b"guess"), 1)
    core.receive(0, 0, reply(send.data, 2, signed=False), 1)
    core.receive(0, 0, reply(send.data, 2)[:-1], 1)
    core.receive(0, 0, reply(send.data, 2, identifier=99), 1)
    core.receive(0, 7, reply(send.data, 2), 1)
    core.receive(0, 0, b"", 1)
    assert core.take() == []
    answer(core, send, 1)
    answer(core, send, 1)
    assert len(core.take()) == 1
    assert core.servers[0].counters == {
        "requests": 1,
        "accepts": 1,
        "bad_replies": 2,
        "malformed": 2,
        "unexpected": 3,
    }


def test_accounting_says_how_old_its_event_is_anew_for_each_server() -> None:
    """RFC 2866 §5.2: another delay is another packet, with another identifier."""
    core = client(server("a"), wall=1000.0)
    core.submit(STOP, 1, 0)
    send = one(core)
    assert dict(attributes(send.data))[41] == (10).to_bytes(4, "big")
    answer(core, send, 1, code=5)
    assert isinstance(core.take()[0], Answered)


def test_over_tls_nothing_is_sent_twice() -> None:
    """RFC 6613 §2.6.1."""
    core = client(server("a", transport=Transport.TLS), timeout_s=2, tries=3)
    core.submit(ACCESS, 1, 0)
    one(core)
    assert core.next_deadline() == 14
    core.tick(14)
    assert core.take() == [Failed(1, Failure.NO_SERVER)]


def test_a_lost_connection_sends_what_waited_on_it_anew() -> None:
    core = client(server("a", transport=Transport.TLS))
    core.submit(ACCESS, 1, 0)
    answer(core, one(core), 1)
    core.take()
    core.submit(ACCESS, 2, 2)
    first = one(core)
    core.lost(0, first.socket, 3, opened_at=0)
    again = one(core)
    assert again.data != first.data
    core.lost(0, again.socket, 4, opened_at=3)  # it answered nothing over that one
    assert core.take() == [Failed(2, Failure.NO_SERVER)]


def test_a_connection_that_cannot_be_made_sends_all_elsewhere() -> None:
    core = client(server("a", transport=Transport.TLS), server("b", priority=1))
    core.submit(ACCESS, 1, 0)
    one(core)
    core.lost(0, 0, 1, opened_at=None)
    assert one(core).server == 1


def test_a_cancelled_request_that_waits_leaves_the_queue_at_once() -> None:
    core = client(server("a", max_outstanding=1), queue_limit=2)
    core.submit(ACCESS, 1, 0)
    gone, kept = (core.submit(ACCESS, token, 0) for token in (2, 3))
    first = one(core)
    core.cancel(gone)
    core.cancel(gone)
    assert (core.waiting, core.counters) == (1, {"cancelled": 1})
    core.submit(ACCESS, 4, 0)  # there is room for one more
    assert core.take() == []
    answer(core, first, 1)
    end, second = core.take()
    assert isinstance(end, Answered)
    assert isinstance(second, Send)
    answer(core, second, 2)
    end, _ = core.take()
    assert isinstance(end, Answered)
    assert end.token == 3
    core.cancel(kept)  # too late
    assert core.counters == {"cancelled": 1}


def test_a_cancelled_request_is_not_sent_again_and_keeps_its_identifier_for_its_answer() -> None:
    """RFC 5080 §2.2.2: not reused before it is answered or has timed out."""
    core = client(server("a", max_outstanding=1), timeout_s=2, probe_s=None)
    core.cancel(core.submit(ACCESS, 1, 0))
    core.submit(ACCESS, 2, 0)
    first = one(core)
    core.tick(2)
    assert (core.take(), core.waiting) == ([], 1)
    answer(core, first, 9)
    second = one(core)  # nobody is told of the first one
    assert second.data[1] != first.data[1]
    assert core.servers[0].counters == {"requests": 2, "accepts": 1}


def test_a_cancelled_request_without_an_answer_gives_its_identifier_back_in_time() -> None:
    core = client(server("a"), timeout_s=2, give_up_s=30, probe_s=None)
    core.cancel(core.submit(ACCESS, 1, 0))
    core.take()
    core.tick(2)
    assert (core.servers[0].outstanding, core.next_deadline()) == (1, 30)
    core.tick(30)
    assert (core.take(), core.servers[0].outstanding, core.next_deadline()) == ([], 0, None)
    assert core.servers[0].counters == {"requests": 1, "timeouts": 1}
    assert core.servers[0].alive(30)


def test_a_server_that_says_nothing_to_cancelled_requests_is_probed_once_and_then_dead() -> None:
    core = client(server("a"), server("b", priority=1), timeout_s=2, probe_s=10, give_up_s=30)
    for token in range(3):
        core.cancel(core.submit(ACCESS, token, 0))
    assert [send.data[0] for send in sends(core)] == [1, 1, 1]
    core.tick(2)
    probe = one(core)
    assert (probe.server, probe.data[0]) == (0, 12)
    core.tick(4)
    assert core.take() == []
    assert not core.servers[0].alive(4)
    core.submit(ACCESS, 9, 4)
    assert one(core).server == 1


def test_a_server_that_answers_a_probe_or_others_is_not_suspected() -> None:
    core = client(server("a"), timeout_s=2, probe_s=10)
    core.cancel(core.submit(ACCESS, 1, 0))
    core.cancel(core.submit(ACCESS, 2, 1))
    core.take()
    core.tick(2)
    answer(core, one(core), 2.5)
    core.tick(3)  # the second one was sent before
    assert core.take() == []
    assert core.servers[0].alive(3)
    assert core.servers[0].counters["probes_answered"] == 1


def test_a_lost_connection_ends_what_is_cancelled() -> None:
    core = client(server("a", transport=Transport.TLS))
    core.submit(ACCESS, 1, 0)
    answer(core, one(core), 1)
    core.take()
    gone = core.submit(ACCESS, 2, 2)
    first = one(core)
    core.cancel(gone)
    core.lost(0, first.socket, 3, opened_at=0)
    assert (core.take(), core.servers[0].outstanding, core.next_deadline()) == ([], 0, None)
