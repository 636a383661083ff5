"""IPv6 pools in any order of events, against a model that keeps every prefix by itself.

Static prefixes are shorter and longer than those of the pools, and lie across them.
"""

from dataclasses import replace
from ipaddress import IPv6Network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bng.pool.core import PoolStats
from bng.pool.ipv6 import Ipv6PoolConfig, Ipv6Pools


def net(text: str) -> IPv6Network:
    return IPv6Network(text)


def pool(length: int, prefix: str, next_pool: str | None = None) -> Ipv6PoolConfig:
    return Ipv6PoolConfig(
        prefixes=(net(prefix),), length=length, exclude=(net("fd00::3"),), next_pool=next_pool
    )


LAYOUTS = [
    {"a": pool(126, "fd00::/124", "b"), "b": pool(127, "fd00::10/126")},
    {"a": pool(127, "fd00::/125"), "b": pool(126, "fd00::8/125", "a")},
    {"a": pool(128, "fd00::4/126"), "b": pool(126, "fd00::10/124")},
]
ALL = net("fd00::/123")
PREFIXES = [prefix for length in range(123, 129) for prefix in ALL.subnets(new_prefix=length)]
OWNERS = ["u1", "u2", "u3"]


def _routers(item: IPv6Network, prefix: IPv6Network) -> bool:
    """Say whether an address is the Subnet-Router anycast address of *prefix*."""
    first = item.network_address == prefix.network_address
    return first and item.prefixlen == 128 and prefix.prefixlen <= 126


