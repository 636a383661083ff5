"""A control plane dies, and another one takes over its sessions, through real graph and rings."""

import json
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from bng.session.features import Refreshed, refresh
from bng.session.model import Cause, Session, State
from bng.session.restart import Reconciled
from dataplane import binding
from dataplane.binding import CommandType, lib, session_record
from tests.support.client.layer import Phase, Profile
from tests.support.client.subscriber import Subscriber
from tests.support.memory_box import CONFIG, MemoryBox, memory_box
from tests.unit.session.test_lifecycle import assert_empty

CONFIGURE_REQUEST = bytes.fromhex("c0210177000a05061234abcd")
IPCP_REQUEST = bytes.fromhex("80210177000a030600000000")
IPV6CP_TERMINATE = bytes.fromhex("8057057700040000")[:6]
ECHO_REQUEST = bytes.fromhex("c0210942000800000000")
ACLS = [
    {"name": "in", "default": "permit", "rules": ["deny udp any any port 666"]},
    {"name": "out", "default": "permit", "rules": ["deny udp any port 667 any"]},
]


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def dialled(box: MemoryBox, *numbers: int, **options: Any) -> list[Subscriber]:
    clients = [box.subscriber(number, **options) for number in numbers]
    box.dial(*clients)
    return clients


def of(box: MemoryBox, client: Subscriber) -> Session:
    (session,) = (s for s in box.manager.table if s.mac == client.mac)
    return session


def noticed(box: MemoryBox, client: Subscriber) -> list[str]:
    """Return what a client has seen happen to its session."""
    return [name for user, name, _ in box.events if user == client.user.decode()]


def went_on(box: MemoryBox, *clients: Subscriber) -> None:
    """Check that nobody noticed anything, and that LCP Echo is kept."""
    box.run(45.0, step=0.1)
    for client in clients:
        assert set(noticed(box, client)) == {"up"}
        session = of(box, client)
        assert session.state is State.UP
        assert session.install_pending == 0
        assert box.dataplane.session_in[session.index].state == lib.SESSION_LIVE
        assert box.dataplane.session_cold[session.index].echo_on == 1


# --- those that go on ---


def test_sessions_go_on_and_nobody_is_sent_a_thing(box: MemoryBox) -> None:
    clients = dialled(box, 1, 2, 3)
    before, tables = [of(box, client) for client in clients], box.tables()
    with box.only_server():
        came = box.restart()
        assert not box.embedded.sent(0)
    assert (len(came.adopted), came.ended) == (3, [])
    assert box.tables() == tables
    for old, client in zip(before, clients, strict=True):
        new = of(box, client)
        assert new is not old
        assert new.adopted
        assert new.acct_session_id == old.acct_session_id
        assert (new.profile, new.user_name, new.line) == (old.profile, old.user_name, old.line)
        assert (new.ipv4_address, new.gateway) == (old.ipv4_address, old.gateway)
        assert (new.nat_place, new.routes) == (old.nat_place, old.routes)
        assert (new.created_at, new.up_at, new.families) == (old.created_at, old.up_at, 3)
        assert (new.magics, new.interface_id) == (old.magics, old.interface_id)
        assert new.told == old.told
    went_on(box, *clients)
    for client in clients:
        client.terminate("terminate", box.now)
    box.run(1.0)
    assert_empty(box)


