"""Slow password checks: in threads, bounded, their answers late; the loop serves all else."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bng.aaa.model import (
    AccessAccept,
    AccessAnswer,
    AccessReject,
    AccessRequest,
    Pending,
    RejectReason,
)
from bng.aaa.password import Scrypt, hash_password
from bng.aaa.users import Users, parse
from bng.ethernet import AccessLine, Mac
from bng.io import verifier
from bng.io.verifier import Verifier
from bng.ppp.credentials import PapCredentials
from tests.node import lab
from tests.node.harness import ACC
from tests.support.client.layer import Phase
from tests.support.client.subscriber import Profile, Subscriber
from tests.support.managed_box import Managed, managed_box
from tests.support.memory_box import USERS
from tests.support.toml import dump

HASHES = {
    method: hash_password(method, "secret", bytes(16)) for method in ("scrypt", "pbkdf2-sha256")
}
TABLE: dict[str, Any] = {
    "quick": {"password": "secret"},
    "most": {"password": HASHES["scrypt"]},  # an unknown user costs what most users cost
    **{method: {"password": text} for method, text in HASHES.items()},
}


class Gate:
    """Holds every scrypt check until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.begun = 0
        monkeypatch.setattr(Scrypt, "matches", self._matches)

    def _matches(self, password: bytes) -> bool:
        self.begun += 1
        return self.opened.wait(30)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    one = Gate(monkeypatch)
    yield one
    one.opened.set()


def users() -> Users:
    return parse(Path("users.toml"), dump({"user": TABLE}).encode())


def pap(user: str, password: bytes = b"secret") -> AccessRequest:
    return AccessRequest(
        acct_session_id="1",
        request_id=7,
        credentials=PapCredentials(user_name=user, password=password),
        line=AccessLine(0, ()),
        mac=Mac(bytes(6)),
    )


async def settled(one: Verifier) -> None:
    async with asyncio.timeout(30):
        while one.waiting:  # noqa: ASYNC110 - a number, not an event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("user", [*HASHES, "nobody"])
def test_a_slow_check_is_answered_later_and_right(user: str) -> None:
    late: list[tuple[str, AccessAnswer]] = []

    async def ask() -> None:
        one = Verifier(users(), lambda request, answer: late.append((request.user_name, answer)))
        assert one.start(pap(user), 0.0) == Pending("1", 7)
        await settled(one)
        assert one.start(pap(user, b"wrong"), 0.0) == Pending("1", 7)
        await settled(one)
        one.stop()

    asyncio.run(ask())
    wrong = RejectReason.UNKNOWN_USER if user == "nobody" else RejectReason.WRONG_PASSWORD
    assert [name for name, _ in late] == [user, user]
    assert isinstance(late[0][1], AccessReject if user == "nobody" else AccessAccept)
    assert late[1][1] == AccessReject(wrong)


def test_what_is_quick_is_answered_at_once() -> None:
    one = Verifier(users(), lambda request, answer: pytest.fail("late"))
    assert isinstance(one.start(pap("quick"), 0.0), AccessAccept)
    assert one.start(pap("quick", b"wrong"), 0.0) == AccessReject(RejectReason.WRONG_PASSWORD)


def test_more_checks_than_may_wait_are_refused(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "MAX_WAITING", 3)
    late: list[AccessAnswer] = []

    async def ask() -> list[AccessAnswer | Pending]:
        one = Verifier(users(), lambda request, answer: late.append(answer))
        answers = [one.start(pap("scrypt"), 0.0) for _ in range(4)]
        gate.opened.set()
        await settled(one)
        assert one.counters == {"in_threads": 3, "refused_busy": 1, "cancelled": 0}
        assert isinstance(one.start(pap("scrypt"), 0.0), Pending), "there is room again"
        one.stop()
        return answers

    assert asyncio.run(ask()) == [Pending("1", 7)] * 3 + [AccessReject(RejectReason.BUSY)]
    assert len(late) == 3