class PoolMachine(RuleBasedStateMachine):
    """The model: who uses each prefix, when it was freed, and for whom it is remembered."""

    @initialize(times=st.sampled_from([(10.0, 40.0), (10.0, 0.0), (0.0, 40.0), (40.0, 10.0)]))
    def start(self, times: tuple[float, float]) -> None:
        self.hold_down_s, self.sticky_s = times
        self.layout = self.timed(LAYOUTS[0])
        self.pools = Ipv6Pools(self.layout)
        self.now = 0.0
        self.used: dict[IPv6Network, str] = {}
        self.freed_at: dict[IPv6Network, float] = {}
        self.memory: dict[tuple[str, str], IPv6Network] = {}  # by pool and owner

    def timed(self, layout: dict[str, Ipv6PoolConfig]) -> dict[str, Ipv6PoolConfig]:
        return {
            name: replace(config, hold_down_s=self.hold_down_s, sticky_s=self.sticky_s)
            for name, config in layout.items()
        }

    def members(self, name: str) -> list[IPv6Network]:
        config = self.layout[name]
        return [
            item
            for item in config.prefixes[0].subnets(new_prefix=config.length)
            if not any(item.overlaps(hole) for hole in config.exclude)
            and not _routers(item, config.prefixes[0])
        ]

    def home(self, item: IPv6Network) -> str | None:
        return next((name for name in self.layout if item in self.members(name)), None)

    def chain(self, name: str | None) -> list[str]:
        return [] if name is None else [name, *self.chain(self.layout[name].next_pool)]

    def holders(self, item: IPv6Network) -> list[str]:
        return [owner for other, owner in self.used.items() if other.overlaps(item)]

    def held(self, item: IPv6Network) -> bool:
        return item in self.freed_at and self.now < self.freed_at[item] + self.hold_down_s

    def sticky(self, item: IPv6Network) -> bool:
        remembered = item in self.memory.values()
        return remembered and self.now < self.freed_at[item] + self.sticky_s

    def take(self, item: IPv6Network, owner: str) -> None:
        assert not self.holders(item)
        self.used[item] = owner
        self.freed_at.pop(item, None)
        self.memory = {key: known for key, known in self.memory.items() if known != item}

    def expected(
        self, name: str, owner: str, prefer: IPv6Network | None, length: int | None
    ) -> set[IPv6Network | None]:
        """Return the prefixes that any correct pool may give."""
        chain = sorted(self.chain(name), key=lambda link: self.layout[link].length != length)
        mine = [self.memory.get((link, owner)) for link in chain]
        own = [item for item in mine if item is not None and self.sticky(item)]
        if prefer is not None and self.home(prefer) in chain:
            others = (self.held(prefer) or self.sticky(prefer)) and prefer not in own
            if not self.holders(prefer) and not others:
                return {prefer}
        back = [item for item in own if not self.holders(item)]
        if back:
            return {back[0]}
        for link in chain:
            free = [i for i in self.members(link) if not self.holders(i) and not self.held(i)]
            forgotten = [item for item in free if not self.sticky(item)]
            if forgotten:
                return set(forgotten)
            if free:
                return {min(free, key=lambda item: self.freed_at[item])}
        return {None}

    @rule(
        name=st.sampled_from("ab"),
        owner=st.sampled_from(OWNERS),
        prefer=st.sampled_from([None, None, *PREFIXES]),
        length=st.sampled_from([None, 126, 127, 128]),
    )
    def allocate(
        self, name: str, owner: str, prefer: IPv6Network | None, length: int | None
    ) -> None:
        expected = self.expected(name, owner, prefer, length)
        got = self.pools.allocate(name, owner, self.now, prefer, length)
        assert got in expected
        if got is not None:
            self.take(got, owner)

    @rule(item=st.sampled_from(PREFIXES), owner=st.sampled_from(OWNERS))
    def claim(self, item: IPv6Network, owner: str) -> None:
        holder = self.pools.claim(item, owner, self.now)
        if self.holders(item):
            assert holder in self.holders(item)
        else:
            assert holder is None
            self.take(item, owner)

    @rule(pick=st.integers(0, 99), remember=st.booleans())
    def release(self, pick: int, remember: bool) -> None:
        item = PREFIXES[pick % len(PREFIXES)]
        if self.used:
            item = sorted(self.used)[pick % len(self.used)]
        self.now += 0.001  # no two are released in the same instant
        owner = self.used.pop(item, None)
        assert self.pools.release(item, self.now, remember=remember) == owner
        home = self.home(item)
        if owner is not None and home is not None:
            self.freed_at[item] = self.now
            if remember:
                self.memory[home, owner] = item

    @rule(seconds=st.sampled_from([1.0, 9.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pools.expire(self.now)
        deadline = self.pools.next_deadline()
        assert deadline is None or deadline > self.now

    @rule(layout=st.sampled_from(LAYOUTS))
    def reload(self, layout: dict[str, Ipv6PoolConfig]) -> None:
        known = sorted(self.memory.items(), key=lambda entry: self.freed_at[entry[1]])
        valid = [(owner, item) for (_, owner), item in known if self.sticky(item)]
        self.layout = self.timed(layout)
        self.pools.reconfigure(self.layout, self.now)
        self.freed_at = {i: at for i, at in self.freed_at.items() if self.home(i) is not None}
        self.memory = {}
        for owner, item in valid:
            home = self.home(item)
            if home is not None:
                self.memory[home, owner] = item

    @invariant()
    def gauges_and_owners_agree(self) -> None:
        if not hasattr(self, "pools"):
            return
        self.pools.expire(self.now)
        for item in PREFIXES:
            assert (self.pools.owner(item) is None) == (not self.holders(item))
        outside = [item for item in self.used if self.home(item) is None]
        assert self.pools.used_outside() == len(outside)
        for name, stats in self.pools.stats().items():
            members = self.members(name)
            used = sum(item in self.used for item in members)
            held = sum(self.held(item) for item in members)
            sticky = sum(self.sticky(item) and not self.held(item) for item in members)
            free = len(members) - used - held - sticky
            assert stats == PoolStats(
                size=len(members), used=used, held=held, sticky=sticky, free=free
            )

    def teardown(self) -> None:
        if not hasattr(self, "pools"):
            return
        for item in self.used:
            self.pools.release(item, self.now)
        for _ in range(4 * len(PREFIXES)):  # each deadline must lead somewhere
            deadline = self.pools.next_deadline()
            if deadline is None:
                break
            self.pools.expire(deadline)
        assert self.pools.next_deadline() is None
        assert all(stats.free == stats.size for stats in self.pools.stats().values())
        assert self.pools.used_outside() == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
