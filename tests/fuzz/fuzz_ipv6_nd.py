"""Fuzz Neighbor Discovery: the checksum is made right, what parses is built and read again.

Input: an IPv6 packet; behind the first byte when that is 0, then the checksum stays as it is.
"""

import contextlib
from dataclasses import replace

from bng.errors import MalformedPacket
from bng.ipv6 import nd
from bng.ipv6.names import decode_names, encode_names
from bng.ipv6.packet import NextHeader, checksum, parse, parse_udp


def test_one_input(data: bytes) -> None:
    """Run one input."""
    with contextlib.suppress(MalformedPacket):
        packet = parse(data[1:] if data[:1] == b"\0" else data)
        with contextlib.suppress(MalformedPacket):
            parse_udp(packet)
        if data[0] and len(packet.payload) >= 4:
            blank = packet.payload[:2] + bytes(2) + packet.payload[4:]
            check = checksum(packet.ends, NextHeader.ICMPV6, blank)
            packet.payload = blank[:2] + check.to_bytes(2) + blank[4:]
        message = nd.parse(packet)
        if message is None:
            return
        if isinstance(message, nd.RouterAdvertisement):
            with contextlib.suppress(ValueError):  # of any ASCII text, some is no host name
                assert len(decode_names(encode_names(message.dnssl))) == len(message.dnssl)
            message = replace(message, dnssl=(), dnssl_s=1800)
        again = nd.build_message(packet.source, packet.destination, message)
        assert nd.parse(parse(again)) == message
