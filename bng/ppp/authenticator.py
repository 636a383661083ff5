"""What `Pap` and `Chap` have in common: the authenticator's side of an authentication protocol."""

from math import inf
from typing import ClassVar

from bng.errors import MalformedPacket
from bng.ppp.actions import Action
from bng.ppp.credentials import Credentials


class Authenticator:
    """The authenticator of one link, from LCP Opened on.

    *timer_at* is when `timeout` is due. *pending* tells that credentials are being checked.
    """

    __slots__ = ("identifier", "pending", "timer_at")

    protocol: ClassVar[int]

    def __init__(self, identifier: int) -> None:
        self.identifier = identifier
        self.pending = False
        self.timer_at = inf

    def start(self, now: float, out: list[Action]) -> None:
        """Begin to authenticate the peer, for the first time or again."""

    def go_on(self) -> None:
        """Have let the peer in already, as another authenticator did."""

    def timeout(self, now: float, out: list[Action]) -> bool:
        """Repeat what was not answered; False when that has gone on for too long."""
        raise NotImplementedError

    def receive(
        self, code: int, identifier: int, data: bytes, out: list[Action]
    ) -> Credentials | None:
        """Take a packet; return credentials to be checked, if it brought any.

        Raises: MalformedPacket.
        """
        raise NotImplementedError

    def succeed(self, message: str, authenticator_response: bytes, out: list[Action]) -> None:
        """Tell the peer that it is welcome."""
        raise NotImplementedError

    def fail(self, message: str, out: list[Action]) -> None:
        """Tell the peer that it is not."""
        raise NotImplementedError


def counted(data: bytes, offset: int) -> tuple[bytes, int]:
    """Return the field at *offset* that a length octet precedes, and the offset after it.

    Raises: MalformedPacket when it runs past the end.
    """
    if offset >= len(data):
        raise MalformedPacket("a length octet is missing")
    after = offset + 1 + data[offset]
    if after > len(data):
        raise MalformedPacket(f"a field of {data[offset]} octets runs past the packet")
    return data[offset + 1 : after], after
