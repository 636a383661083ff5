"""Commands that feed the FIBs: session routes, what is nobody's, gateways, NAT pool addresses."""

import errno
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from dataplane import binding
from dataplane.binding import CommandType, route_record
from dataplane.fib6 import walk
from dataplane.sight import Leaf

from .harness import ACC, DEFAULT_ARGS, Dataplane, dataplane, lib

NOTHING = Leaf(0, 0, 0)
MAX_SESSIONS = 1024


@dataclass(frozen=True, slots=True)
class Family:
    """Networks of one family to try things with."""

    route: str
    """Of `length` bits."""
    length: int
    last: str
    """Of the route's addresses."""
    beyond: str
    aggregate: str
    """Of `around` bits, with the route in it."""
    around: int
    bits: int
    many: str
    """Addresses of networks far apart, by number."""

    def command(self, name: str) -> CommandType:
        """Say "ROUTE_ADD" and the like."""
        word, verb = name.split("_")
        return CommandType[f"{word}{4 if self.bits == 32 else 6}_{verb}"]


IP4 = Family(
    route="100.64.8.0",
    length=24,
    last="100.64.8.255",
    beyond="100.64.9.0",
    aggregate="100.64.0.0",
    around=16,
    bits=32,
    many="{a}.{b}.1.1",
)
IP6 = Family(
    route="2001:db8:0:8::",
    length=61,
    last="2001:db8:0:f:ffff::",
    beyond="2001:db8:0:10::",
    aggregate="2001:db8::",
    around=40,
    bits=128,
    many="2001:{a:x}{b:02x}:1::",
)
FAMILIES = pytest.mark.parametrize("family", [IP4, IP6], ids=["ip4", "ip6"])


def leaf(dp: Dataplane, address: str) -> Leaf:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return walk(
            dp.section(lib.SECTION_FIB6_ROOT, "uint32_t"),
            dp.section(lib.SECTION_FIB6_HEAD, "struct fib6_head"),
            dp.section(lib.SECTION_FIB6_SLOT, "uint32_t"),
            parsed,
        )
    number = int(parsed)
    found = int(dp.section(lib.SECTION_FIB4_ROOT, "uint32_t")[number >> 16])
    pages = dp.section(lib.SECTION_FIB4_PAGE, "uint32_t")
    for shift in (8, 0):
        if found & 1 << 31:
            found = int(pages[(found & 0x7FFFFFFF) << 8 | number >> shift & 0xFF])
    return Leaf.of(found)


def adjacency_of(dp: Dataplane, address: str) -> tuple[int, int] | None:
    """Kind and index."""
    found = leaf(dp, address)
    if found.kind != lib.LEAF_ADJACENCY:
        return None
    entry = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")[found.index]
    return int(entry.kind), int(entry.index)


def kind_of(dp: Dataplane, address: str) -> int | None:
    found = adjacency_of(dp, address)
    return found[0] if found else None


def send(
    dp: Dataplane, family: Family, name: str, prefix: str, length: int, session: int = 0
) -> int:
    packed = ip_address(prefix).packed
    return dp.control(route_record(family.command(name), packed, length, session=session))


def gateway(dp: Dataplane, kind: CommandType, address: str) -> int:
    return dp.control(route_record(kind, IPv4Address(address).packed, 32))


def source_of_errors(dp: Dataplane) -> str:
    return str(IPv4Address(int(dp.port(ACC).ip4).to_bytes(4, "little")))


@FAMILIES
def test_a_route_leads_to_its_session_until_it_is_deleted(dp: Dataplane, family: Family) -> None:
    assert send(dp, family, "ROUTE_ADD", family.route, family.length, session=7) == 0
    assert leaf(dp, family.last) == Leaf(family.length, lib.LEAF_SESSION, 7)
    assert leaf(dp, family.beyond) == NOTHING
    assert send(dp, family, "ROUTE_DEL", family.route, family.length, session=7) == 0
    assert leaf(dp, family.last) == NOTHING


@FAMILIES
def test_a_longer_route_is_told_apart_from_the_one_around_it(dp: Dataplane, family: Family) -> None:
    assert send(dp, family, "ROUTE_ADD", family.route, family.length, session=7) == 0
    assert send(dp, family, "ROUTE_ADD", family.last, family.bits, session=8) == 0
    assert leaf(dp, family.last) == Leaf(family.bits, lib.LEAF_SESSION, 8)
    assert leaf(dp, family.route) == Leaf(family.length, lib.LEAF_SESSION, 7)


@FAMILIES
def test_commands_may_come_twice(dp: Dataplane, family: Family) -> None:
    for name in ("ROUTE_ADD", "ROUTE_DEL"):
        for _ in range(2):
            assert send(dp, family, name, family.route, family.length, session=7) == 0
    for name in ("UNREACHABLE_ADD", "UNREACHABLE_DEL"):
        for _ in range(2):
            assert send(dp, family, name, family.aggregate, family.around) == 0
    assert leaf(dp, family.route) == NOTHING


@FAMILIES
def test_a_late_delete_does_not_take_the_route_from_its_new_session(
    dp: Dataplane, family: Family
) -> None:
    for session in (7, 8):
        assert send(dp, family, "ROUTE_ADD", family.route, family.length, session) == 0
    assert send(dp, family, "ROUTE_DEL", family.route, family.length, 7) == -errno.ESTALE
    assert leaf(dp, family.route).index == 8


