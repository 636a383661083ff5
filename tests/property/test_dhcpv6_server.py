"""DHCPv6 servers of several sessions on one pool, whatever their clients send and in any order.

What the pool says is in use is what the sessions are bound to, nothing has two owners, only what
is installed is promised, and after Release, expiry or the end of the session nothing is left.
"""

from ipaddress import IPv6Address, IPv6Network

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket
from bng.ipv6.config import ServerConfig
from bng.ipv6.counters import new_counters
from bng.ipv6.dhcpv6 import build, parse
from bng.ipv6.messages import ALL_SERVERS, Ia, IaLease, IaType, Message, MessageType, duid_uuid
from bng.ipv6.packet import Datagram, parse_udp
from bng.ipv6.packet import parse as parse_packet
from bng.ipv6.server import Server
from bng.pool.ipv6 import Ipv6PoolConfig, Ipv6Pools

US, CLIENT = IPv6Address("fe80::1"), IPv6Address("fe80::2")
DUID = duid_uuid(bytes(16))
DUIDS = [b"\0\3\0\1abcdef", b"\0\3\0\1ABCDEF"]
LINK = IPv6Network("2001:db8:0:1::/64")
NETWORKS = [
    IPv6Network(text)
    for text in ("::/0", "::/60", "2001:db8:0:1::1", "2001:db8:0:1::/128", "2001:db8:100::/56")
]
CLIENT_KINDS = [k for k in MessageType if k < MessageType.RELAY_FORW]


def pool(length: int, prefix: str, **more: str) -> Ipv6PoolConfig:
    prefixes = (IPv6Network(prefix),)
    return Ipv6PoolConfig(prefixes=prefixes, length=length, hold_down_s=5.0, sticky_s=30.0, **more)  # type: ignore[arg-type]


POOLS = {
    "na": pool(128, "2001:db8:0:1::/127"),
    "pd": pool(56, "2001:db8:100::/55", next_pool="small"),
    "small": pool(60, "2001:db8:200::/60"),
}


MOVED = {"na": pool(128, "2001:db8:0:1::8/127"), "pd": pool(56, "2001:db8:300::/55")}


class PoolSupply:
    """The supply of one subscriber."""

    def __init__(self, pools: Ipv6Pools, user: str) -> None:
        self.pools = pools
        self.user = user

    def take(self, delegated: bool, hint: IPv6Network | None, now: float) -> IPv6Network | None:
        length = None if hint is None else hint.prefixlen
        return self.pools.allocate("pd" if delegated else "na", self.user, now, hint, length)

    def keeps(self, lease: Lease) -> bool:
        return self.pools.is_of(lease.network, "pd" if lease.delegated else "na")

    def release(self, lease: Lease, now: float, *, declined: bool) -> None:
        assert self.pools.owner(lease.network) == self.user
        if declined:
            self.pools.decline(lease.network, now)
        else:
            self.pools.release(lease.network, now)


LEASES = st.builds(
    lambda network, valid: (network, valid), st.sampled_from(NETWORKS), st.integers(0, 99)
)
IAS = st.lists(
    st.tuples(
        st.sampled_from(IaType), st.integers(1, 3), st.lists(LEASES, max_size=2), st.booleans()
    ),
    max_size=4,
)


