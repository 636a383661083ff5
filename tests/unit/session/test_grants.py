"""Who gets what: answers of AAA that come at an odd moment, and what the client may learn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from bng.aaa.model import AccessReject, AccessRequest, Pending, RejectReason
from bng.aaa.users import MAX_ROUTES, MAX_USER_NAME_BYTES
from bng.session import restart
from bng.session.actions import Log, SendDiscovery
from bng.session.model import State
from dataplane.binding import Completion, lib
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box

CONFIGURE_REQUEST = bytes.fromhex("c0210177000a05061234abcd")  # LCP, Magic-Number
PADT, GENERIC_ERROR = 0xA7, bytes.fromhex("0203")
OFFICE = {"password": "secret", "ipv4_address": "203.0.113.9", "nat_profile": "none"}
TABLE = {"office": OFFICE, "home": {"password": "secret"}}


@contextmanager
def no_completions(box: MemoryBox) -> Iterator[None]:
    """Keep the ends of commands from the core; all of them come at the end of the block."""
    held: list[Completion] = []
    take: Callable[[Completion, float], None] = box.dispatcher._complete
    box.dispatcher._complete = lambda c, now: held.append(c)  # type: ignore[method-assign]
    yield
    box.dispatcher._complete = take  # type: ignore[method-assign]
    for completion in held:
        take(completion, box.now)
    box.turn()


def assert_empty(box: MemoryBox) -> None:
    for client in box._by_mac.values():
        client.terminate("padt", box.now)
        client.deadline = None
    box.run(75.0, step=1.0)
    assert {name: count for name, count in box.tables().items() if count} == {}


def test_a_session_waits_for_its_users_older_one_and_then_has_its_address() -> None:
    with memory_box(user_table=TABLE) as box:
        first, second = box.subscriber(1, user="office"), box.subscriber(2, user="office")
        box.dial(first)
        with no_completions(box):
            box.dial(second, seconds=0.5)
            states = {s.mac: s.state for s in box.manager.table}
            assert states == {first.mac: State.ENDING, second.mac: State.WAITING}
        box.run(1.0)
        assert (second.phase, second.address) == (Phase.UP, IPv4Address("203.0.113.9"))
        assert_empty(box)


def test_a_client_that_waits_and_then_calls_itself_otherwise_leaves_no_ghost() -> None:
    with memory_box(user_table=TABLE) as box:
        first, second = box.subscriber(1, user="office"), box.subscriber(2, user="office")
        box.dial(first)
        with no_completions(box):
            box.dial(second, seconds=0.5)
            second.user = b"home"
            second.send_ppp(CONFIGURE_REQUEST)
            box.run(1.0)
        box.run(1.0)
        assert set(box.manager.grants.by_user) <= {"home"}
        third = box.subscriber(3, user="office")
        box.dial(third)
        assert third.phase is Phase.UP
        assert_empty(box)


def test_a_waiting_session_that_leaves_is_not_granted_anything() -> None:
    with memory_box(user_table=TABLE) as box:
        first, second = box.subscriber(1, user="office"), box.subscriber(2, user="office")
        box.dial(first)
        with no_completions(box):
            box.dial(second, seconds=0.5)
            second.terminate("padt", box.now)
            second.deadline = None
            box.run(0.1)
        box.run(1.0)
        assert box.manager.table.count == 0
        assert_empty(box)


def test_a_static_address_that_its_user_had_from_a_pool_is_waited_for() -> None:
    with memory_box(user_table={"office": {"password": "secret"}}) as box:
        first, second = box.subscriber(1, user="office"), box.subscriber(2, user="office")
        box.dial(first)
        assert first.address == IPv4Address("100.64.0.10")
        static = {"office": {"password": "secret", "ipv4_address": "100.64.0.10"}}
        box.set_users(static)
        box.dial(second)
        assert (second.phase, second.address) == (Phase.UP, IPv4Address("100.64.0.10"))
        assert box.manager.counters["address_conflict"] == 0


def test_an_address_of_somebody_else_is_refused_and_says_who_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with memory_box(user_table=TABLE) as box:
        box.dial(box.subscriber(1, user="home"))
        box.set_users({**TABLE, "thief": {"password": "secret", "ipv4_address": "100.64.0.10"}})
        lines: list[Log] = []
        monkeypatch.setitem(box.executor._do, Log, lines.append)
        thief = box.subscriber(2, user="thief")
        box.dial(thief, seconds=1.0)
        assert thief.phase is not Phase.UP
        (line, *_) = [one for one in lines if one.event == "access-reject"]
        assert line.warning
        assert line.fields["reason"] == "address-conflict"
        assert line.fields["detail"] == "100.64.0.10 is held by home"


def test_the_client_does_not_learn_whether_name_or_password_was_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = []
    for user in ("home", "nobody"):
        with memory_box(user_table=TABLE) as box:
            sent: list[bytes] = []
            do = box.executor._do[SendDiscovery]

            def note(
                action: SendDiscovery,
                to: list[bytes] = sent,
                do: Callable[[SendDiscovery], None] = do,
            ) -> None:
                to.append(action.payload)
                do(action)

            monkeypatch.setitem(box.executor._do, SendDiscovery, note)
            client = box.subscriber(1, user=user, password="wrong")
            box.dial(client, seconds=5.0)
            (padt,) = [payload for payload in sent if payload[1] == PADT][:1]
            assert padt[6:8] == GENERIC_ERROR
            said.append(padt[10:])
    assert said == [b"user-error"] * 2


class Slow:
    """A backend that answers later, as RADIUS does."""

    def __init__(self) -> None:
        self.asked: list[AccessRequest] = []
        self.cancelled: list[tuple[int, int]] = []

    def start(self, request: AccessRequest, now: float) -> Pending:
        self.asked.append(request)
        return Pending(request.acct_session_id, request.request_id)

    def cancel(self, key: tuple[int, int]) -> None:
        self.cancelled.append(key)


def test_a_late_reject_to_a_question_that_renegotiation_ended_is_ignored() -> None:
    with memory_box() as box:
        box.manager.backend = slow = Slow()
        client = box.subscriber(1)
        box.dial(client, seconds=0.5)
        (session,) = box.manager.table
        (question,) = slow.asked
        with box.only_server():
            client.send_ppp(CONFIGURE_REQUEST)
            box.turn()
        reject = AccessReject(RejectReason.WRONG_PASSWORD)
        generation = session.handle.generation
        box.manager.answered(
            session.index, generation, question.request_id, "user00001", reject, box.now
        )
        assert box.manager.counters["answer_stale"] == 1
        assert session.cause is None


def test_what_nobody_waits_for_any_more_is_cancelled_and_what_is_answered_is_not() -> None:
    with memory_box() as box:
        local = box.manager.backend
        box.manager.backend = slow = Slow()
        gone, again, in_time = (box.subscriber(index) for index in (1, 2, 3))
        box.dial(gone, again, in_time, seconds=0.5)
        keys = {question.user_name: question.key for question in slow.asked}
        gone.terminate("padt", box.now)
        box.run(0.1)
        assert slow.cancelled == [keys["user00001"]]
        again.send_ppp(CONFIGURE_REQUEST)
        box.turn()
        assert slow.cancelled == [keys["user00001"], keys["user00002"]]
        question = slow.asked[2]
        answer = local.start(question, box.now)
        assert not isinstance(answer, Pending)
        asked = (*question.key, question.request_id, question.user_name)
        box.manager.answered(*asked, answer, box.now)
        box.run(1.0)
        assert in_time.phase is Phase.UP
        in_time.terminate("padt", box.now)
        box.run(0.1)
        assert box.manager.table.get(*question.key) is None
        assert question.key not in slow.cancelled
        box.manager.answered(*asked, answer, box.now)
        assert box.manager.counters["answer_stale"] == 1


def routes(count: int) -> list[dict[str, str]]:
    return [{"prefix": f"192.168.{i}.128/25"} for i in range(count)]


def test_as_many_framed_routes_as_a_user_may_have_are_installed() -> None:
    name = "n" * MAX_USER_NAME_BYTES
    with memory_box(user_table={name: {"password": "secret", "routes": routes(MAX_ROUTES)}}) as box:
        client = box.subscriber(1, user=name)
        box.dial(client)
        assert client.phase is Phase.UP
        (session,) = box.manager.table
        assert len(session.routes) == 1 + MAX_ROUTES
        assert box.dataplane.read_control(session.index) is not None
        assert_empty(box)


def test_a_session_that_cannot_be_written_down_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert restart.MAX_RECORD_BYTES == lib.CONTROL_RECORD_LEN
    with memory_box() as box:
        monkeypatch.setattr(restart, "MAX_RECORD_BYTES", 300)
        client = box.subscriber(1)
        box.dial(client, seconds=1.0)
        assert client.phase is not Phase.UP
        assert box.manager.counters["install_failed"] >= 1
        assert_empty(box)
