"""MS-CHAPv1 (RFC 2433) and MS-CHAPv2 (RFC 2759): proof and authenticator response.

The LM response of v1 is never looked at; changing passwords and MPPE keys are not here.
"""

import hashlib
import hmac

from bng.ppp.credentials import MsChap1Credentials, MsChap2Credentials, encode_name
from bng.ppp.des import des_encrypt
from bng.ppp.md4 import md4

_NT_RESPONSE = slice(24, 48)  # of the 49 octets of a Response, in both versions
_PEER_CHALLENGE = slice(0, 16)
_MAGIC_1 = b"Magic server to client signing constant"
_MAGIC_2 = b"Pad to make it do more than one iteration"


def nt_hash(password: str | bytes) -> bytes:
    """Return NtPasswordHash, 16 octets (RFC 2759 §8.3); octets are taken as UTF-8."""
    text = password if isinstance(password, str) else password.decode("utf-8", "surrogateescape")
    return md4(text.encode("utf-16-le", "surrogatepass"))


def challenge_response(challenge: bytes, password_hash: bytes) -> bytes:
    """Return ChallengeResponse, 24 octets, to 8 octets of *challenge* (RFC 2759 §8.5)."""
    keys = password_hash.ljust(21, b"\0")
    return b"".join(des_encrypt(keys[k : k + 7], challenge) for k in (0, 7, 14))


def challenge_hash(peer_challenge: bytes, challenge: bytes, user_name: str) -> bytes:
    """Return ChallengeHash, 8 octets (RFC 2759 §8.2); a domain before a backslash is left out."""
    name = encode_name(user_name).rpartition(b"\\")[2]
    return hashlib.sha1(peer_challenge + challenge + name, usedforsecurity=False).digest()[:8]


def verify_v1(credentials: MsChap1Credentials, nt_hash: bytes) -> bool:
    """Tell whether the NT response of *credentials* is right, in constant time."""
    expected = challenge_response(credentials.challenge, nt_hash)
    uses_nt = credentials.response[48:] == b"\x01"  # else only LM counts (RFC 2433 §6)
    return hmac.compare_digest(expected, credentials.response[_NT_RESPONSE]) and uses_nt


def verify_v2(credentials: MsChap2Credentials, nt_hash: bytes) -> bytes | None:
    """Return the authenticator response "S=<40 hex digits>", None when the proof is wrong."""
    peer_challenge = credentials.response[_PEER_CHALLENGE]
    proof = credentials.response[_NT_RESPONSE]
    challenge = challenge_hash(peer_challenge, credentials.challenge, credentials.user_name)
    if not hmac.compare_digest(challenge_response(challenge, nt_hash), proof):
        return None
    return _authenticator_response(nt_hash, proof, challenge)


def _authenticator_response(nt_hash: bytes, proof: bytes, challenge: bytes) -> bytes:
    """Return GenerateAuthenticatorResponse (RFC 2759 §8.7)."""
    first = hashlib.sha1(md4(nt_hash) + proof + _MAGIC_1, usedforsecurity=False).digest()
    second = hashlib.sha1(first + challenge + _MAGIC_2, usedforsecurity=False)
    return b"S=" + second.hexdigest().upper().encode()
