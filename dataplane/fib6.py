"""Looking an address up in the IPv6 FIB as ``table/fib6.h`` does, and how long its prefix is."""

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Protocol

from dataplane.binding import Dataplane
from dataplane.sight import Leaf

ROOT_BITS = 16
STEP_BITS = 4
PAGE, LOWER = 1 << 31, 1 << 30
NODE_MASK = (1 << 24) - 1
MASK64 = (1 << 64) - 1


class Head(Protocol):
    """``struct fib6_head``."""

    prefix: int
    leaf: int


def _leaf(word: int, depth: int) -> Leaf:
    """Take a leaf of a slot under *depth* bits apart."""
    return Leaf(depth + (word >> 22 & 63), word >> 28 & 7, word & 0x3FFFFF)


def walk(
    root: Sequence[int], heads: Sequence[Head], slots: Sequence[int], address: IPv6Address
) -> Leaf:
    """Follow the trie from *root* as far as *address* leads."""
    number = int(address)
    at = root[number >> 128 - ROOT_BITS]
    depth = 0
    leaf = Leaf(0, 0, 0)
    while at & PAGE:
        node = at & NODE_MASK
        word = number & MASK64 if at & LOWER else number >> 64
        shift = at >> 24 & 63
        if heads[node].leaf:
            leaf = _leaf(heads[node].leaf, depth)
        if (word ^ heads[node].prefix) >> shift >= 1 << STEP_BITS:
            return leaf
        depth = (64 if at & LOWER else 0) + 64 - STEP_BITS - shift
        at = slots[node << STEP_BITS | word >> shift & 15]
    return _leaf(at, depth) if at else leaf


def fib6_lookup(dataplane: Dataplane, address: IPv6Address) -> Leaf:
    """Look an address up as the dataplane does."""
    return walk(dataplane.fib6_root, dataplane.fib6_heads, dataplane.fib6_slots, address)
