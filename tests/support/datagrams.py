"""Large datagrams between two hosts: one asks, the other sends the same back, cut and shuffled.

``python -m tests.support.datagrams echo ORDER`` waits on UDP port 7000 and on protocols 47 and 50;
an answer over UDP leaves in fragments, in the order "forward", "backward" or "middle" (the first
one in the middle). ``ask ADDRESS SIZE [PROTOCOL]`` sends one datagram and prints "same" when what
came back is it. Both need root: answers are cut by hand, and the protocols have no sockets else.
"""

import os
import select
import socket
import struct
import sys
from collections.abc import Iterator

PORT, TIMEOUT_S, FRAGMENT_BYTES, IP_BYTES = 7000, 5, 1400, 20
PROTOCOLS = (47, 50)


def fragments(source: str, target: str, port: int, payload: bytes, ident: int) -> Iterator[bytes]:
    """Yield the fragments of one UDP datagram; the kernel fills in the IP checksum."""
    whole = struct.pack("!HHHH", PORT, port, 8 + len(payload), 0) + payload
    for at in range(0, len(whole), FRAGMENT_BYTES):
        part = whole[at : at + FRAGMENT_BYTES]
        more = 0x2000 if at + len(part) < len(whole) else 0
        addresses = socket.inet_aton(source) + socket.inet_aton(target)
        word = more | at // 8
        head = struct.pack("!BBHHHBBH", 0x45, 0, IP_BYTES + len(part), ident, word, 64, 17, 0)
        yield head + addresses + part


def shuffled(parts: list[bytes], order: str) -> list[bytes]:
    """Return the fragments in the order that was asked for."""
    if order == "forward":
        return parts
    if order == "backward":
        return parts[::-1]
    return [*parts[1:2], parts[0], *parts[2:]]


def echo(order: str) -> None:
    """Answer for ever."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind(("", PORT))
    raws = {socket.socket(socket.AF_INET, socket.SOCK_RAW, number): number for number in PROTOCOLS}
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    print("ready", flush=True)
    for ident in range(1, 1 << 16):
        readable, _, _ = select.select([plain, *raws], [], [])
        for one in readable:
            data, (address, port) = one.recvfrom(65_535)
            if one is not plain:
                one.sendto(data[IP_BYTES:], (address, 0))
                continue
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            probe.connect((address, port))
            own = probe.getsockname()[0]
            probe.close()
            for part in shuffled(list(fragments(own, address, port, data, ident)), order):
                out.sendto(part, (address, 0))


def ask(address: str, size: int, protocol: int = 0) -> bool:
    """Send *size* bytes and return whether they come back."""
    kind = socket.SOCK_RAW if protocol else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind, protocol) as one:
        one.settimeout(TIMEOUT_S)
        one.connect((address, 0 if protocol else PORT))
        payload = os.urandom(size)
        one.send(payload)
        answer = one.recv(65_535)
        return answer[IP_BYTES if protocol else 0 :] == payload


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(sys.argv[2])
    print("same" if ask(sys.argv[2], *map(int, sys.argv[3:])) else "different")
