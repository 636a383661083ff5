"""Session entries by command: BIND, UP, ECHO, PAUSE, CLOSE, RELEASE; idempotent and checked."""

import errno
from ipaddress import IPv4Address
from typing import Any

import pytest

from dataplane import binding
from dataplane.binding import CommandType, NatMode

from . import lab
from .harness import ACC, CLIENT_MAC, DEFAULT_ARGS, WAN, Dataplane, dataplane, lib

KINDS = ("UP", "ECHO", "PAUSE", "CLOSE", "RELEASE")
NAT_ARGS = (*DEFAULT_ARGS, "--nat-address=203.0.113.1", "--nat-block-size=4096")


def bind(index: int = 0, generation: int = 1, **fields: Any) -> bytes:
    values: dict[str, Any] = {
        "outer": (0, 0),
        "inner": (0, 0),
        "domain": 0,
        "domain_page": 0,
        "session_id": 1,
        "mac": CLIENT_MAC,
        "port": ACC,
    } | fields
    return binding.bind_record(index, generation, 1, **values)


def up(generation: int = 1, **fields: Any) -> bytes:
    values: dict[str, Any] = {
        "ip4": lab.CLIENT_IP,
        "nat": 0,
        "features_in": 0,
        "features_out": 0,
        "mtu_in": 1492,
        "mtu_out": 1492,
        "mss": 0,
        "idle": 0,
        "nat_block": 0,
        "nat_blocks": 0,
    } | fields
    values["ip4"] = IPv4Address(values["ip4"]).packed
    return lab.command(CommandType.SESSION_UP, 0, generation, binding.UP.pack(*values.values()))


def other(kind: str, generation: int = 1, index: int = 0) -> bytes:
    if kind == "UP":
        return up(generation)
    body = binding.ECHO.pack(1, 2, 1000, 3) if kind == "ECHO" else b""
    return lab.command(CommandType[f"SESSION_{kind}"], index, generation, body)


def test_the_same_command_twice_succeeds_twice(dp: Dataplane) -> None:
    for record in (bind(), *(other(kind) for kind in KINDS)):
        assert (dp.command(record), dp.command(record)) == (0, 0)


def test_a_session_lives_through_its_states(dp: Dataplane) -> None:
    states = []
    for record in (bind(), *(other(kind) for kind in ("UP", "PAUSE", "UP", "CLOSE", "RELEASE"))):
        assert dp.command(record) == 0
        assert dp.session_in(0).state == dp.session_out(0).state
        states.append(dp.session_in(0).state)
    assert states == [1, 2, 3, 2, 4, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_another_generation_is_stale(dp: Dataplane, kind: str) -> None:
    assert dp.command(bind(generation=5)) == 0
    for generation in (0, 4, 6):
        assert dp.command(other(kind, generation)) == -errno.ESTALE
    assert dp.session_in(0).state == lib.SESSION_NEGOTIATING


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_nothing_follows_release(dp: Dataplane, kind: str) -> None:
    for record in (bind(), other("RELEASE")):
        assert dp.command(record) == 0
    assert dp.command(other(kind)) == -errno.ESTALE
    assert dp.command(bind()) == -errno.ESTALE
    assert dp.command(bind(generation=2)) == 0


@pytest.mark.parametrize("kind", ["UP", "ECHO", "PAUSE"])
def test_a_closed_session_only_waits_for_release(dp: Dataplane, kind: str) -> None:
    for record in (bind(), other("UP"), other("CLOSE")):
        assert dp.command(record) == 0
    assert dp.command(other(kind)) == -errno.EINVAL
    assert dp.session_in(0).state == lib.SESSION_CLOSED


@pytest.mark.parametrize(
    "fields",
    [
        {"index": 1024},
        {"index": 0xFFFFFFFF},
        {"session_id": 0},
        {"session_id": 0xFFFF},
        {"mac": bytes(6)},
        {"mac": b"\x01" + bytes(5)},
        {"port": WAN},
        {"port": 255},
        {"domain": 0xFFFFFFFF},
        {"domain_page": 0xFFFFFFFF},
        {"outer": (0x1234, 5)},
        {"outer": (0, 5)},
        {"outer": (0x8100, 4095)},
        {"inner": (0x8100, 5)},
        {"outer": (0x8100, 5), "inner": (0x8100, 0x1005)},
    ],
)
def test_a_bind_that_makes_no_sense_is_refused(dp: Dataplane, fields: dict[str, Any]) -> None:
    assert dp.command(bind(**fields)) == -errno.EINVAL
    assert dp.session_in(0).state == lib.SESSION_FREE
    assert dp.section(lib.SECTION_WORKER, "struct worker_shared")[0].sessions == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"mtu_in": 67},
        {"mtu_out": 67},
        {"mtu_in": 0xFFFF},
        {"mtu_out": 0xFFFF},
        {"features_in": 1 << 3},
        {"features_in": 1},
        {"features_out": 1 << 5},
        {"nat": 1},
    ],
)
def test_an_up_that_makes_no_sense_is_refused(dp: Dataplane, fields: dict[str, Any]) -> None:
    assert dp.command(bind()) == 0
    assert dp.command(up(**fields)) == -errno.EINVAL
    assert dp.session_in(0).state == lib.SESSION_NEGOTIATING


