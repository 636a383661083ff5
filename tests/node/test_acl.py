"""acl_in and acl_out: what is compiled decides as the rules in their order do, and nothing else."""

import errno
import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

from bng.aaa.acl import PROTOCOLS, parse_rule
from bng.io.acl import _rule
from dataplane import acl as compiler
from dataplane import binding
from dataplane.acl import NO_PORT, Rule, compile_acl, read_counters, with_counters
from dataplane.binding import AclAction, CommandType

from . import lab
from .harness import ACC, DEFAULT_ARGS, START_NS, WAN, Dataplane, dataplane, ffi, lib

DENY, PERMIT, REJECT = AclAction.DENY, AclAction.PERMIT, AclAction.REJECT
VERDICTS = {"drop: acl-denied": DENY, "ip4_lookup": PERMIT, "icmp4_error": REJECT}
EDGE_NUMBERS = (0, 1, 2, 79, 80, 81, 255, 256, 1023, 1024, 0xFFFE, 0xFFFF)
ADDRESSES = [
    int(IPv4Address(text))
    for text in (
        "0.0.0.0",
        "10.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "192.0.2.1",
        "255.255.255.255",
    )
]

addresses = st.sampled_from(ADDRESSES) | st.integers(0, 0xFFFF_FFFF)
ports = st.sampled_from(EDGE_NUMBERS) | st.integers(0, 0xFFFF)
protocols = st.sampled_from([0, 1, 6, 17, 47, 255])


def between(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(values, values).map(lambda ends: (min(ends), max(ends)))


rules = st.builds(
    Rule,
    st.sampled_from(AclAction),
    st.just(compiler.ANY_ADDRESS) | between(addresses),
    st.just(compiler.ANY_ADDRESS) | between(addresses),
    st.just(compiler.ANY_PORT) | between(ports),
    st.just(compiler.ANY_PORT) | between(ports),
    st.just(compiler.ANY_PROTOCOL) | between(protocols),
    st.just(compiler.NEVER),
    st.just(compiler.NEVER),
)
packets = st.tuples(
    addresses, addresses, ports, ports, st.sampled_from(["tcp", "udp", "icmp", "gre"])
)


def packet(source: int, destination: int, sport: int, dport: int, protocol: str) -> bytes:
    inner = {
        "tcp": TCP(sport=sport, dport=dport),
        "udp": UDP(sport=sport, dport=dport),
        "icmp": ICMP(),
        "gre": Raw(bytes(8)),
    }[protocol]
    src, dst = IPv4Address(source), IPv4Address(destination)
    return bytes(IP(src=str(src), dst=str(dst), proto=PROTOCOLS[protocol]) / inner)


def expected(acl: list[Rule], default: AclAction, key: tuple[int, ...]) -> AclAction:
    """Decide as whoever reads the rules one by one."""
    for rule in acl:
        ranges = rule.ranges[: len(key)]
        if all(low <= value <= high for value, (low, high) in zip(key, ranges, strict=True)):
            return AclAction(rule.action)
    return default


def verdicts(dp: Dataplane, frames: list[bytes]) -> list[AclAction]:
    out = dp.node("acl_in", [lab.at_ip(frame, session=0, arc=0x08) for frame in frames])
    return [VERDICTS[frame.edge_name] for frame in out]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    acl=st.lists(rules, max_size=150),
    default=st.sampled_from(AclAction),
    flows=st.lists(packets, min_size=1, max_size=20),
)
def test_the_first_rule_that_fits_decides(
    dp: Dataplane, acl: list[Rule], default: AclAction, flows: list[tuple[int, int, int, int, str]]
) -> None:
    lab.furnish_once(dp)
    lab.filter_by(dp, dp.session_in(0).generation, acl, default)
    wanted = []
    for source, destination, sport, dport, name in flows:
        if name not in ("tcp", "udp"):
            sport = dport = NO_PORT
        wanted.append(expected(acl, default, (source, destination, sport, dport, PROTOCOLS[name])))
    assert verdicts(dp, [packet(*flow) for flow in flows]) == wanted


def test_a_thousand_rules_are_as_good_as_one(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    texts = [f"deny tcp any 10.{i // 256}.{i % 256}.0/24 port {1000 + i}" for i in range(1_000)]
    acl = [_rule(parse_rule(text)) for text in texts]
    compiled = compile_acl(acl, PERMIT)
    assert len(compiled) < 1 << 20
    lab.filter_by(dp, generation, acl)
    for i in (0, 63, 64, 500, 999):
        destination = int(IPv4Address(f"10.{i // 256}.{i % 256}.7"))
        hit, beside = (packet(1, destination, 1, 1000 + i + off, "tcp") for off in (0, 1))
        assert verdicts(dp, [hit, beside]) == [DENY, PERMIT]


def test_a_later_fragment_has_no_ports(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    acl = [_rule(parse_rule("deny udp any any port 53")), _rule(parse_rule("deny 6 any any"))]
    lab.filter_by(dp, generation, acl)
    whole = lab.udp(lab.CLIENT_IP, lab.SERVER)
    later = lab.udp(lab.CLIENT_IP, lab.SERVER, frag=7)
    short = lab.udp(lab.CLIENT_IP, lab.SERVER)[:24]
    assert verdicts(dp, [whole, later, short]) == [DENY, PERMIT, PERMIT]
    tcp = bytes(IP(src=lab.CLIENT_IP, dst=lab.SERVER, proto=6, frag=7) / bytes(8))
    assert verdicts(dp, [tcp]) == [DENY]


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
    raw = ffi.buffer(dp.section(lib.SECTION_ACL_MEMORY, "uint8_t"), int(dp_place(dp)) & 0xFFFF_FFFF)
    counted = read_counters(bytes(raw))
    assert [tuple(rule) for rule in counted] == [
        (3, 3 * len(up), 1, len(down)),
        (0, 0, 2, 2 * len(ping)),
        *[(0, 0, 0, 0)] * 2,
        (1, 44, 0, 0),
    ]


def dp_place(dp: Dataplane) -> int:
    """Return place and size of the first ACL."""
    return int(dp.section(lib.SECTION_ACL, "uint64_t")[0])


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


def test_reject_tells_the_subscriber_and_nobody_outside(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.filter_by(dp, generation, [], REJECT)
    dp.set_time(START_NS + 10**9)
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
    dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
    assert dp.sent(WAN) == []
    assert dp.counters()["acl_in/icmp4_error"] == 1
    assert dp.counters()["acl_out/drop: acl-denied"] == 2, "the error is filtered, too"
    lab.filter_by(dp, generation, [_rule(parse_rule("permit icmp any any"))], REJECT)
    dp.receive(ACC, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER)))
    (error,) = dp.sent(ACC)
    icmp = IP(error[22:])[ICMP]
    assert (icmp.type, icmp.code, icmp.payload.dst) == (3, 13, lab.SERVER)


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
