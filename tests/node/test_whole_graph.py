"""Any bytes through the whole graph: nothing crashes, nothing leaks, scapy agrees on what is."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE

from . import lab
from .harness import ACC, CLIENT_MAC, TWIN, WAN, Dataplane, Frame

SHARED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SERVED = [
    lab.session_frame(lab.udp(lab.CLIENT_IP, lab.SERVER, 30), tags=lab.QINQ),
    lab.session_frame(lab.syn(lab.CLIENT_IP, lab.SERVER, [("MSS", 1460)]), tags=lab.QINQ),
    lab.session_frame(lab.ping(lab.CLIENT_IP, lab.GATEWAY), tags=lab.QINQ),
    lab.session_frame(lab.echo(9, 5, b"data"), lab.PPP_LCP, tags=lab.QINQ),
    lab.session_frame(b"\x01\x01\x00\x04", 0x8021, tags=lab.QINQ),
    lab.ethernet(bytes.fromhex("11090000000401010000"), 0x8863, destination=lab.BROADCAST),
]
ROUTED = [
    lab.routed_frame(lab.udp(lab.SERVER, lab.CLIENT_IP, 1000)),
    lab.routed_frame(lab.syn(lab.SERVER, lab.CLIENT_IP, [("MSS", 1460)], "SA")),
    lab.routed_frame(lab.ping(lab.SERVER, lab.GATEWAY)),
]


def furnish(dp: Dataplane) -> None:
    if dp.session_in(0).state == 0:
        options = {"features_in": 1 << 7, "features_out": 1 << 7, "mss": 1000, "mtu": 600}
        generation = lab.furnish(dp, outer=lab.QINQ[0], inner=lab.QINQ[1], **options)
        lab.start_echo(dp, generation)


@st.composite
def mangled(draw: st.DrawFn, frames: list[bytes]) -> bytes:
    """Return one of the frames, cut, stretched, with some bytes changed; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(min_size=1, max_size=200))
    frame = bytearray(draw(st.sampled_from(frames)))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    length = draw(st.integers(1, len(frame) + 50))
    return bytes(frame[:length]) + bytes(max(0, length - len(frame)))


@SHARED
@given(frames=st.lists(mangled(SERVED), min_size=1, max_size=8))
def test_mangled_frames_of_clients_leak_nothing(dp: Dataplane, frames: list[bytes]) -> None:
    furnish(dp)
    dp.receive(ACC, *frames)
    assert dp.buffers_in_use() == 0
    for frame in dp.sent(WAN):
        lab.decoded_header(IP(frame[14:]))
    for port in (ACC, TWIN):
        dp.sent(port)
    dp.punts()
    dp.set_time(dp.now_ns + 50_000_000)


@SHARED
@given(frames=st.lists(mangled(ROUTED), min_size=1, max_size=8))
def test_mangled_frames_from_outside_leak_nothing(dp: Dataplane, frames: list[bytes]) -> None:
    furnish(dp)
    dp.receive(WAN, *frames)
    assert dp.buffers_in_use() == 0
    for frame in dp.sent(ACC):
        pppoe = Ether(frame)[PPPoE]
        assert pppoe.len == len(frame) - 28
        lab.decoded_header(IP(frame[30:]))
    for port in (WAN, TWIN):
        dp.sent(port)
    dp.set_time(dp.now_ns + 50_000_000)


@SHARED
@given(
    vids=st.lists(st.integers(0, 4094), max_size=2),
    session_id=st.integers(0, 0xFFFF),
    protocol=st.integers(0, 0x7F).map(lambda low: low << 1 | 1),
    size=st.integers(0, 64),
)
def test_scapy_and_the_input_nodes_see_the_same_header(
    dp: Dataplane, vids: list[int], session_id: int, protocol: int, size: int
) -> None:
    packet = Ether(src=CLIENT_MAC, dst=lab.BOX)
    for vid in vids:
        packet /= Dot1Q(vlan=vid)
    packet /= PPPoE(sessionid=session_id) / PPP(proto=protocol) / bytes(size)
    frame = bytes(packet)
    (out,) = dp.node("ethernet_input", [Frame(data=frame, rx_port=ACC)])
    assert out.edge_name == "pppoe_input"
    assert [tag[1] for tag in (out.outer, out.inner) if tag[0]] == vids
    assert out.current == bytes(packet[PPPoE])


@SHARED
@given(
    source=st.ip_addresses(v=4),
    destination=st.ip_addresses(v=4),
    body=st.sampled_from([UDP() / b"data", TCP(), b"\x01" * 8, b"\x01" * 700]),
    cut=st.integers(0, 5),
    flip=st.integers(4, 200),  # any bit but those of IHL: scapy trips over short options
)
def test_the_node_takes_exactly_what_scapy_says_is_right(
    dp: Dataplane, source: object, destination: object, body: object, cut: int, flip: int
) -> None:
    packet = bytearray(bytes(IP(src=str(source), dst=str(destination)) / body))
    if flip < 160:
        packet[flip // 8] ^= 1 << flip % 8
    data = bytes(packet[: len(packet) - cut])
    ip = IP(data)
    fresh = ip.copy()
    del fresh.chksum
    whole = ip.version == 4 and ip.ihl == 5 and 20 <= (ip.len or 0) <= len(data)
    right = whole and fresh.__class__(bytes(fresh)).chksum == ip.chksum
    special = [int(a.split(".")[0]) for a in (ip.src, ip.dst)] if right else []
    martian = any(first in {0, 127} or first >= 224 for first in special)
    (out,) = dp.node("ip4_input", [lab.at_ip(data)])
    assert (out.edge_name == "ip4_lookup") == (right and not martian)
