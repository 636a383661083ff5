"""Floods of a routed port, as fast as one process can send: ``python -m tests.support.flood``.

Each kind comes from sources that differ, so that only what holds for all of them limits it.
"""

import socket
import sys
import time

BOX = "192.0.2.1"
SOURCES = 1024


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """Build an IPv4 packet."""
    header = bytearray(20)
    header[0], header[8], header[9] = 0x45, 60, protocol
    header[2:4] = (20 + len(payload)).to_bytes(2, "big")
    header[12:16], header[16:20] = socket.inet_aton(source), socket.inet_aton(destination)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + payload


def udp(port: int) -> bytes:
    """Build a UDP header, without a checksum, and 18 bytes of data."""
    return b"".join(n.to_bytes(2, "big") for n in (4000, port, 26, 0)) + bytes(18)


def syn(port: int) -> bytes:
    """Build a TCP SYN; its checksum is wrong, which nobody knows before the kernel."""
    return b"".join(n.to_bytes(2, "big") for n in (4000, port, 0, 1, 0, 0, 0x5002, 1000, 0, 0))


def arp(source: str, mac: bytes) -> bytes:
    """Build an ARP request for the box (RFC 826)."""
    sender, target = socket.inet_aton(source), socket.inet_aton(BOX)
    return bytes.fromhex("0001080006040001") + mac + sender + bytes(6) + target


def frames(kind: str, box: bytes, target: str) -> list[bytes]:
    """Return the frames of a flood: of *kind* box, bgp, arp, or data to *target*."""
    found = []
    for i in range(SOURCES):
        source, mac = f"198.19.{i >> 8}.{i & 255}", b"\x02\x11" + i.to_bytes(4, "big")
        match kind:
            case "box":
                payload, type_ = ip4(source, BOX, 17, udp(9)), 0x0800
            case "bgp":
                payload, type_ = ip4(source, BOX, 6, syn(179)), 0x0800
            case "arp":
                payload, type_ = arp(source, mac), 0x0806
            case "data":
                payload, type_ = ip4(source, target, 17, udp(9)), 0x0800
            case _:
                raise ValueError(kind)
        found.append(box + mac + type_.to_bytes(2, "big") + payload)
    return found


def main() -> None:
    """Send a flood: DEVICE KIND SECONDS MAC [TARGET]; print how many frames."""
    device, kind, seconds, mac, *target = sys.argv[1:]
    todo = frames(kind, bytes.fromhex(mac.replace(":", "")), *target or [BOX])
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            for frame in todo:
                try:
                    out.send(frame)
                except OSError:  # its queue is full
                    time.sleep(0.0001)
                    continue
                sent += 1
    print(sent)


if __name__ == "__main__":
    main()
