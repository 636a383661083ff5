"""What the automaton does with a cell: actions in order, the Restart timer, the counters."""

from math import inf

import pytest

from bng.ppp.actions import Action, SendPpp
from bng.ppp.config import LinkConfig
from bng.ppp.fsm import Automaton
from bng.ppp.packet import Option
from bng.ppp.table import Event, State
from tests.unit.ppp.peer import ACK, REQ, config, read
from tests.unit.ppp.test_table import EVENT_NAMES, cells_of_the_rfc

PROTOCOL = 0x8021
RESTART_S = 3.0
CODES = {1: "scr", 2: "reply", 5: "str", 6: "sta"}


class Recorder(Automaton):
    """A layer that wants no options and notes what its hooks are called for."""

    protocol = PROTOCOL

    def __init__(self, settings: LinkConfig) -> None:
        super().__init__(settings)
        self.done: list[str] = []

    def request_options(self) -> bytes:
        return b""

    def acceptable(self, option_type: int, value: bytes) -> bytes | None:
        return None

    def receive_nak(self, options: list[Option]) -> Event:
        return Event.RCN

    def this_layer_up(self, out: list[Action]) -> None:
        self.done.append("tlu")

    def this_layer_down(self, out: list[Action]) -> None:
        self.done.append("tld")


class Sink(list[Action]):
    """Notes each packet among the layer's actions, in the order of the events."""

    def __init__(self, layer: Recorder) -> None:
        super().__init__()
        self.layer = layer

    def append(self, action: Action) -> None:
        super().append(action)
        assert isinstance(action, SendPpp)
        self.layer.done.append(CODES[read(action.payload)[1]])


def layer(state: State) -> Recorder:
    made = Recorder(config(restart_s=RESTART_S))
    made.state = state
    made.timer_at = 50.0
    return made


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_a_cell_s_actions_are_done_in_order_and_its_state_entered(
    event: Event, state: State
) -> None:
    text = cells_of_the_rfc()[EVENT_NAMES[event], state]
    automaton = layer(state)
    reply = bytes.fromhex("802102010004")
    automaton.event(event, 100.0, Sink(automaton), 1, reply)
    actions, _, after = text.rpartition("/")
    seen = [
        {"sca": "reply", "scn": "reply", "scj": "reply", "ser": "reply"}.get(name, name)
        for name in actions.split(",")
        if name in {"tlu", "tld", "scr", "str", "sta", "sca", "scn", "scj", "ser"}
    ]
    assert automaton.done == ([] if text == "-" else seen)
    assert automaton.state == (state if text == "-" else int(after))


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_the_restart_timer_is_started_kept_or_stopped_as_the_rfc_says(
    event: Event, state: State
) -> None:
    cells = cells_of_the_rfc()
    text = cells[EVENT_NAMES[event], state]
    automaton = layer(state)
    automaton.event(event, 100.0, Sink(automaton), 1, bytes.fromhex("802102010004"))
    if text == "-":
        expected = 50.0
    elif cells["TO+", automaton.state] == "-":
        expected = inf
    elif {"scr", "str", "zrc"} & set(text.rpartition("/")[0].split(",")):
        expected = 100.0 + RESTART_S
    else:
        expected = 50.0
    assert automaton.timer_at == expected


def sends(automaton: Recorder) -> int:
    """Let the timer expire until it stops; returns how many packets that took."""
    out: list[Action] = []
    while automaton.timer_at < inf:
        automaton.timeout(automaton.timer_at, out)
    return len(out)


def test_max_configure_counts_the_first_transmission() -> None:
    automaton = Recorder(config(max_configure=4))
    out: list[Action] = []
    automaton.event(Event.OPEN, 0.0, out)
    automaton.event(Event.UP, 0.0, out)
    assert len(out) + sends(automaton) == 4
    assert automaton.state is State.STOPPED


def test_max_terminate_counts_the_first_transmission() -> None:
    automaton = layer(State.OPENED)
    out: list[Action] = []
    automaton.event(Event.CLOSE, 0.0, out)
    assert len(out) + sends(automaton) == 2
    assert automaton.state is State.CLOSED


def test_a_terminate_request_in_opened_pauses_one_restart_period_and_sends_nothing() -> None:
    automaton = layer(State.OPENED)
    automaton.event(Event.RTR, 10.0, [], 1)
    assert automaton.timer_at == 10.0 + RESTART_S
    assert sends(automaton) == 0
    assert automaton.state is State.STOPPED


def test_a_repeated_request_keeps_its_identifier_and_an_answered_one_does_not() -> None:
    automaton = Recorder(config())
    out: list[Action] = []
    automaton.event(Event.OPEN, 0.0, out)
    automaton.event(Event.UP, 0.0, out)
    automaton.timeout(1.0, out)
    automaton.receive(ACK, 1, b"", 1.5, out)
    automaton.timeout(3.0, out)
    packets = [read(action.payload) for action in out if isinstance(action, SendPpp)]
    assert [(code, identifier) for _, code, identifier, _ in packets] == [
        (REQ, 1),
        (REQ, 1),
        (REQ, 2),
    ]


def test_identifiers_wrap_without_zero() -> None:
    automaton = Recorder(config())
    assert [automaton.next_identifier() for _ in range(257)][253:] == [254, 255, 1, 2]


def test_a_request_to_a_closed_layer_gets_terminate_ack() -> None:
    automaton = layer(State.CLOSED)
    out: list[Action] = []
    automaton.receive(REQ, 7, b"", 0.0, out)
    assert [read(action.payload)[1:3] for action in out if isinstance(action, SendPpp)] == [(6, 7)]
