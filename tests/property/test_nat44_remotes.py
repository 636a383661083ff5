"""The side table of NAT44 remotes against dictionaries: filtering, connections, room, chains.

A machine of hypothesis sends packets of mappings to and from few remotes, whose entries are in each
other's way in so small a table. The model knows each remote of each mapping, and by the rules of
nat44.md how long the mapping lives; what the table holds is read back after each step, and its
chains and counts are counted anew (`table_check_remotes`).
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.nat44_table import library, nat44_table

TCP, UDP = 0, 1
FIN, SYN, RST, ACK = 1, 2, 4, 16
LIVE, MULTI, SYN_OUT, SYN_IN, FIN_OUT, FIN_IN, RESET, ESTABLISHED = (1 << n for n in range(8))
ESTABLISHED_S, TRANSITORY_S, CLOSING_S, UDP_S = 7440, 240, 250, 300
SESSIONS, ENTRIES, MOST = 3, 64, 20

Remote = tuple[int, int]
"""Address and port; the port is 0 where only the address counts."""


@dataclass(slots=True)
class Connection:
    """What is known of a connection; for UDP only when it was used last."""

    last_s: int
    flags: int = LIVE

    @property
    def closed(self) -> bool:
        return bool(self.flags & RESET) or self.flags & (FIN_OUT | FIN_IN) == FIN_OUT | FIN_IN

    @property
    def established(self) -> bool:
        return bool(self.flags & ESTABLISHED) and not self.closed

    @property
    def timeout_s(self) -> int:
        if self.closed:
            return CLOSING_S
        return ESTABLISHED_S if self.established else TRANSITORY_S

    def segment(self, tcp: int, now_s: int, *, out: bool) -> bool:
        """Take a segment; say whether it refreshes."""
        refreshes = not (self.flags & RESET and tcp & RST)
        if refreshes:
            self.last_s = now_s
        self.flags = self.flags & ~RESET | (RESET if tcp & RST else 0)
        if tcp & FIN:
            self.flags |= FIN_OUT if out else FIN_IN
        if tcp & RST:
            return refreshes
        if tcp & SYN and not out:
            self.flags |= SYN_IN
        elif tcp & SYN:
            if self.flags & (FIN_OUT | FIN_IN) == FIN_OUT | FIN_IN:
                self.flags = LIVE
            self.flags |= SYN_OUT | (SYN_IN if tcp & ACK else 0)
        elif out and tcp & ACK and self.flags & SYN_OUT and self.flags & SYN_IN:
            self.flags |= ESTABLISHED
        return refreshes


@dataclass(slots=True)
class Mapping:
    """One mapping: the first remote alone, or several in the side table."""

    session: int
    plane: int
    external: int
    first: Remote
    last_s: int
    remotes: dict[Remote, Connection] = field(default_factory=dict)
    several: bool = False
    lost: bool = False
    established: bool = False
    """With several: one was, and not all that are known are closed since."""

    def settle(self) -> None:
        """Follow from what the connections are now."""
        known = self.remotes.values()
        self.established |= self.lost or any(c.established for c in known)
        if not self.lost and all(c.closed for c in known):
            self.established = False

    def timeout_s(self) -> int:
        if self.plane == UDP:
            return UDP_S
        (only, *_) = self.remotes.values() if not self.several else (Connection(0),)
        if not self.several:
            return only.timeout_s
        if not self.lost and all(c.closed for c in self.remotes.values()):
            return CLOSING_S
        return ESTABLISHED_S if self.established else TRANSITORY_S


def entry_timeout_s(plane: int, connection: Connection) -> int:
    if plane == UDP:
        return UDP_S
    return connection.timeout_s


segments = st.sampled_from([SYN, SYN | ACK, ACK, ACK, FIN | ACK, RST, RST | ACK])
addresses = st.integers(1, 40)
ports = st.sampled_from([80, 443])


class RemotesMachine(RuleBasedStateMachine):
    """The table, and what it should know."""

    @initialize(seed=st.integers(1, 1 << 30), dependent=st.booleans())
    def begin(self, seed: int, *, dependent: bool) -> None:
        self.context = nat44_table(sessions=SESSIONS, seed=seed)
        self.table = self.context.__enter__()
        self.entry = library()[0].new("uint32_t[6]")
        self.now_s = 1000
        self.table.time(self.now_s)
        self.filter(dependent=dependent)
        self.mappings: list[Mapping] = []
        for session in range(SESSIONS):
            assert self.table.up(session, 0)

    def teardown(self) -> None:
        if not hasattr(self, "table"):
            return
        for session in range(SESSIONS):
            self.table.down(session)
            assert self.table.entries_of(session) == 0
        assert self.entries() == {}
        assert self.table.is_zero()
        self.context.__exit__(None, None, None)

    # ---- what the table holds ----

    def entries(self) -> dict[tuple[int, int], dict[Remote, Connection]]:
        """Return by (plane, external port) what entries there are."""
        found: dict[tuple[int, int], dict[Remote, Connection]] = {}
        for index in range(ENTRIES):
            if self.table.entry(index, self.entry):
                external, plane, address, port, flags, last_s = self.entry
                remotes = found.setdefault((plane, external), {})
                remotes[address, port] = Connection(last_s, flags)
        return found

    def reconcile(self, new: tuple[Mapping, Remote] | None = None) -> None:
        """Forget what the table gave to others: only what was over. *new*: what may not have been
        entered, for want of room."""
        held = self.entries()
        used = sum(map(len, held.values()))
        for mapping in self.mappings:
            if not mapping.several:
                assert (mapping.plane, mapping.external) not in held
                continue
            there = held.get((mapping.plane, mapping.external), {})
            for remote in mapping.remotes.keys() - there.keys():
                if (mapping, remote) == new:
                    assert self.full(mapping.session, used), "there was room"
                    mapping.lost = True
                else:
                    gone = mapping.remotes[remote]
                    over_s = entry_timeout_s(mapping.plane, gone)
                    assert self.now_s - gone.last_s >= over_s, "what lived was thrown out"
                    event("an entry whose time was over made room")
                del mapping.remotes[remote]
            mapping.settle()

    def full(self, session: int, used: int) -> bool:
        """Say whether an entry more may have been refused: his limit, or two full sets of four."""
        return self.table.entries_of(session) >= MOST or used >= 4

    # ---- the model ----

    def name(self, plane: int, address: int, port: int) -> Remote:
        return address, port if plane == TCP else 0

    def alive(self, mapping: Mapping) -> bool:
        return self.now_s - mapping.last_s < mapping.timeout_s()

    def admits(self, mapping: Mapping, address: int) -> bool:
        return not self.dependent or any(address == known for known, _ in mapping.remotes)

    def out(self, mapping: Mapping, address: int, port: int, tcp: int) -> None:
        remote = self.name(mapping.plane, address, port)
        known = mapping.remotes.get(remote)
        passed = self.table.out(0, mapping.plane, mapping.external, address, port, tcp)
        if not mapping.several and known is None and not self.share(mapping, address, port, tcp):
            assert passed
        elif known is None and mapping.plane == TCP and tcp & RST:
            assert passed  # refuses a stranger
        elif mapping.plane == UDP and not self.dependent and (mapping.several or known is None):
            assert passed
            mapping.last_s = self.now_s
        elif not passed:
            event("refused")
            assert known is None
            assert self.dependent
            self.refused(mapping)
        else:
            connection = known or mapping.remotes.setdefault(remote, Connection(self.now_s))
            refreshes = mapping.plane == UDP or connection.segment(tcp, self.now_s, out=True)
            if refreshes:
                connection.last_s = mapping.last_s = self.now_s
            self.reconcile((mapping, remote) if known is None else None)

    def share(self, mapping: Mapping, address: int, port: int, tcp: int) -> bool:
        """Another remote than the only one: say whether there are several from now on."""
        (only,) = mapping.remotes.values()
        if mapping.plane == UDP:
            flags = self.table.flags(0, UDP, mapping.external)
            mapping.several = self.dependent and bool(flags & MULTI)
            only.last_s = mapping.last_s  # whichever remote it was used for
            return True
        if tcp & RST:
            return False
        if tcp & SYN and only.closed:
            mapping.first = (address, port)
            mapping.remotes = {mapping.first: Connection(self.now_s)}
            mapping.remotes[mapping.first].segment(tcp, self.now_s, out=True)
            mapping.last_s = self.now_s
            event("another connection took the place of the only one")
            return False
        mapping.several = bool(self.table.flags(0, TCP, mapping.external) & MULTI)
        if mapping.several and mapping.first not in self.held(mapping):
            assert not self.dependent
            assert self.full(mapping.session, sum(map(len, self.entries().values())))
            del mapping.remotes[mapping.first]
            mapping.lost = True
        return True

    def held(self, mapping: Mapping) -> dict[Remote, Connection]:
        return self.entries().get((mapping.plane, mapping.external), {})

    def refused(self, mapping: Mapping) -> None:
        """There was no room for a remote, and filtering would not let it answer."""
        assert self.full(mapping.session, sum(map(len, self.entries().values())))
        self.reconcile()

    # ---- what may happen ----

    @rule(session=st.integers(0, SESSIONS - 1), plane=st.sampled_from([TCP, TCP, UDP]),
          port=st.integers(1, 4), address=addresses, remote_port=ports)  # fmt: skip
    def begin_mapping(
        self, session: int, plane: int, port: int, address: int, remote_port: int
    ) -> None:
        known = self.table.find(session, plane, port)
        if known > 0 and self.table.inside(0, plane, known) >= 0:
            return
        self.mappings = [m for m in self.mappings if (m.plane, m.external) != (plane, known)]
        external = self.table.map_to(session, plane, port, address, remote_port)
        assert external > 0
        assert self.table.out(0, plane, external, address, remote_port, SYN)
        first = self.name(plane, address, remote_port)
        mapping = Mapping(session, plane, external, first, self.now_s)
        mapping.remotes[first] = Connection(self.now_s)
        if plane == TCP:
            mapping.remotes[first].segment(SYN, self.now_s, out=True)
        self.mappings.append(mapping)

    @precondition(lambda self: getattr(self, "mappings", None))
    @rule(data=st.data(), address=addresses, port=ports, tcp=segments)
    def send(self, data: st.DataObject, address: int, port: int, tcp: int) -> None:
        mapping = data.draw(st.sampled_from(self.mappings))
        if self.alive(mapping):
            self.out(mapping, address, port, tcp)

    @precondition(lambda self: getattr(self, "mappings", None))
    @rule(data=st.data(), first=addresses, count=st.integers(1, 25), port=ports)
    def send_to_many(self, data: st.DataObject, first: int, count: int, port: int) -> None:
        mapping = data.draw(st.sampled_from(self.mappings))
        for address in range(first, first + count):
            if self.alive(mapping):
                self.out(mapping, address, port, SYN)

    @precondition(lambda self: getattr(self, "mappings", None))
    @rule(data=st.data(), script=st.lists(st.tuples(st.booleans(), segments), max_size=6))
    def converse(self, data: st.DataObject, script: list[tuple[bool, int]]) -> None:
        mapping = data.draw(st.sampled_from(self.mappings))
        if not mapping.remotes:
            return
        address, port = data.draw(st.sampled_from(sorted(mapping.remotes)))
        for outbound, tcp in [(True, SYN), (False, SYN | ACK), (True, ACK), *script]:
            if not self.alive(mapping):
                return
            if outbound:
                self.out(mapping, address, port, tcp)
            else:
                self.came(mapping, address, port, tcp)

    @precondition(lambda self: getattr(self, "mappings", None))
    @rule(data=st.data(), address=addresses, port=ports, tcp=segments)
    def receive(self, data: st.DataObject, address: int, port: int, tcp: int) -> None:
        mapping = data.draw(st.sampled_from(self.mappings))
        if self.alive(mapping):
            self.came(mapping, address, port, tcp)

    def came(self, mapping: Mapping, address: int, port: int, tcp: int) -> None:
        admitted = self.admits(mapping, address)
        assert self.table.in_(0, mapping.plane, mapping.external, address, port, tcp) == admitted
        connection = mapping.remotes.get((address, port))
        if (
            admitted
            and mapping.plane == TCP
            and connection
            and connection.segment(tcp, self.now_s, out=False)
        ):
            mapping.last_s = self.now_s
        self.reconcile()

    @rule(seconds=st.sampled_from([1, 10, 60, 239, 240, 300, 7200]))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        self.table.time(self.now_s)

    @rule()
    def sweep(self) -> None:
        self.table.sweep_all()
        self.mappings = [m for m in self.mappings if self.alive(m)]

    @rule(session=st.integers(0, SESSIONS - 1))
    def redial(self, session: int) -> None:
        self.table.down(session)
        self.mappings = [m for m in self.mappings if m.session != session]
        assert self.table.entries_of(session) == 0
        assert self.table.up(session, 0)

    @rule(dependent=st.booleans())
    def filter(self, *, dependent: bool) -> None:
        self.dependent = dependent
        self.table.remotes(ENTRIES, MOST, dependent)

    # ---- what always holds ----

    @invariant()
    @precondition(lambda self: hasattr(self, "mappings"))
    def chains_and_counts_are_right(self) -> None:
        assert self.table.check_remotes() == 0
        assert all(self.table.entries_of(s) <= MOST for s in range(SESSIONS))

    @invariant()
    @precondition(lambda self: hasattr(self, "mappings"))
    def mappings_live_as_long_as_their_connections_say(self) -> None:
        for mapping in self.mappings:
            inside = self.table.inside(0, mapping.plane, mapping.external)
            assert (inside >= 0) == self.alive(mapping)

    @invariant()
    @precondition(lambda self: hasattr(self, "mappings"))
    def the_table_knows_the_connections_that_were_sent_to(self) -> None:
        held = self.entries()
        for mapping in self.mappings:
            if mapping.several and mapping.remotes:
                assert held[mapping.plane, mapping.external] == mapping.remotes


TestRemotesMachine = RemotesMachine.TestCase
TestRemotesMachine.settings = settings(
    max_examples=50,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
