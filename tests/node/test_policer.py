"""policer_in and policer_out against a model in whole numbers: RFC 2697 and RFC 2698."""

import errno
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane import binding
from dataplane.binding import CommandType, Direction, PolicerMode

from . import lab
from .harness import ACC, FEATURE_IN_MSS_CLAMP, WAN, Dataplane, ffi, lib

GREEN, YELLOW, RED = range(3)
MAX_BURST = 1 << 34
TICK_NS = 8


@dataclass(slots=True)
class Model:
    """The buckets as the RFCs write them, in fractions of a byte; *tp* is Te with RFC 2697."""

    cir_bps: int
    cbs_bytes: int
    ebs_bytes: int = 0
    pir_bps: int = 0
    overhead_bytes: int = 0
    tick: int = 0
    tc: Fraction = field(init=False)
    te: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.tc, self.te = Fraction(self.cbs_bytes), Fraction(self.ebs_bytes)

    def at(self, now_ns: int) -> None:
        """Let the buckets fill."""
        passed_s = Fraction((now_ns // TICK_NS - self.tick) * TICK_NS, 10**9)
        self.tick = now_ns // TICK_NS
        earned = passed_s * self.cir_bps / 8
        room = self.cbs_bytes - self.tc
        self.tc += min(earned, room)
        beside = passed_s * self.pir_bps / 8 if self.pir_bps else max(earned - room, Fraction(0))
        self.te = min(self.te + beside, Fraction(self.ebs_bytes))

    def colour(self, size: int) -> int:
        """Return the colour of a packet (RFC 2697 section 3, RFC 2698 section 3)."""
        size += self.overhead_bytes
        if self.pir_bps:
            if self.te < size:
                return RED
            self.te -= size
            if self.tc < size:
                return YELLOW
            self.tc -= size
            return GREEN
        if self.tc >= size:
            self.tc -= size
            return GREEN
        if self.te >= size:
            self.te -= size
            return YELLOW
        return RED


def record(direction: int, mode: int = PolicerMode.SRTCM, **rates: int) -> bytes:
    fields = (rates.get(name, 0) for name in lab.POLICER_FIELDS)
    body = binding.POLICER.pack(*fields, mode)
    generation = rates.get("generation", 1)
    kind = CommandType.SESSION_POLICER
    return binding.COMMAND.pack(kind, 0, 0, generation, direction, 1, body)


def colours(dp: Dataplane, direction: Direction, sizes: list[int]) -> list[int]:
    """Run a vector of packets of these IP lengths through the policer."""
    node = "policer_in" if direction is Direction.IN else "policer_out"
    counters = dp.session_cold(0).policed[direction]
    seen = []
    for size in sizes:
        yellow = counters.yellow_packets
        packet = lab.udp(lab.CLIENT_IP, lab.SERVER, size - 28)
        (frame,) = dp.node(node, [lab.at_ip(packet, session=0, arc=0x20)])
        if frame.edge_name == "drop: policed":
            seen.append(RED)
        else:
            seen.append(YELLOW if counters.yellow_packets > yellow else GREEN)
    return seen


rates = st.sampled_from([8, 1_000, 64_001, 10_000_000, 999_999_999, 400_000_000_000, (1 << 63) - 1])
bursts = st.sampled_from([0, 1, 1_500, 15_000, 1 << 20, MAX_BURST])
steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 7, 8, 1_000, 20_000_000, 10**9, 86_400 * 10**9, 10**16]),
        st.lists(st.sampled_from([28, 60, 577, 1_492]), max_size=6),
    ),
    max_size=12,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    direction=st.sampled_from(Direction),
    cir=rates,
    pir=st.none() | rates,
    cbs=bursts,
    ebs=bursts,
    overhead=st.sampled_from([0, 8, 42, 0xFFFF]),
    steps=steps,
)
def test_every_packet_has_the_colour_of_the_model(
    dp: Dataplane,
    direction: Direction,
    cir: int,
    pir: int | None,
    cbs: int,
    ebs: int,
    overhead: int,
    steps: list[tuple[int, list[int]]],
) -> None:
    lab.furnish_once(dp)
    two_rates = pir is not None
    if two_rates:
        cbs, ebs = cbs or 1, ebs or 1
    elif not cbs + ebs:
        cbs = 1
    fields = {
        "cir_bps": min(cir, pir or cir),
        "pir_bps": pir or 0,
        "cbs_bytes": cbs,
        "ebs_bytes": ebs,
        "overhead_bytes": overhead,
    }
    assert dp.command(record(direction, PolicerMode.OFF)) == 0
    mode = PolicerMode.TRTCM if two_rates else PolicerMode.SRTCM
    assert dp.command(record(direction, mode, **fields)) == 0
    model = Model(**fields, tick=dp.now_ns // TICK_NS)
    for pause_ns, sizes in steps:
        dp.set_time(dp.now_ns + pause_ns)
        model.at(dp.now_ns)
        assert colours(dp, direction, sizes) == [model.colour(size) for size in sizes]


@pytest.mark.parametrize("rate_bps", [1_000, 56_001, 1_000_000_000])
def test_no_token_is_lost_in_a_thousand_refills(dp: Dataplane, rate_bps: int) -> None:
    generation = lab.furnish(dp)
    lab.police(dp, generation, Direction.IN, cir_bps=rate_bps, cbs_bytes=1 << 30)
    entry = dp.section(lib.SECTION_POLICER, "struct policer")[0]
    entry.tc = 0
    begin_ns = dp.now_ns
    packet = lab.udp(lab.CLIENT_IP, lab.SERVER)
    for step in range(1_000):
        dp.set_time(dp.now_ns + 1 + step * 7 % 5_000)
        dp.node("policer_in", [lab.at_ip(packet, session=0, arc=0x20)])
    counters, cold = dp.session_in(0), dp.session_cold(0)
    ticks = dp.now_ns // TICK_NS - begin_ns // TICK_NS
    assert cold.policed[Direction.IN].red_packets + counters.packets == 1_000
    assert entry.tc == rate_bps * ticks - counters.bytes * 10**9


@pytest.mark.parametrize("direction", Direction)
def test_red_is_dropped_counted_and_not_charged(dp: Dataplane, direction: Direction) -> None:
    generation = lab.furnish(dp)
    up = lab.udp(lab.CLIENT_IP, lab.SERVER, 100)
    down = lab.udp(lab.SERVER, lab.CLIENT_IP, 100)
    lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=2 * len(up), ebs_bytes=len(up))
    for _ in range(5):
        dp.receive(ACC, lab.session_frame(up))
        dp.receive(WAN, lab.routed_frame(down))
    passed = {Direction.IN: (WAN, dp.session_in(0)), Direction.OUT: (ACC, dp.session_out(0))}
    for way, (port, entry) in passed.items():
        expected = 3 if way is direction else 5
        assert len(dp.sent(port)) == expected
        assert (entry.packets, entry.bytes) == (expected, expected * len(up))
    counters, cold = dp.session_cold(0).policed[direction], dp.session_cold(0)
    assert (counters.yellow_packets, counters.yellow_bytes) == (1, len(up))
    assert (counters.red_packets, counters.red_bytes) == (2, 2 * len(up))
    assert not any(cold.in_drops) and not any(cold.out_drops)
    other = dp.session_cold(0).policed[1 - direction]
    assert (other.yellow_packets, other.red_packets) == (0, 0)


