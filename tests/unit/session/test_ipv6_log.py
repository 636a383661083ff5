"""What the log says of a session's IPv6: who had which prefix and address, from when to when."""

from collections.abc import Callable
from ipaddress import IPv6Network

import pytest
from scapy.layers import dhcp6

from bng.session.actions import Log
from tests.support.client.layer import Layer, Profile
from tests.support.memory_box import MemoryBox
from tests.unit.session.test_ipv6 import (
    HOMES,
    IPV6CP,
    LINKS,
    RAPID,
    SERVER_ID,
    Made,
    ask,
    dial,
    get_prefix,
    gone,
    make,
    na,
    of,
    pd,
    send,
    side,
)

__all__ = ["make"]
Lines = Callable[[], list[dict[str, object]]]
LINK, HOME = str(next(LINKS.subnets(new_prefix=64))), str(next(HOMES.subnets(new_prefix=56)))
NAMES = ("ipv6_prefix", "delegated", "ipv6_address")


def log_of(box: MemoryBox, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Return what returns the lines since it was called last, without what is not of IPv6."""
    seen: list[dict[str, object]] = []

    def write(action: Log) -> None:
        of_ipv6 = {name: action.fields[name] for name in NAMES if action.fields.get(name)}
        assert action.fields["user"] == "user00001"
        seen.append({"event": action.event, **of_ipv6})

    def take() -> list[dict[str, object]]:
        found = list(seen)
        seen.clear()
        return found

    monkeypatch.setitem(box.executor._do, Log, write)
    return take


def test_the_log_says_who_had_what_from_when_to_when(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, _ = make(ipv6={"address_from_link": True})
    lines = log_of(box, monkeypatch)
    client = dial(box)
    assert lines() == [{"event": "session-start", "ipv6_prefix": LINK}]
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, na(), pd()))
    (address,) = side(box, client).addresses
    both = {"delegated": HOME, "ipv6_address": str(address)}
    assert lines() == [{"event": "ipv6-given", **both}]
    held = dhcp6.DHCP6OptIA_PD(
        iaid=1, iapdopt=[dhcp6.DHCP6OptIAPrefix(prefix=HOME.removesuffix("/56"), plen=56)]
    )
    send(box, client, ask(dhcp6.DHCP6_Renew(), SERVER_ID, pd(), na()))
    assert lines() == [], "it has what it had"
    send(box, client, ask(dhcp6.DHCP6_Release(), SERVER_ID, held))
    assert lines() == [{"event": "ipv6-ended", "delegated": HOME}]
    send(box, client, ask(dhcp6.DHCP6_Solicit(), RAPID, pd(), trid=8))
    assert lines() == [{"event": "ipv6-given", "delegated": HOME}]
    client.terminate("padt", box.now)
    box.run(1.0)
    assert lines() == [{"event": "session-stop", "ipv6_prefix": LINK, **both}]


def test_who_comes_to_ipv6_later_has_a_line_for_the_prefix_of_the_link(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, heard = make()
    lines = log_of(box, monkeypatch)
    client = dial(box, profile=Profile(auth=("chap",), ipv6=False))
    assert lines() == [{"event": "session-start"}]
    client.ipv6cp = client.names[IPV6CP] = Layer(IPV6CP, {1: bytes(7) + b"\7"})
    for _ in range(2):  # the second time it has the same again
        client.ipv6cp.reset()
        client._request(client.ipv6cp, box.now)
        box.run(5.0, step=0.1)
        assert of(box, client).families == 3
    assert lines() == [{"event": "ipv6-given", "ipv6_prefix": LINK}]
    assert get_prefix(box, heard, client) == IPv6Network(HOME)
    assert lines() == [{"event": "ipv6-given", "delegated": HOME}]
    box.run(7300.0, step=20.0)
    assert lines() == [{"event": "ipv6-ended", "delegated": HOME}], "it was not renewed"
    gone(box, client)
    assert lines() == [{"event": "session-stop", "ipv6_prefix": LINK}]