class ServerMachine(RuleBasedStateMachine):
    """Three sessions; their dataplane is slow, and fails now and then."""

    @initialize(
        rapid=st.booleans(), recreate=st.booleans(), prefixes=st.integers(0, 2), offer=st.booleans()
    )
    def start(self, rapid: bool, recreate: bool, prefixes: int, offer: bool) -> None:
        config = ServerConfig(
            duid=DUID,
            preferred_s=10,
            valid_s=20,
            rapid_commit=rapid,
            recreate=recreate,
            max_prefixes=prefixes,
            hint_lengths=(56, 60),
            offer_s=3.0 if offer else 0.0,
        )
        self.max_prefixes = prefixes
        self.now = 0.0
        self.pools = Ipv6Pools(POOLS)
        self.counters = new_counters()
        self.users = ["u0", "u1", "u2"]
        self.servers = [
            Server(config, PoolSupply(self.pools, user), US, self.counters, (LINK,))
            for user in self.users
        ]
        self.installed: list[set[Lease]] = [set() for _ in self.servers]
        self.pending: list[Install | None] = [None for _ in self.servers]
        self.promised: list[dict[Lease, float]] = [{} for _ in self.servers]
        self.told: list[list[IPv6Network]] = [[] for _ in self.servers]

    @rule(
        number=st.integers(0, 2),
        kind=st.sampled_from([*CLIENT_KINDS, MessageType.SOLICIT, MessageType.REQUEST]),
        duid=st.sampled_from(DUIDS),
        ias=IAS,
        rapid=st.booleans(),
        wrong=st.sampled_from([False] * 9 + [True]),
    )
    def send(
        self,
        number: int,
        kind: MessageType,
        duid: bytes,
        ias: list[tuple[IaType, int, list[tuple[IPv6Network, int]], bool]],
        rapid: bool,
        wrong: bool,
    ) -> None:
        known = self.told[number]
        parts = []
        for ia_type, iaid, leases, own in ias:
            hosts = ia_type is not IaType.PD
            named = [(network, valid) for network, valid in leases if not own]
            named += [(network, 9) for network in known if own]
            parts.append(
                Ia(
                    kind=ia_type,
                    iaid=iaid,
                    leases=tuple(
                        IaLease(network=network, valid_s=valid)
                        for network, valid in named
                        if not hosts or network.prefixlen == 128
                    ),
                )
            )
        to_one = kind in {3, 5, 8, 9}
        message = Message(
            kind=kind,
            transaction_id=7,
            client_id=duid,
            server_id=DUID if to_one != wrong else None,
            ias=tuple(parts),
            rapid_commit=rapid,
        )
        datagram = Datagram(CLIENT, ALL_SERVERS, 546, 547, build(message))
        before = sum(self.counters.values())
        self.act(number, self.servers[number].receive(datagram, self.now))
        assert sum(self.counters.values()) > before

    @rule(number=st.integers(0, 2), data=st.binary(max_size=60))
    def send_garbage(self, number: int, data: bytes) -> None:
        datagram = Datagram(CLIENT, ALL_SERVERS, 546, 547, data)
        self.act(number, self.servers[number].receive(datagram, self.now))

    @rule(number=st.integers(0, 2), ok=st.sampled_from([True, True, False]))
    def confirm(self, number: int, ok: bool) -> None:
        pending = self.pending[number]
        if pending is None:
            return
        self.pending[number] = None
        if ok:
            self.installed[number] |= set(pending.leases)
        server = self.servers[number]
        self.act(number, server.installed(pending.request, ok, self.now))
        assert server.installed(pending.request, ok, self.now) == []

    @rule(seconds=st.sampled_from([0.5, 2.9, 4.0, 25.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pools.expire(self.now)
        for number, server in enumerate(self.servers):
            self.act(number, server.tick(self.now))
            deadline = server.next_deadline()
            assert deadline is None or deadline > self.now

    @rule(moved=st.sets(st.sampled_from(sorted(MOVED))))
    def reconfigure_pools(self, moved: set[str]) -> None:
        self.pools.reconfigure(POOLS | {name: MOVED[name] for name in moved}, self.now)

    @rule(number=st.integers(0, 2))
    def close(self, number: int) -> None:
        pending = self.pending[number]
        if pending is not None:  # it was on its way, and so is its removal
            self.installed[number] |= set(pending.leases)
            self.pending[number] = None
        self.act(number, self.servers[number].close(self.now))
        assert self.installed[number] == set()
        assert self.servers[number].next_deadline() is None

    def act(self, number: int, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Install(leases=leases):
                    assert self.pending[number] is None
                    assert leases
                    assert not self.installed[number] & set(leases)
                    self.pending[number] = action
                case Remove(leases):
                    assert self.installed[number] >= set(leases)
                    self.installed[number] -= set(leases)
                case SendPacket(packet):
                    self.read(number, packet)

    def read(self, number: int, packet: bytes) -> None:
        """Check that an answer promises only what is forwarded."""
        answer = parse(parse_udp(parse_packet(packet)).payload)
        self.told[number] = [lease.network for ia in answer.ias for lease in ia.leases]
        for ia in answer.ias:
            for lease in ia.leases:
                if answer.kind == MessageType.REPLY and lease.valid_s:
                    found = Lease(lease.network, ia.kind is IaType.PD)
                    assert found in self.installed[number]

    @invariant()
    def bindings_are_what_the_pool_says_is_in_use(self) -> None:
        if not hasattr(self, "servers"):
            return
        bound: dict[IPv6Network, str] = {}
        for user, server in zip(self.users, self.servers, strict=True):
            for binding in server._bindings:
                assert binding.network not in bound
                bound[binding.network] = user
            kinds = [b.kind for b in server._bindings if b.network in server._bindings.networks]
            assert kinds.count(IaType.NA) <= 1
            assert kinds.count(IaType.PD) <= self.max_prefixes
        assert {network: self.pools.owner(network) for network in bound} == bound
        assert self.in_use() == len(bound)
        for number, server in enumerate(self.servers):
            assert {binding.lease for binding in server.bindings()} == self.installed[number]

    def in_use(self) -> int:
        used = sum(stats.used for stats in self.pools.stats().values())
        return used + self.pools.used_outside()

    def teardown(self) -> None:
        """Let everything expire: nothing may be left."""
        if not hasattr(self, "servers"):
            return
        for number in range(len(self.servers)):
            while self.pending[number] is not None:
                self.confirm(number, True)
        self.wait(25.0)
        assert self.installed == [set(), set(), set()]
        assert self.in_use() == 0
        assert [server.next_deadline() for server in self.servers] == [None] * 3


TestServerMachine = ServerMachine.TestCase
TestServerMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_answered_or_counted_and_never_raise(data: bytes) -> None:
    counters = new_counters()
    supply = PoolSupply(Ipv6Pools(POOLS), "user")
    server = Server(ServerConfig(duid=DUID), supply, US, counters)
    server.receive(Datagram(CLIENT, ALL_SERVERS, 546, 547, data), 0.0)
    assert sum(counters.values()) > 0
