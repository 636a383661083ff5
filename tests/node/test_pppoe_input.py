"""pppoe_input: which session a frame belongs to, and what of it goes on (RFC 2516 section 6)."""

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE

from dataplane import binding
from dataplane.binding import Direction

from . import lab
from .harness import ACC, CLIENT_MAC, DEFAULT_ARGS, WAN, Dataplane, Frame, dataplane

PACKET = lab.udp(lab.CLIENT_IP, lab.SERVER)
ANTISPOOF = "antispoof4"


def one(dp: Dataplane, frame: bytes) -> Frame:
    (eth,) = dp.node("ethernet_input", [Frame(data=frame, rx_port=ACC)])
    assert eth.edge_name == "pppoe_input"
    (out,) = dp.node("pppoe_input", [eth])
    return out


def test_ip4_of_a_live_session_starts_the_arc_at_its_header(dp: Dataplane) -> None:
    lab.furnish(dp)
    out = one(dp, lab.session_frame(PACKET))
    assert (out.edge_name, out.session) == (ANTISPOOF, 0)
    assert out.current == PACKET
    assert out.flags == lab.FROM_SESSION


def test_scapys_qinq_session_frame_finds_its_session(dp: Dataplane) -> None:
    lab.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1])
    frame = bytes(
        Ether(src=CLIENT_MAC, dst=lab.BOX)
        / Dot1AD(vlan=100, type=0x8100)
        / Dot1Q(vlan=200, type=0x8864)
        / PPPoE(sessionid=1)
        / PPP(proto=0x21)
        / IP(PACKET)
    )
    out = one(dp, frame)
    assert (out.edge_name, out.current) == (ANTISPOOF, PACKET)


@pytest.mark.parametrize("padding", [1, 2, 18, 46])
def test_padding_of_the_frame_and_of_the_payload_is_trimmed(dp: Dataplane, padding: int) -> None:
    lab.furnish(dp)
    assert one(dp, lab.session_frame(PACKET) + bytes(padding)).current == PACKET
    assert one(dp, lab.session_frame(PACKET + bytes(padding))).current == PACKET


@pytest.mark.parametrize(
    "frame",
    [
        lab.session_frame(PACKET, session_id=2),
        lab.session_frame(PACKET, session_id=0x101),
        lab.session_frame(PACKET, source=lab.OTHER),
        lab.session_frame(PACKET, tags=((0x8100, 1),)),
        lab.session_frame(PACKET, tags=((0x8100, 0),)),
    ],
)
def test_a_frame_that_names_another_line_or_client_is_unknown(dp: Dataplane, frame: bytes) -> None:
    lab.furnish(dp)
    assert one(dp, frame).edge_name == "pppoe_padt"
    assert dp.session_in(0).packets == 0


@pytest.mark.parametrize(
    "tags",
    [
        ((0x88A8, 100), (0x8100, 201)),
        ((0x88A8, 100), (0x88A8, 200)),
        ((0x9100, 100), (0x8100, 200)),
        ((0x88A8, 100),),
    ],
)
def test_inner_vid_and_both_tpids_are_checked(dp: Dataplane, tags: tuple[lab.Tag, ...]) -> None:
    lab.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1])
    assert one(dp, lab.session_frame(PACKET, tags=tags)).edge_name == "pppoe_padt"
    assert one(dp, lab.session_frame(PACKET, tags=lab.QINQ)).edge_name == ANTISPOOF


def test_a_frame_is_dropped_at_every_length_it_is_cut_to(dp: Dataplane) -> None:
    lab.furnish(dp)
    frame = lab.session_frame(PACKET)
    for length in range(14, len(frame)):
        edge = one(dp, frame[:length]).edge_name
        assert edge == ("drop: truncated" if length < 22 else "drop: length-beyond-frame"), length
    assert dp.session_in(0).packets == 0


@pytest.mark.parametrize("length", [0, 1])
def test_a_payload_without_a_protocol_is_dropped(dp: Dataplane, length: int) -> None:
    lab.furnish(dp)
    frame = lab.ethernet(lab.pppoe(PACKET, length=length), 0x8864)
    assert one(dp, frame).edge_name == "drop: length-wrong"


