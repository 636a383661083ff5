"""The local backend: answers at once from the users of a file.

PAP (RFC 1334), CHAP (RFC 1994), MS-CHAPv1 (RFC 2433) and MS-CHAPv2 (RFC 2759) against the stored
password of `bng.aaa.password`. A peer learns nothing from a reject, neither from its text nor from
the time it took: an unknown user costs what most users of the file cost.
"""

from bng.aaa.model import (
    AccessAccept,
    AccessAnswer,
    AccessReject,
    AccessRequest,
    RejectReason,
)
from bng.aaa.password import ClearText, NtHash, Pbkdf2, Scrypt, StoredPassword
from bng.aaa.users import Users
from bng.ppp import chap, mschap
from bng.ppp.credentials import (
    ChapCredentials,
    Credentials,
    MsChap1Credentials,
    MsChap2Credentials,
    PapCredentials,
)

SLOW = (Scrypt, Pbkdf2)
"""Passwords that are stored so that each guess costs much."""


class LocalBackend:
    """A `bng.aaa.model.Backend` over a loaded user file.

    Assign another `Users` to *users* to reload: the next request sees it.
    """

    __slots__ = ("users",)

    def __init__(self, users: Users) -> None:
        self.users = users

    def is_slow(self, request: AccessRequest) -> bool:
        """Say whether the check takes milliseconds of CPU or more, not microseconds."""
        user = self.users.by_name.get(request.user_name)
        stored = self.users.decoy if user is None else user.password
        return isinstance(request.credentials, PapCredentials) and isinstance(stored, SLOW)

    def start(self, request: AccessRequest, now: float) -> AccessAnswer:
        """Verify the credentials of *request*, which takes no account of *now*."""
        user = self.users.by_name.get(request.user_name)
        if user is None:
            _verify(request.credentials, self.users.decoy)
            return AccessReject(RejectReason.UNKNOWN_USER)
        verdict = _verify(request.credentials, user.password)
        if isinstance(verdict, AccessReject):
            return verdict
        profile = user.profile
        return AccessAccept(
            profile,
            profile.reply_message,
            verdict,
            classes=user.classes,
            interim_interval_s=user.interim_interval_s,
        )

    def cancel(self, key: tuple[int, int]) -> None:
        """Do nothing: no answer is promised."""


_WRONG = AccessReject(RejectReason.WRONG_PASSWORD)


def _verify(credentials: Credentials, stored: StoredPassword) -> AccessReject | bytes | None:
    """Return a reject, or what MS-CHAPv2 has to tell the peer; None is a plain success."""
    match credentials:
        case ChapCredentials():
            if not isinstance(stored, ClearText):
                return _not_usable("CHAP", "clear text")
            return None if chap.verify(credentials, stored.password) else _WRONG
        case PapCredentials():
            return None if stored.matches(credentials.password) else _WRONG
        case MsChap2Credentials():
            nt_hash = _nt_hash(stored)
            if nt_hash is None:
                return _not_usable("MS-CHAPv2", "clear text or {nt}")
            return mschap.verify_v2(credentials, nt_hash) or _WRONG
        case MsChap1Credentials():
            nt_hash = _nt_hash(stored)
            if nt_hash is None:
                return _not_usable("MS-CHAPv1", "clear text or {nt}")
            return None if mschap.verify_v1(credentials, nt_hash) else _WRONG


def _nt_hash(stored: StoredPassword) -> bytes | None:
    match stored:
        case ClearText():
            return mschap.nt_hash(stored.password)
        case NtHash():
            return stored.hash
        case _:
            return None


def _not_usable(method: str, wanted: str) -> AccessReject:
    return AccessReject(
        RejectReason.PASSWORD_NOT_USABLE,
        detail=f"{method} needs the password as {wanted}, the user file has a hash",
    )
