"""antispoof4 and mss_clamp: who may send what (RFC 3704, RFC 9293 section 3.7.1)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP

from . import lab
from .harness import ACC, FEATURE_IN_MSS_CLAMP, FEATURE_OUT_MSS_CLAMP, WAN, Dataplane, lib

CLAMP = {"features_in": FEATURE_IN_MSS_CLAMP, "features_out": FEATURE_OUT_MSS_CLAMP, "mss": 1400}


@pytest.mark.parametrize(
    ("source", "passes"),
    [
        (lab.CLIENT_IP, True),
        (lab.FRAMED, True),
        ("100.65.0.1", False),
        (lab.SERVER, False),
        (lab.GATEWAY, False),
        ("9.9.9.9", False),
    ],
)
def test_a_source_is_the_sessions_own_or_routed_to_it(
    dp: Dataplane, source: str, *, passes: bool
) -> None:
    lab.furnish(dp)
    packet = lab.udp(source, lab.SERVER)
    dp.receive(ACC, lab.session_frame(packet))
    entry, cold = dp.session_in(0), dp.session_cold(0)
    assert len(dp.sent(WAN)) == passes
    assert (entry.packets, entry.bytes) == ((1, len(packet)) if passes else (0, 0))
    assert cold.in_drops[lib.IN_DROP_SPOOFED] == (not passes)


def test_a_prefix_routed_to_another_session_is_spoofed(dp: Dataplane) -> None:
    lab.furnish(dp)
    lab.route16(dp, "198.18", lib.LEAF_SESSION, 1)
    dp.receive(ACC, lab.session_frame(lab.udp(lab.FRAMED, lab.SERVER)))
    assert dp.sent(WAN) == []
    assert dp.counters()["antispoof4/drop: source-spoofed"] == 1


def clamped(dp: Dataplane, packet: bytes) -> bytes:
    lab.furnish_once(dp, **CLAMP)
    (out,) = dp.node("mss_clamp_in", [lab.at_ip(packet, session=0, arc=0x80)])
    return out.data


@pytest.mark.parametrize(
    "options",
    [
        [("MSS", 1460)],
        [("NOP", None), ("MSS", 1460), ("NOP", None), ("NOP", None), ("NOP", None)],
        [("SAckOK", b""), ("Timestamp", (1, 0)), ("MSS", 9000)],
        [("WScale", 7), ("MSS", 0xFFFF), ("EOL", None)],
    ],
)
@pytest.mark.parametrize("flags", ["S", "SA"])
def test_a_larger_mss_is_lowered_and_nothing_else_changes(
    dp: Dataplane, options: list[Any], flags: str
) -> None:
    packet = lab.syn(lab.CLIENT_IP, lab.SERVER, options, flags)
    lower = [(name, 1400 if name == "MSS" else value) for name, value in options]
    assert clamped(dp, packet) == lab.syn(lab.CLIENT_IP, lab.SERVER, lower, flags)


@pytest.mark.parametrize(
    "packet",
    [
        lab.syn(lab.CLIENT_IP, lab.SERVER, [("MSS", 1400)]),
        lab.syn(lab.CLIENT_IP, lab.SERVER, [("MSS", 536)]),
        lab.syn(lab.CLIENT_IP, lab.SERVER, [("WScale", 7)]),
        lab.syn(lab.CLIENT_IP, lab.SERVER, [("EOL", None), ("MSS", 1460)]),
        lab.syn(lab.CLIENT_IP, lab.SERVER, [("MSS", 1460)], "A"),
        bytes(IP(dst=lab.SERVER, frag=1) / TCP(flags="S", options=[("MSS", 1460)])),
        bytes(IP(dst=lab.SERVER, proto=17) / TCP(flags="S", options=[("MSS", 1460)])),
    ],
)
def test_what_needs_no_clamp_is_left_alone(dp: Dataplane, packet: bytes) -> None:
    assert clamped(dp, packet) == packet


def test_a_segment_cut_short_is_left_alone(dp: Dataplane) -> None:
    packet = lab.syn(lab.CLIENT_IP, lab.SERVER, [("MSS", 1460)])
    for length in range(21, len(packet)):
        assert clamped(dp, packet[:length]) == packet[:length]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(options=st.binary(max_size=40), offset=st.integers(0, 15), mss=st.integers(0, 0xFFFF))
def test_any_options_keep_length_and_checksum(
    dp: Dataplane, options: bytes, offset: int, mss: int
) -> None:
    lab.furnish_once(dp, **CLAMP)
    options += b"\x02\x04" + mss.to_bytes(2, "big")
    tcp = TCP(flags="S", dataofs=offset)
    packet = IP(bytes(IP(src=lab.CLIENT_IP, dst=lab.SERVER) / tcp / options))
    (out,) = dp.node("mss_clamp_in", [lab.at_ip(bytes(packet), session=0, arc=0x80)])
    after = IP(out.data)
    assert len(out.data) == len(packet)
    pseudo = bytes(packet)[12:20] + b"\x00\x06" + (len(packet) - 20).to_bytes(2, "big")
    before_sum = ones_complement(pseudo + bytes(packet)[20:])
    assert ones_complement(pseudo + out.data[20:]) % 0xFFFF == before_sum % 0xFFFF
    differing = [i for i in range(20, len(packet)) if bytes(packet)[i] != out.data[i]]
    assert {i for i in differing if not 36 <= i <= 37} <= set(range(40, 20 + offset * 4))
    assert after.src == lab.CLIENT_IP


def ones_complement(data: bytes) -> int:
    """Return the sum of RFC 1071, not folded."""
    data += bytes(len(data) % 2)
    return sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))


def test_the_clamp_works_both_ways_through_the_graph(dp: Dataplane) -> None:
    lab.furnish(dp, **CLAMP)
    dp.receive(ACC, lab.session_frame(lab.syn(lab.CLIENT_IP, lab.SERVER, [("MSS", 1460)])))
    assert lab.decoded(dp.sent(WAN)[0][14:])[TCP].options == [("MSS", 1400)]
    dp.receive(WAN, lab.routed_frame(lab.syn(lab.SERVER, lab.CLIENT_IP, [("MSS", 1460)], "SA")))
    assert lab.decoded(dp.sent(ACC)[0][22:])[TCP].options == [("MSS", 1400)]
