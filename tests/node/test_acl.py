"""ACLs in place: fragments, counters, changes while packets pass, and what is refused."""

import errno
import struct
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP

from dataplane import acl as compiler
from dataplane import binding
from dataplane.acl import Rule, compile_acl, read_counters, with_counters
from dataplane.binding import CommandType

from . import lab
from .acl_rules import DENY, IP4, PERMIT, counted, written
from .harness import ACC, DEFAULT_ARGS, WAN, Dataplane, dataplane, ffi, lib


def test_a_later_fragment_has_no_ports(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    acl = written("deny udp any any port 53", "deny 6 any any")
    lab.filter_by(dp, generation, acl)
    whole = lab.udp(lab.CLIENT_IP, lab.SERVER)
    later = lab.udp(lab.CLIENT_IP, lab.SERVER, frag=7)
    short = lab.udp(lab.CLIENT_IP, lab.SERVER)[:24]
    assert IP4.verdicts(dp, [whole, later, short]) == [DENY, PERMIT, PERMIT]
    tcp = bytes(IP(src=lab.CLIENT_IP, dst=lab.SERVER, proto=6, frag=7) / bytes(8))
    assert IP4.verdicts(dp, [tcp]) == [DENY]


def test_what_is_denied_is_dropped_counted_and_not_charged(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    server = int(IPv4Address(lab.SERVER))
    for field in ("destination", "source"):
        lab.filter_by(dp, generation, [Rule(DENY, **{field: (server, server)})])
        dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
        dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
    assert (len(dp.sent(WAN)), len(dp.sent(ACC))) == (1, 1)
    cold = dp.session_cold(0)
    assert (cold.in_drops[lib.IN_DROP_ACL], cold.out_drops[lib.OUT_DROP_ACL]) == (1, 1)
    assert (dp.session_in(0).packets, dp.session_out(0).packets) == (1, 1)
    counters = dp.counters()
    assert counters["acl_in/drop: acl-denied"] == counters["acl_out/drop: acl-denied"] == 1


def test_each_rule_counts_what_it_decided_by_direction(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    server = int(IPv4Address(lab.SERVER))
    acl = [Rule(DENY, destination_port=(53, 53)), Rule(PERMIT, source=(server, server))]
    lab.filter_by(dp, generation, [*acl, *acl])
    up, down = lab.udp(lab.CLIENT_IP, lab.SERVER), lab.udp(lab.SERVER, lab.CLIENT_IP, 100)
    ping = lab.ping(lab.SERVER, lab.CLIENT_IP)
    dp.receive(
        ACC, *[lab.session_frame(up)] * 3, lab.session_frame(lab.ping(lab.CLIENT_IP, "192.0.2.7"))
    )
    dp.receive(WAN, lab.routed_frame(down), *[lab.routed_frame(ping)] * 2)
    assert counted(dp) == [
        (3, 3 * len(up), 1, len(down)),
        (0, 0, 2, 2 * len(ping)),
        *[(0, 0, 0, 0)] * 2,
        (1, 44, 0, 0),
    ]


def test_workers_count_apart_and_are_summed() -> None:
    with dataplane(*DEFAULT_ARGS, "--workers=-,-") as dp:
        lab.furnish(dp, worker=1)
        compiled = compile_acl([Rule(DENY, destination_port=(1, 1))] * 2, PERMIT)
        assert lab.set_acl(dp, 0, with_counters(compiled, 1)) == -errno.EINVAL
        acl = with_counters(compiled, 2)
        assert lab.set_acl(dp, 0, acl) == 0
        for index in (0, 1):
            dp.session_in(index).acl = 1
        frame = lab.at_ip(lab.udp(lab.CLIENT_IP, lab.SERVER), session=0, arc=0x08)
        for worker in (0, 1, 1):
            dp.node("acl_in", [frame], worker=worker)
        raw = ffi.buffer(dp.section(lib.SECTION_ACL_MEMORY, "uint8_t"), len(acl))
        assert [rule.in_packets for rule in read_counters(bytes(raw))] == [0, 0, 3]
        rows = bytes(raw)[len(compiled) :]
        assert [rows[at] for at in (32, len(rows) // 2 + 32)] == [1, 2]


def test_what_passes_acl_and_policer_is_charged_once(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.filter_by(dp, generation, [])
    lab.police(dp, generation, binding.Direction.IN, cir_bps=8, cbs_bytes=100)
    for _ in range(4):
        dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 22)))
    assert (dp.session_in(0).packets, len(dp.sent(WAN))) == (2, 2)


def test_an_acl_changes_and_goes_while_packets_pass(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    frame = lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER))
    passed = []
    for offset, default in ((0, PERMIT), (65_536, DENY), (0, PERMIT)):
        assert lab.set_acl(dp, 0, with_counters(compile_acl([], default), 1), offset=offset) == 0
        body = binding.SESSION_ACL.pack(1, 1)
        assert dp.command(lab.command(CommandType.SESSION_ACL, 0, generation, body)) == 0
        dp.receive(ACC, frame)
        passed.append(len(dp.sent(WAN)))
    assert lab.set_acl(dp, 0, b"") == 0
    dp.receive(ACC, frame)
    passed.append(len(dp.sent(WAN)))  # an ACL that is not there denies
    body = binding.SESSION_ACL.pack(0, 0)
    assert dp.command(lab.command(CommandType.SESSION_ACL, 0, generation, body)) == 0
    dp.receive(ACC, frame)
    passed.append(len(dp.sent(WAN)))
    assert passed == [1, 0, 1, 0, 1]
    assert (dp.session_in(0).features, dp.session_out(0).features) == (1 << 1, 0)


def test_up_leaves_and_release_takes_the_acls(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.filter_by(dp, generation, [])
    dp.up(0, generation, lab.CLIENT_IP)
    assert (dp.session_in(0).features, dp.session_out(0).features) == (1 << 1 | 1 << 3, 1 << 3)
    for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
        assert dp.command(lab.command(kind, 0, generation)) == 0
    assert (dp.session_in(0).acl, dp.session_out(0).acl) == (0, 0)
    assert (dp.session_in(0).features, dp.session_out(0).features) == (0, 0)


def good() -> bytes:
    compiled = compile_acl([Rule(DENY, destination_port=(n, n)) for n in range(70)], PERMIT)
    return with_counters(compiled, 1)


@pytest.mark.parametrize("at", sorted({*range(0, compiler.HEAD_BYTES, 4)} - {16}))
@pytest.mark.parametrize("value", [0xFFFF_FFFF, 0x7FFF_FFF8, 1 << 20])
def test_a_head_that_leads_out_of_the_acl_is_refused(dp: Dataplane, at: int, value: int) -> None:
    bad = bytearray(good())
    struct.pack_into("=I", bad, at, value)
    assert lab.set_acl(dp, 0, bytes(bad)) == -errno.EINVAL
    assert lab.set_acl(dp, 0, good()) == 0


def test_a_class_that_is_not_there_is_refused(dp: Dataplane) -> None:
    bad = bytearray(good())
    _, _, at, n_classes, _ = compiler.FIELD.unpack_from(bad, compiler.HEAD.size)
    struct.pack_into("=H", bad, at, n_classes)
    assert lab.set_acl(dp, 0, bytes(bad)) == -errno.EINVAL


@pytest.mark.parametrize("size", [*range(1, 160, 53), 160, 700])
def test_an_acl_cut_short_is_refused(dp: Dataplane, size: int) -> None:
    assert lab.set_acl(dp, 0, good()[:size]) == -errno.EINVAL


@pytest.mark.parametrize(
    ("index", "offset", "size"),
    [(lib.MAX_ACLS, 0, 0), (0, 1, 500), (0, lib.ACL_MEMORY, 500), (0, 64, lib.ACL_MEMORY)],
)
def test_a_place_out_of_bounds_is_refused(
    dp: Dataplane, index: int, offset: int, size: int
) -> None:
    body = binding.ACL_SET.pack(index, offset, size)
    assert dp.control(lab.command(CommandType.ACL_SET, 0, 0, body)) == -errno.EINVAL


@pytest.mark.parametrize("acls", [(lib.MAX_ACLS + 1, 0), (0, lib.MAX_ACLS + 1)])
def test_a_session_takes_no_acl_number_beyond_the_last(
    dp: Dataplane, acls: tuple[int, int]
) -> None:
    generation = lab.furnish(dp)
    body = binding.SESSION_ACL.pack(*acls)
    record = lab.command(CommandType.SESSION_ACL, 0, generation, body)
    assert dp.command(record) == -errno.EINVAL
