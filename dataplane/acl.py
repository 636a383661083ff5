"""ACLs compiled for the dataplane: ``struct acl_head`` and what it names, as bytes.

For each field the values are cut where a rule begins or ends to fit; between two cuts the same
rules fit, which is a bitmap. Equal bitmaps are one class. So the size is bounded by the number of
rules: at most twice as many ranges as rules in each field, and as many bitmaps as differ. The
counters of the rules, which the workers write, follow behind.

A rule that says addresses of one family fits no packet of the other, one that says none fits both.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

WORD_BITS = 64
HEAD = struct.Struct("=IIII4x")
FIELD = struct.Struct("=IIIII")
FIELDS = 7
HEAD_BYTES = HEAD.size + FIELDS * FIELD.size
BOUND = struct.Struct("=I")
ADDRESS6 = struct.Struct("=QQ")
COUNTER = struct.Struct("=QQ")
ALIGN_BYTES = 64
NO_PORT = 0x10000
"""The port of a packet that has none."""

Range = tuple[int, int]
ANY_ADDRESS: Range = (0, 0xFFFF_FFFF)
ANY_ADDRESS6: Range = (0, (1 << 128) - 1)
ANY_PORT: Range = (0, NO_PORT)
ANY_PROTOCOL: Range = (0, 0xFF)
NEVER: Range = (1, 0)
"""Fits no value."""
ANY = (
    *(ANY_ADDRESS, ANY_ADDRESS, ANY_PORT, ANY_PORT, ANY_PROTOCOL),
    *(ANY_ADDRESS6, ANY_ADDRESS6),
)
"""What fits any value, by field, in the order of ``enum acl_field_id``."""


class Rule(NamedTuple):
    """One rule: an action of ``enum acl_action`` and, for each field, first and last value."""

    action: int
    source: Range = ANY_ADDRESS
    destination: Range = ANY_ADDRESS
    source_port: Range = ANY_PORT
    destination_port: Range = ANY_PORT
    protocol: Range = ANY_PROTOCOL
    source6: Range = ANY_ADDRESS6
    destination6: Range = ANY_ADDRESS6

    @property
    def ranges(self) -> tuple[Range, ...]:
        """What fits, by field, in the order of ``enum acl_field_id``."""
        ports = self.source_port, self.destination_port
        addresses6 = self.source6, self.destination6
        return self.source, self.destination, *ports, self.protocol, *addresses6


def compile_acl(rules: Sequence[Rule], default: int) -> bytes:
    """Return *rules*, of which the first that fits counts, and then *default*, compiled.

    What comes back ends where the counters begin: see `with_counters`.
    """
    every = [*rules, Rule(default)]
    n_words = (len(every) + WORD_BITS - 1) // WORD_BITS
    body = bytearray()
    heads = [
        _field([rule.ranges[field] for rule in every], any_value, n_words, body)
        for field, any_value in enumerate(ANY)
    ]
    actions = HEAD_BYTES + len(body)
    body += bytes(rule.action for rule in every)
    body += bytes(-(HEAD_BYTES + len(body)) % ALIGN_BYTES)
    head = HEAD.pack(len(every), n_words, actions, HEAD_BYTES + len(body))
    return head + b"".join(heads) + body


class RuleCount(NamedTuple):
    """What a rule decided of, from the subscriber and to him, IP bytes."""

    in_packets: int
    in_bytes: int
    out_packets: int
    out_bytes: int


def with_counters(compiled: bytes, workers: int) -> bytes:
    """Return a compiled ACL with the counters of its rules, all 0."""
    return compiled + bytes(workers * _counters_bytes(HEAD.unpack_from(compiled)[0]))


def without_counts(acl: bytes) -> bytes:
    """Return an ACL with counters as it was before they counted."""
    at: int = HEAD.unpack_from(acl)[3]
    return acl[:at].ljust(len(acl), b"\0")


def read_counters(acl: bytes) -> list[RuleCount]:
    """Return what each rule of an ACL with counters has counted, summed over the workers."""
    n_rules, _, _, at = HEAD.unpack_from(acl)
    sums = [(0, 0)] * (2 * n_rules)
    for start in range(at, len(acl), _counters_bytes(n_rules)):
        own = COUNTER.iter_unpack(acl[start : start + 2 * n_rules * COUNTER.size])
        sums = [(p + packets, b + size) for (p, b), (packets, size) in zip(sums, own, strict=True)]
    pairs = zip(sums[:n_rules], sums[n_rules:], strict=True)
    return [RuleCount(*into, *out) for into, out in pairs]


def _counters_bytes(n_rules: int) -> int:
    """Return how much the counters of one worker take."""
    return -(-2 * n_rules * COUNTER.size // ALIGN_BYTES) * ALIGN_BYTES


def _field(ranges: Sequence[Range], any_value: Range, n_words: int, body: bytearray) -> bytes:
    """Append what one field takes to *body*; return its ``struct acl_field``."""
    flips: dict[int, int] = {0: 0}
    for number, (first, end) in enumerate(ranges):
        if first > end:
            continue
        flips[first] = flips.get(first, 0) ^ 1 << number
        if end < any_value[1]:
            flips[end + 1] = flips.get(end + 1, 0) ^ 1 << number
    bounds = sorted(flips)
    classes: dict[int, int] = {}
    bitmaps = accumulate((flips[bound] for bound in bounds), int.__xor__)
    numbers = [classes.setdefault(bitmap, len(classes)) for bitmap in bitmaps]
    body += bytes(-(HEAD_BYTES + len(body)) % 8)
    at_bitmaps = HEAD_BYTES + len(body)
    body += b"".join(_bitmap(bitmap, n_words) for bitmap in classes)
    at_bounds = HEAD_BYTES + len(body)
    body += b"".join(map(_bound6 if any_value == ANY_ADDRESS6 else BOUND.pack, bounds))
    at_classes = HEAD_BYTES + len(body)
    body += struct.pack(f"={len(numbers)}H", *numbers)
    return FIELD.pack(len(bounds), at_bounds, at_classes, len(classes), at_bitmaps)


def _bound6(address: int) -> bytes:
    return ADDRESS6.pack(address >> 64, address & (1 << 64) - 1)


def _bitmap(bitmap: int, n_words: int) -> bytes:
    """Return the summary, which words are not 0, and the words."""
    raw = bitmap.to_bytes(n_words * WORD_BITS // 8, "little")
    words = struct.unpack(f"<{n_words}Q", raw)
    summary = sum(1 << number for number, word in enumerate(words) if word)
    return summary.to_bytes(WORD_BITS // 8, "little") + raw
