from pathlib import Path

import pytest
from scapy.layers.l2 import Dot1Q
from scapy.layers.ppp import PPPoE, PPPoED
from scapy.utils import rdpcap

from bng.errors import MalformedPacket
from bng.pppoe.packet import (
    Code,
    TagType,
    build,
    parse,
    parse_request,
    split_tags,
    tag,
)
from tests.unit.pppoe import frames

VECTORS = Path(__file__).parents[2] / "vectors" / "pppoe"

# RFC 2516 Appendix B, from behind the ethertype.
RFC_PADI = bytes.fromhex("11 09 0000 0004 0101 0000")
RFC_PADO = bytes.fromhex(
    "11 07 0000 0020 0101 0000 0102 0018 476f205265644261636b202d2065736873686573686f6f74"
)


def test_the_padi_of_rfc_2516_appendix_b_asks_for_any_service() -> None:
    packet = parse(RFC_PADI)
    assert (packet.code, packet.session_id) == (Code.PADI, 0)
    assert parse_request(packet.tags).service_names == [b""]


def test_the_pado_of_rfc_2516_appendix_b_is_built_byte_for_byte() -> None:
    tags = tag(TagType.SERVICE_NAME) + tag(TagType.AC_NAME, b"Go RedBack - eshsheshoot")
    assert build(Code.PADO, 0, tags) == RFC_PADO


def test_a_captured_padi_is_read_as_scapy_reads_it() -> None:
    frame = bytes(rdpcap(str(VECTORS / "pppoe.pcap"))[0])
    packet = parse(frame[14:])
    assert (packet.code, packet.session_id, split_tags(packet.tags)) == frames.read(frame[14:])
    request = parse_request(packet.tags)
    assert request.service_names == [b""]
    assert request.max_payload == 1500
    assert request.host_uniq == bytes.fromhex("16372c16")


@pytest.mark.parametrize("capture", ["pppoes.pcap", "pppoe-over-qinq.pcap"])
def test_the_header_of_captured_session_frames_is_read_as_scapy_reads_it(capture: str) -> None:
    captures = rdpcap(str(VECTORS / capture))
    assert len(captures) in {2, 4}
    for captured in captures:
        inner = captured[PPPoE]
        packet = parse(bytes(inner))
        assert (packet.code, packet.session_id, len(packet.tags)) == (
            inner.code,
            inner.sessionid,
            inner.len,
        )
        assert (Dot1Q in captured) == (capture == "pppoe-over-qinq.pcap")


def test_padding_behind_length_is_cut_off() -> None:
    assert parse(RFC_PADI + b"\xff" * 36).tags == RFC_PADI[6:]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x11", RFC_PADI[:5], RFC_PADI[:-1], b"\x12" + RFC_PADI[1:], b"\x21" + RFC_PADI[1:]],
    ids=["empty", "one byte", "short header", "length past end", "type 2", "version 2"],
)
def test_a_broken_header_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse(payload)


@pytest.mark.parametrize("tags", ["01", "010100", "01010001", "0101000061", "01010000ff"])
def test_a_tag_that_does_not_fit_is_malformed(tags: str) -> None:
    with pytest.raises(MalformedPacket):
        split_tags(bytes.fromhex(tags))


def test_end_of_list_ends_the_tags() -> None:
    tags = tag(TagType.SERVICE_NAME, b"a") + bytes(4) + b"\x01"
    assert split_tags(tags) == [(TagType.SERVICE_NAME, b"a")]


def test_unknown_tags_are_ignored() -> None:
    tags = bytes.fromhex("7777 0003 616263") + tag(TagType.SERVICE_NAME, b"a")
    assert parse_request(tags).service_names == [b"a"]


def test_of_repeated_tags_the_first_counts_and_of_line_tags_the_last() -> None:
    tags = b"".join(
        bytes.fromhex(text)
        for text in ["01030001 61", "01030001 62", "01050006 00000de9 0100", "01050005 00000de9 07"]
    )
    request = parse_request(tags)
    assert request.host_uniq == b"a"
    assert request.line == b"\x07"


@pytest.mark.parametrize("value", ["00000de8 0100", "000de9"])
def test_vendor_tags_of_others_are_no_line_information(value: str) -> None:
    raw = bytes.fromhex(value)
    assert parse_request(tag(TagType.VENDOR_SPECIFIC, raw)).line is None


@pytest.mark.parametrize("value", [b"", b"\x05", b"\x00\x00\x05\xdc"])
def test_a_max_payload_that_has_not_two_bytes_is_none(value: bytes) -> None:
    assert parse_request(tag(TagType.PPP_MAX_PAYLOAD, value)).max_payload is None


def test_scapy_reads_back_what_we_build() -> None:
    tags = [(frames.SERVICE_NAME, b"gold"), (frames.HOST_UNIQ, b""), (frames.GENERIC_ERROR, b"no")]
    payload = build(Code.PADS, 0x1234, b"".join(tag(TagType(k), v) for k, v in tags))
    assert frames.read(payload) == (frames.PADS, 0x1234, tags)
    assert bytes(PPPoED(payload)) == payload
