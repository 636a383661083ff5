"""A host that has everybody's address: ``python -m tests.support.claimant DEVICE ADDRESS``.

It answers each Neighbor Solicitation for ADDRESS, be it of Duplicate Address Detection (RFC 4862
§5.4.3) or not. With a number behind, it sends as many unasked claims to the address instead: ARP
(RFC 5227 §1.1) or Neighbor Advertisements.
"""

import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.support.hostile6 import ALL_NODES, icmp6

MAC = bytes.fromhex("020000000066")
SOLICITATION, ADVERTISEMENT = 135, 136
IP6, ARP = b"\x86\xdd", b"\x08\x06"
TARGET = slice(62, 78)
"""Of a Neighbor Solicitation, in its frame."""


def advertisement(address: IPv6Address) -> bytes:
    """Return the frame that says to all that *address* is here."""
    body = b"\x20\0\0\0" + address.packed + b"\2\1" + MAC
    return b"\x33\x33\0\0\0\1" + MAC + IP6 + icmp6(address, ALL_NODES, ADVERTISEMENT, 0, body)


def announcement(address: IPv4Address) -> bytes:
    """Return the ARP Announcement for *address*."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return b"\xff" * 6 + MAC + ARP + head + MAC + address.packed + bytes(6) + address.packed


def main() -> None:
    """Answer for ever, or claim."""
    device, address, *times = sys.argv[1:]
    mine = ip_address(address)
    claim = announcement(mine) if isinstance(mine, IPv4Address) else advertisement(mine)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as port:
        port.bind((device, 3))
        if times:
            for _ in range(int(times[0])):
                port.send(claim)
            return
        print("ready", flush=True)
        while True:
            frame = port.recv(2048)
            asked = frame[12:14] == IP6 and len(frame) >= 78 and frame[54] == SOLICITATION
            if asked and frame[TARGET] == mine.packed:
                port.send(claim)


if __name__ == "__main__":
    main()
