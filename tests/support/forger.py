"""A flood of forged RADIUS: replies that look like the server's, CoA-Requests like a client's.

Packets have the right addresses, ports, lengths and attributes, and authenticators that are
guesses: all but the secret is known. Over raw sockets, on one host, as root. Prints what it sent.

    python -m tests.support.forger replies --pps 50000 --seconds 5
"""

import argparse
import json
import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

AUTH_PORT, ACCT_PORT, COA_PORT = 1812, 1813, 3799
LOOPBACK = "127.0.0.1"
STRANGER = "127.9.9.9"
VARIANTS = 2048
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")


def wildcard_ports() -> list[int]:
    """Return the UDP ports of this namespace that are bound to no address: a client's."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    places = [line.split()[1].split(":") for line in lines]
    return [int(port, 16) for address, port in places if address == "00000000"]


def _datagram(source: tuple[str, int], target: tuple[str, int], data: bytes) -> bytes:
    udp = _UDP.pack(source[1], target[1], 8 + len(data), 0) + data
    addresses = (socket.inet_aton(source[0]), socket.inet_aton(target[0]))
    return _IP.pack(0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, *addresses) + udp


def _packet(code: int, identifier: int, body: bytes) -> bytes:
    signature = bytes((80, 18)) + os.urandom(16)
    head = struct.pack("!BBH", code, identifier, 20 + len(signature) + len(body))
    return head + os.urandom(16) + signature + body


def replies() -> Iterator[bytes]:
    """Make accepts, rejects and accounting responses to every port of a client."""
    ports = [port for port in wildcard_ports() if port != COA_PORT]
    assert ports, "no client has a socket"
    body = bytes((6, 6, 0, 0, 0, 2, 7, 6, 0, 0, 0, 1, 8, 6, 10, 0, 0, 1))
    for number in range(VARIANTS):
        code, source = random.choice([(2, AUTH_PORT), (3, AUTH_PORT), (5, ACCT_PORT)])
        packet = _packet(code, number % 256, body)
        yield _datagram((LOOPBACK, source), (LOOPBACK, random.choice(ports)), packet)


def orders(source: str = LOOPBACK) -> Iterator[bytes]:
    """Make CoA-Requests and Disconnect-Requests from *source*."""
    session = bytes((44, 18)) + b"0123456789abcdef"
    for number in range(VARIANTS):
        packet = _packet(40 + 3 * (number % 2), number % 256, session)
        yield _datagram((source, 20_000 + number), (LOOPBACK, COA_PORT), packet)


def strangers() -> Iterator[bytes]:
    """Make the same of an address that is nobody's."""
    for number, (reply, order) in enumerate(zip(replies(), orders(STRANGER), strict=True)):
        foreign = reply[:12] + socket.inet_aton(STRANGER) + reply[16:]
        yield foreign if number % 2 else order


KINDS = {"replies": replies, "orders": orders, "strangers": strangers}


def flood(kind: str, pps: float, seconds: float) -> dict[str, object]:
    """Send; returns how many packets went out, and how many a second."""
    made = list(KINDS[kind]())
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as port:
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            due = min(int((now - began) * pps) - sent, 256)
            for packet in made[sent % VARIANTS : sent % VARIANTS + due]:
                port.sendto(packet, (LOOPBACK, 0))
                sent += 1
            if due <= 0:
                time.sleep(0.0005)
        took = time.monotonic() - began
    return {"event": "forged", "kind": kind, "sent": sent, "pps": round(sent / took)}


def main() -> None:
    """Flood."""
    parser = argparse.ArgumentParser(description="forged RADIUS")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--pps", type=float, default=50_000)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    print(json.dumps(flood(args.kind, args.pps, args.seconds)), flush=True)


if __name__ == "__main__":
    main()
