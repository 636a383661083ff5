"""Commands that feed the FIB: session routes and gateways; NAT pool addresses from the start."""

import errno
from ipaddress import IPv4Address

import pytest

from dataplane import binding
from dataplane.binding import CommandType

from .harness import ACC, DEFAULT_ARGS, Dataplane, dataplane, lib

LEAF_ADJACENCY, LEAF_SESSION = 1, 2
ADJ_GATEWAY, ADJ_NAT_POOL = 4, 5
MAX_SESSIONS = 1024


def leaf(dp: Dataplane, address: str) -> int:
    number = int(IPv4Address(address))
    found = int(dp.section(lib.SECTION_FIB4_ROOT, "uint32_t")[number >> 16])
    pages = dp.section(lib.SECTION_FIB4_PAGE, "uint32_t")
    for shift in (8, 0):
        if found & 1 << 31:
            found = int(pages[(found & 0x7FFFFFFF) << 8 | number >> shift & 0xFF])
    return found


def session_of(dp: Dataplane, address: str) -> int | None:
    found = leaf(dp, address)
    return found & 0x3FFFFF if found >> 28 == LEAF_SESSION else None


def adjacency_of(dp: Dataplane, address: str) -> tuple[int, int] | None:
    """Kind and index."""
    found = leaf(dp, address)
    if found >> 28 != LEAF_ADJACENCY:
        return None
    entry = dp.section(lib.SECTION_ADJACENCY, "struct adjacency")[found & 0x3FFFFF]
    return int(entry.kind), int(entry.index)


def kind_of(dp: Dataplane, address: str) -> int | None:
    found = adjacency_of(dp, address)
    return found[0] if found else None


def send(dp: Dataplane, kind: CommandType, prefix: str, length: int = 32, session: int = 0) -> int:
    packed = IPv4Address(prefix).packed
    return dp.control(binding.route4_record(kind, packed, length, session=session))


def source_of_errors(dp: Dataplane) -> str:
    return str(IPv4Address(int(dp.port(ACC).ip4).to_bytes(4, "little")))


def test_a_route_leads_to_its_session_until_it_is_deleted(dp: Dataplane) -> None:
    assert send(dp, CommandType.ROUTE4_ADD, "100.64.8.0", 24, session=7) == 0
    assert session_of(dp, "100.64.8.255") == 7
    assert session_of(dp, "100.64.9.0") is None
    assert send(dp, CommandType.ROUTE4_DEL, "100.64.8.0", 24, session=7) == 0
    assert session_of(dp, "100.64.8.255") is None


def test_commands_may_come_twice(dp: Dataplane) -> None:
    for _ in range(2):
        assert send(dp, CommandType.ROUTE4_ADD, "100.64.8.1", session=7) == 0
    for _ in range(2):
        assert send(dp, CommandType.ROUTE4_DEL, "100.64.8.1", session=7) == 0
    for _ in range(2):
        assert send(dp, CommandType.GATEWAY4_ADD, "100.64.0.1") == 0
    assert send(dp, CommandType.GATEWAY4_DEL, "100.64.0.1") == 0
    assert leaf(dp, "100.64.0.1") == 0
    assert send(dp, CommandType.GATEWAY4_DEL, "100.64.0.1") == 0


def test_a_late_delete_does_not_take_the_route_from_its_new_session(dp: Dataplane) -> None:
    assert send(dp, CommandType.ROUTE4_ADD, "100.64.8.1", session=7) == 0
    assert send(dp, CommandType.ROUTE4_ADD, "100.64.8.1", session=8) == 0
    assert send(dp, CommandType.ROUTE4_DEL, "100.64.8.1", session=7) == -errno.ESTALE
    assert session_of(dp, "100.64.8.1") == 8


@pytest.mark.parametrize("kind", [CommandType.ROUTE4_ADD, CommandType.ROUTE4_DEL])
@pytest.mark.parametrize(
    ("length", "session"), [(33, 0), (256 + 24, 0), (32, MAX_SESSIONS), (24, 0)]
)
def test_what_is_no_prefix_or_no_session_is_refused(
    dp: Dataplane, kind: CommandType, length: int, session: int
) -> None:
    assert send(dp, kind, "100.64.8.1", length, session) == -errno.EINVAL
    assert leaf(dp, "100.64.8.1") == 0


def test_the_oldest_gateway_is_the_source_of_errors_to_subscribers(dp: Dataplane) -> None:
    assert source_of_errors(dp) == "0.0.0.0"
    for gateway in ("100.64.0.1", "100.65.0.1"):
        assert send(dp, CommandType.GATEWAY4_ADD, gateway) == 0
        assert kind_of(dp, gateway) == ADJ_GATEWAY
    assert source_of_errors(dp) == "100.64.0.1"
    assert send(dp, CommandType.GATEWAY4_DEL, "100.64.0.1") == 0
    assert source_of_errors(dp) == "100.65.0.1"
    assert send(dp, CommandType.GATEWAY4_DEL, "100.65.0.1") == 0
    assert source_of_errors(dp) == "0.0.0.0"


def test_pool_addresses_lead_to_nat_with_their_index() -> None:
    pool = ("198.51.100.4", "198.51.100.9")
    with dataplane(*DEFAULT_ARGS, *(f"--nat-address={a}" for a in pool)) as dp:
        for index, address in enumerate(pool):
            assert adjacency_of(dp, address) == (ADJ_NAT_POOL, index)


def test_pages_of_deleted_routes_are_used_again_once_the_workers_have_moved_on(
    dp: Dataplane,
) -> None:
    refused = 0
    for i in range(1000):  # two pages each, of 512
        prefix = f"{20 + i // 250}.{i % 250}.1.1"
        status = send(dp, CommandType.ROUTE4_ADD, prefix, session=1)
        refused += status == -errno.ENOMEM
        assert status in (0, -errno.ENOMEM)
        assert send(dp, CommandType.ROUTE4_DEL, prefix, session=1) == 0
        if i % 100 == 99:
            dp.advance(0.5)
    assert refused == 0


def test_the_route_to_a_public_address_comes_and_goes() -> None:
    with dataplane(*DEFAULT_ARGS, "--nat-address=203.0.113.1", "--nat-max-addresses=2") as dp:
        packed = IPv4Address("203.0.113.2").packed
        mode = binding.NatMode.PORT_BLOCKS
        for on, found in ((True, (ADJ_NAT_POOL, 1)), (False, None)):
            for _ in range(2):
                assert dp.control(binding.nat_address_record(1, packed, 1, mode, on=on)) == 0
                assert adjacency_of(dp, "203.0.113.2") == found
        assert adjacency_of(dp, "203.0.113.1") == (ADJ_NAT_POOL, 0)
