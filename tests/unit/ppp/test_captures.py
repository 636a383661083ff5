"""Frames that nobody here made: what tshark reads in them, and what a link does with them."""

import struct
from pathlib import Path

import pytest

from bng.errors import MalformedPacket
from bng.ppp.packet import parse_options, parse_packet, parse_protocol
from bng.ppp.table import State
from tests.unit.ppp.peer import ECHOREP, LCP, NAK, PROTREJ, Peer

VECTORS = Path(__file__).parents[2] / "vectors" / "ppp"
PPPOE_BYTES, ETHERNET_BYTES = 20, 14


def frames(name: str, skip: int) -> list[bytes]:
    """The frames of a classic pcap file, less the *skip* octets before the PPP protocol field."""
    data = (VECTORS / name).read_bytes()
    order = "<" if data[:4] == bytes.fromhex("d4c3b2a1") else ">"
    found, offset = [], 24
    while offset < len(data):
        (length,) = struct.unpack_from(order + "I", data, offset + 8)
        found.append(data[offset + 16 + skip : offset + 16 + length])
        offset += 16 + length
    return found


def test_lcp_echo_requests_parse_as_tshark_says() -> None:
    # tshark: Echo Request, Identifier 106 and 103, Length 12, Magic Number 0xa4cbea34 ...
    first, second = frames("pppoes.pcap", PPPOE_BYTES)
    assert parse_protocol(first) == LCP
    assert parse_packet(first) == (9, 106, bytes.fromhex("a4cbea340ee2f609"))
    code, identifier, data = parse_packet(second)
    assert (code, identifier, len(data)) == (9, 103, 8)


def test_a_captured_echo_request_is_answered_with_its_data() -> None:
    peer = Peer()
    peer.open_lcp()
    first, _ = frames("pppoes.pcap", PPPOE_BYTES)
    ((protocol, code, identifier, data),) = peer.raw(first)
    assert (protocol, code, identifier) == (LCP, ECHOREP, 106)
    assert data[4:] == bytes.fromhex("0ee2f609")


def test_an_option_past_the_end_is_malformed_and_counted() -> None:
    # tshark: IPCP Configuration Nak, Length 8451, options that go past the end
    (frame,) = frames("ppp-invalid-lengths.pcap", 0)
    code, identifier, data = parse_packet(frame)
    assert (code, identifier, len(data)) == (NAK, 128, 8447)
    with pytest.raises(MalformedPacket):
        parse_options(data)
    peer = Peer().open_all()
    assert peer.link.ipcp is not None
    request_id = peer.link.ipcp._request_id
    assert peer.raw(frame[:3] + bytes((request_id,)) + frame[4:]) == []
    assert peer.link.malformed == 1
    assert peer.link.ipcp.state is State.OPENED


def test_a_ccp_packet_shorter_than_its_length_is_protocol_rejected_unread() -> None:
    (frame,) = frames("ppp_ccp_config_deflate_option_asan.pcap", ETHERNET_BYTES)
    with pytest.raises(MalformedPacket):
        parse_packet(frame)
    peer = Peer().open_all()
    ((protocol, code, _, data),) = peer.raw(frame)
    assert (protocol, code, data) == (LCP, PROTREJ, frame)


@pytest.mark.parametrize("skip", [0, 2])
def test_a_frame_in_hdlc_framing_is_an_unknown_protocol(skip: int) -> None:
    # tshark: Address 0xff, Control 0x60, Protocol Unknown (0x7e80)
    (frame,) = frames("ppp_error_hexdump.pcap", skip)
    assert parse_protocol(frame) == (0x7E80 if skip else 0xFF60)
    peer = Peer().open_all()
    ((protocol, code, _, data),) = peer.raw(frame)
    assert (protocol, code, data) == (LCP, PROTREJ, frame)


@pytest.mark.parametrize("name", sorted(path.name for path in VECTORS.glob("*.pcap")))
def test_no_capture_at_any_offset_moves_an_opened_link(name: str) -> None:
    peer = Peer().open_all()
    for skip in range(70):
        for frame in frames(name, skip):
            peer.raw(frame)
    assert peer.link.lcp.state is State.OPENED
    assert not peer.down
