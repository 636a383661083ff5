"""Commands that feed the IPv6 FIB: routes of sessions, prefixes that are nobody's."""

import errno
from ipaddress import IPv6Address

import pytest

from dataplane.binding import CommandType
from dataplane.fib6 import walk
from dataplane.ip6 import route6_record
from dataplane.sight import Leaf

from .harness import Dataplane, lib

NOTHING = Leaf(0, 0, 0)
MAX_SESSIONS = 1024


def leaf(dp: Dataplane, address: str) -> Leaf:
    return walk(
        dp.section(lib.SECTION_FIB6_ROOT, "uint32_t"),
        dp.section(lib.SECTION_FIB6_HEAD, "struct fib6_head"),
        dp.section(lib.SECTION_FIB6_SLOT, "uint32_t"),
        IPv6Address(address),
    )


def kind_of(dp: Dataplane, address: str) -> int:
    found = leaf(dp, address)
    assert found.kind == lib.LEAF_ADJACENCY
    return int(dp.section(lib.SECTION_ADJACENCY, "struct adjacency")[found.index].kind)


def send(dp: Dataplane, kind: CommandType, prefix: str, length: int, session: int = 0) -> int:
    packed = IPv6Address(prefix).packed
    return dp.control(route6_record(kind, packed, length, session=session))


def test_a_route_leads_to_its_session_until_it_is_deleted(dp: Dataplane) -> None:
    assert send(dp, CommandType.ROUTE6_ADD, "2001:db8:0:8::", 61, session=7) == 0
    assert leaf(dp, "2001:db8:0:f:ffff::") == Leaf(61, lib.LEAF_SESSION, 7)
    assert leaf(dp, "2001:db8:0:10::") == NOTHING
    assert send(dp, CommandType.ROUTE6_DEL, "2001:db8:0:8::", 61, session=7) == 0
    assert leaf(dp, "2001:db8:0:8::") == NOTHING


def test_a_longer_route_is_told_apart_from_the_one_around_it(dp: Dataplane) -> None:
    assert send(dp, CommandType.ROUTE6_ADD, "2001:db8::", 56, session=7) == 0
    assert send(dp, CommandType.ROUTE6_ADD, "2001:db8::1", 128, session=8) == 0
    assert leaf(dp, "2001:db8::1") == Leaf(128, lib.LEAF_SESSION, 8)
    assert leaf(dp, "2001:db8::2") == Leaf(56, lib.LEAF_SESSION, 7)


def test_commands_may_come_twice(dp: Dataplane) -> None:
    for kind in (CommandType.ROUTE6_ADD, CommandType.ROUTE6_DEL):
        for _ in range(2):
            assert send(dp, kind, "2001:db8:0:1::", 64, session=7) == 0
    for kind in (CommandType.UNREACHABLE6_ADD, CommandType.UNREACHABLE6_DEL):
        for _ in range(2):
            assert send(dp, kind, "2001:db8::", 40) == 0
    assert leaf(dp, "2001:db8:0:1::") == NOTHING


def test_a_late_delete_does_not_take_the_route_from_its_new_session(dp: Dataplane) -> None:
    assert send(dp, CommandType.ROUTE6_ADD, "2001:db8::", 64, session=7) == 0
    assert send(dp, CommandType.ROUTE6_ADD, "2001:db8::", 64, session=8) == 0
    assert send(dp, CommandType.ROUTE6_DEL, "2001:db8::", 64, session=7) == -errno.ESTALE
    assert leaf(dp, "2001:db8::").index == 8


def test_what_no_session_has_of_a_pool_is_unreachable(dp: Dataplane) -> None:
    assert send(dp, CommandType.UNREACHABLE6_ADD, "2001:db8::", 40) == 0
    assert send(dp, CommandType.ROUTE6_ADD, "2001:db8:0:1::", 64, session=7) == 0
    assert kind_of(dp, "2001:db8:0:2::1") == lib.ADJ_UNREACHABLE
    assert leaf(dp, "2001:db8:0:1::1").kind == lib.LEAF_SESSION
    assert send(dp, CommandType.ROUTE6_DEL, "2001:db8:0:1::", 64, session=7) == 0
    assert kind_of(dp, "2001:db8:0:1::1") == lib.ADJ_UNREACHABLE
    assert send(dp, CommandType.UNREACHABLE6_DEL, "2001:db8::", 40) == 0
    assert leaf(dp, "2001:db8:0:1::1") == NOTHING


@pytest.mark.parametrize(
    ("kind", "prefix", "length", "session"),
    [
        (CommandType.ROUTE6_ADD, "2001:db8::", 129, 0),
        (CommandType.ROUTE6_ADD, "2001:db8::", 256 + 64, 0),
        (CommandType.ROUTE6_ADD, "2001:db8::", 64, MAX_SESSIONS),
        (CommandType.ROUTE6_ADD, "2001:db8::1", 64, 0),
        (CommandType.ROUTE6_DEL, "2001:db8::", 64, MAX_SESSIONS),
        (CommandType.UNREACHABLE6_ADD, "::", 0, 0),
        (CommandType.UNREACHABLE6_ADD, "2001:db8:0:1::", 40, 0),
    ],
)
def test_what_is_no_prefix_or_no_session_is_refused(
    dp: Dataplane, kind: CommandType, prefix: str, length: int, session: int
) -> None:
    assert send(dp, kind, prefix, length, session) == -errno.EINVAL
    assert leaf(dp, prefix).kind != lib.LEAF_SESSION


def test_what_is_of_a_link_or_a_group_goes_nowhere(dp: Dataplane) -> None:
    assert send(dp, CommandType.ROUTE6_ADD, "::", 0, session=7) == 0
    for address in ("::1", "fe80::1", "febf:ffff::", "ff02::1"):
        assert kind_of(dp, address) == lib.ADJ_BLACKHOLE
    assert leaf(dp, "2001:db8::1").kind == lib.LEAF_SESSION


def test_nodes_of_deleted_routes_are_used_again_once_the_workers_have_moved_on(
    dp: Dataplane,
) -> None:
    for i in range(3000):  # two nodes each, of 2048
        prefix = f"2001:{i:x}:1::"
        assert send(dp, CommandType.ROUTE6_ADD, prefix, 64, session=1) == 0
        assert send(dp, CommandType.ROUTE6_DEL, prefix, 64, session=1) == 0
        if i % 100 == 99:
            dp.advance(0.5)
