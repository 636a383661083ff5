"""What accounting is told of sessions, and when their entries may go (RFC 2866)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bng.aaa.model import AccessAccept, AccessAnswer, AccessRequest, Pending
from bng.aaa.requests import AccountStatus
from bng.session.actions import Account
from bng.session.model import Cause, Counters, State
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box

START, STOP, INTERIM = AccountStatus.START, AccountStatus.STOP, AccountStatus.INTERIM


class Books:
    """Accounting that writes down what it is told; nothing is on disk before `commit`."""

    def __init__(self, box: MemoryBox) -> None:
        self.box = box
        self.told: list[Account] = []
        box.executor.account = self.told.append
        box.manager.settings = replace(
            box.manager.settings, accounting=True, interim_interval_s=100, start_delay_s=0
        )

    def statuses(self) -> list[AccountStatus]:
        return [action.status for action in self.told]

    def commit(self) -> None:
        for action in self.told:
            if action.status is STOP:
                handle = action.session.handle
                self.box.manager.accounted(handle.index, handle.generation)
        self.box.run(0.1)


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


@pytest.fixture
def books(box: MemoryBox) -> Books:
    return Books(box)


def test_a_session_is_told_of_when_it_starts_now_and_then_and_when_it_stops(
    box: MemoryBox, books: Books
) -> None:
    client = box.subscriber(1)
    box.dial(client)
    assert books.statuses() == [START]
    box.run(89.0, step=1.0)
    assert books.statuses() == [START]
    box.run(250.0, step=1.0)
    interims = books.statuses().count(INTERIM)
    assert interims in {2, 3}  # 100 s, 10 % either way
    assert all(action.counters is None for action in books.told)
    client.terminate("padt", box.now)
    box.run(1.0)
    stop = books.told[-1]
    assert (stop.status, stop.session.cause is not None) == (STOP, True)
    assert stop.counters is not None
    assert 335 <= stop.seconds <= 345


def test_the_entry_of_a_session_stays_until_its_stop_is_on_disk(
    box: MemoryBox, books: Books
) -> None:
    client = box.subscriber(1)
    box.dial(client)
    client.terminate("padt", box.now)
    box.run(5.0)
    (session,) = box.manager.table
    assert session.state is State.ENDING
    books.commit()
    assert box.manager.table.count == 0
    books.commit()  # told again, nothing happens
    box.run(70.0, step=1.0)
    assert {name: count for name, count in box.tables().items() if count} == {}


def test_who_never_came_up_is_not_accounted_for(box: MemoryBox, books: Books) -> None:
    client = box.subscriber(1, password="wrong")
    box.dial(client)
    box.run(30.0, step=0.1)
    assert client.phase is not Phase.UP
    assert (books.told, box.manager.table.count) == ([], 0)


def test_without_accounting_nothing_is_told_and_nothing_waits(box: MemoryBox) -> None:
    client = box.subscriber(1)
    box.dial(client)
    client.terminate("padt", box.now)
    box.run(1.0)
    assert box.manager.table.count == 0


def test_the_servers_interval_counts_before_ours(box: MemoryBox, books: Books) -> None:
    local = box.manager.backend

    class Says:
        def start(self, request: AccessRequest, now: float) -> AccessAnswer | Pending:
            answer = local.start(request, now)
            if isinstance(answer, AccessAccept):
                return replace(answer, interim_interval_s=20)
            return answer

        cancel = local.cancel

    box.manager.backend = Says()
    box.dial(box.subscriber(1))
    box.run(60.0, step=1.0)
    assert books.statuses().count(INTERIM) in {2, 3}


def test_a_late_answer_of_aaa_lets_the_client_in(box: MemoryBox) -> None:
    local = box.manager.backend
    asked: list[AccessRequest] = []

    class Late:
        def start(self, request: AccessRequest, now: float) -> AccessAnswer | Pending:
            asked.append(request)
            return Pending(request.acct_session_id, request.request_id)

        cancel = local.cancel

    box.manager.backend = Late()
    client = box.subscriber(1)
    box.dial(client, seconds=1.0)
    assert client.phase is not Phase.UP
    (request,) = asked
    answer = local.start(request, box.now)
    assert isinstance(answer, AccessAccept)
    index, generation = request.key
    box.manager.answered(
        index, generation, request.request_id + 1, request.user_name, answer, box.now
    )
    box.run(0.2)
    assert client.phase is not Phase.UP  # the answer to another question
    box.manager.answered(index, generation, request.request_id, request.user_name, answer, box.now)
    box.run(2.0)
    assert client.phase is Phase.UP
    assert box.manager.counters["answer_stale"] == 1


def test_when_the_dataplane_is_gone_everybody_who_owes_a_stop_gets_one(
    box: MemoryBox, books: Books
) -> None:
    stays, closes, left = clients = [box.subscriber(index) for index in range(1, 4)]
    never = box.subscriber(4, password="wrong")
    box.dial(*clients)
    never.start(box.now)
    left.terminate("padt", box.now)
    box.run(0.1)
    assert books.statuses() == [START, START, START, STOP]
    sessions = {session.user_name: session for session in box.manager.table}
    closing = sessions[closes.user.decode()]
    box.manager.end(closing, Cause.SESSION_TIMEOUT, "", box.now)  # CLOSE is on its way for ever
    books.told.clear()
    read = [Counters(in_bytes=index) for index in range(box.dataplane.max_sessions)]
    assert box.manager.accounts.harvest(read.__getitem__, box.now) == 2
    box.executor.run(box.manager.take())
    stops = {action.session.user_name: action for action in books.told}
    assert stops.keys() == {stays.user.decode(), closes.user.decode()}
    causes = [action.session.cause for action in stops.values()]
    assert sorted(cause.word for cause in causes if cause) == ["nas-error", "session-timeout"]
    for action in stops.values():
        assert action.counters == read[action.session.index]
    books.told.clear()
    assert box.manager.accounts.harvest(read.__getitem__, box.now) == 0
    for action in stops.values():  # its Stop is on disk; there is no entry to release
        box.manager.accounted(action.session.index, action.session.handle.generation)
    assert box.manager.take() == []


def test_what_is_said_of_a_session_changes_and_is_told_at_once(
    box: MemoryBox, books: Books
) -> None:
    box.dial(box.subscriber(1))
    (session,) = box.manager.table
    due = session.interim_at
    box.manager.accounts.changed(session)
    box.run(0.05)
    assert books.statuses() == [START, INTERIM]
    assert session.interim_at is not None
    assert due is not None
    assert session.interim_at == pytest.approx(due, rel=0.3), "the next one when it is due"