def test_an_id_or_index_has_one_owner(dp: Dataplane) -> None:
    assert dp.command(bind()) == 0
    assert dp.command(bind(index=1, mac=lab.OTHER)) == -errno.EEXIST
    assert dp.command(bind(generation=2, session_id=2)) == -errno.EEXIST
    assert dp.command(bind(mac=lab.OTHER)) == -errno.EEXIST
    assert dp.command(bind(index=1, session_id=2, domain=1)) == -errno.EEXIST
    assert dp.command(bind(index=1, session_id=2, domain_page=1)) == -errno.EEXIST
    assert dp.command(bind(index=1, session_id=2)) == 0


def test_a_released_id_is_free_again(dp: Dataplane) -> None:
    for record in (bind(), other("RELEASE"), bind(index=1)):
        assert dp.command(record) == 0
    assert dp.command(other("RELEASE")) == 0
    dp.receive(ACC, lab.session_frame(bytes(4), lab.PPP_LCP))
    assert [punt.session for punt in dp.punts()] == [1]


def test_a_second_up_changes_the_session_in_place(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
    assert dp.command(up(ip4="198.19.0.1", mtu_out=1000, mss=960, features_in=1 << 7)) == 0
    assert (dp.session_out(0).mtu, dp.session_in(0).mss, dp.session_in(0).packets) == (1000, 960, 1)
    assert dp.session_in(0).features == 1 << 1 | 1 << 7
    dp.receive(ACC, lab.session_frame(lab.udp("198.19.0.1", lab.SERVER)))
    assert dp.session_in(0).packets == 2


def test_release_keeps_nothing_but_the_generation(dp: Dataplane) -> None:
    for record in (bind(generation=7), up(7), other("RELEASE", 7), bind(generation=8)):
        assert dp.command(record) == 0
    entry, out, cold = dp.session_in(0), dp.session_out(0), dp.session_cold(0)
    assert (entry.generation, entry.ip4, entry.features, entry.mtu) == (8, 0, 0, 0)
    assert (out.generation, out.mtu, out.packets, any(cold.in_drops)) == (8, 0, 0, False)


def test_only_the_owner_takes_commands() -> None:
    with dataplane(*DEFAULT_ARGS, "--workers=-,-") as dp:
        assert dp.command(bind(), group=1) == 0
        assert dp.session_in(0).owner == 1
        for kind in KINDS:
            assert dp.command(other(kind), group=0) == -errno.EINVAL
        assert dp.command(bind(), group=0) == -errno.EEXIST
        workers = dp.section(lib.SECTION_WORKER, "struct worker_shared")
        assert (workers[0].sessions, workers[1].sessions) == (0, 1)


def test_nat_blocks_are_taken_at_up_and_given_back_at_release() -> None:
    with dataplane(*NAT_ARGS) as dp:
        address = dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0]
        free = address.free_blocks
        assert dp.command(bind()) == 0
        for _ in range(2):
            assert dp.command(up(nat=1, features_in=1 << 9)) == 0
            assert (address.free_blocks, dp.session_in(0).nat_block > 0) == (free - 1, True)
        assert dp.command(other("CLOSE")) == 0
        assert address.free_blocks == free - 1
        assert dp.command(other("RELEASE")) == 0
        assert (address.free_blocks, dp.session_in(0).nat_block) == (free, 0)


