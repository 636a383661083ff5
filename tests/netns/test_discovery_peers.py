"""Discovery as others see it: Debian's pppoe-discovery, and scapy as the codec.

PREFIX-sub                          PREFIX-bng
+----------------------------+    +---------------------+
| pppoe-discovery, scapy sub0|----| acc0  bng-dataplane |
+----------------------------+    |       bngd          |
                                  +---------------------+
"""

import struct
from collections.abc import Iterator

import pytest
from scapy.config import conf
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPPoED
from scapy.packet import Packet, Raw

from tests.netns.conftest import interface_mac
from tests.support.lab import Lab
from tests.support.netns import inside, run

LAB_OPTIONS = {
    "config": {
        "pppoe": {
            "service_names": ["home", "business"],
            "accept_any_service": False,
            "accept_empty_service": True,
        }
    }
}
_MAC = "02:00:5e:00:53:05"
_PADI, _PADO, _PADR, _PADS, _PADT = 0x09, 0x07, 0x19, 0x65, 0xA7


@pytest.fixture
def wire(lab: Lab) -> Iterator["Wire"]:
    """Open scapy's socket on the subscriber's interface."""
    with inside(lab.sub):
        socket = conf.L2socket(iface="sub0")
    yield Wire(socket)
    socket.close()


class Wire:
    """One client's view of the wire, through scapy."""

    def __init__(self, socket: conf.L2socket) -> None:
        self._socket = socket

    def send(
        self,
        code: int,
        tags: bytes,
        *,
        to: str = "ff:ff:ff:ff:ff:ff",
        session_id: int = 0,
        vlan: str = "",
    ) -> None:
        """Send one discovery packet."""
        frame: Packet = Ether(src=_MAC, dst=to)
        for vid, layer in zip(vlan.split("."), (Dot1AD, Dot1Q), strict=False) if vlan else ():
            frame /= layer(vlan=int(vid))
        self._socket.send(
            frame / PPPoED(code=code, sessionid=session_id, len=len(tags)) / Raw(tags)
        )

    def answers(self, timeout_s: float = 0.7) -> list[Packet]:
        """Return the discovery packets for us that come in time."""
        found = self._socket.sniff(timeout=timeout_s, lfilter=lambda p: p.dst == _MAC)
        return [packet for packet in found if PPPoED in packet]


def _tags(packet: Packet) -> list[tuple[int, bytes]]:
    """Split the tags after scapy's PPPoED header, by RFC 2516 §4."""
    raw = bytes(packet[PPPoED])[6 : 6 + packet[PPPoED].len]
    found = []
    while raw:
        kind, length = struct.unpack_from("!HH", raw)
        found.append((kind, raw[4 : 4 + length]))
        raw = raw[4 + length :]
    return found


def _tag(kind: int, value: bytes = b"") -> bytes:
    return struct.pack("!HH", kind, len(value)) + value


def test_pppoe_discovery_finds_name_and_services(lab: Lab) -> None:
    done = run(lab.sub, "pppoe-discovery", "-I", "sub0", "-U", "-t", "2", "-a", "1", check=False)
    output = done.stdout + done.stderr
    assert "Access-Concentrator: lab" in output, output
    assert "Service-Name: home" in output, output
    assert "Service-Name: business" in output, output
    assert interface_mac(lab.bng, "acc0") in output.lower(), output


def test_pado_is_unicast_and_echoes_what_the_client_sent(lab: Lab, wire: Wire) -> None:
    unique, relay = b"\x00\xff unique", b"\x01relay"
    wire.send(_PADI, _tag(0x0101) + _tag(0x0103, unique) + _tag(0x0110, relay))
    [pado] = wire.answers()
    assert (pado.src, pado[PPPoED].code) == (interface_mac(lab.bng, "acc0"), _PADO)
    assert (pado[PPPoED].version, pado[PPPoED].type, pado[PPPoED].sessionid) == (1, 1, 0)
    tags = _tags(pado)
    assert [value for kind, value in tags if kind == 0x0102] == [b"lab"]
    assert [value for kind, value in tags if kind == 0x0103] == [unique]
    assert [value for kind, value in tags if kind == 0x0110] == [relay]
    names = [value for kind, value in tags if kind == 0x0101]
    assert sorted(names) == [b"", b"business", b"home"]
    assert len([value for kind, value in tags if kind == 0x0104]) == 1


