"""MS-CHAPv2 for the client, from RFC 2759 §8, with MD4 (RFC 1320) and DES (FIPS 46-3)."""

import hashlib
import struct

_IP = bytes(range(57, 64, 2)), bytes(range(56, 63, 2))
_INITIAL = [row - 8 * col for half in _IP for row in half for col in range(8)]
_FINAL = [_INITIAL.index(bit) for bit in range(64)]
_EXPAND = [(4 * row + col - 1) % 32 for row in range(8) for col in range(6)]
_PERMUTE = [
    15, 6, 19, 20, 28, 11, 27, 16, 0, 14, 22, 25, 4, 17, 30, 9,
    1, 7, 23, 13, 31, 26, 2, 8, 18, 12, 29, 5, 21, 10, 3, 24,
]  # fmt: skip
_PC1 = [
    56, 48, 40, 32, 24, 16, 8, 0, 57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2,
    59, 51, 43, 35, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5,
    60, 52, 44, 36, 28, 20, 12, 4, 27, 19, 11, 3,
]  # fmt: skip
_PC2 = [
    13, 16, 10, 23, 0, 4, 2, 27, 14, 5, 20, 9, 22, 18, 11, 3, 25, 7, 15, 6, 26, 19, 12, 1,
    40, 51, 30, 36, 46, 54, 29, 39, 50, 44, 32, 47, 43, 48, 38, 55, 33, 52, 45, 41, 49, 35, 28, 31,
]  # fmt: skip
_SHIFTS = (1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1)
_BOXES = [
    [int(digit, 16) for digit in box]
    for box in (
        "e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d",
        "f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9",
        "a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c",
        "7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e",
        "2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453",
        "c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d",
        "4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c",
        "d2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b",
    )
]


def _pick(bits: list[int], table: list[int]) -> list[int]:
    return [bits[at] for at in table]


def des(key7: bytes, block: bytes) -> bytes:
    """Encrypt one 8-byte block under a 7-byte key without parity bits (RFC 2759 §8.6)."""
    raw = int.from_bytes(key7, "big")
    # Spread 56 bits over 8 bytes of 7: PC-1 never looks at the eighth (parity) bit.
    key = [raw >> (55 - 7 * (at // 8) - at % 8) & 1 if at % 8 < 7 else 0 for at in range(64)]
    c, d = (half := _pick(key, _PC1))[:28], half[28:]
    text = int.from_bytes(block, "big")
    bits = _pick([text >> (63 - at) & 1 for at in range(64)], _INITIAL)
    left, right = bits[:32], bits[32:]
    for shift in _SHIFTS:
        c, d = c[shift:] + c[:shift], d[shift:] + d[:shift]
        mixed = [a ^ b for a, b in zip(_pick(right, _EXPAND), _pick(c + d, _PC2), strict=True)]
        out: list[int] = []
        for box in range(8):
            six = mixed[6 * box : 6 * box + 6]
            row = six[0] << 1 | six[5]
            col = six[1] << 3 | six[2] << 2 | six[3] << 1 | six[4]
            value = _BOXES[box][16 * row + col]
            out += [value >> 3 & 1, value >> 2 & 1, value >> 1 & 1, value & 1]
        out = _pick(out, _PERMUTE)
        left, right = right, [a ^ b for a, b in zip(left, out, strict=True)]
    result = 0
    for bit in _pick(right + left, _FINAL):
        result = result << 1 | bit
    return result.to_bytes(8, "big")


def md4(data: bytes) -> bytes:
    """Digest *data* with MD4 (RFC 1320)."""
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    orders = (
        list(range(16)),
        [at % 4 * 4 + at // 4 for at in range(16)],
        [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15],
    )
    shifts = ((3, 7, 11, 19), (3, 5, 9, 13), (3, 9, 11, 15))
    constants = (0, 0x5A827999, 0x6ED9EBA1)
    for start in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, start)
        a, b, c, d = state
        for turn in range(3):
            for step in range(16):
                if turn == 0:
                    mix = b & c | ~b & d
                elif turn == 1:
                    mix = b & c | b & d | c & d
                else:
                    mix = b ^ c ^ d
                total = (a + mix + words[orders[turn][step]] + constants[turn]) & 0xFFFFFFFF
                shift = shifts[turn][step % 4]
                rolled = (total << shift | total >> (32 - shift)) & 0xFFFFFFFF
                a, b, c, d = d, rolled, b, c
        state = [(x + y) & 0xFFFFFFFF for x, y in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)


def challenge_hash(peer: bytes, authenticator: bytes, user: bytes) -> bytes:
    """Hash both challenges and the user name (RFC 2759 §8.2)."""
    return hashlib.sha1(peer + authenticator + user).digest()[:8]


def nt_response(authenticator: bytes, peer: bytes, user: bytes, password: str) -> bytes:
    """Answer a challenge with 24 bytes (RFC 2759 §8.1)."""
    challenge = challenge_hash(peer, authenticator, user)
    key = md4(password.encode("utf-16-le")).ljust(21, b"\0")
    return b"".join(des(key[at : at + 7], challenge) for at in (0, 7, 14))


def authenticator_response(
    password: str, response: bytes, peer: bytes, authenticator: bytes, user: bytes
) -> str:
    """Say what the server must put into its Success message (RFC 2759 §8.7)."""
    double = md4(md4(password.encode("utf-16-le")))
    first = hashlib.sha1(double + response + b"Magic server to client signing constant").digest()
    second = hashlib.sha1(
        first
        + challenge_hash(peer, authenticator, user)
        + b"Pad to make it do more than one iteration"
    )
    return "S=" + second.hexdigest().upper()
