"""address_claim: a host that says it has an address of the box is noticed, and contradicted."""

from collections.abc import Callable

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from . import lab, lab6
from .harness import WAN, Dataplane

LIAR = bytes.fromhex("02c000000066")
OURS, OURS6 = lab.WAN_IP, lab6.BOX
DEFEND_S = 10


def arp(sender: str = OURS, *, mac: bytes = LIAR, op: int = 2, **fields: object) -> bytes:
    """Build ARP of a host that has the address *sender*."""
    packet = ARP(op=op, hwsrc=mac.hex(":"), psrc=sender, pdst=OURS, **fields)
    return lab.ethernet(bytes(packet), 0x0806, source=mac, destination=lab.BROADCAST)


def advertisement(
    target: str = OURS6, *, mac: bytes = LIAR, option: bool = True, hops: int = 255
) -> bytes:
    """Build an unsolicited Neighbor Advertisement."""
    packet: Packet = IPv6(src="fe80::66", dst="ff02::1", hlim=hops) / ICMPv6ND_NA(tgt=target, R=0)
    if option:
        packet /= ICMPv6NDOptDstLLAddr(lladdr=LIAR.hex(":"))
    to = bytes.fromhex("333300000001")
    return lab.ethernet(bytes(packet), 0x86DD, source=mac, destination=to)


def claims(dp: Dataplane) -> tuple[int, bytes]:
    """Return how often the box's address was claimed, and by whom at last."""
    local = lab.adjacency(dp, "10.1")
    word = int(local.claimed_by)
    mac = (word >> 16).to_bytes(4, "little") + (word & 0xFFFF).to_bytes(2, "little")
    return int(local.claims), mac


def is_defence4(frame: bytes) -> bool:
    """RFC 5227 §1.1: an ARP Announcement."""
    ether = Ether(frame)
    told = ether[ARP]
    ours = lab.WAN_MAC.hex(":")
    return (ether.src, ether.dst, told.op, told.hwsrc, told.psrc, told.pdst, told.hwdst) == (
        *(ours, "ff:ff:ff:ff:ff:ff", 1, ours, OURS, OURS),
        "00:00:00:00:00:00",
    )


def is_defence6(frame: bytes) -> bool:
    """RFC 4861 §7.2.6: an unsolicited Neighbor Advertisement that overrides."""
    ether = Ether(frame)
    ip, told = ether[IPv6], ether[ICMPv6ND_NA]
    sum_told = told.cksum
    del told.cksum
    ours = lab.WAN_MAC.hex(":")
    assert Ether(bytes(ether))[ICMPv6ND_NA].cksum == sum_told
    return (ether.src, ether.dst, ip.src, ip.dst, ip.hlim, told.tgt, told.S, told.O, told.R) == (
        *(ours, "33:33:00:00:00:01", OURS6, "ff02::1", 255, OURS6),
        *(0, 1, 1),
    ) and told[ICMPv6NDOptDstLLAddr].lladdr == ours


CLAIMS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], bool]]] = {
    "arp reply": (arp, is_defence4),
    "arp request": (lambda: arp(op=1), is_defence4),
    "advertisement": (advertisement, is_defence6),
    "advertisement without a MAC": (lambda: advertisement(option=False), is_defence6),
}
OTHERS: dict[str, bytes] = {
    "a probe for our address": arp("0.0.0.0", op=1),
    "another host's address": arp("192.0.2.77"),
    "our own frame, looped": arp(mac=lab.WAN_MAC),
    "of another medium": arp(hwtype=6),
    "of another protocol": arp(ptype=0x86DD),
    "cut off": arp()[:-1],
    "another host's IPv6 address": advertisement("2a02::7"),
    "from beyond the link": advertisement(hops=254),
    "with a wrong sum": advertisement()[:-1] + b"\0",
    "IPv6, looped": advertisement(mac=lab.WAN_MAC),
    "an address of nobody": advertisement("2a99::1"),
    "a solicitation": lab.ethernet(
        bytes(IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=OURS6)),
        0x86DD,
        source=LIAR,
        destination=bytes.fromhex("3333ff000001"),
    ),
}


def furnish(dp: Dataplane) -> None:
    lab6.furnish(dp)
    assert int(lab.adjacency(dp, "10.1").port) == WAN


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_claim_is_counted_and_contradicted_once_in_ten_seconds(dp: Dataplane, kind: str) -> None:
    furnish(dp)
    build, is_defence = CLAIMS[kind]
    dp.receive(WAN, *[build()] * 5)
    assert claims(dp) == (5, LIAR)
    (defence,) = dp.sent(WAN)
    assert is_defence(defence)
    assert dp.counters()["address_claim/drop: address-claimed"] == 4
    dp.advance(DEFEND_S, step=DEFEND_S)
    dp.receive(WAN, build())
    (defence,) = dp.sent(WAN)
    assert is_defence(defence)
    assert claims(dp) == (6, LIAR)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_claim_is_the_kernels(dp: Dataplane, kind: str) -> None:
    furnish(dp)
    before = dp.counters().get("twin_output/port_output", 0)
    dp.receive(WAN, OTHERS[kind])
    assert claims(dp) == (0, bytes(6))
    assert dp.sent(WAN) == []
    assert dp.counters()["twin_output/port_output"] == before + 1


def test_an_address_of_another_port_is_not_this_links(dp: Dataplane) -> None:
    furnish(dp)
    lab.adjacency(dp, "10.1").port = 0xFF
    dp.receive(WAN, arp(), advertisement())
    assert claims(dp) == (0, bytes(6))
