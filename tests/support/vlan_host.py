"""A host of Linux behind VLAN tags, on a kernel without 8021q.

    python -m tests.support.vlan_host --netns PREFIX-sub --device sub0 --vlan 200.7 --tpid 0x88a8
        --tap v200 --address 192.0.2.2/24

A TAP in the namespace that this runs in, whose frames leave and enter by a device, of another
namespace maybe, behind these tags. It goes with the process.
"""

import argparse
import fcntl
import os
import select
import struct
from contextlib import suppress

from tests.support.client.raw import PacketPort
from tests.support.netns import run

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_EVERYTHING = [(0x06, 0, 0, 0x40000)]
_TAG = struct.Struct("!HH")
_VID_MASK = 0x0FFF


def tag_bytes(vlan: str, tpid: int = 0x8100) -> bytes:
    """Return the tags of *vlan*, "100" or "100.7"; *tpid* is that of the outer one."""
    outer, *inner = (int(vid) for vid in vlan.split("."))
    return _TAG.pack(tpid, outer) + b"".join(_TAG.pack(0x8100, vid) for vid in inner)


def untagged(frame: bytes, tags: bytes) -> bytes | None:
    """Return *frame* without *tags*, whatever their priority; None: it has others."""
    end = 12 + len(tags)
    there = b"".join(
        _TAG.pack(tpid, tci & _VID_MASK) for tpid, tci in _TAG.iter_unpack(frame[12:end])
    )
    if there != tags or frame[end : end + 2] in (b"\x81\x00", b"\x88\xa8"):
        return None
    return frame[:12] + frame[end:]


def _open_tap(name: str, mtu: int, addresses: list[str]) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    run(None, "ip", "link", "set", name, "mtu", str(mtu), "up")
    for address in addresses:
        run(None, "ip", "addr", "add", address, "dev", name, "nodad")
    return tap


def main() -> None:
    """Carry frames until a signal ends the process."""
    parser = argparse.ArgumentParser()
    for name in ("--netns", "--device", "--vlan", "--tap"):
        parser.add_argument(name, required=True)
    parser.add_argument("--tpid", default="0x8100")
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--address", action="append", default=[])
    args = parser.parse_args()
    tags = tag_bytes(args.vlan, int(args.tpid, 16))
    port = PacketPort(args.device, netns=args.netns)
    port.filter(_EVERYTHING)
    tap = _open_tap(args.tap, args.mtu, args.address)

    def to_host(frame: bytes) -> None:
        if len(frame) >= 12 + len(tags) and (plain := untagged(frame, tags)):
            with suppress(OSError):
                os.write(tap, plain)

    poll = select.poll()
    poll.register(port, select.POLLIN)
    poll.register(tap, select.POLLIN)
    while True:
        poll.poll()
        port.receive(to_host)
        with suppress(BlockingIOError):
            while frame := os.read(tap, 65535):
                port.send(frame[:12] + tags + frame[12:])


if __name__ == "__main__":
    main()
