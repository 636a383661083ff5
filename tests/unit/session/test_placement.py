"""Pools by profile, pinned public addresses, and sessions that move to the worker that owns one."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from bng.session.actions import CloseSession, MoveSession
from bng.session.model import Cause, Session
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box
from tests.support.nat_traffic import inbound, join_network, outbound, session_of
from tests.unit.session.test_lifecycle import assert_empty, leave

TWO_WORKERS = ("--workers=-,-",)
NAT = {
    "pool": [
        {"name": "many", "addresses": ["198.51.100.0/30"]},
        {"name": "few", "addresses": ["198.51.100.5/32"]},
    ],
    "profile": {"few": {"translate": True, "pool": "few"}},
}


def user(**attributes: Any) -> dict[str, Any]:
    return {"password": "secret", **attributes}


USERS = {
    **{f"user{i:05d}": user() for i in range(32)},
    "odd": user(nat_address="198.51.100.1"),
    "odder": user(nat_address="198.51.100.3"),
    "even": user(nat_address="198.51.100.2"),
    "few": user(nat_profile="few"),
    "gone": user(nat_address="198.51.100.5"),
}


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    """Return a box with two workers; odd public addresses are the second one's."""
    with memory_box(config={"nat": NAT}, user_table=USERS, args=TWO_WORKERS) as box:
        join_network(box)
        yield box


def owners(box: MemoryBox, user: str) -> tuple[int, int, int]:
    """Return who owns the session of *user*: the core's view, session_in, session_out."""
    session = session_of(box, user)
    dataplane = box.dataplane
    return (
        session.handle.worker,
        int(dataplane.session_in[session.index].owner),
        int(dataplane.session_out[session.index].owner),
    )


@pytest.mark.parametrize(
    ("name", "address", "worker"),
    [("odd", "198.51.100.1", 1), ("even", "198.51.100.2", 0), ("odder", "198.51.100.3", 1)],
)
def test_a_pinned_address_is_given_and_carries_packets_both_ways(
    box: MemoryBox, name: str, address: str, worker: int
) -> None:
    client = box.subscriber(1, user=name)
    box.dial(client)
    assert client.phase is Phase.UP
    assert owners(box, name) == (worker,) * 3
    seen = outbound(box, session_of(box, name), 4000)
    assert seen is not None and seen[0] == IPv4Address(address)
    assert inbound(box, *seen)
    leave(box, [client])
    assert not inbound(box, *seen)
    assert_empty(box)


@pytest.mark.parametrize("turn", [0, 1])
def test_whichever_worker_took_it_first_the_owner_of_the_address_gets_the_session(
    box: MemoryBox, turn: int
) -> None:
    others = [box.subscriber(i) for i in range(turn)]
    box.dial(*others)
    client = box.subscriber(20, user="odd")
    box.dial(client)
    assert client.phase is Phase.UP
    assert owners(box, "odd") == (1, 1, 1)
    counts = [int(box.dataplane.workers[w].sessions) for w in range(2)]
    assert counts == [turn, 1] == box.manager.table.spread.sessions
    leave(box, [*others, client])
    assert_empty(box)


def test_a_full_pinned_address_refuses_with_its_name_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {f"u{i}": user(nat_address="198.51.100.1") for i in range(16)}
    seen: list[str] = []
    with memory_box(
        config={"nat": NAT}, user_table=table, args=(*TWO_WORKERS, "--nat-block-size=4096")
    ) as box:
        end = box.manager.end

        def noted(session: Session, cause: Cause, detail: str, now: float) -> None:
            seen.append(detail)
            end(session, cause, detail, now)

        monkeypatch.setattr(box.manager, "end", noted)
        clients = [box.subscriber(i, user=f"u{i}") for i in range(16)]
        box.dial(*clients[:15])
        assert all(client.phase is Phase.UP for client in clients[:15])
        box.dial(clients[15], seconds=2.0)
        assert seen[0] == "install: no NAT ports: 198.51.100.1"
        leave(box, clients)
        assert_empty(box)


def test_a_profile_says_the_pool(box: MemoryBox) -> None:
    box.dial(box.subscriber(1, user="few"))
    assert owners(box, "few") == (1, 1, 1)
    seen = outbound(box, session_of(box, "few"), 4000)
    assert seen is not None and seen[0] == IPv4Address("198.51.100.5")


def test_who_names_no_pool_gets_his_own_workers_addresses_first(box: MemoryBox) -> None:
    clients = [box.subscriber(i) for i in range(8)]
    box.dial(*clients)
    for client in clients:
        name = client.user.decode()
        session = session_of(box, name)
        assert session.nat_place is not None
        assert box.manager.nat.entries[session.nat_place.address].owner == session.handle.worker


def test_a_session_that_ends_while_it_moves_is_closed_by_its_new_owner(box: MemoryBox) -> None:
    client = box.subscriber(1, user="odd")
    client.start(box.now)
    emitted: list[object] = []
    take = box.manager.take

    def tapped() -> list[Any]:
        """End the session between the move's departure and its completion."""
        actions = take()
        emitted.extend(actions)
        if any(isinstance(action, MoveSession) for action in actions):
            session = session_of(box, "odd")
            box.manager.end(session, Cause.ADMIN_RESET, "test", box.now)
            assert not any(isinstance(a, CloseSession) for a in box.manager._actions)
        return actions

    box.manager.take = tapped  # type: ignore[method-assign]
    box.run(3.0, until=lambda: any(isinstance(a, CloseSession) for a in emitted))
    (close,) = (a for a in emitted if isinstance(a, CloseSession))
    assert close.handle.worker == 1
    client.deadline = None
    assert_empty(box)


def test_a_frame_to_a_session_that_has_moved_reaches_the_client(box: MemoryBox) -> None:
    client = box.subscriber(1, user="odd")
    box.dial(client)
    session = session_of(box, "odd")
    before = box.embedded.counters().get("inject/handoff", 0)
    discard = b"\xc0\x21\x0b\x01\0\4"  # LCP Discard-Request
    box.dataplane.inject_session(0, session.index, session.handle.generation, discard)
    box.turn()
    assert box.embedded.counters()["inject/handoff"] == before + 1