def test_a_service_that_we_do_not_offer_draws_no_pado(lab: Lab, wire: Wire) -> None:
    wire.send(_PADI, _tag(0x0101, b"tv"))
    assert wire.answers() == []
    wire.send(_PADI, _tag(0x0101, b"home"))
    assert len(wire.answers()) == 1


def test_a_padr_without_our_cookie_gets_no_session(lab: Lab, wire: Wire) -> None:
    mac = interface_mac(lab.bng, "acc0")
    wire.send(_PADR, _tag(0x0101, b"home") + _tag(0x0104, bytes(16)), to=mac)
    assert [p[PPPoED].sessionid for p in wire.answers() if p[PPPoED].code == _PADS] in ([], [0])
    assert lab.sessions() == []


def test_a_repeated_padr_gets_the_same_session_again(lab: Lab, wire: Wire) -> None:
    wire.send(_PADI, _tag(0x0101, b"home"))
    [pado] = wire.answers()
    [cookie] = [value for kind, value in _tags(pado) if kind == 0x0104]
    for _ in range(2):
        wire.send(_PADR, _tag(0x0101, b"home") + _tag(0x0104, cookie), to=pado.src)
    offers = [p[PPPoED].sessionid for p in wire.answers() if p[PPPoED].code == _PADS]
    assert len(offers) == 2
    assert len(set(offers)) == 1
    assert 0 < offers[0] < 0xFFFF
    wire.send(_PADT, b"", to=pado.src, session_id=offers[0])


def test_the_access_nodes_line_tag_is_shown_with_the_session(lab: Lab, wire: Wire) -> None:
    line = bytes.fromhex("00000de9") + b"\x01\x09an1 1/1/7" + b"\x02\x07home-42"
    wire.send(_PADI, _tag(0x0101, b"home"))
    [pado] = wire.answers()
    [cookie] = [value for kind, value in _tags(pado) if kind == 0x0104]
    tags = _tag(0x0101, b"home") + _tag(0x0104, cookie) + _tag(0x0105, line)
    wire.send(_PADR, tags, to=pado.src)
    [pads] = [p for p in wire.answers() if p[PPPoED].code == _PADS]
    session = lab.ctl_json("show", "session", _MAC)
    assert (session["circuit_id"], session["remote_id"]) == ("an1 1/1/7", "home-42")
    assert session["session_id"] == pads[PPPoED].sessionid
    wire.send(_PADT, b"", to=pado.src, session_id=session["session_id"])
    lab.wait_for_sessions(0)


def test_answers_repeat_both_tags(lab: Lab, wire: Wire) -> None:
    wire.send(_PADI, _tag(0x0101), vlan="100.7")
    [pado] = wire.answers()
    # scapy's socket puts the outer tag, which the kernel took off, back into the frame.
    tags = [(layer.name, layer.vlan) for layer in (pado.getlayer(1), pado.getlayer(2))]
    assert [vlan for _, vlan in tags] == [100, 7]


def test_a_session_frame_for_an_unknown_id_draws_padt(lab: Lab, wire: Wire) -> None:
    mac = interface_mac(lab.bng, "acc0")
    echo = bytes.fromhex("c021 09 01 0008 00000000")
    session = struct.pack("!BBHH", 0x11, 0, 0x1234, len(echo)) + echo
    wire._socket.send(Ether(src=_MAC, dst=mac, type=0x8864) / Raw(session))
    [padt] = wire.answers()
    assert (padt[PPPoED].code, padt[PPPoED].sessionid) == (_PADT, 0x1234)
