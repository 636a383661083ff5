"""Fuzz the DHCPv6 codec: what parses is built and reads the same again."""

import contextlib
from dataclasses import replace

from bng.errors import MalformedPacket
from bng.ipv6.dhcpv6 import build, build_relay, parse, parse_relay


def test_one_input(data: bytes) -> None:
    """Run one input."""
    with contextlib.suppress(MalformedPacket):
        relayed = parse_relay(data)
        assert parse_relay(build_relay(relayed)) == relayed
        data = relayed.message
    with contextlib.suppress(MalformedPacket):
        message = replace(parse(data), user_class=())  # an empty one is not sent
        again = parse(build(message))
        assert replace(again, status=None, ias=()) == replace(message, status=None, ias=())
        assert len(again.ias) == len(message.ias)
