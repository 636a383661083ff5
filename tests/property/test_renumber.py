"""Pools change under living sessions, in any order with all else: what is forwarded is owned.

Two clients dial, ask, renew, release, close IPv6CP and leave; their pools' prefixes change and
change back, bngd dies, hours pass. After each step the pools own exactly what sessions have, the
dataplane takes the sources that it should and no others, and in the end nothing is left anywhere.
"""

from copy import deepcopy
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6

from bng import settings as settings_of
from bng.ipv6.server import Server
from bng.session.features import Refreshed, refresh
from bng.session.model import Session
from tests.support.client.layer import Phase
from tests.support.client.subscriber import Subscriber
from tests.support.memory_box import CONFIG, MemoryBox, _config, memory_box
from tests.unit.session.test_ipv6 import RAPID, SERVER_ID, ask, na, pd
from tests.unit.session.test_lifecycle import assert_empty

LINKS = ("2001:db8:1::/48", "2001:db8:9::/48", "2001:db8:8::/64")
"""The last one has room for one session alone."""
HOMES = ("2001:db8:100::/40", "2001:db8:900::/40", "2001:db8:a00::/56")
STRANGER = IPv6Network("2001:db8:ffff::/64")
CLIENTS = st.sampled_from([1, 2])


def ipv6(links: int, homes: int) -> dict[str, Any]:
    table = deepcopy(CONFIG["ipv6"])
    for pool, prefix in zip(table["pool"], (LINKS[links], HOMES[homes]), strict=False):
        pool["prefixes"] = [prefix]
    return {**table, "address_from_link": True}


class RenumberMachine(RuleBasedStateMachine):
    """A box, two clients, and pools."""

    @initialize()
    def start(self) -> None:
        self.pools = (0, 0)
        self.context = memory_box(config={"ipv6": ipv6(*self.pools)})
        self.box: MemoryBox = self.context.__enter__()
        self.clients: dict[int, Subscriber] = {}

    def session(self, number: int) -> Session | None:
        client = self.clients.get(number)
        found = [s for s in self.box.manager.table if client and s.mac == client.mac]
        return found[0] if found and found[0].ipv6 is not None and found[0].ipv6.on else None

    def send(self, number: int, packet: Any) -> None:
        self.clients[number].send_ppp(b"\0\x57" + bytes(packet))
        self.box.turn()

    # ---- clients ----

    @rule(number=CLIENTS)
    def dial(self, number: int) -> None:
        if number not in self.clients:
            client = self.clients[number] = self.box.subscriber(number)
            self.box.dial(client)
            assert client.phase is Phase.UP

    @rule(number=CLIENTS, kind=st.sampled_from(["solicit", "request", "renew", "rebind"]))
    def ask_for_both(self, number: int, kind: str) -> None:
        if self.session(number) is None:
            return
        message, extra = {
            "solicit": (dhcp6.DHCP6_Solicit(), RAPID),
            "request": (dhcp6.DHCP6_Request(), SERVER_ID),
            "renew": (dhcp6.DHCP6_Renew(), SERVER_ID),
            "rebind": (dhcp6.DHCP6_Rebind(), dhcp6.DHCP6OptElapsedTime()),
        }[kind]
        self.send(number, ask(message, extra, na(), pd()))

    @rule(number=CLIENTS)
    def release_the_first(self, number: int) -> None:
        session = self.session(number)
        if session is not None and session.ipv6 is not None and session.ipv6.delegated:
            hint = str(session.ipv6.delegated[0])
            self.send(number, ask(dhcp6.DHCP6_Release(), SERVER_ID, pd(hint=hint)))

    @rule(number=CLIENTS)
    def close_and_open_ipv6cp(self, number: int) -> None:
        if self.session(number) is None:
            return
        client = self.clients[number]
        client.send_ppp(b"\x80\x57\x05\x09\x00\x04")
        self.box.turn()
        client.ipv6cp.reset()
        client._request(client.ipv6cp, self.box.now)
        self.box.run(1.0)

    @rule(number=CLIENTS)
    def leave(self, number: int) -> None:
        client = self.clients.pop(number, None)
        if client is not None:
            client.terminate("padt", self.box.now)
            self.box.run(1.0)

    # ---- the box ----

    @rule(links=st.sampled_from([0, 1, 2]), homes=st.sampled_from([0, 1, 2]))
    def change_pools(self, links: int, homes: int) -> None:
        self.pools = (links, homes)
        box, config = self.box, _config({**CONFIG, "ipv6": ipv6(links, homes)})
        box.config = config
        box.manager.pools6.reconfigure(settings_of.pools6(config), box.now)
        self.follow()

    @rule()
    def restart(self) -> None:
        before = len(list(self.box.manager.table))
        came = self.box.restart(config={"ipv6": ipv6(*self.pools)})
        assert (len(came.adopted), came.ended) == (before, [])
        self.follow()

    def follow(self) -> None:
        for session in list(self.box.manager.table):
            refresh(self.box.manager, session, session.profile, Refreshed(), self.box.now)
        self.box.turn()
        self.box.run(0.1)

    @rule(seconds=st.sampled_from([10.0, 1000.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.box.run(seconds, step=max(1.0, seconds / 50))

    # ---- what holds ----

    @invariant()
    def the_pools_own_what_the_sessions_have(self) -> None:
        if not hasattr(self, "box"):
            return
        owned: list[IPv6Network] = []
        for session in self.box.manager.table:
            side = session.ipv6
            if side is None:
                continue
            owned += [*side.own, *(x.network for x in side.leases if side.needs_route(x))]
            dhcpv6 = side.link.dhcpv6
            assert isinstance(dhcpv6, Server)
            assert {b.lease for b in dhcpv6.bindings()} == set(side.leases)
            if side.started:
                assert set(side.old) <= set(side.link.advertiser.deprecated)
        assert len(owned) == len(set(owned))
        pools = self.box.manager.pools6
        assert all(pools.owner(network) is not None for network in owned)
        used = sum(stats.used for stats in pools.stats().values()) + pools.used_outside()
        assert used == len(owned)

    @invariant()
    def the_dataplane_takes_the_sources_that_are_a_sessions(self) -> None:
        for number in getattr(self, "clients", {}):
            session = self.session(number)
            if session is None or session.ipv6 is None:
                continue
            for network in (*session.ipv6.routes(), STRANGER):
                assert self.passes(number, session, network) is (network != STRANGER), network

    def passes(self, number: int, session: Session, network: IPv6Network) -> bool:
        entry = self.box.dataplane.session_in[session.index]
        before = int(entry.packets)
        source = IPv6Address(int(network.network_address) | (7 if network.prefixlen < 120 else 0))
        self.send(number, IPv6(src=str(source), dst="2001:db8:eeee::1") / UDP(dport=9) / b"data")
        return int(entry.packets) > before

    def teardown(self) -> None:
        """Have all leave: nothing may be left."""
        if not hasattr(self, "box"):
            return
        try:
            for number in list(self.clients):
                self.leave(number)
            self.box.run(70.0, step=1.0)
            assert_empty(self.box)
        finally:
            self.context.__exit__(None, None, None)


TestRenumberMachine = RenumberMachine.TestCase
TestRenumberMachine.settings = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
