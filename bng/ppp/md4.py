"""MD4 (RFC 1320), for MS-CHAP only; OpenSSL 3 has it no longer without its legacy provider."""

from struct import Struct

_BLOCK = Struct("<16I")
_DIGEST = Struct("<4I")
_INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_MASK = 0xFFFF_FFFF
_BLOCK_BYTES = 64

_ROUND_1 = tuple((k, (3, 7, 11, 19)[k % 4]) for k in range(16))
_ROUND_2 = tuple((k // 4 + k % 4 * 4, (3, 5, 9, 13)[k % 4]) for k in range(16))
_ORDER_3 = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)
_ROUND_3 = tuple((_ORDER_3[k], (3, 9, 11, 15)[k % 4]) for k in range(16))


def md4(message: bytes) -> bytes:
    """Return the MD4 digest of *message*, 16 octets."""
    padding = b"\x80" + bytes((55 - len(message)) % _BLOCK_BYTES)
    padded = message + padding + (8 * len(message) & (1 << 64) - 1).to_bytes(8, "little")
    state: tuple[int, ...] = _INITIAL
    for words in _BLOCK.iter_unpack(padded):
        state = _compress(state, words)
    return _DIGEST.pack(*state)


def _compress(state: tuple[int, ...], x: tuple[int, ...]) -> tuple[int, ...]:
    """Return the state after one block: the three rounds of RFC 1320 §3.4."""
    a, b, c, d = state
    for k, s in _ROUND_1:
        t = (a + (b & c | ~b & d) + x[k]) & _MASK
        a, b, c, d = d, t << s & _MASK | t >> 32 - s, b, c
    for k, s in _ROUND_2:
        t = (a + (b & c | b & d | c & d) + x[k] + 0x5A827999) & _MASK
        a, b, c, d = d, t << s & _MASK | t >> 32 - s, b, c
    for k, s in _ROUND_3:
        t = (a + (b ^ c ^ d) + x[k] + 0x6ED9EBA1) & _MASK
        a, b, c, d = d, t << s & _MASK | t >> 32 - s, b, c
    return tuple((old + new) & _MASK for old, new in zip(state, (a, b, c, d), strict=True))
