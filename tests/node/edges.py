"""The register of edge cases: by name, a function that takes a packet along that edge."""

from collections.abc import Callable

from . import lab, lab6
from .harness import Dataplane

Case = Callable[[Dataplane], None]
CASES: dict[str, Case] = {}


def case(*edges: str) -> Callable[[Case], Case]:
    """Say which edges a function takes a packet along."""

    def register(function: Case) -> Case:
        for edge in edges:
            assert edge not in CASES, edge
            CASES[edge] = function
        return function

    return register


IP_FRAME = lab.udp(lab.CLIENT_IP, lab.SERVER)
PADI = bytes.fromhex("110900000004") + bytes.fromhex("01010000")


def clients(n: int) -> list[bytes]:
    """Return MACs that differ."""
    return [b"\x02\x00" + i.to_bytes(4, "big") for i in range(n)]


def bad_ip(source: str = lab.CLIENT_IP, destination: str = lab.SERVER) -> bytes:
    return lab.udp(source, destination)


IP4_FAULTS = {
    "ip4-truncated": IP_FRAME[:19],
    "ip4-version-wrong": b"\x65" + IP_FRAME[1:],
    "ip4-header-length-wrong": b"\x44" + IP_FRAME[1:],
    "ip4-total-length-wrong": IP_FRAME[:2] + b"\x00\x13" + IP_FRAME[4:],
    "ip4-length-beyond-frame": IP_FRAME[:-1],
    "ip4-checksum-wrong": IP_FRAME[:8] + bytes((IP_FRAME[8] ^ 1,)) + IP_FRAME[9:],
    "ip4-source-martian": bad_ip("127.0.0.1"),
    "ip4-destination-martian": bad_ip(destination="255.255.255.255"),
    "ip4-destination-multicast": bad_ip(destination="224.0.0.5"),
}

IP6_FRAME = lab6.FRAME
IP6_FAULTS = {
    "ip6-truncated": IP6_FRAME[:39],
    "ip6-version-wrong": b"\x45" + IP6_FRAME[1:],
    "ip6-payload-length-wrong": IP6_FRAME[:4] + bytes(3) + IP6_FRAME[7:],
    "ip6-length-beyond-frame": IP6_FRAME[:-1],
    "ip6-source-martian": lab6.udp("::ffff:1.2.3.4", lab6.SERVER),
    "ip6-destination-martian": lab6.udp(lab6.CLIENT, "::1"),
    "ip6-source-multicast": lab6.udp("ff02::1", lab6.SERVER),
}
