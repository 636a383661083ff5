"""PAP, the authenticator's side: RFC 1334 §2."""

from typing import ClassVar

from bng.ppp.actions import Action, SendPpp
from bng.ppp.authenticator import Authenticator, counted
from bng.ppp.credentials import PapCredentials, decode_name
from bng.ppp.packet import Protocol, build_frame

AUTHENTICATE_REQUEST = 1
AUTHENTICATE_ACK = 2
AUTHENTICATE_NAK = 3

_MAX_MESSAGE = 255


class Pap(Authenticator):
    """Wait for an Authenticate-Request; give its repetitions the same answer."""

    __slots__ = ("_answer",)

    protocol: ClassVar[int] = int(Protocol.PAP)

    def __init__(self, identifier: int = 0) -> None:
        super().__init__(identifier)
        self._answer = (0, b"")

    def go_on(self) -> None:
        """Have let the peer in already: a repeated request gets an Authenticate-Ack."""
        self._answer = (AUTHENTICATE_ACK, b"\0")

    def receive(
        self, code: int, identifier: int, data: bytes, out: list[Action]
    ) -> PapCredentials | None:
        """Take an Authenticate-Request; other codes are not for an authenticator.

        Raises: MalformedPacket.
        """
        if code != AUTHENTICATE_REQUEST:
            return None
        peer_id, offset = counted(data, 0)
        password, _ = counted(data, offset)
        self.identifier = identifier
        if self._answer[0]:  # "MUST return the same reply Code" (RFC 1334 §2.2.1)
            self._send(out)
            return None
        if self.pending:  # the answer will carry the latest Identifier
            return None
        self.pending = True
        return PapCredentials(user_name=decode_name(peer_id), password=password)

    def succeed(self, message: str, authenticator_response: bytes, out: list[Action]) -> None:
        """Send Authenticate-Ack."""
        self._decide(AUTHENTICATE_ACK, message, out)

    def fail(self, message: str, out: list[Action]) -> None:
        """Send Authenticate-Nak."""
        self._decide(AUTHENTICATE_NAK, message, out)

    def _decide(self, code: int, message: str, out: list[Action]) -> None:
        text = message.encode("utf-8", "replace")[:_MAX_MESSAGE]
        self.pending = False
        self._answer = (code, bytes((len(text),)) + text)
        self._send(out)

    def _send(self, out: list[Action]) -> None:
        code, data = self._answer
        out.append(SendPpp(build_frame(self.protocol, code, self.identifier, data)))