def test_a_policer_goes_off_and_on_while_packets_pass(dp: Dataplane) -> None:
    generation = lab.furnish(dp, features_in=FEATURE_IN_MSS_CLAMP, mss=1400)
    frame = lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 72))
    passed = []
    for fields in ({}, {"cir_bps": 8, "cbs_bytes": 100}, {}, {"cir_bps": 8, "cbs_bytes": 200}):
        lab.police(dp, generation, Direction.IN, **fields)
        dp.receive(ACC, *[frame] * 4)
        passed.append(len(dp.sent(WAN)))
        on = 1 << 5 if fields else 0
        assert dp.session_in(0).features == 1 << 1 | 1 << 7 | on
    assert passed == [4, 1, 4, 2]


def test_up_leaves_a_policer_as_it_is(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    for direction in Direction:
        lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=100)
    dp.up(0, generation, lab.CLIENT_IP)
    assert (dp.session_in(0).features, dp.session_out(0).features) == (1 << 1 | 1 << 5, 1 << 5)


def test_a_change_takes_no_more_tokens_along_than_the_new_burst_holds(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.police(dp, generation, Direction.IN, cir_bps=8_000, cbs_bytes=10_000, ebs_bytes=5_000)
    assert colours(dp, Direction.IN, [1_000] * 8) == [GREEN] * 8
    lab.police(dp, generation, Direction.IN, cir_bps=80_000_000, cbs_bytes=20_000, ebs_bytes=1_000)
    assert colours(dp, Direction.IN, [1_000] * 4) == [GREEN, GREEN, YELLOW, RED]
    lab.police(dp, generation, Direction.IN, cir_bps=80_000_000, cbs_bytes=20_000)
    dp.set_time(dp.now_ns + 10**9)
    lab.police(dp, generation, Direction.IN, cir_bps=8_000, cbs_bytes=1_500)
    assert colours(dp, Direction.IN, [1_000] * 2) == [GREEN, RED]


def test_the_same_policer_again_gives_no_tokens(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    for expected in ([GREEN, GREEN, RED], [RED, RED, RED]):
        lab.police(dp, generation, Direction.OUT, cir_bps=8, cbs_bytes=200)
        assert colours(dp, Direction.OUT, [100] * 3) == expected


def test_release_leaves_no_policer(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    for direction in Direction:
        lab.police(dp, generation, direction, cir_bps=8, cbs_bytes=100)
    for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
        assert dp.command(lab.command(kind, 0, generation)) == 0
    entries = dp.section(lib.SECTION_POLICER, "struct policer")
    for direction in Direction:
        assert bytes(ffi.buffer(ffi.addressof(entries[direction]))) == bytes(64)
    assert (dp.session_in(0).features, dp.session_out(0).features) == (0, 0)
    dp.bind(0)
    assert dp.session_cold(0).policed[Direction.IN].red_packets == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"direction": 2},
        {"mode": 3},
        {"cir_bps": 0},
        {"cbs_bytes": 0},
        {"cbs_bytes": MAX_BURST + 1},
        {"ebs_bytes": MAX_BURST + 1},
        {"pir_bps": 8},
        {"mode": PolicerMode.TRTCM, "ebs_bytes": 1},
        {"mode": PolicerMode.TRTCM, "pir_bps": 7, "ebs_bytes": 1},
        {"mode": PolicerMode.TRTCM, "pir_bps": 8, "ebs_bytes": 0},
        {"mode": PolicerMode.TRTCM, "pir_bps": 8, "cbs_bytes": 0, "ebs_bytes": 1},
    ],
)
def test_a_policer_that_makes_no_sense_is_refused(dp: Dataplane, fields: dict[str, Any]) -> None:
    generation = lab.furnish(dp)
    good: dict[str, Any] = {"direction": Direction.IN, "cir_bps": 8, "cbs_bytes": 100}
    assert dp.command(record(**good | fields | {"generation": generation})) == -errno.EINVAL
    assert dp.session_in(0).features == 1 << 1


def test_a_closed_session_takes_no_policer(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    assert dp.command(lab.command(CommandType.SESSION_CLOSE, 0, generation)) == 0
    good = {"cir_bps": 8, "cbs_bytes": 100, "generation": generation}
    assert dp.command(record(Direction.IN, **good)) == -errno.EINVAL
