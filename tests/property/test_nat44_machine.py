"""Whatever is done to the NAT44 table, and in whatever order: it answers as a dictionary would.

A machine of hypothesis makes and ends sessions, fills their blocks to the last port, deletes, lets
time pass, sweeps, changes limits and the rest of blocks, and lets the log run full. After each step
every count of the table is counted anew (`table_check`), and what the model knows is looked up.
"""

from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.nat44_table import nat44_table

PLANES = TCP, UDP, ICMP = range(3)
TIMEOUT_S = (240, 300, 60)  # TCP is transitory: the table alone sees no handshake
PORTS, EXHAUSTED, LOG_FULL, MAPPINGS, RATE = -1, -2, -3, -4, -5
SIZE, BLOCKS, SESSIONS, ADDRESSES, USABLE = 64, 4, 6, 2, 11
PORT_MIN = 65536 - USABLE * SIZE

sessions = st.integers(0, SESSIONS - 1)
planes = st.sampled_from(PLANES)
ports = st.integers(0, 2 * SIZE * BLOCKS)
Key = tuple[int, int, int]
"""Session, plane, inner port."""


@dataclass(slots=True)
class Bucket:
    """The tokens of a session, in thousandths."""

    tokens: int
    stamp_ms: int

    def take(self, now_ms: int, rate: int) -> bool:
        self.tokens = min(rate * 1000, self.tokens + (now_ms - self.stamp_ms) * rate)
        self.stamp_ms = now_ms
        if self.tokens < 1000:
            return False
        self.tokens -= 1000
        return True