def test_without_a_free_block_the_session_stays_as_it_was() -> None:
    with dataplane(*NAT_ARGS) as dp:
        address = dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0]
        for index in range(address.free_blocks + 1):
            assert dp.command(bind(index, session_id=index + 1)) == 0
            body = binding.UP.pack(
                IPv4Address("100.64.0.9").packed, 1, 0, 0, 1492, 1492, 0, 0, 0, 0
            )
            last = address.free_blocks == 0
            status = dp.command(lab.command(CommandType.SESSION_UP, index, 1, body))
            assert status == (-errno.ENOSPC if last else 0)
        entry = dp.session_in(index)
        assert (entry.state, entry.ip4, entry.nat_block) == (lib.SESSION_NEGOTIATING, 0, 0)


@pytest.mark.parametrize(("interval", "failures"), [(1000, 0), (1000, 256), (1 << 31, 3)])
def test_an_echo_that_makes_no_sense_is_refused(
    dp: Dataplane, interval: int, failures: int
) -> None:
    assert dp.command(bind()) == 0
    body = binding.ECHO.pack(1, 2, interval, failures)
    assert dp.command(lab.command(CommandType.SESSION_ECHO, 0, 1, body)) == -errno.EINVAL
    assert dp.session_cold(0).echo_on == 0


def move(worker: int, generation: int = 1) -> bytes:
    return binding.session_record(CommandType.SESSION_MOVE, 0, generation, 1, worker)


def test_a_session_that_is_not_up_moves_to_another_worker_and_back() -> None:
    with dataplane(*DEFAULT_ARGS, "--workers=-,-") as dp:
        workers = dp.section(lib.SECTION_WORKER, "struct worker_shared")
        assert dp.command(bind()) == 0
        for here, there in ((0, 1), (1, 0), (0, 1)):
            assert dp.command(move(there), group=here) == 0
            assert dp.session_in(0).owner == dp.session_out(0).owner == there
            assert [int(workers[w].sessions) for w in range(2)] == [1 - there, there]
            assert dp.command(move(there), group=here) == 0  # once more: it is done
            assert dp.command(move(there), group=there) == 0
            assert dp.command(other("PAUSE"), group=here) == -errno.EINVAL
        assert dp.command(up(), group=0) == -errno.EINVAL
        assert dp.command(up(), group=1) == 0
        for kind in ("CLOSE", "RELEASE"):
            assert dp.command(other(kind), group=1) == 0
        assert [int(workers[w].sessions) for w in range(2)] == [0, 0]


def test_a_move_is_refused_to_nobody_and_once_packets_are_forwarded() -> None:
    with dataplane(*DEFAULT_ARGS, "--workers=-,-") as dp:
        assert dp.command(bind()) == 0
        assert dp.command(move(2)) == -errno.EINVAL
        assert dp.command(move(1, generation=2)) == -errno.ESTALE
        for kind in ("UP", "PAUSE", "CLOSE"):
            assert dp.command(other(kind)) == 0
            assert dp.command(move(1)) == -errno.EINVAL
        assert dp.session_in(0).owner == 0


COMPUTED = (*DEFAULT_ARGS, "--nat-address=203.0.113.1,deterministic", "--nat-block-size=4096")


def test_blocks_of_a_deterministic_address_are_taken_as_said_and_given_back() -> None:
    with dataplane(*COMPUTED) as dp:
        address = dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[0]
        blocks = dp.section(lib.SECTION_NAT_BLOCK, "struct nat_block")
        assert (address.free_blocks, address.used_blocks) == (15, 0)
        assert dp.command(bind()) == 0
        assert dp.command(up(nat=1, nat_block=5, nat_blocks=4)) == 0
        assert [i for i in range(16) if blocks[i].session] == [4, 5, 6, 7]
        assert (address.free_blocks, address.used_blocks) == (11, 4)
        assert dp.command(up(nat=1, nat_block=5, nat_blocks=4)) == 0
        assert dp.command(up(nat=1, nat_block=13, nat_blocks=4)) == 0  # to the end
        assert [i for i in range(16) if blocks[i].session] == [12, 13, 14, 15]
        assert dp.command(other("RELEASE")) == 0
        assert (address.free_blocks, address.used_blocks) == (15, 0)
        assert dp.pop(0, binding.Ring.NAT_LOG) == []


