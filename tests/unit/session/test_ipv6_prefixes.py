"""Delegated prefixes of any length, and several of one client: all of each, and no more."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6

from dataplane.binding import Direction, lib
from dataplane.fib6 import fib6_lookup
from dataplane.sight import session_drops
from tests.support.client.subscriber import Subscriber
from tests.support.memory_box import CONFIG, MemoryBox
from tests.unit.session.test_ipv6 import (
    RAPID,
    Made,
    ask,
    delegated,
    dial,
    gone,
    make,
    of,
    pd,
    send,
)

__all__ = ["make"]
LINKS = CONFIG["ipv6"]["pool"][0]
SOON = {"hold_down_s": 1, "sticky_s": 5}


def spoofed(box: MemoryBox, client: Subscriber, source: IPv6Address) -> bool:
    """Say whether a packet of *source* is refused as another's."""
    index = of(box, client).index
    before = session_drops(box.dataplane, index, Direction.IN)["spoofed"]
    send(box, client, IPv6(src=str(source), dst="2001:db8:ffff::1") / UDP(dport=9) / b"data")
    return session_drops(box.dataplane, index, Direction.IN)["spoofed"] > before


def leads(box: MemoryBox, client: Subscriber, address: IPv6Address) -> bool:
    """Say whether what is sent to *address* goes to the client."""
    leaf = fib6_lookup(box.dataplane, address)
    return leaf.kind == lib.LEAF_SESSION and leaf.index == of(box, client).index


def forwarded(box: MemoryBox, client: Subscriber, prefix: IPv6Network) -> None:
    """Check that *prefix* is the client's from its first address to its last one."""
    for address in (prefix[0], prefix[-1]):
        assert leads(box, client, address)
        assert not spoofed(box, client, address)


@pytest.mark.parametrize("length", [20, 32, 47, 48, 52, 56, 57, 60, 61, 63, 64])
def test_a_prefix_of_any_length_is_forwarded_as_a_whole_and_nothing_beside_it(
    make: Made, length: int
) -> None:
    whole = f"2400::/{max(16, length - 9)}"
    homes = {"name": "homes", "prefixes": [whole], "length": length, **SOON}
    box, heard = make(ipv6={"pool": [LINKS, homes], "delegated_pool": "homes"})
    one, other = dial(box), dial(box, 2)
    given = []
    for client in (one, other):
        send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, pd()))
        (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
        (prefix,) = delegated(reply)
        assert prefix.prefixlen == length
        given.append(prefix)
        forwarded(box, client, prefix)
    first, second = given
    assert first[-1] + 1 == second[0], "side by side"
    assert spoofed(box, one, second[0])
    assert spoofed(box, other, first[-1])
    assert not leads(box, one, second[0])
    assert spoofed(box, other, second[-1] + 1)
    gone(box, one, other)


def test_a_client_has_as_many_prefixes_as_it_may_and_all_are_forwarded(make: Made) -> None:
    homes = {"name": "homes", "prefixes": ["2400::/40"], "length": 56, **SOON}
    box, heard = make(ipv6={"pool": [LINKS, homes], "server": {"max_prefixes": 2}})
    client = dial(box)
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, pd(1), pd(2), pd(3)))
    (reply,) = heard.take(client, dhcp6.DHCP6_Reply)
    assert reply.getlayer(dhcp6.DHCP6OptIA_PD, 3).iapdopt[0].statuscode == 6  # NoPrefixAvail
    prefixes = [
        IPv6Network((option.prefix, option.plen))
        for number in (1, 2)
        for option in reply.getlayer(dhcp6.DHCP6OptIA_PD, number).iapdopt
    ]
    assert len(set(prefixes)) == 2
    for prefix in prefixes:
        forwarded(box, client, prefix)
    came = box.restart()
    assert len(came.adopted) == 1
    for prefix in prefixes:
        forwarded(box, client, prefix)
    gone(box, client)