def test_a_length_of_65535_is_beyond_any_frame(dp: Dataplane) -> None:
    lab.furnish(dp)
    frame = lab.ethernet(lab.pppoe(PACKET, length=0xFFFF), 0x8864)
    assert one(dp, frame).edge_name == "drop: length-beyond-frame"
    total = PACKET[:2] + b"\xff\xff" + PACKET[4:]
    assert one(dp, lab.session_frame(total)).edge_name == "drop: ip4-length-beyond-frame"


@pytest.mark.parametrize(
    ("protocol", "cause"),
    [
        (0xC021, binding.PuntCause.LCP),
        (0xC023, binding.PuntCause.AUTH),
        (0xC223, binding.PuntCause.AUTH),
        (0x8021, binding.PuntCause.NCP),
        (0x8057, binding.PuntCause.NCP),
        (0x80FD, binding.PuntCause.PPP_UNKNOWN),
        (0x0000, binding.PuntCause.PPP_UNKNOWN),
    ],
)
@pytest.mark.parametrize("state", ["NEGOTIATING", "LIVE", "PAUSED"])
def test_control_is_punted_in_every_state(
    dp: Dataplane, protocol: int, cause: int, state: str
) -> None:
    generation = dp.bind(0) if state == "NEGOTIATING" else lab.furnish(dp)
    if state == "PAUSED":
        assert dp.command(lab.command(binding.CommandType.SESSION_PAUSE, 0, generation)) == 0
    dp.set_time(dp.now_ns + 5_000_000_000)
    out = one(dp, lab.session_frame(b"\x01\x01\x00\x04", protocol))
    assert (out.edge_name, out.cause, out.session) == ("punt", cause, 0)
    assert dp.session_in(0).last_in_ms == dp.now_ns // 1_000_000


@pytest.mark.parametrize("code", range(1, 12))
def test_echo_stays_here_only_while_live_and_after_the_command(dp: Dataplane, code: int) -> None:
    generation = lab.furnish(dp)
    frame = lab.session_frame(bytes((code, 1, 0, 8, 0, 0, 0, 1)), 0xC021)
    assert one(dp, frame).edge_name == "punt"
    lab.start_echo(dp, generation)
    assert one(dp, frame).edge_name == ("lcp_echo" if code in {9, 10} else "punt")
    assert dp.command(lab.command(binding.CommandType.SESSION_PAUSE, 0, generation)) == 0
    assert one(dp, frame).edge_name == "punt"


def test_a_closed_session_is_as_unknown_as_one_that_never_was(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    assert dp.command(lab.command(binding.CommandType.SESSION_CLOSE, 0, generation)) == 0
    assert one(dp, lab.session_frame(PACKET)).edge_name == "pppoe_padt"
    assert one(dp, lab.session_frame(bytes(4), 0xC021)).edge_name == "pppoe_padt"


def test_refused_data_is_counted_with_its_session(dp: Dataplane) -> None:
    lab.furnish(dp, mtu=1000)
    one(dp, lab.session_frame(b"\x65" + PACKET[1:]))
    one(dp, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 973)))
    assert dp.drops(0, Direction.IN) == {"malformed": 1, "too-big": 1}
    assert (
        one(dp, lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 972))).edge_name == ANTISPOOF
    )


def test_a_frame_reaches_the_server_through_the_whole_graph(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.receive(ACC, lab.session_frame(PACKET))
    (sent,) = dp.sent(WAN)
    assert sent[:14] == lab.NEIGHBOUR + lab.WAN_MAC + b"\x08\x00"
    ip = lab.decoded(sent[14:])
    assert (ip.src, ip.dst, ip.ttl) == (lab.CLIENT_IP, lab.SERVER, 63)
    assert (dp.session_in(0).packets, dp.session_in(0).bytes) == (1, len(PACKET))


def test_the_owner_forwards_what_another_worker_received() -> None:
    args = (*DEFAULT_ARGS, "--workers=-,-")
    with dataplane(*args) as dp:
        lab.furnish(dp, worker=1)
        dp.receive(ACC, lab.session_frame(PACKET))
        (sent,) = dp.sent(WAN)
        assert lab.decoded(sent[14:]).src == lab.CLIENT_IP
        dp.receive(WAN, lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP)))
        assert len(dp.sent(ACC)) == 1
        counters = dp.counters()
        assert counters["pppoe_input/handoff"] == 1
        assert counters["session_output/handoff"] == 1