@FAMILIES
def test_what_no_session_has_of_a_pool_is_unreachable(dp: Dataplane, family: Family) -> None:
    assert send(dp, family, "UNREACHABLE_ADD", family.aggregate, family.around) == 0
    assert send(dp, family, "ROUTE_ADD", family.route, family.length, session=7) == 0
    assert kind_of(dp, family.beyond) == lib.ADJ_UNREACHABLE
    assert leaf(dp, family.last).kind == lib.LEAF_SESSION
    assert send(dp, family, "ROUTE_DEL", family.route, family.length, session=7) == 0
    assert kind_of(dp, family.last) == lib.ADJ_UNREACHABLE
    assert send(dp, family, "UNREACHABLE_DEL", family.aggregate, family.around) == 0
    assert leaf(dp, family.last) == NOTHING


@FAMILIES
def test_a_session_has_the_whole_of_what_is_else_unreachable(dp: Dataplane, family: Family) -> None:
    assert send(dp, family, "ROUTE_ADD", family.route, family.length, session=7) == 0
    assert send(dp, family, "UNREACHABLE_ADD", family.route, family.length) == 0
    assert leaf(dp, family.last).kind == lib.LEAF_SESSION
    assert send(dp, family, "ROUTE_DEL", family.route, family.length, session=7) == 0
    assert kind_of(dp, family.last) == lib.ADJ_UNREACHABLE


@FAMILIES
def test_what_is_no_prefix_or_no_session_is_refused(dp: Dataplane, family: Family) -> None:
    wrong = [
        ("ROUTE", family.route, family.bits + 1, 0),
        ("ROUTE", family.route, 256 + family.length, 0),
        ("ROUTE", family.route, family.length, MAX_SESSIONS),
        ("ROUTE", family.last, family.length, 0),
        ("UNREACHABLE", "0.0.0.0" if family is IP4 else "::", 0, 0),
        ("UNREACHABLE", family.route, family.around, 0),
    ]
    for word, prefix, length, session in wrong:
        for verb in ("ADD", "DEL"):
            name = f"{word}_{verb}"
            assert send(dp, family, name, prefix, length, session) == -errno.EINVAL, (name, prefix)
        assert leaf(dp, prefix).kind != lib.LEAF_SESSION


@FAMILIES
def test_parts_of_deleted_routes_are_used_again_once_the_workers_have_moved_on(
    dp: Dataplane, family: Family
) -> None:
    for i in range(3000):  # two pages each, of 512; or two nodes each, of 2048
        prefix = family.many.format(a=20 + i // 250, b=i % 250)
        length = min(family.bits, 64)
        assert send(dp, family, "ROUTE_ADD", prefix, length, session=1) == 0
        assert send(dp, family, "ROUTE_DEL", prefix, length, session=1) == 0
        if i % 100 == 99:
            dp.advance(0.5)


def test_what_is_of_a_link_or_a_group_goes_nowhere(dp: Dataplane) -> None:
    assert send(dp, IP6, "ROUTE_ADD", "::", 0, session=7) == 0
    for address in ("::1", "fe80::1", "febf:ffff::", "ff02::1"):
        assert kind_of(dp, address) == lib.ADJ_BLACKHOLE
    assert leaf(dp, "2001:db8::1").kind == lib.LEAF_SESSION


def test_commands_of_gateways_may_come_twice(dp: Dataplane) -> None:
    for _ in range(2):
        assert gateway(dp, CommandType.GATEWAY4_ADD, "100.64.0.1") == 0
    assert gateway(dp, CommandType.GATEWAY4_DEL, "100.64.0.1") == 0
    assert leaf(dp, "100.64.0.1") == NOTHING
    assert gateway(dp, CommandType.GATEWAY4_DEL, "100.64.0.1") == 0


def test_the_oldest_gateway_is_the_source_of_errors_to_subscribers(dp: Dataplane) -> None:
    assert source_of_errors(dp) == "0.0.0.0"
    for address in ("100.64.0.1", "100.65.0.1"):
        assert gateway(dp, CommandType.GATEWAY4_ADD, address) == 0
        assert kind_of(dp, address) == lib.ADJ_GATEWAY
    assert source_of_errors(dp) == "100.64.0.1"
    assert gateway(dp, CommandType.GATEWAY4_DEL, "100.64.0.1") == 0
    assert source_of_errors(dp) == "100.65.0.1"
    assert gateway(dp, CommandType.GATEWAY4_DEL, "100.65.0.1") == 0
    assert source_of_errors(dp) == "0.0.0.0"


def test_pool_addresses_lead_to_nat_with_their_index() -> None:
    pool = ("198.51.100.4", "198.51.100.9")
    with dataplane(*DEFAULT_ARGS, *(f"--nat-address={a}" for a in pool)) as dp:
        for index, address in enumerate(pool):
            assert adjacency_of(dp, address) == (lib.ADJ_NAT_POOL, index)


def test_the_route_to_a_public_address_comes_and_goes() -> None:
    with dataplane(*DEFAULT_ARGS, "--nat-address=203.0.113.1", "--nat-max-addresses=2") as dp:
        packed = IPv4Address("203.0.113.2").packed
        mode = binding.NatMode.PORT_BLOCKS
        for on, found in ((True, (lib.ADJ_NAT_POOL, 1)), (False, None)):
            for _ in range(2):
                assert dp.control(binding.nat_address_record(1, packed, 1, mode, on=on)) == 0
                assert adjacency_of(dp, "203.0.113.2") == found
        assert adjacency_of(dp, "203.0.113.1") == (lib.ADJ_NAT_POOL, 0)