def test_ten_restarts_are_no_different(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    for _ in range(10):
        assert len(box.restart().adopted) == 1
        box.run(3.0, step=0.1)
    went_on(box, client)
    client.terminate("padt", box.now)
    box.run(1.0)
    assert_empty(box)


def test_a_new_session_is_no_old_ones_neighbour(box: MemoryBox) -> None:
    """Id, index, generation, address, Acct-Session-Id, PPPoE session id: all its own."""
    one, two, three = dialled(box, 1, 2, 3)
    two.terminate("padt", box.now)
    box.run(1.0)
    box.restart()
    four, five = dialled(box, 4, 5)
    sessions = list(box.manager.table)
    assert len(sessions) == 4
    for values in (
        {s.index for s in sessions},
        {s.acct_session_id for s in sessions},
        {s.ipv4_address for s in sessions},
        {box.access.session_id(s) for s in sessions},
    ):
        assert len(values) == 4
    gap = min(of(box, four).index, of(box, five).index)
    assert gap == 1, "the index that was free is used"
    assert of(box, four).handle.generation + of(box, five).handle.generation == 3
    went_on(box, one, three, four, five)


def test_the_box_is_as_full_as_it_was(box: MemoryBox) -> None:
    dialled(box, 1, 2)
    box.restart(config={"dataplane": {"max_sessions": 2}})
    assert box.subscriber(3).phase is not Phase.UP
    box.dial(box.subscriber(3), seconds=3.0)
    assert box.manager.table.count == 2


@pytest.mark.parametrize("vlan", [None, "7", "100.7"])
@pytest.mark.parametrize("how", ["terminate", "padt"])
def test_a_client_that_was_adopted_leaves_nothing(
    box: MemoryBox, how: str, vlan: str | None
) -> None:
    (client,) = dialled(box, 1, vlan=vlan)
    box.restart()
    client.terminate(how, box.now)
    box.run(1.0)
    assert box.manager.table.count == 0
    assert_empty(box)


@pytest.mark.parametrize("how", ["terminate", "padt"])
def test_one_that_left_meanwhile_is_gone_however_long_that_took(box: MemoryBox, how: str) -> None:
    (client,) = dialled(box, 1)
    client.terminate(how, box.now)
    frames = box._outbox[:]
    box._outbox.clear()
    box.embedded.receive(0, *frames)  # punted, and nobody reads it
    box.now += 30.0
    box.embedded.set_time(round(box.now * 1e9))
    came = box.restart()
    assert len(came.adopted) == 1
    box.run(1.0)
    assert box.manager.table.count == 0
    assert_empty(box)


def test_a_silent_client_is_missed_all_the_same(box: MemoryBox) -> None:
    (_client,) = dialled(box, 1)
    box.restart()
    box._by_mac.clear()
    box._dialer._by_mac.clear()
    box.run(100.0, step=0.1)
    assert box.manager.table.count == 0
    assert_empty(box)


@pytest.mark.parametrize("flag", ["SESSION_FLAG_ECHO_LOST", "SESSION_FLAG_IDLE"])
def test_what_was_told_to_the_one_that_died_is_acted_on(box: MemoryBox, flag: str) -> None:
    (client,) = dialled(box, 1)
    box.dataplane.session_cold[of(box, client).index].flags |= getattr(lib, flag)
    came = box.restart()
    assert len(came.adopted) == 1
    box.run(5.0)
    assert box.manager.table.count == 0
    assert_empty(box)


# --- the link ---


@pytest.mark.parametrize("frame", [CONFIGURE_REQUEST, IPCP_REQUEST], ids=["lcp", "ipcp"])
def test_an_adopted_client_may_negotiate_again(box: MemoryBox, frame: bytes) -> None:
    (client,) = dialled(box, 1)
    address, (session,) = client.address, list(box.manager.table)
    block = int(box.dataplane.session_in[session.index].nat_block)
    box.restart()
    client.send_ppp(frame)
    box.run(8.0, step=0.05)
    session = of(box, client)
    assert session.state is State.UP
    assert client.address == address
    assert box.dataplane.session_in[session.index].nat_block == block
    assert box.dataplane.session_in[session.index].state == lib.SESSION_LIVE
    box.restart()  # and what was negotiated anew is known to the next one
    went_on(box, client)


def test_an_echo_request_is_answered_with_the_magic_of_old(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    ours = (of(box, client).magics or (0, 0))[0]
    box.restart()
    client.send_ppp(ECHO_REQUEST)
    with box.only_server():
        frame, *_ = box._outbox
        box._outbox.clear()
        box.embedded.receive(0, frame)
        (reply,) = box.embedded.sent(0)
    assert ours.to_bytes(4) in reply


@pytest.mark.parametrize("auth", ["pap", "chap", "mschapv2"])
def test_any_authentication_is_adopted(box: MemoryBox, auth: str) -> None:
    (client,) = dialled(box, 1, profile=Profile(auth=(auth,)))
    assert client.phase is Phase.UP
    box.restart()
    went_on(box, client)
    client.send_ppp(CONFIGURE_REQUEST)
    box.run(8.0, step=0.05)
    assert of(box, client).state is State.UP


def test_a_client_without_ipv6_is_not_asked_for_it(box: MemoryBox) -> None:
    (client,) = dialled(box, 1, profile=Profile(auth=("chap",), ipv6=False))
    box.run(15.0, step=0.1)
    assert of(box, client).families == 1
    with box.only_server():
        box.restart()
        box.run(2.0)
        assert not box.embedded.sent(0)
    went_on(box, client)
    assert of(box, client).families == 1


@pytest.mark.parametrize("family", [1, 2], ids=["IPv4", "IPv6"])
def test_a_family_that_had_opened_for_the_client_alone_opens_for_both(
    box: MemoryBox, family: int
) -> None:
    """A bngd dies that has not taken the client's last Configure-Ack."""
    (client,) = dialled(box, 1)
    session = of(box, client)
    found = box.dataplane.read_control(session.index)
    assert found is not None
    record = json.loads(found[1]) | {"families": 3 - family, "pppoe_begun": family}
    handle = session.handle
    box.dataplane.write_control(handle.index, handle.generation, json.dumps(record).encode())
    box.restart()
    assert of(box, client).families == 3 - family
    box.run(5.0, step=0.05)
    assert (of(box, client).families, client.phase) == (3, Phase.UP)
    assert of(box, client).acct_session_id == session.acct_session_id


def test_a_client_is_challenged_again_when_it_is_due() -> None:
    config = {"ppp": {"reauth_interval_s": 100}}
    with memory_box(config=config) as box:
        (client,) = dialled(box, 1)
        box.run(50.0, step=0.5)
        box.restart()
        box.run(40.0, step=0.5)
        assert not box.manager.counters["access_accept"]
        box.run(75.0, step=0.5)
        assert box.manager.counters["access_accept"] == 1
        assert of(box, client).state is State.UP
        box.restart()
        went_on(box, client)


def test_a_second_dial_of_an_adopted_client_replaces_it(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    box.restart()
    again = box.subscriber(1, mac=client.mac)
    box.dial(again)
    assert again.phase is Phase.UP
    assert box.manager.table.count == 1
    assert not of(box, again).adopted


def test_a_user_who_dials_elsewhere_takes_his_session_along(box: MemoryBox) -> None:
    (_client,) = dialled(box, 1)
    box.restart()
    other = box.subscriber(9, user="user00001")
    box.dial(other)
    assert other.phase is Phase.UP
    assert box.manager.counters["replaced"] == 1
    assert box.manager.table.count == 1


def test_ppp_max_payload_outlives_a_restart() -> None:
    profile = Profile(auth=("chap",), mru=1500, max_payload=1500)
    with memory_box(config={"pppoe": {"max_payload": 1500}}) as box:
        (client,) = dialled(box, 1, profile=profile)
        assert of(box, client).peer_mru == 1500
        box.restart()
        assert of(box, client).peer_mru == 1500
        client.send_ppp(CONFIGURE_REQUEST)  # without an MRU, so 1500 (RFC 1661 section 6.1)
        box.run(8.0, step=0.05)
        assert of(box, client).state is State.UP
        assert of(box, client).peer_mru == 1500


# --- timers ---


def test_a_session_timeout_counts_from_the_beginning() -> None:
    users = {"user00001": {"password": "secret", "session_timeout_s": 60}}
    with memory_box(user_table=users) as box:
        (_client,) = dialled(box, 1)
        box.run(30.0, step=0.5)
        box.restart()
        box.run(25.0, step=0.5)
        assert box.manager.table.count == 1
        box.run(10.0, step=0.5)
        assert box.manager.table.count == 0
        assert_empty(box)


def test_accounting_that_was_turned_on_in_between_has_interim_updates() -> None:
    radius = {
        "nas_identifier": "lab",
        "accounting": {"interim_interval_s": 60},
        "server": [{"name": "a", "roles": ["accounting"], "address": "192.0.2.9", "secret": "s"}],
    }
    with memory_box() as box:
        (client,) = dialled(box, 1)
        assert not of(box, client).accounted
        box.restart(config={"radius": radius})
        session = of(box, client)
        assert session.accounted
        assert session.interim_at is not None
        assert box.now <= session.interim_at <= box.now + 60
        box.restart(config={})
        assert not of(box, client).accounted
        went_on(box, client)


# --- those that do not go on ---


def ended(box: MemoryBox, came: Reconciled) -> None:
    """Check that one session was found and ended, and that its client knows."""
    assert (len(came.adopted), len(came.ended)) == (0, 1)
    assert box.manager.table.count == 0
    box.run(1.0)
    assert_empty(box)


def test_one_that_negotiates_is_told_at_once(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = box.subscriber(1)
    monkeypatch.setattr(Subscriber, "on_session", lambda *arguments: None)
    client.start(box.now)
    box.run(5.0, until=lambda: box.manager.table.count == 1)
    assert client.phase is not Phase.UP
    came = box.restart()
    assert came.ended[0].cause is Cause.NAS_REBOOT
    ended(box, came)


def test_one_whose_installation_was_under_way_is_told(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = box.subscriber(1)
    monkeypatch.setattr(box.manager, "completed", lambda *arguments: None)
    client.start(box.now)
    box.run(1.0)
    assert [s.install_pending for s in box.manager.table] == [3]
    ended(box, box.restart())


def test_a_paused_one_is_told(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    with box.only_server():
        client.send_ppp(CONFIGURE_REQUEST)
        box.turn()
    assert [s.state for s in box.manager.table] == [State.PAUSED]
    ended(box, box.restart())
    assert noticed(box, client)[0] == "up"
    assert client.phase is not Phase.UP


def test_one_that_was_closed_is_released_with_its_last_counters(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    session = of(box, client)
    box.dataplane.session_in[session.index].packets = 17
    box.manager.settings = type(box.manager.settings)(
        **{
            name: getattr(box.manager.settings, name)
            for name in type(box.manager.settings).__dataclass_fields__
        }
        | {"accounting": True}
    )
    session.accounted = True
    box.executor.account = lambda action: None
    box.manager.end(session, Cause.IDLE_TIMEOUT, "", box.now)
    box.turn()
    assert box.dataplane.session_in[session.index].state == lib.SESSION_CLOSED
    came = box.restart()
    (one,) = came.ended
    assert (one.acct_session_id, one.cause) == (session.acct_session_id, Cause.IDLE_TIMEOUT)
    assert (one.counters.in_packets, one.record["accounted"]) == (17, True)
    ended(box, came)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: b"",
        lambda record: b"{}",
        lambda record: b"x" * 100,
        lambda record: json.dumps(record | {"v": 2}).encode(),
        lambda record: json.dumps(record | {"ip4": "100.64.0.99"}).encode(),
        lambda record: json.dumps(record | {"mac": "02:00:00:00:00:77"}).encode(),
        lambda record: json.dumps(record | {"line": [0, [[0x8100, 7]]]}).encode(),
        lambda record: json.dumps(record | {"nat": [4_000_000, 0, 0]}).encode(),
        lambda record: json.dumps(record | {"mru": 1 << 40}).encode(),
        lambda record: json.dumps(record | {"magic": [-1, 0]}).encode(),
        lambda record: json.dumps(record | {"if6": -1}).encode(),
        lambda record: json.dumps(record | {"pppoe": 0}).encode(),
        lambda record: json.dumps(record | {"pppoe": None}).encode(),
        lambda record: json.dumps(record | {"pppoe_local": 1 << 64}).encode(),
        lambda record: json.dumps(record | {"pppoe_begun": 4}).encode(),
        lambda record: json.dumps(record | {"pppoe_max_payload": 1 << 17}).encode(),
        lambda record: json.dumps(record | {"method": "l2tp"}).encode(),
        lambda record: json.dumps({k: v for k, v in record.items() if k != "user"}).encode(),
    ],
)
def test_one_without_a_record_that_says_how_to_go_on_is_told(
    box: MemoryBox, spoil: Callable[[dict[str, Any]], bytes]
) -> None:
    (client,) = dialled(box, 1)
    session = of(box, client)
    found = box.dataplane.read_control(session.index)
    assert found is not None
    spoilt = spoil(json.loads(found[1]))
    box.dataplane.write_control(session.index, session.handle.generation, spoilt)
    ended(box, box.restart())
    assert client.phase is not Phase.UP


def test_a_record_of_an_earlier_session_is_none(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    session = of(box, client)
    found = box.dataplane.read_control(session.index)
    assert found is not None
    box.dataplane.write_control(session.index, session.handle.generation - 1, found[1])
    ended(box, box.restart())


def test_a_record_that_no_command_can_carry_costs_its_session_alone(box: MemoryBox) -> None:
    one, two = dialled(box, 1, 2)
    session = of(box, one)
    found = box.dataplane.read_control(session.index)
    assert found is not None
    record = json.loads(found[1])
    record["profile"]["idle_timeout_s"] = 1 << 70
    data = json.dumps(record).encode()
    box.dataplane.write_control(session.index, session.handle.generation, data)
    box.restart()
    box.run(1.0)
    assert [s.mac for s in box.manager.table] == [two.mac]
    went_on(box, two)


def test_an_address_has_one_owner_whatever_the_records_say(box: MemoryBox) -> None:
    one, two = dialled(box, 1, 2)
    first, second = of(box, one), of(box, two)
    found = box.dataplane.read_control(second.index)
    assert found is not None
    record = json.loads(found[1]) | {"ip4": str(first.ipv4_address)}
    data = json.dumps(record).encode()
    box.dataplane.write_control(second.index, second.handle.generation, data)
    box.dataplane.session_in[second.index].ip4 = int.from_bytes(one.address.packed, "little")
    came = box.restart()
    assert [s.mac for s in came.adopted] == [one.mac]
    assert len(came.ended) == 1


# --- what was under way ---


def test_commands_that_were_not_carried_out_yet_are(box: MemoryBox) -> None:
    """PAUSE stands in the ring when bngd dies: it is done first, and the session not adopted."""
    (client,) = dialled(box, 1)
    handle = of(box, client).handle
    record = session_record(CommandType.SESSION_PAUSE, handle.index, handle.generation, 0)
    box.dataplane.command(handle.worker, record)
    box.dataplane.flush()
    ended(box, box.restart())


def test_answers_that_nobody_read_are_nobodys(box: MemoryBox) -> None:
    """An UP of the old bngd is answered to the new one: it must not count it as its own."""
    (client,) = dialled(box, 1)
    session = of(box, client)
    assert session.told is not None
    box.manager.tell_up(session, session.told)
    box.dispatcher.settle()
    box.embedded.run()
    box.restart()
    session = of(box, client)
    assert session.install_pending == 0
    client.send_ppp(CONFIGURE_REQUEST)
    box.run(8.0, step=0.05)
    assert of(box, client).state is State.UP


def test_what_the_dataplane_was_not_told_any_more_it_is_told(box: MemoryBox) -> None:
    """A change is written down first: with bngd dead in between, the next one makes it true."""
    with memory_box(config={"acl": ACLS}, user_table={"user00001": {"password": "secret"}}) as box:
        (client,) = dialled(box, 1)
        session = of(box, client)
        changed = {
            "user00001": {
                "password": "secret",
                "acl_in": "in",
                "rate_up": {"cir_bps": 1_000_000},
                "mss_clamp": False,
            }
        }
        box.set_users(changed)
        user = box._users(changed).by_name["user00001"]
        refresh(box.manager, session, user.profile, Refreshed(), box.now)
        todo = box.manager.take()
        box.executor.run([action for action in todo if type(action).__name__ == "Record"])
        box.restart()
        index = of(box, client).index
        assert box.dataplane.session_in[index].acl
        assert box.dataplane.policer[2 * index].mode == binding.PolicerMode.SRTCM
        assert not box.dataplane.session_in[index].features & 1 << 7
        # and the other way round
        plain = {"user00001": {"password": "secret"}}
        box.set_users(plain)
        session = of(box, client)
        user = box._users(plain).by_name["user00001"]
        refresh(box.manager, session, user.profile, Refreshed(), box.now)
        todo = box.manager.take()
        box.executor.run([action for action in todo if type(action).__name__ == "Record"])
        box.restart()
        assert not box.dataplane.session_in[index].acl
        assert box.dataplane.policer[2 * index].mode == binding.PolicerMode.OFF
        assert box.dataplane.session_in[index].features & 1 << 7
        went_on(box, client)


# --- another configuration ---


def test_an_address_whose_pool_is_gone_stays_with_its_session(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    other = CONFIG["pool"][0] | {"ranges": ["100.64.32.10-100.64.32.20"]}
    box.restart(config={"pool": [other]})
    assert of(box, client).ipv4_address == IPv4Address("100.64.0.10")
    assert box.tables()["addresses_in_no_pool"] == 1
    went_on(box, client)
    client.terminate("padt", box.now)
    box.run(1.0)
    assert_empty(box)


def test_a_public_address_that_is_gone_stays_with_its_session(box: MemoryBox) -> None:
    (client,) = dialled(box, 1)
    box.restart(config={"nat": {"pool": [{"name": "new", "addresses": ["198.51.100.6/31"]}]}})
    session = of(box, client)
    assert session.nat_place is not None
    entry = box.manager.nat.entries[session.nat_place.address]
    assert (entry.pool, entry.sessions) == (None, 1)
    assert entry.address == IPv4Address("198.51.100.0")
    went_on(box, client)
    client.terminate("padt", box.now)
    box.run(3.0)
    assert str(entry.address) not in {str(e.address) for e in box.manager.nat.entries.values()}
    assert_empty(box)
