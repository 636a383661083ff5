"""Sessions from PADI to the last table entry, through the real graph, rings and core."""

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from bng.session.actions import Log
from bng.session.model import Cause, State
from dataplane.binding import EVENT, EventType, NatRefusal, Ring, lib
from tests.support.client.layer import Phase, Profile
from tests.support.client.subscriber import Subscriber
from tests.support.memory_box import MemoryBox, memory_box

QUIET_S = 70.0
"""Longer than ids rest, addresses are held down and remembered."""


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def causes(box: MemoryBox, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Collect (event, cause) of the session log from now on."""
    seen: list[tuple[str, object]] = []
    monkeypatch.setitem(
        box.executor._do, Log, lambda a: seen.append((a.event, a.fields.get("cause")))
    )
    return seen


def assert_empty(box: MemoryBox) -> None:
    """Check that nothing is left anywhere, once time has moved on."""
    box.run(QUIET_S, step=1.0)
    assert {name: count for name, count in box.tables().items() if count} == {}


def test_a_client_that_dials_gets_an_address_and_a_live_entry(box: MemoryBox) -> None:
    client = box.subscriber(1)
    box.dial(client)
    assert client.phase is Phase.UP
    assert client.address == IPv4Address("100.64.0.10")
    (session,) = box.manager.table
    assert session.state is State.UP
    entry = box.dataplane.session_in[session.index]
    assert int(entry.ip4).to_bytes(4, "little") == client.address.packed
    assert entry.nat_block != 0


@pytest.mark.parametrize("how", ["terminate", "padt"])
def test_a_client_that_leaves_leaves_nothing(box: MemoryBox, how: str) -> None:
    client = box.subscriber(1)
    box.dial(client)
    client.terminate(how, box.now)
    box.run(1.0)
    assert box.manager.table.count == 0
    assert_empty(box)


def test_a_silent_client_is_ended_when_its_echoes_are_lost(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = box.subscriber(1)
    box.dial(client)
    seen = causes(box, monkeypatch)
    box._by_mac.clear()
    box._dialer._by_mac.clear()
    box.run(100.0, step=0.1)
    assert seen == [("session-stop", "lost-carrier")]
    assert_empty(box)


def test_a_client_that_renegotiates_lcp_is_paused_and_then_goes_on_as_before(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = box.subscriber(1)
    box.dial(client)
    seen = causes(box, monkeypatch)
    (session,) = box.manager.table
    entry = box.dataplane.session_in[session.index]
    address, block = client.address, int(entry.nat_block)
    client.send_ppp(bytes.fromhex("c0210177000a05061234abcd"))  # Configure-Request, Magic-Number
    with box.only_server():
        box.turn()
        assert session.state is State.PAUSED
        assert entry.state == lib.SESSION_PAUSED
    box.run(5.0)
    assert session.state is State.UP
    assert entry.state == lib.SESSION_LIVE
    assert (client.address, int(entry.nat_block)) == (address, block)
    assert box.dataplane.session_cold[session.index].echo_interval_ms == 20_000
    assert box.dataplane.session_cold[session.index].echo_on == 1
    assert seen == []


def test_a_client_that_renegotiates_ipcp_alone_keeps_its_echo(box: MemoryBox) -> None:
    client = box.subscriber(1)
    box.dial(client)
    (session,) = box.manager.table
    entry, cold = box.dataplane.session_in[session.index], box.dataplane.session_cold[session.index]
    client.send_ppp(bytes.fromhex("80210177000a030600000000"))  # Configure-Request, IP-Address
    box.run(5.0, step=0.1)
    assert session.state is State.UP
    assert (entry.state, cold.echo_on) == (lib.SESSION_LIVE, 1)


def test_an_administrator_ends_a_session_politely(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = box.subscriber(1)
    box.dial(client)
    seen = causes(box, monkeypatch)
    (session,) = box.manager.table
    box.manager.close(session, Cause.ADMIN_RESET, "", box.now)
    box.run(1.0)
    assert seen == [("session-stop", "admin-reset")]
    assert client.phase is not Phase.UP
    assert_empty(box)


def test_the_same_user_elsewhere_replaces_the_older_session(box: MemoryBox) -> None:
    first, second = box.subscriber(1, user="user00001"), box.subscriber(2, user="user00001")
    box.dial(first)
    box.dial(second)
    assert second.phase is Phase.UP
    assert first.phase is not Phase.UP
    assert [s.mac for s in box.manager.table] == [second.mac]


def test_the_same_user_elsewhere_is_denied_when_policy_says_so() -> None:
    with memory_box(config={"session": {"single_session": "deny"}}) as box:
        first, second = box.subscriber(1, user="user00001"), box.subscriber(2, user="user00001")
        box.dial(first)
        box.dial(second)
        assert first.phase is Phase.UP
        assert second.phase is not Phase.UP
        assert box.manager.counters["denied_simultaneous_use"] >= 1


def test_a_user_with_two_allowed_sessions_has_two() -> None:
    table = {"twin": {"password": "secret", "simultaneous_use": 2}}
    with memory_box(user_table=table) as box:
        clients = [box.subscriber(i, user="twin") for i in (1, 2, 3)]
        box.dial(clients[0])
        box.dial(clients[1])
        assert [c.phase for c in clients[:2]] == [Phase.UP, Phase.UP]
        box.dial(clients[2])
        assert clients[0].phase is not Phase.UP
        assert [c.phase for c in clients[1:]] == [Phase.UP, Phase.UP]


def test_a_static_address_moves_to_the_users_new_session() -> None:
    table = {"office": {"password": "secret", "ipv4_address": "203.0.113.9", "nat_profile": "none"}}
    with memory_box(user_table=table) as box:
        first, second = box.subscriber(1, user="office"), box.subscriber(2, user="office")
        box.dial(first)
        assert first.address == IPv4Address("203.0.113.9")
        box.dial(second)
        assert second.phase is Phase.UP
        assert second.address == first.address
        (session,) = box.manager.table
        assert box.dataplane.session_in[session.index].nat_block == 0


def test_a_full_pool_refuses_and_says_so() -> None:
    config = {
        "pool": [{"name": "one", "ranges": ["100.64.0.10-100.64.0.10"], "gateway": "100.64.0.1"}]
    }
    with memory_box(config=config) as box:
        first, second = box.subscriber(1), box.subscriber(2)
        box.dial(first)
        box.dial(second, seconds=2.0)
        assert first.phase is Phase.UP
        assert second.phase is not Phase.UP
        assert box.manager.counters["pool_exhausted"] >= 1


def test_a_wrong_password_is_refused_and_held_off(box: MemoryBox) -> None:
    client = box.subscriber(1, password="wrong")
    box.dial(client, seconds=1.0)
    assert client.phase is not Phase.UP
    assert box.manager.counters["access_reject"] == 1
    (entry,) = box.access.discovery.holdoffs(box.now)
    assert entry.mac == client.mac
    client.password = "secret"
    client.start(box.now)
    box.run(0.5)
    assert client.phase is Phase.PADI
    box.run(6.0)
    assert client.phase is Phase.UP
    assert box.access.discovery.holdoffs(box.now) == []


@pytest.mark.parametrize(
    ("timeout", "before_s", "then_s"), [("session", 58.0, 4.0), ("idle", 55.0, 10.0)]
)
def test_a_timeout_ends_a_session_that_sends_no_data(
    monkeypatch: pytest.MonkeyPatch, timeout: str, before_s: float, then_s: float
) -> None:
    table = {"brief": {"password": "secret", f"{timeout}_timeout_s": 60}}
    with memory_box(user_table=table) as box:
        client = box.subscriber(1, user="brief")
        box.dial(client)
        seen = causes(box, monkeypatch)
        box.run(before_s, step=0.1)
        assert seen == []
        box.run(then_s, step=0.1)
        assert seen == [("session-stop", f"{timeout}-timeout")]


def test_nat_ports_that_run_out_on_one_address_are_found_on_the_next() -> None:
    config = {"nat": {"pool": [{"name": "p", "addresses": ["198.51.100.0/31"]}]}}
    args = ("--nat-block-size=4096",)
    with memory_box(config=config, args=args) as box:
        clients = [box.subscriber(i) for i in range(20)]
        for client in clients:
            box.manager.nat._turns[0, None].at = 0  # all to the first address, which has 15 blocks
            box.dial(client)
        assert [c.phase for c in clients] == [Phase.UP] * 20


def test_when_no_nat_port_is_left_the_session_is_refused_and_leaves_nothing() -> None:
    config = {"nat": {"pool": [{"name": "p", "addresses": ["198.51.100.0/32"]}]}}
    args = ("--nat-block-size=4096",)
    with memory_box(config=config, args=args) as box:
        clients = [box.subscriber(i) for i in range(18)]
        box.dial(*clients, seconds=3.0)
        up = [c for c in clients if c.phase is Phase.UP]
        assert 10 <= len(up) < 18
        assert box.manager.counters["install_failed"] >= 1
        leave(box, clients)
        assert_empty(box)


def leave(box: MemoryBox, clients: list[Subscriber]) -> None:
    """Let every client go."""
    for client in clients:
        client.terminate("padt", box.now)
        client.deadline = None
    box.run(1.0)


def test_a_redial_without_padt_replaces_the_stale_session(box: MemoryBox) -> None:
    client = box.subscriber(1)
    box.dial(client)
    box.run(11.0, step=0.1)
    box.dial(client)
    assert client.phase is Phase.UP
    assert box.manager.table.count == 1


def test_qinq_clients_get_their_own_tags_back(box: MemoryBox) -> None:
    client = box.subscriber(1, vlan="100.7")
    box.dial(client)
    assert client.phase is Phase.UP
    assert box._dialer.wrong_vlan == 0
    (session,) = box.manager.table
    assert [tag.vid for tag in session.line.tags] == [100, 7]


@pytest.mark.parametrize("auth", ["pap", "mschapv2"])
def test_other_authentication_methods_open_too(auth: str) -> None:
    methods = {"pap": "pap", "mschapv2": "mschap-v2"}
    with memory_box(config={"ppp": {"auth": [methods[auth]]}}) as box:
        client = box.subscriber(1, profile=Profile(auth=(auth,)))
        box.dial(client)
        assert client.phase is Phase.UP


def test_draining_ends_sessions_at_its_pace_and_takes_no_new_ones() -> None:
    with memory_box(config={"session": {"drain_per_s": 10}}) as box:
        clients = [box.subscriber(i) for i in range(20)]
        box.dial(*clients)
        box.access.discovery.drain(None, True)
        box.manager.drain.begin(box.manager.table, Cause.ADMIN_REBOOT, "drained", box.now)
        box.run(1.0)
        assert 8 <= box.manager.table.count <= 12
        box.run(2.0)
        assert box.manager.table.count == 0
        late = box.subscriber(99)
        box.dial(late, seconds=1.0)
        assert late.phase is Phase.PADI


def test_an_access_port_that_stays_down_loses_its_sessions_at_a_pace() -> None:
    with memory_box(config={"session": {"drain_per_s": 10, "port_grace_s": 30}}) as box:
        box.dial(*(box.subscriber(i) for i in range(20)))
        port = next(iter(box.manager.table)).line.port
        box.manager.drain.port_down(port, box.now)
        box.run(29.0, step=0.5)
        assert box.manager.table.count == 20
        box.run(2.0)
        assert 8 <= box.manager.table.count <= 12
        box.run(2.0)
        assert box.manager.table.count == 0
        assert {event for _, event, _ in box.events} >= {"down"}


def test_an_access_port_that_comes_back_keeps_the_sessions_that_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with memory_box(config={"session": {"drain_per_s": 10, "port_grace_s": 5}}) as box:
        box.dial(*(box.subscriber(i) for i in range(20)))
        seen = causes(box, monkeypatch)
        port = next(iter(box.manager.table)).line.port
        for _ in range(3):  # flaps within the grace time end nothing
            box.manager.drain.port_down(port, box.now)
            box.run(3.0)
            box.manager.drain.port_up(port)
        assert box.manager.table.count == 20
        box.manager.drain.port_down(port, box.now)
        box.manager.drain.port_down(port + 1, box.now)  # another port ends none of these
        box.run(6.0)
        box.manager.drain.port_up(port)
        left = box.manager.table.count
        assert 5 <= left <= 15
        box.run(3.0)
        assert box.manager.table.count == left
        assert seen == [("session-stop", "lost-carrier")] * (20 - left)


def test_a_port_that_comes_back_does_not_stop_what_the_operator_drains() -> None:
    with memory_box(config={"session": {"drain_per_s": 10}}) as box:
        box.dial(*(box.subscriber(i) for i in range(10)))
        box.manager.drain.begin(box.manager.table, Cause.ADMIN_REBOOT, "drained", box.now)
        box.manager.drain.port_up(next(iter(box.manager.table)).line.port)
        box.run(2.0)
        assert box.manager.table.count == 0


def test_a_subscriber_that_gets_no_nat_mapping_is_in_the_log_with_the_reason(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.dial(box.subscriber(1))
    (session,) = box.manager.table
    seen: list[Log] = []
    monkeypatch.setitem(box.executor._do, Log, seen.append)
    for reason in (NatRefusal.MAPPINGS, 0x404):
        event = EVENT.pack(EventType.NAT_REFUSED, session.index, session.handle.generation, reason)
        lib.binding_push(box.dataplane._binding, 0, Ring.EVENT, event, len(event), 1)
        box.turn()
    (line,) = seen
    assert (line.event, line.session) == ("nat-refused", session.acct_session_id)
    assert line.fields == {"user": "user00001", "reason": "mappings"}
    assert box.manager.counters["nat_refused"] == 1
    assert box.dispatcher.counters["event_unknown"] == 1
