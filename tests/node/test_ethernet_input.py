"""ethernet_input and twin_output: tags, addresses, EtherTypes (IEEE 802.1Q, RFC 2516 section 4)."""

import pytest
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPPoED

from . import lab
from .harness import ACC, CLIENT_MAC, NO_SESSION, TWIN, WAN, Dataplane, Frame, lib

PADI = bytes.fromhex("110900000004") + bytes.fromhex("01010000")
ACCESS_TAGS = [
    (),
    ((0x8100, 7),),
    ((0x88A8, 4094),),
    ((0x9100, 1),),
    ((0x88A8, 100), (0x8100, 200)),
    ((0x9100, 100), (0x8100, 200)),
    ((0x8100, 100), (0x88A8, 200)),
]


def one(dp: Dataplane, frame: bytes, port: int = ACC) -> Frame:
    (out,) = dp.node("ethernet_input", [Frame(data=frame, rx_port=port)])
    return out


@pytest.mark.parametrize("tags", ACCESS_TAGS)
def test_tags_are_parsed_and_stepped_over(dp: Dataplane, tags: tuple[lab.Tag, ...]) -> None:
    out = one(dp, lab.session_frame(b"E", tags=tags, priority=5))
    assert out.edge_name == "pppoe_input"
    assert out.current == lab.pppoe(b"E")
    assert out.outer == (tags[0] if tags else (0, 0))
    assert out.inner == (tags[1] if len(tags) > 1 else (0, 0))
    assert out.session == NO_SESSION


def test_scapy_and_the_node_agree_on_a_qinq_padi_of_32_bytes(dp: Dataplane) -> None:
    frame = bytes(
        Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff")
        / Dot1AD(vlan=100, type=0x8100)
        / Dot1Q(vlan=200, type=0x8863)
        / PPPoED(code=9, sessionid=0, len=4)
        / bytes.fromhex("01010000")
    )
    assert len(frame) == 32
    out = one(dp, frame)
    assert (out.edge_name, out.cause) == ("punt", 1)
    assert (out.outer, out.inner) == lab.QINQ
    assert out.current == PADI


@pytest.mark.parametrize("tags", ACCESS_TAGS)
@pytest.mark.parametrize("ethertype", [0x8863, 0x8864])
def test_a_frame_cut_in_its_header_is_truncated(
    dp: Dataplane, tags: tuple[lab.Tag, ...], ethertype: int
) -> None:
    frame = lab.ethernet(PADI, ethertype, tags=tags)
    header = 14 + 4 * len(tags)
    for length in range(1, header):
        assert one(dp, frame[:length]).edge_name == "drop: truncated", length
    assert not one(dp, frame[:header]).edge_name.startswith("drop")


def test_metadata_of_the_frame_before_does_not_stay(dp: Dataplane) -> None:
    frame = Frame(data=lab.session_frame(b"E"), outer=(0x8100, 9), inner=(0x8100, 8), session=5)
    (out,) = dp.node("ethernet_input", [frame])
    assert (out.outer, out.inner, out.session) == ((0, 0), (0, 0), NO_SESSION)


def test_a_priority_tag_is_kept_so_that_answers_carry_it(dp: Dataplane) -> None:
    out = one(dp, lab.ethernet(PADI, 0x8863, tags=((0x8100, 0),), priority=3))
    assert (out.edge_name, out.outer) == ("punt", (0x8100, 0))


@pytest.mark.parametrize(
    ("outer", "inner", "served"),
    [(10, 5, True), (20, 9, True), (9, 5, False), (21, 5, False), (10, 4, False), (10, 10, False)],
)
def test_discovery_is_taken_inside_the_access_ranges_only(
    dp: Dataplane, outer: int, inner: int, *, served: bool
) -> None:
    ranges = dp.section(lib.SECTION_ACCESS_RANGE, "struct access_range")
    ranges[0].outer_low, ranges[0].outer_high = 10, 20
    ranges[0].inner_low, ranges[0].inner_high = 5, 9
    out = one(dp, lab.ethernet(PADI, 0x8863, tags=((0x88A8, outer), (0x8100, inner))))
    assert out.edge_name == ("punt" if served else "drop: vlan-not-served")


def test_the_second_access_range_counts_too(dp: Dataplane) -> None:
    ranges = dp.section(lib.SECTION_ACCESS_RANGE, "struct access_range")
    for number, vid in enumerate((10, 20)):
        ranges[number].outer_low = ranges[number].outer_high = vid
        ranges[number].inner_low = ranges[number].inner_high = 0
    dp.port(ACC).n_access_ranges = 2
    edges = [
        one(dp, lab.ethernet(PADI, 0x8863, tags=((0x8100, vid),))).edge_name for vid in (10, 15, 20)
    ]
    assert edges == ["punt", "drop: vlan-not-served", "punt"]


def test_a_session_frame_to_broadcast_is_dropped(dp: Dataplane) -> None:
    out = one(dp, lab.session_frame(b"E", destination=lab.BROADCAST))
    assert out.edge_name == "drop: destination-not-ours"


@pytest.mark.parametrize(
    ("frame", "edge"),
    [
        (lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)), "ip4_input"),
        (lab.routed_frame(b"E", destination=lab.BROADCAST), "twin_output"),
        (lab.routed_frame(b"E", destination=bytes.fromhex("01005e000005")), "twin_output"),
        (lab.routed_frame(b"E", destination=lab.OTHER), "drop: destination-not-ours"),
        (lab.ethernet(bytes(40), 0x86DD, destination=lab.WAN_MAC), "ip6_input"),
        (lab.ethernet(bytes(28), 0x0806, destination=lab.WAN_MAC), "twin_output"),
    ],
)
def test_a_routed_port_takes_unicast_ip_and_leaves_the_rest_to_the_kernel(
    dp: Dataplane, frame: bytes, edge: str
) -> None:
    out = one(dp, frame, WAN)
    assert out.edge_name == edge
    assert out.current == (frame[14:] if edge in {"ip4_input", "ip6_input"} else frame)


def test_frames_pass_between_a_routed_port_and_its_twin_unchanged(dp: Dataplane) -> None:
    arp = lab.ethernet(bytes(range(28)), 0x0806, source=lab.NEIGHBOUR, destination=lab.BROADCAST)
    dp.receive(WAN, arp)
    assert (dp.sent(TWIN), dp.sent(WAN)) == ([arp], [])
    dp.receive(TWIN, arp)
    assert (dp.sent(TWIN), dp.sent(WAN)) == ([], [arp])