class Nat44Machine(RuleBasedStateMachine):
    """The table, and a dictionary of what it should hold."""

    @initialize(seed=st.integers(1, 1 << 30))
    def begin(self, seed: int) -> None:
        self.context = nat44_table(
            block_size=SIZE,
            blocks=BLOCKS,
            addresses=ADDRESSES,
            sessions=SESSIONS,
            port_min=PORT_MIN,
            seed=seed,
        )
        self.table = self.context.__enter__()
        self.now_s = 1000
        self.table.time(self.now_s)
        self.address: dict[int, int] = {}
        self.buckets: dict[int, Bucket] = {}
        self.mappings: dict[Key, tuple[int, int]] = {}  # external port, last_s
        self.log_full = self.log_mappings = False
        self.most = self.per_s = self.rest_s = 0
        self.percent = 50
        for session in range(SESSIONS):
            self.up(session)

    def teardown(self) -> None:
        if not hasattr(self, "table"):
            return
        self.log(full=False, mappings=False)
        for session in list(self.address):
            self.down(session)
        self.table.sweep_all()
        self.limits(0, 0, 0, 50)
        self.table.sweep_all()
        assert self.table.is_zero()
        assert self.table.check() == 0
        assert [self.table.free_blocks(a) for a in range(ADDRESSES)] == [USABLE] * ADDRESSES
        assert self.table.logged(1) == self.table.logged(2)
        self.context.__exit__(None, None, None)

    # ---- the model ----

    def live(self, key: Key) -> bool:
        known = self.mappings.get(key)
        return known is not None and self.now_s - known[1] < TIMEOUT_S[key[1]]

    def alive(self, session: int, plane: int | None = None) -> int:
        """Count what lives of a session, in one plane or all."""
        keys = [k for k in self.mappings if k[0] == session and plane in (None, k[1])]
        return sum(map(self.live, keys))

    def expected(self, key: Key) -> int:
        """Return 0 when there must be a mapping, or why there is none."""
        session, plane, _ = key
        if self.most and self.alive(session) >= self.most:
            return MAPPINGS
        if self.per_s and not self.buckets[session].take(self.now_s * 1000, self.per_s):
            return RATE
        blocks = self.table.blocks(session)
        if self.alive(session, plane) == blocks * SIZE:
            if blocks == BLOCKS:
                return PORTS
            if not self.free(self.address[session]):
                return EXHAUSTED
            if self.log_full:
                return LOG_FULL
        return LOG_FULL if self.log_full and self.log_mappings else 0

    def free(self, address: int) -> bool:
        """Say whether a block can be had: free, rested enough, or one too many to rest."""
        table = self.table
        return (
            table.free_blocks(address) > 0
            or table.longest_rest(address) >= self.rest_s
            or table.resting_blocks(address) > 65536 // SIZE * self.percent // 100
        )

    def ask(self, key: Key) -> None:
        """Map as an outbound packet does, and compare."""
        session, plane, port = key
        known = self.mappings[key][0] if self.live(key) else None
        expected = 0 if known is not None else self.expected(key)
        external = self.table.map(session, plane, port)
        if self.log_full and self.log_mappings and external < 0:
            assert known is None, "a live mapping was refused"
            return  # what is over cannot be ended, and is in the way
        event(f"outcome {min(external, 0)}")
        assert min(external, 0) == expected
        if known is not None:
            assert external == known, "endpoint-independent mapping changed its port"
        if external > 0:
            self.mappings[key] = external, self.now_s

    # ---- what may happen ----

    @rule(session=sessions)
    def up(self, session: int) -> None:
        address = session % ADDRESSES
        if session in self.address:
            return
        possible = self.free(address) and not self.log_full
        assert bool(self.table.up(session, address)) == possible
        self.buckets[session] = Bucket(self.per_s * 1000, self.now_s * 1000)
        if possible:
            self.address[session] = address

    @rule(session=sessions, times=st.integers(0, 2))
    def redial(self, session: int, times: int) -> None:
        for _ in range(times):
            self.down(session)
            self.up(session)

    def down(self, session: int) -> None:
        if self.address.pop(session, None) is None:
            return
        self.table.down(session)
        self.mappings = {k: v for k, v in self.mappings.items() if k[0] != session}
        assert self.table.mappings(session) == self.table.blocks(session) == 0

    @rule(session=sessions, plane=planes, port=ports)
    def map(self, session: int, plane: int, port: int) -> None:
        if session in self.address:
            self.ask((session, plane, port))

    @rule(session=sessions, plane=planes, first=ports, count=st.sampled_from([3, 64, 200, 300]))
    def fill(self, session: int, plane: int, first: int, count: int) -> None:
        if session in self.address:
            for port in range(first, first + count):
                self.ask((session, plane, port))
            assert self.alive(session, plane) <= SIZE * BLOCKS

    @rule(session=sessions, plane=planes, every=st.integers(1, 7))
    def delete(self, session: int, plane: int, every: int) -> None:
        keys = [k for k in self.mappings if k[:2] == (session, plane) and self.live(k)]
        for key in keys[::every]:
            external, _ = self.mappings[key]
            done = self.table.delete(self.address[session], plane, external)
            assert done != (self.log_full and self.log_mappings)
            if done:
                del self.mappings[key]

    @rule(seconds=st.sampled_from([1, 1, 10, 59, 61, 119, 240, 301]))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        self.table.time(self.now_s)

    @rule()
    def sweep(self) -> None:
        self.table.sweep_all()
        if self.log_full:
            return
        for address in range(ADDRESSES):
            assert self.table.longest_rest(address) < max(self.rest_s, 1)
        for session in self.address:
            assert self.table.mappings(session) == self.alive(session)

    @rule(full=st.sampled_from([False, False, True]), mappings=st.booleans())
    def log(self, *, full: bool, mappings: bool) -> None:
        self.log_full, self.log_mappings = full, mappings
        self.table.log_full(full)
        self.table.log_mappings(mappings)

    @rule(
        most=st.sampled_from([0, 0, 0, 50, 300]),
        per_s=st.sampled_from([0, 0, 0, 100]),
        rest_s=st.sampled_from([0, 60, 120]),
        percent=st.sampled_from([0, 1, 50, 100]),
    )
    def limits(self, most: int, per_s: int, rest_s: int, percent: int) -> None:
        self.most, self.per_s, self.rest_s, self.percent = most, per_s, rest_s, percent
        self.table.limits(most, per_s, rest_s, percent)

    # ---- what always holds ----

    @invariant()
    @precondition(lambda self: hasattr(self, "table"))
    def counts_are_right(self) -> None:
        assert self.table.check() == 0

    @invariant()
    @precondition(lambda self: hasattr(self, "table"))
    def both_directions_agree_and_no_port_is_anybody_elses(self) -> None:
        seen: Counter[tuple[int, int, int]] = Counter()
        for key, (external, _) in self.mappings.items():
            if not self.live(key):
                continue
            session, plane, port = key
            address = self.address[session]
            assert external >= PORT_MIN
            assert self.table.find(session, plane, port) == external
            assert self.table.inside(address, plane, external) == session << 16 | port
            seen[address, plane, external] += 1
        assert set(seen.values()) <= {1}


TestNat44Machine = Nat44Machine.TestCase
TestNat44Machine.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
