"""An external DHCPv6 server, Debian's Kea: what it gives through our relay is forwarded.

PREFIX-sub                       PREFIX-bng                     PREFIX-inet
+-----------------------+    +---------------------+    +-----------------------------+
| 3 subscribers   sub0  |----| acc0           wan0 |----| inet0 2001:db8:2::2         |
+-----------------------+    |   bngd relays       |    |   kea-dhcp6 :547, UDP echo, |
                             +---------------------+    |   HTTP                      |
                                                        +-----------------------------+
The last test's subscriber is Debian's pppd with wide-dhcpv6-client, in User Mode Linux.
"""

import contextlib
import time
from collections.abc import Iterator
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from tests.netns.conftest import MakeLab
from tests.support import uml
from tests.support.client.flows import Address
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.client.subscriber import Subscriber
from tests.support.kea import Kea
from tests.support.lab import PAGE, Lab, load_users
from tests.support.lab6 import BOX6, DELEGATED, DNS6, IPV6, SERVER6, DualLab
from tests.support.netns import run
from tests.support.traffic import EchoServer

ADDRESSES = IPv6Network("2001:db8:e000::/64")
EXTERNAL = {
    **IPV6,
    "dhcpv6": "external",
    "pool": IPV6["pool"][:1],
    "external": {
        "servers": [SERVER6],
        "source": BOX6,
        "link_address": str(ADDRESSES.network_address + 1),
    },
}


class TentativeLab(DualLab):
    """Its addresses are tentative for ten minutes, unless `settle` is called."""

    def start_bng(self) -> None:
        """Start both processes; no address of IPv6 is waited for."""
        run(self.bng, "sysctl", "-q", "-w", "net.ipv6.conf.default.dad_transmits=600")
        Lab.start_bng(self)

    def settle(self) -> None:
        """Have the address of wan0 be as if it were known to be unique."""
        (line,) = [
            line.split()
            for line in run(self.bng, "ip", "-6", "-o", "addr").stdout.splitlines()
            if f"{BOX6}/64" in line
        ]
        assert "tentative" in line
        for what in (("del",), ("add", "nodad")):
            run(self.bng, "ip", "addr", what[0], f"{BOX6}/64", "dev", line[1], *what[1:])


@pytest.fixture
def box(
    make_lab: MakeLab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Lab, Kea]]:
    kind = getattr(request, "param", DualLab)
    lab = make_lab(kind=kind, config={"ipv6": EXTERNAL}, users=load_users(3))
    run(lab.inet, "ip", "-6", "route", "add", str(ADDRESSES), "via", BOX6)
    with Kea(
        tmp_path / "kea",
        lab.inet,
        "inet0",
        SERVER6,
        network=ADDRESSES,
        delegated=DELEGATED,
        dns=DNS6,
    ) as kea:
        yield lab, kea


def leased(subscriber: Subscriber) -> Address:
    assert subscriber.v6 is not None
    assert subscriber.v6.leased is not None
    return subscriber.v6.leased


def delegated(subscriber: Subscriber) -> Address:
    assert subscriber.v6 is not None
    assert subscriber.v6.delegated is not None
    return subscriber.v6.delegated.broadcast_address


@pytest.mark.parametrize("rapid", [True, False], ids=["two messages", "four messages"])
def test_address_and_prefix_of_kea_are_forwarded_until_they_are_released(
    box: tuple[Lab, Kea], rapid: bool
) -> None:
    lab, kea = box
    profile = Profile(auth=("chap",), wants=Wants(address=True, rapid=rapid))
    client = LoadClient("sub0", 3, 50, netns=lab.sub, profile=profile)
    with contextlib.closing(client), EchoServer(lab.inet, SERVER6):
        client.run(timeout_s=20, until=lambda client: client.dual == 3)
        assert client.dual == 3
        hosts = [subscriber.v6 for subscriber in client.subscribers if subscriber.v6]
        for host in hosts:
            assert host.leased in ADDRESSES
            assert host.delegated is not None
            assert host.delegated.subnet_of(DELEGATED)
            assert [str(address) for address in host.dns] == [DNS6]
        given = {str(host.leased): 128 for host in hosts}
        given |= {str(h.delegated.network_address): 56 for h in hosts if h.delegated}
        assert kea.leases() == given
        for source in (leased, delegated):
            traffic = client.send_traffic(200, 0.5, server=SERVER6, source=source)
            assert (traffic.lost, traffic.misdelivered) == (0, 0), traffic
        gone = hosts[0].leased, delegated(client.subscribers[0])
        hosts[0].release()
        client.serve(0.5)
        assert len(kea.leases()) == 4
        sent = 0
        for address in gone:
            assert address is not None
            traffic = client.send_traffic(
                100, 0.2, senders=1, server=SERVER6, source=lambda _, a=address: a
            )
            assert traffic.returned == 0, "a released address still works"
            sent += traffic.sent
        session = lab.ask("show session", session="user00000")
        assert session["in_drops_by_reason"]["spoofed"] == sent
        client.terminate_all()
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()


