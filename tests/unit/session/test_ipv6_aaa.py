"""IPv6 of sessions towards AAA: what accounting is told and when, CoA and Disconnect (RFC 5176)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from bng.aaa.dynauth import ErrorCause, Known
from bng.aaa.reading import Offered, Value
from bng.aaa.requests import AccountStatus, Nas
from bng.io.radius import _attributes
from bng.session.actions import Account
from bng.session.coa import Outcome
from bng.session.ipv6_side import Ipv6Side
from bng.session.model import Session
from dataplane.binding import Direction
from dataplane.sight import session_drops
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.subscriber import Subscriber
from tests.support.memory_box import MemoryBox, memory_box

START, STOP, INTERIM = AccountStatus.START, AccountStatus.STOP, AccountStatus.INTERIM
NAS = Nas(identifier="bng", ports={0: "acc0"})
STATIC = {
    "password": "secret",
    "ipv6_prefix": "2001:db8:f000:1::/64",
    "ipv6_address": "2001:db8:f000:1::10",
    "delegated_prefix": "2001:db8:f001::/56",
    "ipv6_routes": [{"prefix": "2001:db8:f002::/48"}],
    "ipv6_announced_routes": ["2001:db8::/32"],
}
USERS: dict[str, Any] = {
    **{f"user{i:05d}": {"password": "secret"} for i in range(8)},
    "user00003": STATIC,
}
NO_MAIL: dict[str, Any] = {
    "name": "no-mail",
    "default": "permit",
    "rules": ["deny tcp any 2001:db8:ffff::25 port 25"],
}
OPEN: dict[str, Any] = {"name": "open", "default": "permit"}
OF_IPV6 = ("Framed-IPv6-Prefix", "Framed-IPv6-Address", "Delegated-IPv6-Prefix")


@dataclass
class Bed:
    """A box, what accounting was told at which moment, and the answers to orders."""

    memory: MemoryBox
    told: list[tuple[float, AccountStatus, list[tuple[str, Value]]]] = field(default_factory=list)
    answers: list[Outcome] = field(default_factory=list)

    def take(self, action: Account) -> None:
        pairs = _attributes(NAS, action.session, action, None, 0.0)
        self.told.append((self.memory.now, action.status, pairs))
        if action.status is STOP:
            handle = action.session.handle
            self.memory.manager.accounted(handle.index, handle.generation)

    def dial(self, number: int, wants: Wants | None = None, *, ipv6: bool = True) -> Subscriber:
        profile = Profile(auth=("chap",), ipv6=ipv6, wants=wants)
        client = self.memory.subscriber(number, profile=profile)
        self.memory.dial(client)
        return client

    def session(self, number: int) -> Session:
        (found,) = self.memory.manager.grants.by_user[f"user{number:05d}"]
        return found

    def side(self, number: int) -> Ipv6Side:
        found = self.session(number).ipv6
        assert found is not None
        return found

    def said(self, at: int = -1) -> tuple[AccountStatus, list[tuple[str, Value]]]:
        _, status, pairs = self.told[at]
        return status, [pair for pair in pairs if pair[0] in OF_IPV6]

    def order(self, *pairs: tuple[str, Value], disconnect: bool = False) -> ErrorCause | None:
        before, memory = len(self.answers), self.memory
        memory.manager.orders.take(
            pairs, self.answers.append, memory.now, disconnect=disconnect, source="oss"
        )
        memory.run(1.0, until=lambda: len(self.answers) > before)
        return self.answers[-1].cause


@pytest.fixture
def bed() -> Iterator[Bed]:
    with memory_box(user_table=USERS, config={"acl": [NO_MAIL, OPEN]}) as memory:
        memory.manager.settings = replace(
            memory.manager.settings,
            accounting=True,
            start_delay_s=0,
            ipv6=replace(memory.manager.settings.ipv6, addresses_from_link=True),
        )
        made = Bed(memory)
        memory.executor.account = made.take
        memory.manager.orders.known = Known(nas=NAS, offered=Offered(acls={"no-mail", "open"}))
        yield made


# ---- accounting ----


def test_one_interim_update_tells_of_all_that_ipv6_brought(bed: Bed) -> None:
    client = bed.dial(1, Wants(delegate=56, address=True))
    assert [status for _, status, _ in bed.told] == [START]
    bed.memory.run(10.0, step=0.1)
    assert [status for _, status, _ in bed.told] == [START, INTERIM]
    side = bed.side(1)
    whole = [
        ("Framed-IPv6-Prefix", side.prefix),
        ("Framed-IPv6-Address", *side.addresses),
        ("Delegated-IPv6-Prefix", *side.delegated),
    ]
    assert bed.said() == (INTERIM, whole)
    assert bed.told[1][0] - bed.told[0][0] == pytest.approx(2.0, abs=0.3)
    client.terminate("padt", bed.memory.now)
    bed.memory.run(1.0)
    assert bed.said() == (STOP, whole)


def test_who_has_no_ipv6_needs_no_update(bed: Bed) -> None:
    bed.dial(1, ipv6=False)
    bed.memory.run(10.0, step=0.1)
    assert [bed.said(at) for at in range(len(bed.told))] == [(START, [])]


def test_what_is_static_is_told(bed: Bed) -> None:
    bed.dial(3, Wants(delegate=56, address=True))
    bed.memory.run(5.0, step=0.1)
    assert bed.said() == (
        INTERIM,
        [
            ("Framed-IPv6-Prefix", IPv6Network("2001:db8:f000:1::/64")),
            ("Framed-IPv6-Address", IPv6Address("2001:db8:f000:1::10")),
            ("Delegated-IPv6-Prefix", IPv6Network("2001:db8:f001::/56")),
        ],
    )
    config = bed.side(3).link.advertiser._config
    assert config.routes == (IPv6Network("2001:db8::/32"),)


# ---- whose session, by what it has of IPv6 ----


def keys_of(bed: Bed, number: int) -> dict[str, Value]:
    session, side = bed.session(number), bed.side(number)
    assert session.interface_id is not None
    assert side.prefix is not None
    return {
        "Framed-Interface-Id": session.interface_id.to_bytes(8, "big"),
        "Framed-IPv6-Prefix": side.prefix,
        "Framed-IPv6-Address": side.addresses[0],
        "Delegated-IPv6-Prefix": side.delegated[0],
    }


@pytest.fixture
def two(bed: Bed) -> Bed:
    for number in (2, 3):
        bed.dial(number, Wants(delegate=56, address=True))
    bed.memory.run(1.0, step=0.1)
    return bed


IDLE = ("Idle-Timeout", 77)
NAMES = ("Framed-Interface-Id", *OF_IPV6)


@pytest.mark.parametrize("names", [*((name,) for name in NAMES), NAMES, ("User-Name", NAMES[1])])
@pytest.mark.parametrize("number", [2, 3])
def test_a_session_is_found_by_what_it_has_of_ipv6(
    two: Bed, number: int, names: tuple[str, ...]
) -> None:
    said = {"User-Name": f"user{number:05d}", **keys_of(two, number)}
    assert two.order(*((name, said[name]) for name in names), IDLE) is None
    profiles = {n: two.session(n).profile for n in (2, 3)}
    assert {n for n, p in profiles.items() if p is not None and p.idle_timeout_s == 77} == {number}


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_has_finds_nobody(two: Bed, name: str) -> None:
    wrong: dict[str, Value] = {
        "Framed-Interface-Id": bytes(7) + b"\x99",
        "Framed-IPv6-Prefix": IPv6Network("2001:db8:9::/64"),
        "Framed-IPv6-Address": IPv6Address("2001:db8:9::1"),
        "Delegated-IPv6-Prefix": IPv6Network("2001:db8:9::/56"),
    }
    gone = ErrorCause.SESSION_CONTEXT_NOT_FOUND
    assert two.order((name, wrong[name]), IDLE) == gone
    mixed = {**keys_of(two, 2), name: keys_of(two, 3)[name]}
    assert two.order(*mixed.items(), IDLE) == gone
    assert two.order((name, "text"), IDLE) == ErrorCause.INVALID_REQUEST
    assert two.order(*[(name, wrong[name])] * 2, IDLE) == ErrorCause.INVALID_REQUEST


def test_pools_know_whose_a_prefix_is_and_an_interface_id_is_looked_for(two: Bed) -> None:
    keys = keys_of(two, 2)
    for name in OF_IPV6:
        assert two.order((name, keys[name]), IDLE) is None
    assert two.memory.manager.orders.counters["scans"] == 0
    assert two.order((NAMES[0], keys[NAMES[0]]), IDLE) is None
    assert two.memory.manager.orders.counters["scans"] == 1


def test_a_disconnect_by_a_prefix_ends_the_session_that_has_it(two: Bed) -> None:
    key = ("Delegated-IPv6-Prefix", keys_of(two, 2)["Delegated-IPv6-Prefix"])
    assert two.order(key, disconnect=True) is None
    assert two.said()[0] is STOP
    two.memory.run(5.0)
    assert [s.user_name for s in two.memory.manager.table] == ["user00003"]


# ---- what changes, and what does not ----


ROUTES = [IPv6Network("2001:db8:a::/48"), IPv6Network("2001:db8:b::/48")]


def framed(bed: Bed, *routes: IPv6Network) -> ErrorCause | None:
    pairs = [("Framed-IPv6-Route", f"{route} :: 1") for route in routes]
    return bed.order(("User-Name", "user00003"), *pairs)


def test_routes_change_and_the_answer_waits_for_the_dataplane(two: Bed) -> None:
    side, memory = two.side(3), two.memory
    before = set(side.routes())
    number = len(two.answers)
    pairs = [("User-Name", "user00003"), *(("Framed-IPv6-Route", str(r)) for r in ROUTES)]
    memory.manager.orders.take(
        pairs, two.answers.append, memory.now, disconnect=False, source="oss"
    )
    assert (len(two.answers), two.session(3).install_pending) == (number, 2)
    memory.turn()
    assert two.answers[number].cause is None
    assert set(side.routes()) == (before - {IPv6Network("2001:db8:f002::/48")}) | set(ROUTES)
    assert framed(two, ROUTES[0]) is None
    assert side.framed == (ROUTES[0],)
    assert framed(two, ROUTES[0]) is None, "nothing to do"


def test_a_route_that_cannot_be_had_leaves_things_as_they_were(two: Bed) -> None:
    assert two.order(("User-Name", "user00002"), ("Framed-IPv6-Route", str(ROUTES[0]))) is None
    before = two.side(3).framed
    profile = two.session(3).profile
    assert two.order(("User-Name", "user00003"), ("Framed-IPv6-Route", "::/0")) == (
        ErrorCause.INVALID_ATTRIBUTE_VALUE
    )
    assert (two.side(3).framed, two.session(3).profile) == (before, profile)


@pytest.mark.parametrize(
    "pair",
    [
        ("DNS-Server-IPv6-Address", IPv6Address("2001:db8::53")),
        ("Route-IPv6-Information", IPv6Network("2001:db8::/32")),
        ("Bng-Ipv6", 0),
    ],
)
def test_what_was_negotiated_does_not_change(two: Bed, pair: tuple[str, Value]) -> None:
    cause = two.order(("User-Name", "user00003"), pair)
    assert cause == ErrorCause.UNSUPPORTED_ATTRIBUTE


def test_nothing_is_left_of_changed_routes(two: Bed) -> None:
    assert framed(two, *ROUTES) is None
    key = ("Framed-IP-Address", two.session(3).ipv4_address or IPv4Address(0))
    assert two.order(key, disconnect=True) is None
    two.memory.run(70.0, step=0.5)
    assert {s.user_name for s in two.memory.manager.table} == {"user00002"}


# ---- CoA: ACLs ----


def test_an_acl_of_a_coa_filters_ipv6_from_its_ack_on_until_another_lifts_it(bed: Bed) -> None:
    client = bed.dial(1)
    session, prefix = bed.session(1), bed.side(1).prefix
    assert prefix is not None

    def dropped() -> int:
        return session_drops(bed.memory.dataplane, session.index, Direction.IN)["acl"]

    def denied(port: int) -> int:
        """Say how many of one packet to a mail server's *port*, and one of IPv4, are dropped."""
        before = dropped()
        to = {"src": str(prefix[7]), "dst": "2001:db8:ffff::25"}
        client.send_ppp(b"\x00\x57" + bytes(IPv6(**to) / TCP(dport=port)))
        four = IP(src=str(session.ipv4_address), dst="192.0.2.9") / TCP(dport=port)
        client.send_ppp(b"\x00\x21" + bytes(four))
        bed.memory.turn()
        return dropped() - before

    who = ("User-Name", "user00001")
    assert (denied(25), denied(80)) == (0, 0)
    assert bed.order(who, ("Filter-Id", "no-mail.in")) is None
    assert (denied(25), denied(80)) == (1, 0)
    assert bed.order(who, ("Filter-Id", "nosuch")) == ErrorCause.INVALID_ATTRIBUTE_VALUE
    assert denied(25) == 1
    assert bed.order(who, ("Filter-Id", "open")) is None
    assert (denied(25), denied(80)) == (0, 0)
