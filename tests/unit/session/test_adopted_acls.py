"""ACLs of sessions that outlive bngd: filtered all along, by the old rules and then by the new."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from scapy.all import IP, UDP

from bng.io.adoption import acl_numbers, find
from bng.session.model import Session
from bng.session.restart import Left
from dataplane.binding import lib
from tests.node import lab
from tests.node.harness import ACC, WAN
from tests.support.memory_box import MemoryBox, memory_box
from tests.unit.session.test_lifecycle import assert_empty

SERVER = "192.0.2.9"
OLD = {"name": "in", "default": "permit", "rules": ["deny udp any any port 666"]}
NEW = {"name": "in", "default": "permit", "rules": ["deny udp any any port 777"]}
OTHERS = [
    {"name": f"a{n}", "default": "deny", "rules": [f"permit udp any any port {n}"]}
    for n in range(1, 6)
]
BYPASS = {
    "pool": [{"name": "public", "addresses": ["198.51.100.0/29"]}],
    "profile": {"past": {"translate": True, "bypass": ["192.0.2.9 udp 53"]}},
}
USERS = {
    "user00001": {"password": "secret", "acl_in": "in", "nat_profile": "past"},
    "user00002": {"password": "secret", "nat_profile": "past"},
}


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box(config={"acl": [OLD], "nat": BYPASS}, user_table=USERS) as one:
        lab.route16(one.embedded, "192.0", lib.LEAF_ADJACENCY, 200)
        entry = lab.adjacency(one.embedded, "192.0")
        entry.kind, entry.port, entry.mtu = lib.ADJ_NEIGHBOUR, WAN, 1500
        one.dial(one.subscriber(1), one.subscriber(2))
        yield one


def first(box: MemoryBox) -> Session:
    (session,) = (s for s in box.manager.table if s.user_name == "user00001")
    return session


def passes(box: MemoryBox, port: int) -> bool:
    """Say whether the subscriber may send to *port*."""
    session = first(box)
    packet = IP(src=str(session.ipv4_address), dst=SERVER) / UDP(sport=5, dport=port)
    ident = box.access.session_id(session)
    frame = lab.session_frame(bytes(packet), session_id=ident, source=bytes(session.mac))
    box.embedded.receive(ACC, frame)
    return bool(box.embedded.sent(WAN))


def restart(box: MemoryBox, *acls: dict[str, Any], nat: dict[str, Any] = BYPASS) -> None:
    came = box.restart(config={"acl": list(acls), "nat": nat})
    assert len(came.adopted) == 2


def test_an_acl_goes_on_where_it_is_and_so_do_its_counters(box: MemoryBox) -> None:
    assert passes(box, 53)
    assert not passes(box, 666)
    number, place = box.acls.numbers()["in"], box.dataplane.acl[0]
    counted = box.acls.counts("in")
    assert [count.in_packets for count in counted] == [1, 1]
    restart(box, *OTHERS, OLD)
    assert box.acls.numbers()["in"] == number
    assert box.dataplane.acl[number - 1] == place
    assert box.acls.counts("in") == counted
    assert first(box).filtered is not None
    assert not passes(box, 666)
    assert box.acls.counts("in")[0].in_packets == 2


def test_a_changed_acl_filters_under_the_same_number(box: MemoryBox) -> None:
    number = box.acls.numbers()["in"]
    restart(box, *OTHERS, NEW)
    assert box.acls.numbers()["in"] == number
    assert passes(box, 666)
    assert not passes(box, 777)


def test_an_acl_that_is_gone_stays_for_those_who_have_it(box: MemoryBox) -> None:
    box.user_table = {"user00002": USERS["user00002"]}
    restart(box, *OTHERS)
    assert not passes(box, 666)
    assert passes(box, 777)
    restart(box, *OTHERS)  # and once more
    assert not passes(box, 666)


def test_one_that_nobody_has_is_removed(box: MemoryBox) -> None:
    restart(box, *OTHERS, OLD)
    restart(box, OLD)
    assert len([place for place in box.dataplane.acl[0 : box.dataplane.max_acls] if place]) == 2
    assert not passes(box, 666)


def test_what_nat_leaves_as_it_is_stays_so_and_is_translated_when_the_profile_says_so(
    box: MemoryBox,
) -> None:
    number = box.dataplane.session_out[first(box).index].bypass
    restart(box, OLD)
    assert box.dataplane.session_out[first(box).index].bypass == number
    restart(box, OLD, nat=BYPASS | {"profile": {"past": {"translate": True}}})
    assert box.dataplane.session_out[first(box).index].bypass == 0
    assert not box.dataplane.session_in[first(box).index].features & (
        1 << lib.FEATURE_IN_NAT44_BYPASS
    )


def test_who_was_about_to_be_filtered_otherwise_takes_nobody_along(box: MemoryBox) -> None:
    """Its change was written down, and bngd died before it told the dataplane."""
    box.restart(config={"acl": [OLD, *OTHERS], "nat": BYPASS})
    changing = first(box)
    assert changing.profile is not None
    changing.profile = replace(changing.profile, acl_in="a1")
    box.manager.write_down(changing)
    box.executor.run(box.manager.take())
    left = [replace(one) for one in find(box.dataplane)]
    assert acl_numbers([*left, *([others(left)] * 2)])["in"] == 1
    restart(box, OLD, *OTHERS)
    assert passes(box, 1)
    assert not passes(box, 53)


def others(left: list[Left]) -> Left:
    """Return one that has the old ACL."""
    one = left[0]
    return replace(one, record={**one.record, "profile": {"acl_in": "in"}}, acl_in=1)


def test_nothing_is_left_of_sessions_with_acls(box: MemoryBox) -> None:
    restart(box, *OTHERS, NEW)
    for client in box._by_mac.values():
        client.terminate("padt", box.now)
    box.run(1.0)
    assert_empty(box)
