"""DES encryption of one block (FIPS 46), for MS-CHAP only; keys are 7 octets without parity.

OpenSSL 3 has single DES no longer without its legacy provider. In the tables, as in FIPS 46, bits
are numbered from 1, the most significant. Each S-box is joined with the permutation P at import.
"""

_IP = tuple(first - 8 * k for first in (58, 60, 62, 64, 57, 59, 61, 63) for k in range(8))
_FINAL = tuple(_IP.index(bit) + 1 for bit in range(1, 65))
_P = (
    *(16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10),
    *(2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25),
)
_PC_1_WITH_PARITY = (
    *(57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18),
    *(10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36),
    *(63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22),
    *(14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4),
)
_PC_1 = tuple(bit - bit // 8 for bit in _PC_1_WITH_PARITY)
_PC_2 = (
    *(14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4),
    *(26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47, 55, 30, 40),
    *(51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32),
)
_SHIFTS = (1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1)
_S_BOXES = (
    "e4d12fb83a6c5907 0f74e2d1a6cb9538 41e8d62bfc973a50 fc8249175b3ea06d",
    "f18e6b34972dc05a 3d47f28ec01a69b5 0e7ba4d158c6932f d8a13f42b67c05e9",
    "a09e63f51dc7b428 d709346a285ecbf1 d6498f30b12c5ae7 1ad069874fe3b52c",
    "7de3069a1285bc4f d8b56f03472c1ae9 a690cb7df13e5284 3f06a1d8945bc72e",
    "2c417ab6853fd0e9 eb2c47d150fa3986 421bad78f9c5630e b8c71e2d6f09a453",
    "c1af92680d34e75b af427c9561de0b38 9ef528c3704a1db6 432c95fabe17608d",
    "4b2ef08d3c975a61 d0b7491ae35c2f86 14bdc37eaf680592 6bd814a7950fe23c",
    "d2846fb1a93e50c7 1fd8a374c56b0e92 7b419ce206adf358 21e74a8dfc90356b",
)
_MASK_28 = (1 << 28) - 1


def _permute(value: int, width: int, table: tuple[int, ...]) -> int:
    """Return the bits of *value*, *width* wide, that *table* lists."""
    permuted = 0
    for bit in table:
        permuted = permuted << 1 | value >> width - bit & 1
    return permuted


def _join(box: int, text: str) -> tuple[int, ...]:
    """Return P(S(six)) for the six-bit inputs of S-box number *box*."""
    rows = text.split()
    return tuple(
        _permute(int(rows[six >> 4 & 2 | six & 1][six >> 1 & 15], 16) << 28 - 4 * box, 32, _P)
        for six in range(64)
    )


_SP = tuple(_join(box, text) for box, text in enumerate(_S_BOXES))


def des_encrypt(key: bytes, block: bytes) -> bytes:
    """Return *block*, 8 octets, encrypted under *key*, 7 octets (RFC 2759 §8.6)."""
    halves = _permute(int.from_bytes(key), 56, _PC_1)
    c, d = halves >> 28, halves & _MASK_28
    data = _permute(int.from_bytes(block), 64, _IP)
    left, right = data >> 32, data & 0xFFFF_FFFF
    s1, s2, s3, s4, s5, s6, s7, s8 = _SP
    for shift in _SHIFTS:
        c = (c << shift | c >> 28 - shift) & _MASK_28
        d = (d << shift | d >> 28 - shift) & _MASK_28
        subkey = _permute(c << 28 | d, 56, _PC_2)
        e = (right & 1) << 33 | right << 1 | right >> 31  # expansion E, six bits every four
        f = (
            s1[(e >> 28 ^ subkey >> 42) & 63]
            ^ s2[(e >> 24 ^ subkey >> 36) & 63]
            ^ s3[(e >> 20 ^ subkey >> 30) & 63]
            ^ s4[(e >> 16 ^ subkey >> 24) & 63]
            ^ s5[(e >> 12 ^ subkey >> 18) & 63]
            ^ s6[(e >> 8 ^ subkey >> 12) & 63]
            ^ s7[(e >> 4 ^ subkey >> 6) & 63]
            ^ s8[(e ^ subkey) & 63]
        )
        left, right = right, left ^ f
    return _permute(right << 32 | left, 64, _FINAL).to_bytes(8)