def test_a_deterministic_place_that_is_not_there_is_refused() -> None:
    with dataplane(*COMPUTED) as dp:
        assert dp.command(bind()) == 0
        for first, count in ((0, 0), (0, 1), (1, 1), (2, 0), (2, 16), (16, 2), (17, 1)):
            status = dp.command(up(nat=1, nat_block=first, nat_blocks=count))
            assert status == -errno.EINVAL, (first, count)
        assert dp.session_in(0).state == lib.SESSION_NEGOTIATING


def test_a_deterministic_block_of_another_is_refused() -> None:
    with dataplane(*COMPUTED) as dp:
        assert dp.command(bind()) == 0
        assert dp.command(up(nat=1, nat_block=4, nat_blocks=2)) == 0
        assert dp.command(bind(1, session_id=2)) == 0
        body = binding.UP.pack(b"dB\0\1", 1, 0, 0, 1492, 1492, 0, 0, 5, 2)
        record = lab.command(CommandType.SESSION_UP, 1, 1, body)
        assert dp.command(record) == -errno.EEXIST
        assert dp.session_in(1).nat_block == 0
        assert dp.session_in(1).ip4 == 0


def test_blocks_are_named_with_deterministic_addresses_only() -> None:
    with dataplane(*NAT_ARGS) as dp:
        assert dp.command(bind()) == 0
        assert dp.command(up(nat=1, nat_block=5, nat_blocks=1)) == -errno.EINVAL


def nat_address(index: int = 1, mode: int = 0, *, on: bool, address: str = "203.0.113.9") -> bytes:
    packed = IPv4Address(address).packed
    return binding.nat_address_record(1, packed, index, NatMode(mode), on=on)


ROOM = (*NAT_ARGS, "--nat-max-addresses=3", "--workers=-,-")


def test_an_address_comes_to_the_worker_that_is_told_and_goes_when_it_is_empty() -> None:
    with dataplane(*ROOM) as dp:
        entry = dp.section(lib.SECTION_NAT_ADDRESS, "struct nat_address")[1]
        for _ in range(2):
            assert dp.command(nat_address(on=True), group=1) == 0
        assert (entry.owner, entry.free_blocks, entry.used_blocks) == (1, 15, 0)
        assert dp.command(bind(), group=1) == 0
        assert dp.command(up(nat=2), group=1) == 0
        assert dp.command(nat_address(on=False), group=1) == -errno.EBUSY
        assert dp.command(other("RELEASE"), group=1) == 0
        assert dp.command(nat_address(on=False), group=0) == -errno.EINVAL
        for _ in range(2):
            assert dp.command(nat_address(on=False), group=1) == 0
        assert (entry.address, entry.free_blocks, entry.free_first) == (0, 0, 0)
        assert dp.command(bind(generation=2), group=1) == 0
        assert dp.command(up(2, nat=2), group=1) == -errno.EINVAL


def test_an_address_without_a_place_is_refused() -> None:
    with dataplane(*ROOM) as dp:
        assert dp.command(nat_address(0, on=True)) == -errno.EEXIST
        assert dp.command(nat_address(3, on=True)) == -errno.EINVAL
        assert dp.command(nat_address(address="0.0.0.0", on=True)) == -errno.EINVAL
        assert dp.control(nat_address(3, on=True)) == -errno.EINVAL
        assert dp.control(nat_address(address="0.0.0.0", on=False)) == -errno.EINVAL
        wrong = binding.NAT_ADDRESS.pack(b"\1\2\3\4", 1, 2, 1)
        assert dp.command(lab.command(CommandType.NAT_ADDRESS, 0, 0, wrong)) == -errno.EINVAL
        wrong = binding.NAT_ADDRESS.pack(b"\1\2\3\4", 1, 0, 2)
        assert dp.command(lab.command(CommandType.NAT_ADDRESS, 0, 0, wrong)) == -errno.EINVAL
