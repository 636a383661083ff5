"""A stateless PPPoE responder: the other end for tests of the client itself, never of the server.

Every answer follows from the frame alone; the session id and the address come from the client's
Ethernet address. It believes every password and sends UDP back to its sender.

    python -m tests.support.stub_server INTERFACE
"""

import struct
import sys

from tests.support.client import wire
from tests.support.client.raw import PacketPort
from tests.support.client.wire import CONF_ACK, CONF_NAK, CONF_REQ, P_CHAP, P_IPCP, P_IPV6CP, P_LCP

_PPPOE = struct.Struct("!BBHH")
_MAC = b"\x02\xac\x00\x00\x00\x01"
_LCP = wire.option(1, b"\x05\xd4") + wire.option(3, b"\xc2\x23\x05") + wire.option(5, b"stub")
_CHALLENGE = wire.ppp(P_CHAP, 1, 1, b"\x10" + bytes(16) + b"stub")
_OWN_ADDRESS = wire.option(3, b"\x0a\xff\xff\xfe")


class StubServer:
    """Answers on one port."""

    def __init__(self, interface: str) -> None:
        self.port = PacketPort(interface, frames=16384)

    def run(self) -> None:
        """Answer for ever."""
        while True:
            if not self.port.receive(self._handle):
                self.port.wait(1.0)

    def _handle(self, frame: bytes) -> None:
        at = 12
        while frame[at : at + 2] in wire.TPIDS:
            at += 4
        kind = frame[at : at + 2]
        _, code, _, length = _PPPOE.unpack_from(frame, at + 2)
        payload = frame[at + 8 : at + 8 + length]
        back = frame[6:12] + _MAC + frame[12 : at + 2]
        session_id = 1 + int.from_bytes(frame[10:12], "big") % 65534
        if kind == wire.ETH_DISCOVERY:
            self._discovery(back, code, session_id, payload)
            return
        answers = self._session(frame[8:12], payload)
        for packet in answers:
            self._send_ppp(back, session_id, packet)

    def _send_ppp(self, back: bytes, session_id: int, packet: bytes) -> None:
        self.port.send(back + _PPPOE.pack(0x11, 0, session_id, len(packet)) + packet)

    def _discovery(self, back: bytes, code: int, session_id: int, payload: bytes) -> None:
        if code == wire.PADI:
            body = wire.tag(wire.TAG_AC_NAME, b"stub") + payload
            self.port.send(back + _PPPOE.pack(0x11, wire.PADO, 0, len(body)) + body)
        elif code == wire.PADR:
            self.port.send(back + _PPPOE.pack(0x11, wire.PADS, session_id, len(payload)) + payload)
            session = back[:-2] + wire.ETH_SESSION
            self._send_ppp(session, session_id, wire.ppp(P_LCP, CONF_REQ, 1, _LCP))

    def _session(self, number: bytes, packet: bytes) -> list[bytes]:
        protocol = int.from_bytes(packet[:2], "big")
        if protocol == wire.P_IP:
            return [packet[:14] + packet[18:22] + packet[14:18] + _swap_ports(packet[22:])]
        code, ident, length = struct.unpack_from("!BBH", packet, 2)
        body = packet[6 : 2 + length]
        if code == CONF_REQ and protocol in {P_LCP, P_IPV6CP}:
            return [wire.ppp(protocol, CONF_ACK, ident, body)]
        if code == CONF_REQ and protocol == P_IPCP:
            wanted = wire.option(3, b"\x0a" + number[1:])
            if wanted in body:
                return [wire.ppp(protocol, CONF_ACK, ident, body)]
            dns = wire.option(129, b"\x09\x09\x09\x09") + wire.option(131, b"\x09\x09\x09\x0a")
            return [wire.ppp(protocol, CONF_NAK, ident, wanted + dns)]
        if protocol == P_LCP and code == CONF_ACK:
            return [_CHALLENGE]
        if protocol == P_CHAP and code == 2:
            return [
                wire.ppp(P_CHAP, 3, ident, b""),
                wire.ppp(P_IPCP, CONF_REQ, 1, _OWN_ADDRESS),
                wire.ppp(P_IPV6CP, CONF_REQ, 1, wire.option(1, b"stubstub")),
            ]
        if protocol == P_LCP and code == wire.TERM_REQ:
            return [wire.ppp(P_LCP, wire.TERM_ACK, ident, b"")]
        return []


def _swap_ports(datagram: bytes) -> bytes:
    return datagram[2:4] + datagram[:2] + datagram[4:]


if __name__ == "__main__":
    StubServer(sys.argv[1]).run()
