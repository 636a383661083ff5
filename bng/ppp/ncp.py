"""What IPCP and IPv6CP share: the Configure-Ack that waits for the dataplane.

The Ack of a peer's request that would bring the network protocol up is held until the dataplane
is ready, so that the peer's first packet is forwarded. Held is the latest good request only.
A renegotiation with the same outcome needs no second installation; a layer that was closed does.
"""

from typing import ClassVar

from bng.ppp.actions import Action, Install, NetworkDown, NetworkUp
from bng.ppp.config import LinkConfig
from bng.ppp.fsm import Automaton
from bng.ppp.packet import Option
from bng.ppp.table import Event, State


class Ncp(Automaton):
    """A network control protocol of *family* 4 or 6.

    *held* is the (Identifier, options) of a request whose Ack waits; *install_request* the id of
    the `Install` that it waits for, 0 when that is yet to be asked.
    """

    __slots__ = ("held", "install_request", "installed", "peer_interface_id")

    family: ClassVar[int]

    def __init__(self, config: LinkConfig) -> None:
        super().__init__(config)
        self.held: tuple[int, bytes] | None = None
        self.install_request = 0
        self.installed = False
        self.peer_interface_id: int | None = None

    def interface_id(self, options: list[Option]) -> int | None:
        """Return the interface identifier among the peer's acceptable *options*."""
        return None

    def receive_nak(self, options: list[Option]) -> Event:
        """Drop the options of ours that the peer wants otherwise: they are not negotiable."""
        for option_type, _ in options:
            self.without |= 1 << option_type
        return Event.RCN

    def acknowledge(
        self, identifier: int, data: bytes, options: list[Option], now: float, out: list[Action]
    ) -> None:
        """Acknowledge at once what is installed, else hold the request."""
        interface_id = self.interface_id(options)
        if interface_id != self.peer_interface_id:
            self.peer_interface_id = interface_id
            self.installed = False
            self.install_request = 0
        if self.installed:
            self.send_ack(identifier, data, now, out)
        else:
            self.held = (identifier, data)

    def ask_install(self, request_id: int, out: list[Action]) -> None:
        """Ask for the installation that the held request waits for."""
        self.install_request = request_id
        out.append(Install(request_id, self.family, self.peer_interface_id))

    def confirm(self, now: float, out: list[Action]) -> None:
        """Acknowledge the held request: the dataplane is ready."""
        self.install_request = 0
        self.installed = True
        if self.held is not None:
            identifier, data = self.held
            self.held = None
            self.send_ack(identifier, data, now, out)

    def go_on(self, serial: int, peer_interface_id: int | None = None) -> None:
        """Be Opened and installed, as another link has been."""
        self.resume(State.OPENED, serial)
        self.installed = True
        self.peer_interface_id = peer_interface_id

    def event(
        self, event: Event, now: float, out: list[Action], identifier: int = 0, reply: bytes = b""
    ) -> None:
        """Take one transition; what ends the peer's request also ends the wait for its Ack."""
        if self.held is not None and event in _ENDS_REQUEST:
            self.held = None
            self.install_request = 0
        super().event(event, now, out, identifier, reply)
        if self.installed and self.state < State.REQ_SENT:
            self.installed = False

    def this_layer_up(self, out: list[Action]) -> None:
        """Tell that the network protocol is up."""
        out.append(NetworkUp(self.family))

    def this_layer_down(self, out: list[Action]) -> None:
        """Tell that the network protocol is down."""
        out.append(NetworkDown(self.family))


_ENDS_REQUEST = frozenset({Event.DOWN, Event.RCR_MINUS, Event.RTR, Event.RTA, Event.RXJ_MINUS})
