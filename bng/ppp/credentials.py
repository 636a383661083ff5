"""What a client offered to prove who it is, one value per authentication method.

The user name is decoded as UTF-8 with surrogateescape: every octet string has a name and no
octet is lost on the way to RADIUS or to a log.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PapCredentials:
    """Peer-ID and Password of a PAP Authenticate-Request (RFC 1334 §2.2.1)."""

    user_name: str
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapCredentials:
    """A CHAP-MD5 Response, 16 octets, and the Challenge that it answers (RFC 1994 §4.1)."""

    user_name: str
    identifier: int
    challenge: bytes
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MsChap1Credentials:
    """An MS-CHAPv1 Response: LM 24, NT 24, flag 1; challenge of 8 octets (RFC 2433 §6)."""

    user_name: str
    identifier: int
    challenge: bytes
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MsChap2Credentials:
    """An MS-CHAPv2 Response: Peer-Challenge 16, zeros 8, NT 24, flags 1 (RFC 2759 §4)."""

    user_name: str
    identifier: int
    challenge: bytes
    response: bytes = field(repr=False)


Credentials = PapCredentials | ChapCredentials | MsChap1Credentials | MsChap2Credentials


def decode_name(name: bytes) -> str:
    """Return *name* as text from which `encode_name` gives the same octets back."""
    return name.decode("utf-8", "surrogateescape")


def encode_name(name: str) -> bytes:
    """Return the octets that `decode_name` read."""
    return name.encode("utf-8", "surrogateescape")
