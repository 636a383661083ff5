"""The IPv6 half of ``routes.py``: routes of the Internet's shape, what the FIB must say of them.

Allocations of /29 and /32 out of the registries' blocks, and longer prefixes out of those, half of
them near each other: 53 in 100 are /48s. They lead to 62 gateways on two ports.
"""

import random
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

from dataplane.binding import ffi
from dataplane.fib6 import walk
from tests.support.router_lab import RouterLab, next_hop_of, until

GATEWAYS = tuple(f"2001:db8:{net}::{host:x}" for net in (8, 9) for host in range(100, 131))
BLOCKS = ((0x2001, 16, 4), (0x2400, 12, 6), (0x2600, 12, 5), (0x2800, 12, 2), (0x2A00, 12, 10))
"""First 16 bits, length, share."""
OWN = (0x20010DB8 << 96, 32)
LONGER = {33: 2, 34: 2, 36: 8, 40: 9, 44: 12, 46: 3, 47: 3, 48: 60, 56: 1}
LOSE_AN_ADDRESS = [f"addr {verb} 2001:db8:9::3/128 dev bng-wan0" for verb in ("add", "del")]

Table = dict[tuple[int, int], str]
"""(prefix, length) to gateway."""


def _first(address: int, length: int) -> int:
    return address >> 128 - length << 128 - length


def make_routes(count: int) -> Table:
    """Return *count* different routes outside of the lab's own networks."""
    rng = random.Random(1)
    table: Table = {}
    while len(table) < count:
        high, bits, _ = rng.choices(BLOCKS, [share for *_, share in BLOCKS])[0]
        length = rng.choices((29, 32, 44, 48), (2, 8, 1, 4))[0]
        block = high << 112 | rng.getrandbits(length - bits) << 128 - length
        if _first(block, OWN[1]) == OWN[0]:
            continue
        table[block, length] = rng.choice(GATEWAYS)
        for _ in range(int(rng.expovariate(1 / 7)) if length <= OWN[1] else 0):
            longer = rng.choices(tuple(LONGER), tuple(LONGER.values()))[0]
            room = longer - length
            at = rng.getrandbits(room) if rng.random() < 0.5 else int(rng.expovariate(1 / 8))
            prefix = block | at % (1 << room) << 128 - longer
            table[prefix, longer] = rng.choice(GATEWAYS)
    return dict(list(table.items())[:count])


def lines(verb: str, table: Table) -> list[str]:
    """Return commands for ``ip -batch``."""
    return [
        f"route {verb} {IPv6Address(prefix)}/{length} via {gateway}"
        for (prefix, length), gateway in table.items()
    ]


def _has_all_gateways(lab: RouterLab) -> bool:
    found = [lab.leaf(gateway) for gateway in GATEWAYS]
    return all(leaf is not None and leaf.kind == "neighbour" for leaf in found)


def prepare(lab: RouterLab, count: int) -> Table:
    """Give the box IPv6 and its gateways; return the routes to come."""
    for net, device in ((9, "bng-wan0"), (8, "bng-wan1")):
        lab.run("bng", "sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6")
        lab.ip("bng", f"addr add 2001:db8:{net}::1/64 dev {device} nodad")
    for gateway in GATEWAYS:
        device = "bng-wan0" if gateway.startswith("2001:db8:9:") else "bng-wan1"
        lab.ip("bng", f"neigh replace {gateway} lladdr 02:00:00:00:00:99 dev {device}")
    until(lambda: _has_all_gateways(lab), "the gateways are known")
    return make_routes(count)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the FIB: its trie, and each adjacency's next hop."""

    root: memoryview
    heads: Any
    slots: memoryview
    next_hop: list[str]

    def lookup(self, address: int) -> str:
        """Return the next hop, "" when there is no route."""
        leaf = walk(self.root, self.heads, self.slots, IPv6Address(address))
        return self.next_hop[leaf.index] if leaf.kind else ""


def snapshot(lab: RouterLab) -> Snapshot:
    """Copy the FIB as it stands."""
    box = lab.arena
    heads = bytes(ffi.buffer(box.fib6_heads, box.header.max_fib6_nodes * 16))
    return Snapshot(
        memoryview(bytes(box.fib6_root)).cast("I"),
        ffi.from_buffer("struct fib6_head[]", heads),
        memoryview(bytes(box.fib6_slots)).cast("I"),
        [next_hop_of(box.adjacencies[i]) for i in range(box.header.max_adjacencies)],
    )


def kernel_table(lab: RouterLab) -> Table:
    """Return the kernel's routes by gateways."""
    table: Table = {}
    for line in lab.run("bng", "ip", "-6", "route", "show").stdout.splitlines():
        words = line.split()
        if words[1] == "via":
            prefix, _, length = words[0].partition("/")
            table[int(IPv6Address(prefix)), int(length or 128)] = words[2]
    return table


def _longest(table: Table, lengths: list[int], address: int) -> str:
    for length in lengths:
        if found := table.get((_first(address, length), length)):
            return found
    return ""


def judge(lab: RouterLab, taken: list[tuple[float, Snapshot]]) -> float | None:
    """Return when the FIB was right at first, of both ends of each prefix; it must be so last."""
    table = kernel_table(lab)
    lengths = sorted({length for _, length in table}, reverse=True)
    addresses = [prefix | last for prefix, n in table for last in (0, (1 << 128 - n) - 1)]
    hops = [_longest(table, lengths, address) for address in addresses]

    def is_right(fib: Snapshot) -> bool:
        return all(fib.lookup(a) == hop for a, hop in zip(addresses, hops, strict=True))

    if not table or not is_right(taken[-1][1]):
        return None
    return next(at for at, fib in taken if is_right(fib))