def test_a_server_that_comes_late_is_asked_again(box: tuple[Lab, Kea]) -> None:
    lab, kea = box
    kea.pause()
    profile = Profile(auth=("chap",), wants=Wants(address=True))
    client = LoadClient("sub0", 1, 50, netns=lab.sub, profile=profile)
    with contextlib.closing(client):
        client.run(timeout_s=2, until=lambda client: client.dual == 1)
        assert client.up == 1
        assert client.dual == 0
        kea.resume()
        start = time.monotonic()
        while client.dual == 0:
            assert time.monotonic() < start + 10, "the client asked again, and had no answer"
            client.serve(0.1)
        client.terminate_all()
    lab.wait_for_sessions(0)


@pytest.mark.parametrize("box", [TentativeLab], indirect=True)
def test_who_asks_while_the_relays_address_is_tentative_is_answered(box: tuple[Lab, Kea]) -> None:
    lab, kea = box
    assert isinstance(lab, TentativeLab)
    profile = Profile(auth=("chap",), wants=Wants(address=True))
    client = LoadClient("sub0", 1, 50, netns=lab.sub, profile=profile)
    with contextlib.closing(client):
        client.run(timeout_s=10, until=lambda client: client.up == 1)
        client.serve(1)
        assert client.dual == 0
        said = [event["event"] for event in lab.events("bngd")]
        assert said.count("dhcpv6-socket") == 1, said
        assert "dhcpv6-socket-is-there" not in said
        lab.settle()
        start = time.monotonic()
        while client.dual == 0:
            assert time.monotonic() < start + 30, "what it asked was lost"
            client.serve(0.1)
        counted = lab.ask("show counters")["dhcpv6_relay"]
        assert counted.get("unsent", 0) == 0, counted
        assert len(kea.leases()) == 2
        lab.wait_for_event("bngd", "dhcpv6-socket-is-there")
        client.terminate_all()
    lab.wait_for_sessions(0)


_FETCH = f"curl -6 -fsS --max-time 3 --interface $lan 'http://[{SERVER6}]/'"
_GUEST = f"""guest-pd.sh wide &&
lan=$(ip -6 -o addr show dev lan0 scope global | awk '{{print $4}}') && lan=${{lan%/*}} &&
{_FETCH} && echo FETCHED && sleep 2 &&
kill $(cat /run/dhcp6c.pid)
for _ in $(seq 50); do [ -d /proc/$(cat /run/pd.pid) ] || break; sleep 0.1; done
ip -6 addr replace $lan/64 dev lan0 nodad; echo RELEASED; sleep 2
{_FETCH} && echo FETCHED-AGAIN; echo END"""


def test_a_page_comes_over_the_prefix_that_kea_gave_a_home_router_until_it_is_released(
    box: tuple[Lab, Kea],
) -> None:
    lab, kea = box
    with uml.dial_in_background(
        lab.sub, "sub0", "user00000", "secret", _GUEST, want="4 6 g"
    ) as guest:
        guest.wait_for("FETCHED")
        leases = kea.leases()
        ((network, bits),) = leases.items()
        session = lab.ask("show session", session="user00000")
        assert session["delegated_prefixes"] == [f"{network}/{bits}"]
        home = IPv6Network(f"{network}/{bits}")
        guest.wait_for("RELEASED")
        assert kea.leases() == {}
        session = lab.ask("show session", session="user00000")
        assert session["delegated_prefixes"] == []
        spoofed = session["in_drops_by_reason"]["spoofed"]
        guest.wait_for("END")
        session = lab.ask("show session", session="user00000")
        assert session["in_drops_by_reason"]["spoofed"] > spoofed
        ended = guest.wait()
    assert (home.prefixlen, home.subnet_of(DELEGATED)) == (56, True)
    assert ended.output.count(PAGE) == 1, ended.output
    assert "FETCHED-AGAIN" not in ended.output
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()
