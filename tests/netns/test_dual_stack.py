"""A thousand dual-stack subscribers of the load client, with a /64 and a /56 each.

PREFIX-sub                       PREFIX-bng                     PREFIX-inet
+-----------------------+    +---------------------+    +-----------------------------+
| 1,000 subscribers sub0|----| acc0           wan0 |----| inet0 192.0.2.2             |
|   (own MAC each)      |    +---------------------+    |       2001:db8:2::2         |
+-----------------------+                               |   UDP echo, counts per flow |
                                                        +-----------------------------+

Traffic goes both ways from the IPv4 address, the address on the link, and the last address of the
delegated prefix. Sources that are others' are dropped, and counted. In the end nothing is left.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from operator import attrgetter

import pytest

from tests.support.client.flows import Address
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.client.subscriber import Subscriber
from tests.support.lab import SERVER, Lab, load_users
from tests.support.lab6 import DELEGATED, LINKS, SERVER6, DualLab
from tests.support.routing_lab import Frr, until
from tests.support.traffic import EchoServer

_COUNT, _RATE = 1000, 400
_PPS, _SECONDS = 3000, 2
_NEIGHBOURS = 3
"""As many routes may come and go meanwhile: the routed port's neighbours, by either family."""
LAB_OPTIONS = {
    "kind": DualLab,
    "config": {
        "session": {"setup_per_s": 2000},
        "dataplane": {"max_sessions": 2048},
        "export": {"host_routes": True},
    },
    "users": load_users(_COUNT),
}


on_link: Callable[[Subscriber], Address] = attrgetter("on_link")
delegated: Callable[[Subscriber], Address] = attrgetter("at_home")


@contextlib.contextmanager
def subscribers(lab: Lab, count: int) -> Iterator[LoadClient]:
    """Dial *count*, wait until each has both prefixes, hang up in the end."""
    profile = Profile(auth=("chap",), wants=Wants(delegate=56))
    client = LoadClient("sub0", count, _RATE, netns=lab.sub, profile=profile)
    try:
        result = client.run(timeout_s=60, until=lambda client: client.dual == count)
        assert (result.opened, client.dual, result.malformed) == (count, count, 0), result
        yield client
    finally:
        client.terminate_all("terminate")
        client.close()


def routes(lab: Lab) -> tuple[int, int]:
    """Return how many routes the dataplane has of IPv4 and of IPv6; some are of neighbours."""
    time.sleep(0.5)  # they are counted a little later than they are installed
    found = lab.ask("show fib")["routes"]
    return found["installed"], found["installed_ipv6"]


@pytest.fixture
def frr(lab: Lab) -> Iterator[Frr]:
    """Have FRR beside the box, for what it knows of the kernel's routes."""
    frr = Frr(lab.bng)
    try:
        frr.start()
        yield frr
    finally:
        frr.remove()


def exported(frr: Frr) -> set[str]:
    """Return the prefixes that FRR has of the kernel, of both families."""
    return {prefix for family in ("ip", "ipv6") for prefix in frr.show(f"{family} route kernel")}


def test_a_thousand_have_both_families_and_leave_nothing_behind(lab: Lab, frr: Frr) -> None:
    assert not any(lab.occupancy().values()), lab.occupancy()
    aggregates = {str(LINKS), str(DELEGATED)}
    until(lambda: aggregates <= exported(frr), "FRR has the aggregates")
    before, known = routes(lab), exported(frr)
    with subscribers(lab, _COUNT) as client:
        until(lambda: len(exported(frr) - known) >= 2 * _COUNT, "FRR has all prefixes")
        more = [now - then for now, then in zip(routes(lab), before, strict=True)]
        assert more == pytest.approx([_COUNT, 2 * _COUNT], abs=_NEIGHBOURS)
        hosts = [subscriber.v6 for subscriber in client.subscribers if subscriber.v6]
        links = {host.advertised.prefix for host in hosts if host.advertised}
        networks = {host.delegated for host in hosts}
        assert len(links) == len(networks) == _COUNT
        assert all(link and link.prefixlen == 64 and link.subnet_of(LINKS) for link in links)
        assert all(n and n.prefixlen == 56 and n.subnet_of(DELEGATED) for n in networks)
        for server, source in (
            (SERVER, lambda subscriber: subscriber.address),
            (SERVER6, on_link),
            (SERVER6, delegated),
        ):
            with EchoServer(lab.inet, server) as echo:
                traffic = client.send_traffic(_PPS, _SECONDS, server=server, source=source)
                far = echo.stop()
            assert traffic.sent > 0.9 * _PPS * _SECONDS
            assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0), traffic
            assert (far.received, far.duplicated) == (traffic.sent, 0)
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()
    assert not any(pool["used"] for pool in lab.ask("show pools"))
    assert routes(lab) == pytest.approx(before, abs=_NEIGHBOURS)
    until(lambda: exported(frr) == known, "FRR has the aggregates alone")


@pytest.mark.parametrize(
    "own", [on_link, delegated], ids=["from the link", "from the delegated prefix"]
)
def test_a_source_that_is_anothers_or_nobodys_is_dropped_and_counted(
    lab: Lab, own: Callable[[Subscriber], Address]
) -> None:
    with EchoServer(lab.inet, SERVER6) as echo, subscribers(lab, 2) as client:
        other = client.subscribers[1]
        before = lab.drops("antispoof6")

        def spoof(address: Address) -> int:
            traffic = client.send_traffic(
                200, 0.5, senders=1, server=SERVER6, source=own, spoof=lambda _: address
            )
            assert (traffic.returned, traffic.misdelivered) == (0, 0)
            return traffic.sent

        theirs = spoof(on_link(other)) + spoof(delegated(other))
        assert lab.drops("antispoof6") - before == theirs
        nobodys = spoof(IPv6Address("2001:db8:ffff::1"))  # told by ICMPv6
        session = lab.ask("show session", session="user00000")
        assert session["in_drops_by_reason"]["spoofed"] == theirs + nobodys
        honest = client.send_traffic(200, 0.5, server=SERVER6, source=own)
        assert honest.lost == 0
        assert echo.stop().received == honest.sent, "a packet with another's address came through"


def test_prefixes_outlive_a_bngd_that_is_killed(lab: Lab) -> None:
    count = 100
    with EchoServer(lab.inet, SERVER6), subscribers(lab, count) as client:
        before = [(on_link(s), delegated(s)) for s in client.subscribers]
        lab.stop("bngd", signal.SIGKILL)
        for source in (on_link, delegated):
            traffic = client.send_traffic(1000, 1, server=SERVER6, source=source)
            assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0), traffic
        lab.start_bngd()
        assert len(lab.wait_for_sessions(count)) == count
        for subscriber in client.subscribers:  # asks anew, and must be given what it has
            assert subscriber.v6 is not None
            subscriber.v6.forget(time.monotonic())
            client.dialer.arm(subscriber)
        client.run(timeout_s=20, until=lambda client: client.dual == 2 * count)
        assert [(on_link(s), delegated(s)) for s in client.subscribers] == before
        for source in (on_link, delegated):
            traffic = client.send_traffic(1000, 1, server=SERVER6, source=source)
            assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0), traffic
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()
