"""The kernel's side of the routed ports: addresses and static routes of their TAPs.

The dataplane makes the TAPs and follows what the kernel says of them; this module only tells the
kernel what the configuration says. Run again, it changes nothing that is right already. IPv6
addresses of a TAP that has none in the configuration are left alone: a routing daemon may set them.
"""

from collections.abc import Collection, Mapping, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from socket import AF_INET, AF_INET6

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

RTPROT_STATIC = 4
RT_SCOPE_LINK = 253
IFA_F_NODAD = 0x02


class KernelError(Exception):
    """The kernel refused a setting. The text names the interface, address or route."""


def set_up_taps(
    taps: Mapping[str, Sequence[IPv4Interface | IPv6Interface]],
    routes: Sequence[tuple[IPv4Network | IPv6Network, IPv4Address | IPv6Address]],
    without_dad: Collection[str] = (),
) -> None:
    """Give each TAP exactly its addresses, bring it up, install static *routes* (prefix, via).

    IPv6 addresses of the TAPs *without_dad* are used at once, whoever has them (RFC 4862 §5.4).

    Raises: KernelError.
    """
    with IPRoute() as ip:
        for name, addresses in taps.items():
            _set_up_tap(ip, name, addresses, dad=name not in without_dad)
        for prefix, via in routes:
            try:
                ip.route("replace", dst=str(prefix), gateway=str(via), proto=RTPROT_STATIC)
            except NetlinkError as error:
                raise KernelError(f"route {prefix} via {via}: {error}") from None


def _set_up_tap(
    ip: IPRoute, name: str, addresses: Sequence[IPv4Interface | IPv6Interface], *, dad: bool
) -> None:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise KernelError(f"no interface {name}: the dataplane runs without it")
    index = found[0]
    try:
        wanted = {(str(a.ip), a.network.prefixlen) for a in addresses}
        families = [AF_INET, *({AF_INET6} if any(a.version == 6 for a in addresses) else ())]
        present = {
            (message.get_attr("IFA_ADDRESS"), message["prefixlen"])
            for family in families
            for message in ip.get_addr(family=family, index=index)
            if message["scope"] != RT_SCOPE_LINK  # the kernel's own fe80::
        }
        for address, length in present - wanted:
            ip.addr("del", index=index, address=address, prefixlen=length)
        for address, length in wanted - present:
            flags = 0 if dad or ":" not in address else IFA_F_NODAD
            ip.addr("add", index=index, address=address, prefixlen=length, flags=flags)
        ip.link("set", index=index, state="up")
    except NetlinkError as error:
        raise KernelError(f"interface {name}: {error}") from None