def test_a_check_that_nobody_waits_for_is_not_begun(gate: Gate) -> None:
    late: list[tuple[int, int]] = []

    async def ask() -> None:
        one = Verifier(users(), lambda request, answer: late.append(request.key))
        for index in range(verifier.THREADS + 2):
            one.start(replace(pap("scrypt"), key=(index, 1)), 0.0)
        while gate.begun < verifier.THREADS:  # noqa: ASYNC110 - a number, not an event
            await asyncio.sleep(0.01)
        for key in ((0, 1), (verifier.THREADS, 1), (verifier.THREADS, 1), (99, 1)):
            one.cancel(key)  # one that has begun, one that waits, the same again, nobody's
        gate.opened.set()
        await settled(one)
        assert one.counters["cancelled"] == 1
        one.cancel((1, 1))  # it is answered
        assert one.counters["cancelled"] == 1
        one.stop()

    asyncio.run(ask())
    waited = [(index, 1) for index in range(verifier.THREADS + 2) if index != verifier.THREADS]
    assert sorted(late) == waited
    assert gate.begun == verifier.THREADS + 1


def test_after_stop_nothing_is_answered(gate: Gate) -> None:
    async def ask() -> None:
        one = Verifier(users(), lambda request, answer: pytest.fail("late"))
        for _ in range(2 * verifier.THREADS):
            one.start(pap("scrypt"), 0.0)
        one.stop()
        gate.opened.set()
        await settled(one)
        assert one.start(pap("scrypt"), 0.0) == AccessReject(RejectReason.BUSY)

    asyncio.run(ask())
    assert gate.begun <= verifier.THREADS


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Managed]]:
    """A box with a user whose password is slow to check."""
    with managed_box(tmp_path) as (runner, managed):
        managed.write_users(slow={"password": HASHES["scrypt"]}, **USERS)
        assert managed.ask("reload")["ok"]
        managed.box.loop.now = lambda: managed.memory.now  # type: ignore[method-assign]
        yield runner, managed


async def ask_slowly(managed: Managed) -> Subscriber:
    """Dial with the slow password; return the client, who waits."""
    client = managed.memory.subscriber(9, user="slow", profile=Profile(auth=("pap",)))
    managed.memory.dial(client, seconds=0.5)
    assert (client.phase is Phase.UP, managed.box.verifier.waiting) == (False, 1)
    return client


def test_padi_and_echoes_are_served_while_a_password_is_checked(
    bed: tuple[asyncio.Runner, Managed], gate: Gate
) -> None:
    runner, managed = bed
    memory = managed.memory

    async def scenario() -> None:
        client = await ask_slowly(managed)
        other = memory.subscriber(1)
        memory.dial(other)
        assert other.phase is Phase.UP
        (session,) = (s for s in memory.manager.table if s.user_name == "user00001")
        cold = memory.dataplane.session_cold[session.index]
        echo = lab.session_frame(
            lab.echo(9, 1), lab.PPP_LCP, session_id=int(cold.session_id), source=bytes(cold.mac)
        )
        memory.embedded.receive(ACC, echo)
        assert cold.echo_rx == 1
        gate.opened.set()
        await settled(managed.box.verifier)
        memory.run(1.0)
        assert client.phase is Phase.UP

    runner.run(scenario())


def test_an_answer_for_a_session_that_ended_meanwhile_is_ignored(
    bed: tuple[asyncio.Runner, Managed], gate: Gate
) -> None:
    runner, managed = bed
    memory = managed.memory

    async def scenario() -> None:
        client = await ask_slowly(managed)
        client.terminate("padt", memory.now)
        client.deadline = None
        memory.run(1.0)
        assert memory.manager.table.count == 0
        gate.opened.set()
        await settled(managed.box.verifier)
        memory.run(75.0, step=1.0)

    runner.run(scenario())
    assert memory.manager.counters["answer_stale"] == 1
    assert memory.manager.counters["access_accept"] == 0
    assert {name: count for name, count in memory.tables().items() if count} == {}
