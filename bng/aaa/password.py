"""Passwords as the user file stores them.

A stored password is clear text, or starts with a scheme in braces:

    {clear}TEXT                              clear text that itself starts with a brace
    {nt}HEX                                  NT hash (RFC 2759 §8.3): PAP and MS-CHAP
    {scrypt}LN,R,P$SALT$KEY                  RFC 7914, N = 2^LN: PAP only
    {pbkdf2-sha256}ITERATIONS$SALT$KEY       RFC 8018: PAP only
    {ssha256}KEY+SALT   {ssha}KEY+SALT       as LDAP servers write it: PAP only

SALT and KEY are base64. CHAP (RFC 1994 §2.2) needs the clear text at both ends, so a hash of any
kind cannot serve it. The costs of scrypt and PBKDF2 are bounded, because they are paid by the
process that serves every subscriber; ``ssha256`` costs next to nothing, to a thief as well.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from bng.ppp import mschap

MAX_PASSWORD_BYTES = 255
"""PAP carries a Passwd-Length of one octet (RFC 1334 §2.2.1)."""
MAX_SCRYPT_LN = 16
MAX_SCRYPT_R = 16
MAX_SCRYPT_P = 4
MAX_PBKDF2_ITERATIONS = 1_000_000
SALT_BYTES = 16
KEY_BYTES = 32
NT_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class ClearText:
    """The password itself: serves every method."""

    password: bytes

    def matches(self, password: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.password, password)


@dataclass(frozen=True, slots=True)
class NtHash:
    """The NT hash: serves PAP and MS-CHAP."""

    hash: bytes

    def matches(self, password: bytes) -> bool:
        """Hash *password* and compare in constant time."""
        return hmac.compare_digest(self.hash, mschap.nt_hash(password))


@dataclass(frozen=True, slots=True)
class Scrypt:
    """A key derived by scrypt (RFC 7914): serves PAP."""

    ln: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def matches(self, password: bytes) -> bool:
        """Derive from *password* and compare in constant time."""
        return hmac.compare_digest(self.key, self._derive(password))

    def _derive(self, password: bytes) -> bytes:
        n = 1 << self.ln
        memory = 128 * self.r * (n + self.p + 2) + (1 << 16)
        return hashlib.scrypt(
            password, salt=self.salt, n=n, r=self.r, p=self.p, maxmem=memory, dklen=len(self.key)
        )

    @classmethod
    def parse(cls, text: str) -> "Scrypt":
        """Read ``LN,R,P$SALT$KEY``. Raises: ValueError."""
        costs, salt, key = _fields(text, "LN,R,P$SALT$KEY")
        numbers = costs.split(",")
        if len(numbers) != 3:
            raise ValueError("{scrypt} wants LN,R,P$SALT$KEY")
        ln = _number(numbers[0], "LN", MAX_SCRYPT_LN)
        r = _number(numbers[1], "R", MAX_SCRYPT_R)
        p = _number(numbers[2], "P", MAX_SCRYPT_P)
        return cls(ln, r, p, _base64(salt), _key(key))

    @classmethod
    def make(cls, password: bytes, salt: bytes, ln: int = 14) -> "Scrypt":
        """Derive with r = 8, p = 1 and N = 2^*ln*."""
        empty = cls(ln, 8, 1, salt, bytes(KEY_BYTES))
        return cls(ln, 8, 1, salt, empty._derive(password))

    def __str__(self) -> str:
        costs = f"{self.ln},{self.r},{self.p}"
        return f"{{scrypt}}{costs}${_text(self.salt)}${_text(self.key)}"


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """A key derived by PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2): serves PAP."""

    iterations: int
    salt: bytes
    key: bytes

    def matches(self, password: bytes) -> bool:
        """Derive from *password* and compare in constant time."""
        derived = hashlib.pbkdf2_hmac("sha256", password, self.salt, self.iterations, len(self.key))
        return hmac.compare_digest(self.key, derived)

    @classmethod
    def parse(cls, text: str) -> "Pbkdf2":
        """Read ``ITERATIONS$SALT$KEY``. Raises: ValueError."""
        iterations, salt, key = _fields(text, "ITERATIONS$SALT$KEY")
        count = _number(iterations, "ITERATIONS", MAX_PBKDF2_ITERATIONS)
        return cls(count, _base64(salt), _key(key))

    @classmethod
    def make(cls, password: bytes, salt: bytes, iterations: int = 100_000) -> "Pbkdf2":
        """Derive with *iterations* rounds."""
        key = hashlib.pbkdf2_hmac("sha256", password, salt, iterations, KEY_BYTES)
        return cls(iterations, salt, key)

    def __str__(self) -> str:
        return f"{{pbkdf2-sha256}}{self.iterations}${_text(self.salt)}${_text(self.key)}"


@dataclass(frozen=True, slots=True)
class SaltedDigest:
    """One salted SHA-1 or SHA-256 round, as LDAP servers store it: serves PAP."""

    algorithm: str
    salt: bytes
    digest: bytes

    def matches(self, password: bytes) -> bool:
        """Hash *password* and compare in constant time."""
        digest = hashlib.new(self.algorithm, password + self.salt).digest()
        return hmac.compare_digest(self.digest, digest)

    @classmethod
    def parse(cls, algorithm: str, text: str) -> "SaltedDigest":
        """Read the base64 of digest and salt. Raises: ValueError."""
        raw = _base64(text)
        size = hashlib.new(algorithm).digest_size
        if len(raw) <= size:
            raise ValueError(f"wants base64 of a digest of {size} bytes and a salt")
        return cls(algorithm, raw[size:], raw[:size])

    @classmethod
    def make(cls, password: bytes, salt: bytes) -> "SaltedDigest":
        """Hash with SHA-256."""
        return cls("sha256", salt, hashlib.sha256(password + salt).digest())

    def __str__(self) -> str:
        scheme = {"sha1": "ssha", "sha256": "ssha256"}[self.algorithm]
        return f"{{{scheme}}}{_text(self.digest + self.salt)}"


StoredPassword = ClearText | NtHash | Scrypt | Pbkdf2 | SaltedDigest


def parse_password(text: str) -> StoredPassword:
    """Return what the user file's ``password`` stands for.

    Raises: ValueError, whose text never holds the password.
    """
    if not text.startswith("{"):
        return _clear(text)
    scheme, brace, rest = text[1:].partition("}")
    parser = _SCHEMES.get(scheme.lower())
    if not brace or parser is None:
        known = ", ".join(f"{{{name}}}" for name in _SCHEMES)
        raise ValueError(
            f"unknown scheme: one of {known}; clear text that starts with a brace "
            "is written {clear}{..."
        )
    return parser(rest)


def hash_password(method: str, password: str, salt: bytes) -> str:
    """Return *password* as the user file stores it under *method*, a key of `HASH_METHODS`.

    *salt* is SALT_BYTES unpredictable bytes, which not every method takes.

    Raises: ValueError on an unknown method, or a password that no method could carry.
    """
    make = HASH_METHODS.get(method)
    if make is None:
        raise ValueError(f"unknown method: one of {', '.join(HASH_METHODS)}")
    return make(_clear(password).password, salt)


HASH_METHODS: dict[str, Callable[[bytes, bytes], str]] = {
    "scrypt": lambda password, salt: str(Scrypt.make(password, salt)),
    "pbkdf2-sha256": lambda password, salt: str(Pbkdf2.make(password, salt)),
    "ssha256": lambda password, salt: str(SaltedDigest.make(password, salt)),
    "nt": lambda password, salt: f"{{nt}}{mschap.nt_hash(password).hex()}",
}


def _clear(text: str) -> ClearText:
    password = text.encode()
    if not 1 <= len(password) <= MAX_PASSWORD_BYTES:
        raise ValueError(f"must have 1 to {MAX_PASSWORD_BYTES} bytes")
    return ClearText(password)


def _nt(text: str) -> NtHash:
    if len(text) != 2 * NT_HASH_BYTES:
        raise ValueError("{nt} wants 32 hexadecimal digits")
    try:
        return NtHash(bytes.fromhex(text))
    except ValueError:
        raise ValueError("{nt} wants 32 hexadecimal digits") from None


_SCHEMES: dict[str, Callable[[str], StoredPassword]] = {
    "clear": _clear,
    "nt": _nt,
    "scrypt": Scrypt.parse,
    "pbkdf2-sha256": Pbkdf2.parse,
    "ssha256": lambda text: SaltedDigest.parse("sha256", text),
    "ssha": lambda text: SaltedDigest.parse("sha1", text),
}


def _fields(text: str, form: str) -> list[str]:
    fields = text.split("$")
    if len(fields) != form.count("$") + 1:
        raise ValueError(f"wants {form}")
    return fields


def _number(text: str, name: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= highest):
        raise ValueError(f"{name} must be a number from 1 to {highest}")
    return int(text)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("holds something that is not base64") from None


def _key(text: str) -> bytes:
    key = _base64(text)
    if not 16 <= len(key) <= 64:
        raise ValueError("KEY must have 16 to 64 bytes")
    return key


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
