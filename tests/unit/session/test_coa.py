"""CoA and Disconnect (RFC 5176) on sessions of a real dataplane: what changes, what is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from bng.aaa.dynauth import ErrorCause, Known
from bng.aaa.reading import Offered, Value
from bng.aaa.requests import AccountStatus, Nas
from bng.session.actions import Account, CommandKind, ForwardPort, PoliceSession, cookie
from bng.session.coa import Outcome
from bng.session.model import Counters, Session
from dataplane.binding import Direction, lib
from dataplane.sight import fib4_lookup
from tests.node import lab
from tests.node.harness import ACC
from tests.support.memory_box import MemoryBox, memory_box

ACL: list[dict[str, Any]] = [
    {"name": "mail", "default": "deny", "rules": ["permit tcp any any port 25"]},
    {"name": "web", "default": "permit", "rules": ["deny udp any any"]},
]
NAT: dict[str, Any] = {
    "pool": [
        {"name": "public", "addresses": ["198.51.100.0/29"]},
        {"name": "own", "mode": "one-to-one", "addresses": ["203.0.113.0/31"]},
    ],
    "profile": {
        "own": {"translate": True, "pool": "own"},
        "ports": {"translate": True, "pool": "public"},
        "never": {"translate": False},
    },
}
USERS: dict[str, Any] = {
    **{f"user{i:05d}": {"password": "secret", "simultaneous_use": 3} for i in range(8)},
    "user00003": {"password": "secret", "nat_address": "198.51.100.3"},
    "user00004": {"password": "secret", "nat_address": "198.51.100.3"},
}
CAUSES = {int(cause): cause for cause in ErrorCause}
Pairs = list[tuple[str, Value]]


@dataclass
class Bed:
    """A box, and the answers that came, by number of the order."""

    memory: MemoryBox
    answers: dict[int, Outcome] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    asked: int = 0

    def dial(self, *numbers: int) -> list[Session]:
        memory = self.memory
        memory.dial(*(memory.subscriber(number) for number in numbers))
        return [self.session(number) for number in numbers]

    def session(self, number: int) -> Session:
        (found,) = self.memory.manager.grants.by_user[f"user{number:05d}"]
        return found

    def send(self, *pairs: tuple[str, Value], disconnect: bool = False) -> int:
        """Give an order to the core; nothing has happened in the dataplane yet."""
        self.asked += 1
        number = self.asked

        def answer(outcome: Outcome) -> None:
            assert number not in self.answers
            self.answers[number] = outcome
            self.order.append(number)

        self.memory.manager.orders.take(
            pairs, answer, self.memory.now, disconnect=disconnect, source="oss"
        )
        return number

    def coa(self, *pairs: tuple[str, Value]) -> int | None:
        """Return the Error-Cause of a CoA-Request, None for its ACK."""
        number = self.send(*pairs)
        self.memory.turn()
        return self.answers[number].cause

    def disconnect(self, *pairs: tuple[str, Value]) -> int | None:
        number = self.send(*pairs, disconnect=True)
        self.memory.run(1.0, until=lambda: number in self.answers)
        return self.answers[number].cause

    def policer(self, session: Session, direction: Direction = Direction.OUT) -> int:
        return int(self.memory.dataplane.policer[2 * session.index + direction].cir_bps)

    def leads(self, session: Session, address: IPv4Address) -> bool:
        """Say whether packets to *address* go to the session."""
        leaf = fib4_lookup(self.memory.dataplane, address)
        return leaf.kind == lib.LEAF_SESSION and leaf.index == session.index

    def passes(self, session: Session, count: int = 5) -> int:
        """Send packets of 1000 bytes from the subscriber; return how many were charged."""
        memory = self.memory
        entry = memory.dataplane.session_in[session.index]
        before = int(entry.packets)
        packet = lab.udp(str(session.ipv4_address), "192.0.2.9", 972)
        pppoe_id = int(memory.dataplane.session_cold[session.index].session_id)
        frame = lab.session_frame(packet, session_id=pppoe_id, source=bytes(session.mac))
        for _ in range(count):
            memory.embedded.receive(ACC, frame)
        return int(entry.packets) - before


@pytest.fixture
def bed() -> Iterator[Bed]:
    """Yield a box with user00001 and user00002."""
    tables = {"acl": ACL, "nat": {**NAT, "forward_ports": "200-499"}}
    with memory_box(config=tables, user_table=USERS) as memory:
        settings = memory.manager.settings
        memory.manager.settings = replace(settings, accounting=True, start_delay_s=0)

        def written(action: Account) -> None:
            if action.status is AccountStatus.STOP:
                handle = action.session.handle
                memory.manager.accounted(handle.index, handle.generation)

        memory.executor.account = written
        memory.manager.orders.known = Known(
            nas=Nas(identifier="bng", ip4=IPv4Address("192.0.2.1"), ports={0: "acc0"}),
            own_addresses={IPv4Address("100.64.0.1")},
            offered=Offered(acls={"mail", "web"}, nat_profiles={"own", "ports", "never"}),
        )
        made = Bed(memory)
        made.dial(1, 2)
        yield made


def by_id(session: Session) -> tuple[str, Value]:
    return ("Acct-Session-Id", session.acct_session_id)


RATE = ("WISPr-Bandwidth-Max-Down", 2_000_000)


# ---- whose session


@pytest.mark.parametrize(
    "names",
    [
        ("Acct-Session-Id",),
        ("User-Name",),
        ("Framed-IP-Address",),
        ("NAS-Port-Id", "Calling-Station-Id"),
        ("Calling-Station-Id",),
        ("Acct-Session-Id", "User-Name", "Framed-IP-Address", "NAS-Port-Id", "NAS-Port"),
        ("User-Name", "Called-Station-Id"),
        ("NAS-Identifier", "NAS-IP-Address", "User-Name"),
    ],
)
def test_a_session_is_found_by_any_combination(bed: Bed, names: tuple[str, ...]) -> None:
    session = bed.session(2)
    said: dict[str, Value] = {
        "Acct-Session-Id": session.acct_session_id,
        "User-Name": "user00002",
        "Framed-IP-Address": session.ipv4_address or 0,
        "NAS-Port-Id": "acc0:0",
        "NAS-Port": 0,
        "Calling-Station-Id": str(session.mac),
        "Called-Station-Id": "acc0",
        "NAS-Identifier": "bng",
        "NAS-IP-Address": IPv4Address("192.0.2.1"),
    }
    assert bed.coa(*((name, said[name]) for name in names), RATE) is None
    assert (bed.policer(session), bed.policer(bed.session(1))) == (2_000_000, 0)
    wrong: dict[str, Value] = {name: f"{value}x" for name, value in said.items()}
    wrong |= {"Framed-IP-Address": IPv4Address("100.64.9.9"), "NAS-Port": 7}
    wrong["NAS-IP-Address"] = IPv4Address("192.0.2.99")
    for at, name in enumerate(names):  # all must match
        pairs = [(n, wrong[n] if i == at else said[n]) for i, n in enumerate(names)]
        assert bed.coa(*pairs, RATE) == (403 if name.startswith("NAS-I") else 503)


def test_two_sessions_that_fit_are_one_too_many(bed: Bed) -> None:
    memory = bed.memory
    memory.manager.settings = replace(memory.manager.settings, single_session="allow")
    memory.dial(memory.subscriber(9, user="user00001"))
    assert bed.coa(("User-Name", "user00001"), RATE) == 508
    assert bed.disconnect(("NAS-Port-Id", "acc0:0")) == 508
    one, other = sorted(memory.manager.grants.by_user["user00001"], key=lambda s: s.index)
    assert bed.coa(("User-Name", "user00001"), by_id(other), RATE) is None
    assert (bed.policer(one), bed.policer(other)) == (0, 2_000_000)


def test_an_index_finds_a_session_without_a_walk(bed: Bed) -> None:
    bed.dial(5)
    static = bed.session(5)
    for key in (
        by_id(static),
        ("User-Name", "user00005"),
        ("Framed-IP-Address", static.ipv4_address or 0),
    ):
        assert bed.coa(key, RATE) is None
    assert bed.memory.manager.orders.counters["scans"] == 0
    assert bed.coa(("Calling-Station-Id", str(static.mac)), RATE) is None
    assert bed.memory.manager.orders.counters["scans"] == 1


# ---- each Error-Cause

ONE = ("User-Name", "user00001")
REFUSED: list[tuple[int, bool, Pairs]] = [
    (401, False, [ONE, ("Framed-Pool", "subscribers")]),
    (401, False, [ONE, ("Attr-26.9.250", b"x"), RATE]),
    (401, False, [ONE, ("Reply-Message", "hello"), RATE]),
    (401, False, [ONE, ("Chargeable-User-Identity", b"x"), RATE]),
    (401, False, [ONE, ("Service-Type", 17), ("State", b"s"), RATE]),
    (401, True, [ONE, ("Service-Type", 2)]),
    (401, True, [ONE, RATE]),
    (401, True, [ONE, ("State", b"s")]),
    (402, False, [RATE]),
    (402, False, [ONE]),
    (402, False, [ONE, ("Service-Type", 17)]),
    (402, True, []),
    (402, True, [("NAS-Identifier", "bng")]),
    (403, False, [("NAS-Identifier", "other"), ONE, RATE]),
    (403, False, [("NAS-IP-Address", IPv4Address("192.0.2.2")), ONE, RATE]),
    (403, True, [("NAS-IPv6-Address", b"x"), ONE]),
    (404, False, [ONE, ONE, RATE]),
    (404, False, [("User-Name", ""), RATE]),
    (404, False, [("Framed-IP-Address", b"xy"), RATE]),
    (404, False, [ONE, ("Session-Timeout", 60), ("Session-Timeout", 90)]),
    (405, False, [ONE, ("Service-Type", 1), RATE]),
    (405, False, [ONE, ("Service-Type", 17), ("State", b"s")]),
    (407, False, [ONE, ("Filter-Id", "nosuch")]),
    (407, False, [ONE, RATE, ("Idle-Timeout", 0)]),
    (407, False, [ONE, ("Acct-Interim-Interval", 5)]),
    (407, False, [ONE, ("Cisco-AVPair", "ip:dns-servers=9.9.9.9")]),
    (407, False, [ONE, ("Cisco-AVPair", "nonsense")]),
    (407, False, [ONE, ("Bng-Nat-Profile", "nosuch")]),
    (407, False, [ONE, ("Bng-Rate-Up", "fast")]),
    (407, False, [ONE, ("Bng-Nat-Port-Forward", "tcp 270 80")]),
    (407, False, [ONE, ("Framed-Route", "10.0.0.1/8")]),
    (503, False, [("User-Name", "nobody"), RATE]),
    (503, True, [("Acct-Session-Id", "0")]),
]


@pytest.mark.parametrize(("cause", "disconnect", "pairs"), REFUSED)
def test_what_is_wrong_is_refused_with_its_cause_and_nothing_changes(
    bed: Bed, cause: int, disconnect: bool, pairs: Pairs
) -> None:
    session = bed.session(1)
    before = session.profile
    bed.memory.dispatcher.settle()
    number = bed.send(*pairs, disconnect=disconnect)
    assert bed.answers[number].cause is CAUSES[cause]
    assert bed.answers[number].detail
    assert bed.memory.manager.take() == []
    assert session.profile is before
    assert session.cause is None


def test_more_orders_than_can_wait_are_refused(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bng.session.coa.MAX_WAITING", 2)
    numbers = [bed.send(ONE, RATE) for _ in range(3)]
    assert bed.answers[numbers[2]].cause is ErrorCause.RESOURCES_UNAVAILABLE
    bed.memory.turn()
    assert [bed.answers[n].cause for n in numbers[:2]] == [None, None]
    assert bed.memory.manager.orders.waiting == 0


# ---- what changes


def test_rates_change_and_the_answer_comes_after_the_dataplane_has_them(bed: Bed) -> None:
    session = bed.session(1)
    assert bed.passes(session) == 5
    number = bed.send(ONE, ("Bng-Rate-Up", "8000 cbs=3000"))
    assert (number in bed.answers, bed.policer(session, Direction.IN)) == (False, 0)
    bed.memory.dispatcher.settle()
    assert number not in bed.answers
    bed.memory.turn()
    assert bed.answers[number] == Outcome(session=session)
    assert bed.policer(session, Direction.IN) == 8_000
    assert bed.passes(session) == 3
    assert bed.coa(ONE, ("WISPr-Bandwidth-Max-Up", 80_000_000)) is None
    bed.memory.run(0.01)  # the bucket was empty, and fills at the new rate
    assert bed.passes(session) == 5


def test_acls_change_one_direction_or_both(bed: Bed) -> None:
    session, dataplane = bed.session(1), bed.memory.dataplane
    acls = bed.memory.manager.settings.acls

    def now() -> tuple[int, int]:
        entries = dataplane.session_in[session.index], dataplane.session_out[session.index]
        return int(entries[0].acl), int(entries[1].acl)

    assert bed.coa(ONE, ("Filter-Id", "mail")) is None
    assert now() == (acls["mail"], acls["mail"])
    assert bed.passes(session) == 0
    assert bed.coa(ONE, ("Filter-Id", "web.out")) is None
    assert now() == (acls["mail"], acls["web"])
    assert bed.coa(ONE, ("Bng-Acl-In", "web")) is None
    assert now() == (acls["web"], acls["web"])


def test_timeouts_and_the_interim_interval_change(bed: Bed) -> None:
    session, memory = bed.session(1), bed.memory
    assert session.up_at is not None
    assert session.timeout_at is None
    interim = ("Acct-Interim-Interval", 600)
    assert bed.coa(ONE, ("Session-Timeout", 100), ("Idle-Timeout", 50), interim) is None
    assert session.timeout_at == session.up_at + 100
    assert memory.dataplane.session_cold[session.index].idle_timeout_ms == 50_000
    assert session.interim_at is not None
    assert 540 <= session.interim_at - memory.now <= 660
    assert session.due <= session.timeout_at
    assert bed.coa(ONE, ("Session-Timeout", 3)) is None
    memory.run(4.0, until=lambda: memory.manager.table.count == 1)
    assert [s.user_name for s in memory.manager.table] == ["user00002"]


def test_the_class_changes_for_the_records_to_come(bed: Bed) -> None:
    session = bed.session(1)
    assert bed.coa(ONE, ("Class", b"gold"), ("Class", b"2026")) is None
    assert session.accept is not None
    assert session.accept.classes == (b"gold", b"2026")
    assert bed.coa(ONE, RATE) is None
    assert session.accept.classes == (b"gold", b"2026")
    assert session.accept.sources == {
        "classes": "CoA of oss: Class",
        "rate_down": "CoA of oss: WISPr-Bandwidth-Max-Down",
    }


def test_routes_change_and_lead_to_the_session(bed: Bed) -> None:
    session = bed.session(1)
    own = IPv4Network(session.ipv4_address or 0)

    def leads(prefix: str) -> bool:
        return bed.leads(session, IPv4Network(prefix)[1])

    assert (
        bed.coa(ONE, ("Framed-Route", "10.1.0.0/24"), ("Framed-Route", "10.2.0.0/16 0.0.0.0"))
        is None
    )
    assert session.routes == (own, IPv4Network("10.1.0.0/24"), IPv4Network("10.2.0.0/16"))
    assert leads("10.1.0.0/24")
    assert leads("10.2.0.0/16")
    assert bed.coa(ONE, ("Framed-Route", "10.3.0.0/16")) is None
    assert not leads("10.1.0.0/24")
    assert leads("10.3.0.0/16")
    assert bed.coa(ONE, ("Framed-Route", "10.4.0.0/16")) is None
    assert not leads("10.3.0.0/16")
    assert session.cause is None


def test_a_route_that_leads_to_another_session_is_refused(bed: Bed) -> None:
    one, two = bed.session(1), ("User-Name", "user00002")
    assert bed.coa(ONE, ("Framed-Route", "10.3.0.0/16")) is None
    for prefix in ("10.3.0.0/16", f"{one.ipv4_address}/32"):
        assert bed.coa(two, ("Framed-Route", prefix)) == ErrorCause.RESOURCES_UNAVAILABLE
    assert bed.coa(ONE, ("Framed-IPv6-Route", "2001:db8:5::/48")) is None
    assert (
        bed.coa(two, ("Framed-IPv6-Route", "2001:db8:5::/48")) == ErrorCause.RESOURCES_UNAVAILABLE
    )
    assert bed.leads(one, IPv4Address("10.3.0.1"))
    assert bed.coa(two, ("Framed-Route", "10.3.0.0/24")) is None, "a part of it is another route"
    assert bed.disconnect(ONE) is None
    assert bed.coa(two, ("Framed-Route", "10.3.0.0/16")) is None
    assert bed.leads(bed.session(2), IPv4Address("10.3.0.1"))


def test_what_does_not_fit_the_record_is_refused(bed: Bed) -> None:
    session, memory = bed.session(1), bed.memory
    before, record = session.profile, memory.dataplane.read_control(session.index)
    classes = [("Class", memory.entropy(250)) for _ in range(8)]
    assert bed.coa(ONE, RATE, *classes, ("Framed-Route", "10.1.0.0/16")) == 506
    assert bed.answers[1].detail == "its record would be too long"
    assert session.profile == before
    assert (len(session.routes), bed.policer(session)) == (1, 0)
    assert memory.dataplane.read_control(session.index) == record
    assert bed.coa(ONE, RATE) is None
    assert memory.dataplane.read_control(session.index) != record


def test_a_nat_profile_changes_where_a_session_can_follow(bed: Bed) -> None:
    session, memory = bed.session(1), bed.memory
    assert session.nat_place is not None
    assert bed.coa(ONE, ("Bng-Nat-Profile", "own")) is None
    assert str(session.nat_public) in {"203.0.113.0", "203.0.113.1"}
    assert session.nat_place is None
    assert bed.coa(ONE, ("Bng-Nat-Profile", "ports"), RATE) == 407
    assert bed.policer(session) == 0
    assert bed.coa(("User-Name", "user00002"), ("Bng-Nat-Profile", "own")) is None
    bed.dial(5)
    five = bed.session(5)
    assert bed.coa(("User-Name", "user00005"), ("Bng-Nat-Profile", "own"), RATE) == 506
    assert (bed.policer(five), five.nat_public) == (0, None)
    assert bed.coa(ONE, ("Bng-Nat-Profile", "never")) is None
    assert session.nat_public is None
    assert len(memory.manager.one_to_one.addresses.holders) == 1


def test_port_forwards_change_and_those_of_others_are_refused(bed: Bed) -> None:
    three, four = bed.dial(3, 4)
    third, fourth = ("User-Name", "user00003"), ("User-Name", "user00004")
    assert bed.coa(third, ("Bng-Nat-Port-Forward", "tcp 270 80")) is None
    assert [str(forward) for forward in three.forwarded] == ["tcp 270 80"]
    assert bed.coa(fourth, ("Bng-Nat-Port-Forward", "tcp 270 80"), RATE) == 506
    assert (four.forwarded, bed.policer(four)) == ({}, 0)
    assert bed.coa(third, ("Bng-Nat-Port-Forward", "tcp 271 80")) is None
    assert bed.coa(fourth, ("Bng-Nat-Port-Forward", "tcp 270 80")) is None


def test_mss_clamp_and_vendors_rates_change(bed: Bed) -> None:
    session, dataplane = bed.session(1), bed.memory.dataplane
    assert bed.coa(ONE, ("Bng-Mss-Clamp", 0), ("Mikrotik-Rate-Limit", "1M/4M")) is None
    assert dataplane.session_in[session.index].mss == 0
    assert (bed.policer(session, Direction.IN), bed.policer(session)) == (1_000_000, 4_000_000)


# ---- all or nothing


def test_what_the_dataplane_refuses_changes_nothing(bed: Bed) -> None:
    (session,) = bed.dial(3)
    third = ("User-Name", "user00003")
    assert bed.coa(third, RATE, ("Bng-Nat-Port-Forward", "tcp 270 80")) is None
    before = session.profile
    new_rate = ("WISPr-Bandwidth-Max-Down", 9_000_000)
    beyond = ("Bng-Nat-Port-Forward", "tcp 9999 80")  # not one of nat.forward_ports
    assert bed.coa(third, new_rate, beyond, ("Framed-Route", "10.1.0.0/16")) == 506
    assert session.profile == before
    assert bed.policer(session) == 2_000_000
    assert [str(forward) for forward in session.forwarded] == ["tcp 270 80"]
    assert len(session.routes) == 1
    assert not bed.leads(session, IPv4Address("10.1.0.1"))
    assert session.cause is None
    assert bed.memory.manager.orders.counters["restored"] == 1


def test_a_session_that_cannot_be_restored_ends(bed: Bed) -> None:
    session, manager = bed.session(1), bed.memory.manager
    number = bed.send(ONE, RATE)
    manager.take()  # the commands never reach the dataplane: its answers come from here
    for status, kind in ((-5, CommandKind.POLICE), (0, CommandKind.UP)):
        manager.completed(cookie(kind, session.handle), status, lambda _: Counters(), 1.0)
    restored = manager.take()
    assert any(isinstance(action, PoliceSession) for action in restored)
    assert number not in bed.answers
    for status, kind in ((-5, CommandKind.POLICE), (0, CommandKind.UP)):
        manager.completed(cookie(kind, session.handle), status, lambda _: Counters(), 1.0)
    assert session.detail == "CoA: police: errno 5"
    bed.memory.turn()
    assert bed.answers[number].cause is ErrorCause.SESSION_CONTEXT_NOT_FOUND
    assert bed.memory.manager.table.count == 1


# ---- in order


def test_two_orders_for_a_session_are_served_one_after_the_other(bed: Bed) -> None:
    session, manager = bed.session(1), bed.memory.manager
    rates = [("WISPr-Bandwidth-Max-Down", n * 1_000_000) for n in range(1, 6)]
    numbers = [bed.send(ONE, rate) for rate in rates]
    other = bed.send(("User-Name", "user00002"), RATE)
    told = [a.down.cir_bps for a in manager.take() if isinstance(a, PoliceSession) and a.down]
    assert told == [1_000_000, 2_000_000], "the second waits; that of another session does not"
    for _ in (1, 2):
        manager.completed(cookie(CommandKind.UP, session.handle), 0, lambda _: Counters(), 1.0)
    two = cookie(CommandKind.UP, bed.session(2).handle)
    manager.completed(two, 0, lambda _: Counters(), 1.0)
    assert bed.order == [numbers[0], numbers[1], other]
    bed.memory.turn()
    assert bed.order == [numbers[0], numbers[1], other, *numbers[2:]]
    assert bed.policer(session) == 5_000_000


def test_an_order_waits_for_an_installation_under_way(bed: Bed) -> None:
    memory = bed.memory
    client = memory.subscriber(6)
    client.start(memory.now)
    memory.run(
        5.0,
        until=lambda: any(s.profile and s.user_name == "user00006" for s in memory.manager.table),
    )
    number = bed.send(("User-Name", "user00006"), RATE)
    memory.run(5.0, until=lambda: bed.session(6).up_at is not None)
    assert bed.answers[number].cause is None
    assert bed.policer(bed.session(6)) == 2_000_000


def test_a_paused_session_has_the_change_when_it_goes_on(bed: Bed) -> None:
    session, manager = bed.session(1), bed.memory.manager
    manager.link_left(session, bed.memory.now)
    assert bed.coa(ONE, RATE, ("Framed-Route", "10.1.0.0/24")) is None
    assert bed.policer(session) == 0
    manager.placed(session)
    bed.memory.turn()
    assert bed.policer(session) == 2_000_000
    assert bed.leads(session, IPv4Address("10.1.0.1"))


# ---- Disconnect


def test_a_disconnect_ends_the_session_and_is_acknowledged_when_it_has_ended(bed: Bed) -> None:
    session, memory = bed.session(1), bed.memory
    later = bed.send(ONE, ("Class", b"bye"), disconnect=True)
    assert later not in bed.answers
    waits = bed.send(ONE, RATE)
    again = bed.send(by_id(session), disconnect=True)
    memory.run(1.0, until=lambda: again in bed.answers)
    assert bed.order == [later, waits, again]
    assert [bed.answers[n].cause for n in bed.order] == [None, CAUSES[503], None]
    assert session.cause is not None
    assert (session.cause.word, session.cause.acct_terminate_cause) == ("admin-reset", 6)
    assert session.detail == "oss"
    assert session.accept is not None
    assert session.accept.classes == (b"bye",)
    assert ("user00001", "down") in [event[:2] for event in memory.events]
    assert bed.disconnect(("User-Name", "nobody")) == 503


def test_a_session_that_ends_by_itself_answers_its_orders(bed: Bed) -> None:
    session, memory = bed.session(1), bed.memory
    order = bed.send(ONE, RATE)
    client = memory._by_mac[bytes(session.mac)]
    client.terminate("padt", memory.now)
    memory.run(1.0)
    assert order in bed.answers
    assert bed.coa(ONE, RATE) == 503
    assert memory.manager.orders._queues == {}


def test_forwards_are_told_with_everything_else(bed: Bed) -> None:
    (session,) = bed.dial(3)
    bed.send(("User-Name", "user00003"), ("Bng-Nat-Port-Forward", "udp 300 53"))
    kinds = [type(action) for action in bed.memory.manager.take()]
    assert kinds[0] is ForwardPort
    assert session.install_pending == 1


# ---- over restarts and new answers of AAA


def test_an_adopted_session_keeps_what_was_changed_and_changes_further(bed: Bed) -> None:
    memory, known = bed.memory, bed.memory.manager.orders.known
    wanted = (RATE, ("Class", b"gold"), ("Framed-Route", "10.1.0.0/24"), ("Session-Timeout", 900))
    assert bed.coa(ONE, *wanted) is None
    until = bed.session(1).timeout_at
    memory.restart()
    memory.manager.orders.known = known
    session = bed.session(1)
    assert session.adopted
    assert session.profile is not None
    assert session.accept is not None
    assert session.profile.rate_down is not None
    assert session.profile.rate_down.cir_bps == bed.policer(session) == 2_000_000
    assert (session.accept.classes, session.timeout_at) == ((b"gold",), until)
    assert session.accept.sources["routes"] == "CoA of oss: Framed-Route"
    assert bed.leads(session, IPv4Address("10.1.0.1"))
    for number, key in enumerate(
        (by_id(session), ONE, ("Framed-IP-Address", session.ipv4_address or 0)), 3
    ):
        assert bed.coa(key, (RATE[0], number * 1_000_000)) is None
        assert bed.policer(session) == number * 1_000_000
    assert memory.manager.orders.counters["scans"] == 0
    assert bed.disconnect(ONE) is None


def test_what_was_under_way_at_a_death_is_whole_afterwards(bed: Bed) -> None:
    memory, known = bed.memory, bed.memory.manager.orders.known
    bed.send(ONE, RATE, ("Filter-Id", "mail"))
    memory.dispatcher.settle()  # the commands are in the ring; nobody will read their answers
    memory.restart()
    memory.manager.orders.known = known
    session = bed.session(1)
    acl = memory.manager.settings.acls["mail"]
    assert (bed.policer(session), session.profile and session.profile.acl_in) == (
        2_000_000,
        "mail",
    )
    assert memory.dataplane.session_in[session.index].acl == acl
    assert bed.answers == {}
    assert bed.coa(ONE, RATE, ("Filter-Id", "mail")) is None, "asked again, as it had no answer"


def test_a_new_answer_of_aaa_acts_on_the_session_that_lives(bed: Bed) -> None:
    session, manager = bed.session(1), bed.memory.manager
    assert bed.coa(ONE, RATE, ("Framed-Route", "10.1.0.0/24")) is None
    assert session.accept is not None
    assert session.profile is not None
    says = replace(session.profile, rate_down=None, routes=(), mtu=1400)
    manager.grants.answer(session, replace(session.accept, profile=says), "user00001", 1.0)
    bed.memory.turn()
    assert bed.policer(session) == 0
    assert not bed.leads(session, IPv4Address("10.1.0.1"))
    assert session.profile.mtu is None, "negotiated with the client: it needs a redial"
