"""What accounting is told of sessions, and when their entries may go (RFC 2866)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bng.aaa.model import AccessAccept, AccessAnswer, AccessRequest, Pending
from bng.aaa.requests import AccountStatus
from bng.session.actions import Account
from bng.session.model import State
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
            box.manager.settings, accounting=True, interim_interval_s=100
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
