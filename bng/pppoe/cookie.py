"""The AC-Cookie (RFC 2516 §9): a keyed hash, so that a PADI costs no state.

It binds port, VLANs, MAC and a coarse time step. The step of now and the one before are taken,
so a cookie is good for at least one lifetime and for less than two.
"""

import hashlib
import hmac
from typing import Final

COOKIE_BYTES: Final = 16
KEY_BYTES: Final = 32


class CookieJar:
    """Bakes and checks AC-Cookies under a key of KEY_BYTES bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def bake(self, client: int, lifetime_s: float, now: float) -> bytes:
        """Return the cookie of *client* (`client_of`) for the time step of *now*."""
        return _hash(self._key, client, int(now // lifetime_s))

    def accepts(self, cookie: bytes, client: int, lifetime_s: float, now: float) -> bool:
        """Say whether *cookie* was baked for *client* and has not expired."""
        if len(cookie) != COOKIE_BYTES:
            return False
        step = int(now // lifetime_s)
        return any(
            hmac.compare_digest(cookie, _hash(self._key, client, age)) for age in (step, step - 1)
        )


def _hash(key: bytes, client: int, step: int) -> bytes:
    data = client.to_bytes(16) + step.to_bytes(8, signed=True)
    return hashlib.blake2s(data, digest_size=COOKIE_BYTES, key=key).digest()
