"""CHAP, the authenticator's side: RFC 1994, with MS-CHAPv1 (RFC 2433) and v2 (RFC 2759) on top.

Each Challenge is new: another Identifier and fresh octets, also when it repeats one that was lost;
the pause between them doubles, so that a slow peer can answer one before the next replaces it.
"""

import hashlib
import hmac
from collections.abc import Callable
from math import inf
from typing import ClassVar

from bng.errors import MalformedPacket
from bng.ppp.actions import Action, SendPpp
from bng.ppp.authenticator import Authenticator, counted
from bng.ppp.config import AuthMethod, LinkConfig
from bng.ppp.credentials import (
    ChapCredentials,
    Credentials,
    MsChap1Credentials,
    MsChap2Credentials,
    decode_name,
)
from bng.ppp.packet import Protocol, build_frame

CHALLENGE = 1
RESPONSE = 2
SUCCESS = 3
FAILURE = 4

_MAX_MESSAGE = 1024
_CHALLENGE_BYTES = {AuthMethod.CHAP_MD5: 16, AuthMethod.MSCHAP_V1: 8, AuthMethod.MSCHAP_V2: 16}
_RESPONSE_BYTES = {AuthMethod.CHAP_MD5: 16, AuthMethod.MSCHAP_V1: 49, AuthMethod.MSCHAP_V2: 49}
_CREDENTIALS: dict[
    AuthMethod, type[ChapCredentials] | type[MsChap1Credentials] | type[MsChap2Credentials]
] = {
    AuthMethod.CHAP_MD5: ChapCredentials,
    AuthMethod.MSCHAP_V1: MsChap1Credentials,
    AuthMethod.MSCHAP_V2: MsChap2Credentials,
}


def chap_response(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """Return the Value of a CHAP-MD5 Response, 16 octets (RFC 1994 §4.1)."""
    digest = hashlib.md5(bytes((identifier,)) + secret + challenge, usedforsecurity=False)
    return digest.digest()


def verify(credentials: ChapCredentials, secret: bytes) -> bool:
    """Tell whether *credentials* prove knowledge of *secret*, in constant time."""
    expected = chap_response(credentials.identifier, secret, credentials.challenge)
    return hmac.compare_digest(expected, credentials.response)


class Chap(Authenticator):
    """Challenge the peer, at the start and whenever `start` is called again.

    *identifier* is that of the last Challenge this link ever sent; the next one differs.
    """

    __slots__ = ("_answer", "_challenge", "_config", "_entropy", "_give_up_at", "_method", "_pause")

    protocol: ClassVar[int] = int(Protocol.CHAP)

    def __init__(
        self,
        config: LinkConfig,
        method: AuthMethod,
        entropy: Callable[[int], bytes],
        identifier: int = 0,
    ) -> None:
        super().__init__(identifier)
        self._config = config
        self._method = method
        self._entropy = entropy
        self._challenge = b""
        self._answer = b""  # to the Response to the current Challenge
        self._give_up_at = inf
        self._pause = 0.0

    def start(self, now: float, out: list[Action]) -> None:
        """Send a new Challenge."""
        self._pause = self._config.restart_s
        self._give_up_at = now + self._config.auth_timeout_s
        self._send_challenge(now, out)

    def timeout(self, now: float, out: list[Action]) -> bool:
        """Challenge again; False when nobody answered for the authentication timeout."""
        if now >= self._give_up_at:
            return False
        self._pause *= 2
        self._send_challenge(now, out)
        return True

    def _send_challenge(self, now: float, out: list[Action]) -> None:
        self.identifier = self.identifier % 255 + 1
        self._challenge = self._entropy(_CHALLENGE_BYTES[self._method])
        self._answer = b""
        self.timer_at = min(now + self._pause, self._give_up_at)
        value = bytes((len(self._challenge),)) + self._challenge + self._config.ac_name
        out.append(SendPpp(build_frame(self.protocol, CHALLENGE, self.identifier, value)))

    def receive(
        self, code: int, identifier: int, data: bytes, out: list[Action]
    ) -> Credentials | None:
        """Take a Response; other codes are not for an authenticator.

        Raises: MalformedPacket.
        """
        if code != RESPONSE:
            return None
        value, offset = counted(data, 0)
        if len(value) != _RESPONSE_BYTES[self._method]:
            raise MalformedPacket(f"a CHAP Response of {len(value)} octets")
        if identifier != self.identifier or self.pending:
            return None
        if not self._challenge and not self._answer:  # not ours: another link's, before a restart
            return None
        if self._answer:  # "MUST return the same reply Code" (RFC 1994 §4.1)
            out.append(SendPpp(self._answer))
            return None
        self.pending = True
        self.timer_at = inf
        return _CREDENTIALS[self._method](
            user_name=decode_name(data[offset:]),
            identifier=identifier,
            challenge=self._challenge,
            response=value,
        )

    def succeed(self, message: str, authenticator_response: bytes, out: list[Action]) -> None:
        """Send Success; with MS-CHAPv2 "S=<auth_string> M=<message>" (RFC 2759 §5)."""
        text = message.encode("utf-8", "replace")
        if self._method is AuthMethod.MSCHAP_V2:
            text = authenticator_response + b" M=" + text
        self._decide(SUCCESS, text, out)

    def fail(self, message: str, out: list[Action]) -> None:
        """Send Failure; with MS-CHAP "E=691 R=0 C=<new challenge> V=<version>", and M= in v2.

        691 is ERROR_AUTHENTICATION_FAILURE, R=0: no retry (RFC 2433 §8, RFC 2759 §6).
        """
        text = message.encode("utf-8", "replace")
        if self._method is not AuthMethod.CHAP_MD5:
            challenge = self._entropy(_CHALLENGE_BYTES[self._method]).hex().upper().encode()
            text_v2 = b" V=3 M=" + text
            version = text_v2 if self._method is AuthMethod.MSCHAP_V2 else b" V=2"
            text = b"E=691 R=0 C=" + challenge + version
        self._decide(FAILURE, text, out)

    def _decide(self, code: int, text: bytes, out: list[Action]) -> None:
        self.pending = False
        self._challenge = b""
        self._answer = build_frame(self.protocol, code, self.identifier, text[:_MAX_MESSAGE])
        out.append(SendPpp(self._answer))
