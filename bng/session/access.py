"""The interface between the session core and an access method (PPPoE is the first).

The method owns how a client signs up: discovery, link negotiation, credentials. The core owns who
may have what: AAA, addresses, limits, the dataplane entry, the end. Both speak through these two
protocols; neither knows the other by name.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from bng.aaa.model import AccessAccept
from bng.ethernet import AccessLine, Mac
from bng.ppp.config import Ipv4Params, Ipv6Params
from bng.ppp.credentials import Credentials
from bng.session.actions import Action

if TYPE_CHECKING:
    from bng.session.model import Cause, Session


class AccessMethod(Protocol):
    """What the core asks of an access method about a session of its own."""

    @property
    def name(self) -> str:
        """The word that show prints."""
        ...

    def session_id(self, session: "Session") -> int:
        """The number by which the client knows the session: SESSION_ID of PPPoE."""
        ...

    def receive(self, session: "Session", frame: bytes, now: float) -> None:
        """Take a control frame of the session; never raises."""
        ...

    def accept(
        self,
        session: "Session",
        answer: AccessAccept,
        ipv4: Ipv4Params | None,
        ipv6: Ipv6Params | None,
        now: float,
    ) -> None:
        """Tell the client that it is authenticated, and with what."""
        ...

    def reject(self, session: "Session", message: str, now: float, *, wrong: bool) -> None:
        """Tell the client that it is refused; *wrong*: for its credentials. Ends in core.end."""
        ...

    def installed(self, session: "Session", request_id: int, now: float) -> None:
        """The dataplane forwards: the client may be told."""
        ...

    def refuse(self, session: "Session", request_id: int, now: float) -> None:
        """There is nothing to install for the family: the client is told, the others go on."""
        ...

    def close(self, session: "Session", now: float) -> None:
        """End politely; ends in core.end."""
        ...

    def abort(self, session: "Session", message: str, now: float) -> None:
        """Say that it is over, at once; called from within core.end."""
        ...

    def released(self, session: "Session", now: float) -> None:
        """The entry is free: forget the session."""
        ...

    def tick(self, session: "Session", now: float) -> None:
        """Run the session's timers that are due."""
        ...

    def deadline(self, session: "Session") -> float | None:
        """When tick is due."""
        ...

    def record(self, session: "Session") -> dict[str, object]:
        """What adopting the session takes, beyond what the core knows; JSON values."""
        ...

    def adopt(
        self,
        session: "Session",
        record: Mapping[str, object],
        ipv4: Ipv4Params | None,
        assigned: int | None,
        now: float,
    ) -> None:
        """Go on, silently, with a session of which a former bngd wrote *record*.

        *assigned* is the user's IPv6 interface identifier, None: his own choice. Raises: ValueError
        when that cannot be; then nothing has changed.
        """
        ...


class Core(Protocol):
    """What an access method tells the core."""

    def emit(self, action: Action) -> None:
        """Queue an action."""
        ...

    def open(
        self, method: AccessMethod, line: AccessLine, mac: Mac, now: float
    ) -> "Session | None":
        """Make a session; None when the box is full or drains."""
        ...

    def bind(self, session: "Session", session_id: int, domain: int, page: int) -> None:
        """Make a new session known to the dataplane (`bng.session.actions.BindSession`)."""
        ...

    def authenticate(
        self, session: "Session", request_id: int, credentials: Credentials, now: float
    ) -> None:
        """Ask AAA; answered by accept or reject, at once or later."""
        ...

    def link_opened(
        self, session: "Session", magics: tuple[int, int], peer_mru: int, now: float
    ) -> None:
        """The link layer is open, with (our, its) magic numbers."""
        ...

    def link_left(self, session: "Session", now: float) -> None:
        """The link layer renegotiates: nothing may be forwarded."""
        ...

    def install(
        self, session: "Session", request_id: int, family: int, interface_id: int | None, now: float
    ) -> None:
        """Make *family* forward; answered by installed."""
        ...

    def network_up(self, session: "Session", family: int, now: float) -> None:
        """The client may send *family*, 4 or 6."""
        ...

    def network_down(self, session: "Session", family: int, now: float) -> None:
        """The client closed *family*."""
        ...

    def reschedule(self, session: "Session") -> None:
        """Look at the session's deadline again."""
        ...

    def end(self, session: "Session", cause: "Cause", detail: str, now: float) -> None:
        """Tear down: the one path."""
        ...
