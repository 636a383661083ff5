"""Orders to sessions, in whatever order the dataplane answers and whatever it refuses.

The core alone: its commands go into a model of the dataplane, which carries out each or refuses it.
Every order is answered once; what was acknowledged last is what core and dataplane both have.
"""

from collections import deque
from ipaddress import IPv4Network

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bng.aaa.dynauth import Known
from bng.aaa.reading import Value
from bng.aaa.requests import Nas
from bng.session.actions import AddRoute, CommandKind, DeleteRoute, PoliceSession, UpSession, cookie
from bng.session.coa import Outcome
from bng.session.model import Counters, Session, State
from tests.support.memory_box import MemoryBox, memory_box

EIO = 5
ORDERS = st.tuples(st.just("order"), st.integers(1, 9), st.booleans())
"""A rate in Mbit/s; whether a route comes with it."""
ANSWERS = st.tuples(st.just("answer"), st.integers(0, 5), st.booleans())
"""How many commands are done, and whether the last of them is refused."""

Command = PoliceSession | UpSession | AddRoute | DeleteRoute


class Model:
    """What the dataplane has been told of one session, a worker and the control thread apart."""

    def __init__(self, box: MemoryBox, session: Session) -> None:
        self.manager, self.session = box.manager, session
        self.worker: deque[Command] = deque()
        self.control: deque[Command] = deque()
        self.rate = 0
        self.routes = set(session.routes)

    def collect(self) -> None:
        """Put the core's commands into the rings."""
        for action in self.manager.take():
            if isinstance(action, PoliceSession | UpSession):
                self.worker.append(action)
            elif isinstance(action, AddRoute | DeleteRoute):
                self.control.append(action)

    def step(self, *, refuse: bool, control: bool) -> None:
        """Carry out or refuse the next command of a ring."""
        ring = self.control if control and self.control else self.worker or self.control
        if not ring:
            return
        command = ring.popleft()
        status = -EIO if refuse else 0
        if not refuse:
            self._carry_out(command)
        quiet = isinstance(command, PoliceSession)
        if refuse or not quiet:
            kinds = {PoliceSession: CommandKind.POLICE, UpSession: CommandKind.UP}
            kind = kinds.get(type(command), CommandKind.ROUTE)
            tag = cookie(kind, self.session.handle)
            self.manager.completed(tag, status, lambda _: Counters(), 2000.0)
        self.collect()

    def _carry_out(self, command: Command) -> None:
        match command:
            case PoliceSession():
                self.rate = 0 if command.down is None else command.down.cir_bps
            case AddRoute():
                self.routes.add(command.prefix)
            case DeleteRoute():
                self.routes.discard(command.prefix)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(ORDERS, ANSWERS), max_size=30))
def test_what_was_acknowledged_last_is_what_there_is(
    script: list[tuple[str, int, bool]],
) -> None:
    with memory_box() as box:
        box.dial(box.subscriber(1))
        (session,) = box.manager.table
        box.manager.orders.known = Known(nas=Nas(identifier="bng"))
        model = Model(box, session)
        answers: dict[int, Outcome] = {}
        asked: list[tuple[int, IPv4Network | None]] = []
        for what, number, flag in script:
            if what == "order":
                _order(box, answers, asked, number, routed=flag)
                model.collect()
                continue
            for at in range(number):
                model.step(refuse=flag and at == number - 1, control=bool(at % 2))
        while model.worker or model.control:
            model.step(refuse=False, control=False)
        if session.state is State.ENDING:  # what was before could not be told again
            tag = cookie(CommandKind.CLOSE, session.handle)
            box.manager.completed(tag, 0, lambda _: Counters(), box.now)
        assert sorted(answers) == list(range(len(asked)))
        assert box.manager.orders.waiting == 0
        if session.state is State.ENDING:
            return
        acknowledged = [n for n in range(len(asked)) if answers[n].cause is None]
        rate = asked[acknowledged[-1]][0] if acknowledged else 0
        routes = [asked[n][1] for n in acknowledged if asked[n][1] is not None]
        assert session.profile is not None
        found = session.profile.rate_down
        assert (0 if found is None else found.cir_bps) == model.rate == rate
        own = IPv4Network(session.ipv4_address or 0)
        assert set(session.routes) == model.routes == {own, *routes[-1:]}


def _order(
    box: MemoryBox,
    answers: dict[int, Outcome],
    asked: list[tuple[int, IPv4Network | None]],
    mbit: int,
    *,
    routed: bool,
) -> None:
    """Give a CoA for the one session to the core."""
    serial = len(asked)
    route = IPv4Network(f"10.{serial}.0.0/16") if routed else None
    asked.append((mbit * 1_000_000, route))
    pairs: list[tuple[str, Value]] = [
        ("User-Name", "user00001"),
        ("WISPr-Bandwidth-Max-Down", mbit * 1_000_000),
    ]
    if route is not None:
        pairs.append(("Framed-Route", str(route)))

    def answer(outcome: Outcome) -> None:
        assert serial not in answers
        answers[serial] = outcome

    box.manager.orders.take(pairs, answer, box.now, disconnect=False, source="oss")
