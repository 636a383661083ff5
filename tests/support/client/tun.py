"""A TUN device that carries one session's IP packets, in the network namespace we are in."""

import fcntl
import ipaddress
import os
import struct

from tests.support.netns import run

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


class Tun:
    """The device; it vanishes with ``close``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(self.fd, _TUNSETIFF, request)

    def configure(self, address: ipaddress.IPv4Address, mtu: int, interface_id: bytes) -> None:
        """Set address, MTU and default route as pppd would; *interface_id* may be zero."""
        run(None, "ip", "addr", "flush", "dev", self.name)
        run(None, "ip", "link", "set", self.name, "addrgenmode", "none")
        run(None, "ip", "link", "set", self.name, "mtu", str(mtu), "up")
        run(None, "ip", "addr", "add", f"{address}/32", "dev", self.name)
        run(None, "ip", "route", "replace", "default", "dev", self.name)
        if any(interface_id):
            link_local = ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface_id)
            run(None, "ip", "addr", "add", f"{link_local}/64", "dev", self.name, "nodad")

    def configure_ipv6(
        self, address: ipaddress.IPv6Address, delegated: ipaddress.IPv6Network | None
    ) -> None:
        """Set what a router advertised; the first address of *delegated* stands for a home's."""
        words = ["-6", "route", "replace", "default", "dev", self.name]
        run(None, "ip", "addr", "replace", f"{address}/64", "dev", self.name, "nodad")
        run(None, "ip", *words, "src", str(address))
        if delegated is not None:
            run(None, "ip", "addr", "replace", f"{delegated[1]}/128", "dev", "lo", "nodad")

    def down(self) -> None:
        """Take address and route away; the device stays for the next dial."""
        run(None, "ip", "addr", "flush", "dev", self.name, check=False)
        run(None, "ip", "-6", "addr", "flush", "dev", "lo", "scope", "global", check=False)
        run(None, "ip", "link", "set", self.name, "down", check=False)

    def read(self) -> bytes | None:
        """Read one IP packet, or nothing when none is waiting."""
        try:
            return os.read(self.fd, 65535)
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        """Hand one IP packet to the kernel, which may refuse it (device down)."""
        try:
            os.write(self.fd, packet)
        except OSError:
            return

    def close(self) -> None:
        """Remove the device."""
        os.close(self.fd)
