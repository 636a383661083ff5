"""IPv4 pools in any order of events, against a model that keeps every address by itself."""

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bng.pool.ipv4 import Ipv4PoolConfig, Ipv4Pools, Ipv4PoolStats
from bng.pool.ranges import Ipv4Range


def pool(*ranges: str, next_pool: str | None = None) -> Ipv4PoolConfig:
    return Ipv4PoolConfig(
        ranges=tuple(Ipv4Range.parse(text) for text in ranges),
        exclude=(Ipv4Range.parse("10.0.0.1"),),
        next_pool=next_pool,
    )


LAYOUTS = [
    {"a": pool("10.0.0.0/30", next_pool="b"), "b": pool("10.0.1.0/31", "10.0.1.4")},
    {"a": pool("10.0.0.0/31"), "b": pool("10.0.0.2-10.0.0.5", next_pool="a")},
    {"a": pool("10.0.0.0-10.0.0.5"), "b": pool("10.0.1.0-10.0.1.5")},
]
ADDRESSES = [IPv4Address(f"10.0.{b}.{n}") for b in range(2) for n in range(6)]
OWNERS = ["u1", "u2", "u3"]


class PoolMachine(RuleBasedStateMachine):
    """The model: who uses each address, when it was freed, and for whom it is remembered."""

    @initialize(times=st.sampled_from([(10.0, 40.0), (10.0, 0.0), (0.0, 40.0), (40.0, 10.0)]))
    def start(self, times: tuple[float, float]) -> None:
        self.hold_down_s, self.sticky_s = times
        self.layout = self.timed(LAYOUTS[0])
        self.pools = Ipv4Pools(self.layout)
        self.now = 0.0
        self.used: dict[IPv4Address, str] = {}
        self.freed_at: dict[IPv4Address, float] = {}
        self.memory: dict[tuple[str, str], IPv4Address] = {}  # by pool and owner

    def timed(self, layout: dict[str, Ipv4PoolConfig]) -> dict[str, Ipv4PoolConfig]:
        return {
            name: replace(config, hold_down_s=self.hold_down_s, sticky_s=self.sticky_s)
            for name, config in layout.items()
        }

    def members(self, name: str) -> list[IPv4Address]:
        config = self.layout[name]
        return [
            IPv4Address(number)
            for part in config.ranges
            for number in range(int(part.first), int(part.last) + 1)
            if not any(hole.first <= IPv4Address(number) <= hole.last for hole in config.exclude)
        ]

    def home(self, address: IPv4Address) -> str | None:
        return next((name for name in self.layout if address in self.members(name)), None)

    def chain(self, name: str | None) -> list[str]:
        return [] if name is None else [name, *self.chain(self.layout[name].next_pool)]

    def held(self, address: IPv4Address) -> bool:
        return address in self.freed_at and self.now < self.freed_at[address] + self.hold_down_s

    def sticky(self, address: IPv4Address) -> bool:
        remembered = address in self.memory.values()
        return remembered and self.now < self.freed_at[address] + self.sticky_s

    def take(self, address: IPv4Address, owner: str) -> None:
        self.used[address] = owner
        self.freed_at.pop(address, None)
        self.memory = {key: known for key, known in self.memory.items() if known != address}

    def expected(
        self, name: str, owner: str, prefer: IPv4Address | None
    ) -> set[IPv4Address | None]:
        """Return the addresses that any correct pool may give."""
        chain = self.chain(name)
        mine = [self.memory.get((link, owner)) for link in chain]
        own = [address for address in mine if address is not None and self.sticky(address)]
        if prefer is not None and self.home(prefer) in chain:
            others = (self.held(prefer) or self.sticky(prefer)) and prefer not in own
            if prefer not in self.used and not others:
                return {prefer}
        if own:
            return {own[0]}
        for link in chain:
            free = [a for a in self.members(link) if a not in self.used and not self.held(a)]
            forgotten = [address for address in free if not self.sticky(address)]
            if forgotten:
                return set(forgotten)
            if free:
                return {min(free, key=lambda address: self.freed_at[address])}
        return {None}

    @rule(
        name=st.sampled_from("ab"),
        owner=st.sampled_from(OWNERS),
        prefer=st.sampled_from([None, None, *ADDRESSES]),
    )
    def allocate(self, name: str, owner: str, prefer: IPv4Address | None) -> None:
        expected = self.expected(name, owner, prefer)
        got = self.pools.allocate(name, owner, self.now, prefer)
        assert got in expected
        if got is not None:
            self.take(got, owner)

    @rule(address=st.sampled_from(ADDRESSES), owner=st.sampled_from(OWNERS))
    def claim(self, address: IPv4Address, owner: str) -> None:
        assert self.pools.claim(address, owner, self.now) == self.used.get(address)
        if address not in self.used:
            self.take(address, owner)

    @rule(pick=st.integers(0, 99))
    def release(self, pick: int) -> None:
        address = ADDRESSES[pick % len(ADDRESSES)]
        if self.used:
            address = sorted(self.used)[pick % len(self.used)]
        self.now += 0.001  # no two are released in the same instant
        owner = self.used.pop(address, None)
        assert self.pools.release(address, self.now) == owner
        home = self.home(address)
        if owner is not None and home is not None:
            self.freed_at[address] = self.now
            self.memory[home, owner] = address

    @rule(seconds=st.sampled_from([1.0, 9.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pools.expire(self.now)
        deadline = self.pools.next_deadline()
        assert deadline is None or deadline > self.now

    @rule(layout=st.sampled_from(LAYOUTS))
    def reload(self, layout: dict[str, Ipv4PoolConfig]) -> None:
        known = sorted(self.memory.items(), key=lambda item: self.freed_at[item[1]])
        valid = [(owner, address) for (_, owner), address in known if self.sticky(address)]
        self.layout = self.timed(layout)
        self.pools.reconfigure(self.layout, self.now)
        self.freed_at = {a: at for a, at in self.freed_at.items() if self.home(a) is not None}
        self.memory = {}
        for owner, address in valid:
            home = self.home(address)
            if home is not None:
                self.memory[home, owner] = address

    @invariant()
    def gauges_and_owners_agree(self) -> None:
        if not hasattr(self, "pools"):
            return
        self.pools.expire(self.now)
        assert {a: o for a in ADDRESSES if (o := self.pools.owner(a))} == self.used
        for name, stats in self.pools.stats().items():
            members = self.members(name)
            used = sum(address in self.used for address in members)
            held = sum(self.held(address) for address in members)
            sticky = sum(self.sticky(a) and not self.held(a) for a in members)
            free = len(members) - used - held - sticky
            assert stats == Ipv4PoolStats(
                size=len(members), used=used, held=held, sticky=sticky, free=free
            )

    def teardown(self) -> None:
        if not hasattr(self, "pools"):
            return
        for address in self.used:
            self.pools.release(address, self.now)
        for _ in range(4 * len(ADDRESSES)):  # each deadline must lead somewhere
            deadline = self.pools.next_deadline()
            if deadline is None:
                break
            self.pools.expire(deadline)
        assert self.pools.next_deadline() is None
        assert all(stats.free == stats.size for stats in self.pools.stats().values())
        assert self.pools.used_outside() == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
