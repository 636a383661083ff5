"""Flood an interface with frames that nobody should send: random, cut, and mutated.

    python -m tests.support.garbage INTERFACE SECONDS [SEED [MAC [ADDRESS...]]]

Most frames start as something valid, so that they get past the first checks: PPPoE, or with
addresses IPv4 towards them, ARP and IPv6. The sources are random; the seed makes a run repeatable.
It prints how many frames it sent.
"""

import random
import struct
import sys
import time
from ipaddress import IPv4Address

from tests.support.client import wire
from tests.support.client.raw import PacketPort

_TAGS = (b"", b"\x81\x00\x00\x07", b"\x88\xa8\x00\x64\x81\x00\x00\x07", b"\x91\x00\x00\x01")
_CODES = (wire.PADI, wire.PADO, wire.PADR, wire.PADS, wire.PADT, 0)
_PROTOCOLS = (0x0021, 0x0057, 0x8021, 0x8057, 0x80FD, 0xC021, 0xC023, 0xC223, 0xC227)


def _source(chance: random.Random) -> bytes:
    first = chance.randrange(256) & 0xFE  # a group address would be the end of it
    return bytes((first,)) + chance.randbytes(5)


def _pppoe(chance: random.Random, target: bytes) -> bytes:
    """Build a frame of a subscriber that is nearly right."""
    head = target + _source(chance) + chance.choice(_TAGS)
    if chance.random() < 0.5:
        kinds = (0x0000, 0x0101, 0x0102, 0x0103, 0x0104, 0x0105, 0x0110, 0x0120)
        body = b"".join(
            wire.tag(chance.choice(kinds), chance.randbytes(chance.randrange(24)))
            for _ in range(chance.randrange(5))
        )
        kind = wire.ETH_DISCOVERY
    else:
        body = wire.ppp(
            chance.choice(_PROTOCOLS),
            chance.randrange(14),
            chance.randrange(256),
            chance.randbytes(chance.randrange(64)),
        )
        kind = wire.ETH_SESSION
    session_id = chance.choice((0, 1, chance.randrange(65536)))
    return (
        head
        + kind
        + struct.pack("!BBHH", 0x11, chance.choice(_CODES), session_id, len(body))
        + body
    )


def _routed(chance: random.Random, target: bytes, addresses: list[IPv4Address]) -> bytes:
    """Build a frame of the network that is nearly right; IPv4 header checksums mostly are."""
    head = target + _source(chance)
    if chance.random() < 0.1:
        kind = chance.choice((b"\x08\x06", b"\x86\xdd", b"\x88\xcc", b"\x81\x00"))
        return head + kind + chance.randbytes(chance.randrange(80))
    body = chance.randbytes(chance.randrange(64))
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(body), chance.randrange(65536)),
        chance.choice((0, 0, 0, 0x4000, 0x2000, 0x2001, 0x0003, 0xFFFF)),
        *(chance.randrange(256), chance.choice((1, 6, 17, 47)), 0),
        chance.randbytes(4),
        chance.choice(addresses).packed,
    )
    total = struct.pack("!H", wire.checksum(header) ^ 0xFFFF)
    return head + b"\x08\x00" + header[:10] + total + header[12:] + body


def frames(
    chance: random.Random, target: bytes, count: int, addresses: list[IPv4Address] | None = None
) -> list[bytes]:
    """Return *count* bad frames, most of them towards the Ethernet address *target*."""
    made = []
    for _ in range(count):
        if chance.random() < 0.3:
            made.append(target + _source(chance) + chance.randbytes(chance.randrange(2, 1488)))
            continue
        nearly = _routed(chance, target, addresses) if addresses else _pppoe(chance, target)
        frame = bytearray(nearly)
        for _ in range(chance.randrange(4)):
            frame[chance.randrange(12, len(frame))] = chance.randrange(256)
        if chance.random() < 0.3:
            del frame[chance.randrange(14, len(frame) + 1) :]
        made.append(bytes(frame))
    return made


def main() -> None:
    """Send the same few thousand frames over and over, as fast as it goes."""
    interface, seconds = sys.argv[1], float(sys.argv[2])
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    target = bytes.fromhex(sys.argv[4].replace(":", "")) if len(sys.argv) > 4 else b"\xff" * 6
    port = PacketPort(interface, frames=64, control_only=True)
    made = frames(chance, target, 5000, [IPv4Address(text) for text in sys.argv[5:]])
    sent = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for frame in made:
            port.send(frame)
        sent += len(made)
    print(sent - port.unsent)


if __name__ == "__main__":
    main()
