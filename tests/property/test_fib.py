"""The FIBs' tries against a dictionary of prefixes searched from the longest to the shortest.

What both families must do is asked of both. The C files are compiled alone into a shared object.
"""

import ctypes
import errno
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
FILES = ("fib.c", "fib_list.c", "fib4.c", "fib6.c")
MAX_PARTS = 512
SOURCES = 5
LEAF_ADJACENCY = 1
LEAF_SESSION = 2


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("fib") / "fib.so"
    dataplane = ROOT / "dataplane"
    subprocess.run(
        [
            *("cc", "-O2", "-march=x86-64-v2", "-g", "-shared", "-fPIC", "-Wall", "-Werror"),
            *("-o", out, "-I", dataplane / "include", "-I", dataplane / "src"),
            *(dataplane / "src/table" / name for name in FILES),
            ROOT / "tests/support/c/fib_shim.c",
        ],
        check=True,
    )
    lib = ctypes.CDLL(str(out))
    lib.shim_create.restype = ctypes.c_void_p
    lib.shim_lookup.restype = ctypes.c_uint32
    lib.shim_find.restype = ctypes.c_uint32
    return lib


@dataclass(frozen=True, slots=True)
class Family:
    """What differs: the bits of an address, and a few addresses to try things with."""

    bits: int
    first: str
    """A network's address, with room for others behind it."""
    second: str
    parts: int
    """Pages or nodes that a host of a network of its own takes."""
    steps: tuple[int, ...]
    """Where parts of an address begin that tests combine, counted from the right."""
    lengths: tuple[int, ...]
    """Those at the borders of the trie's parts."""

    @property
    def ones(self) -> int:
        return (1 << self.bits) - 1

    def mask(self, length: int) -> int:
        return self.ones ^ (1 << self.bits - length) - 1


IP4 = Family(
    bits=32,
    first="10.0.0.0",
    second="11.0.0.0",
    parts=2,
    steps=(0, 8, 16),
    lengths=(0, 8, 15, 16, 17, 23, 24, 25, 31, 32),
)
IP6 = Family(
    bits=128,
    first="2001:db8::",
    second="2001:db9::",
    parts=4,
    steps=(0, 16, 32, 48, 64, 80, 96),
    lengths=(0, 15, 16, 17, 20, 21, 32, 48, 56, 60, 61, 63, 64, 65, 68, 127, 128),
)
FAMILIES = pytest.mark.parametrize("family", [IP4, IP6], ids=["ip4", "ip6"])


def number(address: str) -> int:
    return int(ip_address(address))


@dataclass(slots=True)
class Fib:
    """The C FIB, and beside it the dictionary that says what it must answer."""

    lib: ctypes.CDLL
    family: Family
    parts: int = MAX_PARTS
    shim: ctypes.c_void_p = field(init=False)
    model: dict[tuple[int, int], dict[int, tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shim = ctypes.c_void_p(self.lib.shim_create(self.family.bits, self.parts))

    def __enter__(self) -> "Fib":
        return self

    def __exit__(self, *_: object) -> None:
        self.lib.shim_destroy(self.shim)

    def arguments(self, prefix: int, length: int) -> tuple[ctypes.c_void_p, bytes, ctypes.c_uint8]:
        return self.shim, prefix.to_bytes(16, "big"), ctypes.c_uint8(length)

    def key(self, prefix: int, length: int) -> tuple[int, int]:
        return prefix & self.family.mask(length), length

    def add(self, prefix: int, length: int, source: int, kind: int, index: int) -> int:
        status = self.lib.shim_add(*self.arguments(prefix, length), source, kind, index)
        if status == 0:
            self.model.setdefault(self.key(prefix, length), {})[source] = (kind, index)
        return int(status)

    def delete(self, prefix: int, length: int, source: int) -> None:
        key = self.key(prefix, length)
        known = self.model.get(key, {}).pop(source, None) is not None
        if not self.model.get(key, True):
            del self.model[key]
        status = self.lib.shim_del(*self.arguments(prefix, length), source)
        assert status == (0 if known else -errno.ENOENT)

    def delete_all(self) -> None:
        for (prefix, length), offers in list(self.model.items()):
            for source in list(offers):
                self.delete(prefix, length, source)

    def reclaim(self) -> None:
        self.lib.shim_reclaim(self.shim)

    def reserve(self, parts: int) -> None:
        self.lib.shim_reserve(self.shim, parts)

    def parts_free(self) -> int:
        return int(self.lib.shim_parts_free(self.shim))

    def routes(self) -> int:
        return int(self.lib.shim_routes(self.shim))

    def root_used(self) -> int:
        return int(self.lib.shim_root_used(self.shim))

    def leaf(self, address: int) -> int:
        return int(self.lib.shim_lookup(*self.arguments(address, 0)[:2]))

    def lookup(self, address: int) -> tuple[int, int] | None:
        """Kind and index, as the trie has them."""
        leaf = self.leaf(address)
        return (leaf >> 28 & 7, leaf & 0x3FFFFF) if leaf else None

    def find(self, prefix: int, length: int, source: int) -> int:
        return int(self.lib.shim_find(*self.arguments(prefix, length), source))

    def check(self, address: int) -> None:
        """Compare; the leaves of IPv4 say the length, too."""
        found, want = self.lookup(address), None
        for length in range(self.family.bits, -1, -1):
            offers = self.model.get(self.key(address, length))
            if offers:
                want = offers[min(offers)]
                assert self.family is IP6 or self.leaf(address) >> 22 & 63 == length
                break
        assert found == want, str((IPv4Address if self.family is IP4 else IPv6Address)(address))


@pytest.fixture
def fib6(library: ctypes.CDLL) -> Iterator[Fib]:
    with Fib(library, IP6) as fib:
        yield fib


Step = tuple[object, ...]


@st.composite
def operations(draw: st.DrawFn, family: Family) -> Step:
    """Draw a step; few bits of addresses differ, so that prefixes cover each other and part."""
    match draw(st.sampled_from(["add", "add", "add", "delete", "reclaim"])):
        case "add":
            address = draw(st.sampled_from([0, number(family.first), family.ones]))
            address &= family.mask(16 if family is IP6 else 8)
            for step in draw(st.sets(st.sampled_from(family.steps), max_size=3)):
                octets = [0, 1, 2, 127, 128, 254, 255]
                address |= (
                    draw(st.sampled_from([*octets, 0x8000, 0xFFFF][: 9 if step else 7])) << step
                )
            length = draw(st.sampled_from(family.lengths) | st.integers(0, family.bits))
            source = draw(st.integers(0, SOURCES - 1))
            kind = draw(st.sampled_from([LEAF_ADJACENCY, LEAF_SESSION]))
            index = draw(st.integers(0, (1 << 22) - 1))
            return "add", address & family.ones, length, source, kind, index
        case "delete":
            return "delete", draw(st.integers(0, 1 << 16))
        case _:
            return ("reclaim",)


def carry_out(fib: Fib, step: Step) -> list[int]:
    """Return addresses at the borders of what changed."""
    match step:
        case ("add", int(prefix), int(length), int(source), int(kind), int(index)):
            assert fib.add(prefix, length, source, kind, index) in (0, -errno.ENOMEM)
        case ("delete", int(pick)) if fib.model:
            routes = sorted((k, s) for k, offers in fib.model.items() for s in offers)
            (prefix, length), source = routes[pick % len(routes)]
            fib.delete(prefix, length, source)
        case _:
            fib.reclaim()
            return []
    ones = fib.family.ones
    first = prefix & fib.family.mask(length)
    last = first | ~fib.family.mask(length) & ones
    return [first, last, max(first - 1, 0), min(last + 1, ones), prefix]


@FAMILIES
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_the_trie_answers_as_the_longest_prefix_of_a_dictionary(
    library: ctypes.CDLL, family: Family, data: st.DataObject
) -> None:
    steps = data.draw(st.lists(operations(family), max_size=60))
    seen: list[int] = [0, family.ones]
    with Fib(library, family) as fib:
        for step in steps:
            seen += carry_out(fib, step)
            for address in seen[-10:]:
                fib.check(address)
        for address in seen:
            fib.check(address)
        assert fib.routes() == sum(map(len, fib.model.values()))
        fib.delete_all()
        assert all(fib.lookup(address) is None for address in seen)
        assert fib.root_used() == 0, "a root slot still leads somewhere"
        fib.reclaim()
        fib.reclaim()
        assert fib.parts_free() == MAX_PARTS


@FAMILIES
def test_the_better_source_wins_and_the_other_comes_back(
    library: ctypes.CDLL, family: Family
) -> None:
    address = number(family.first) + 1
    with Fib(library, family) as fib:
        fib.add(address, family.bits, 4, LEAF_ADJACENCY, 7)
        fib.add(address, family.bits, 0, LEAF_SESSION, 9)
        assert fib.lookup(address) == (LEAF_SESSION, 9)
        fib.delete(address, family.bits, 0)
        assert fib.lookup(address) == (LEAF_ADJACENCY, 7)


@FAMILIES
def test_find_tells_a_source_from_the_best_one(library: ctypes.CDLL, family: Family) -> None:
    prefix = number(family.first)
    with Fib(library, family) as fib:
        fib.add(prefix, 24, 4, LEAF_ADJACENCY, 7)
        assert fib.find(prefix, 24, 0) == 0
        assert fib.find(prefix | 0xFF, 24, 4) & 0x3FFFFF == 7
        assert fib.find(prefix, 25, 4) == 0
        assert fib.find(prefix, family.bits + 1, 4) == 0


@FAMILIES
def test_no_free_part_refuses_the_route_and_changes_nothing(
    library: ctypes.CDLL, family: Family
) -> None:
    host, other = (number(network) + 1 for network in (family.first, family.second))
    with Fib(library, family, parts=family.parts) as fib:
        assert fib.add(host, family.bits, 0, LEAF_SESSION, 1) == 0
        assert fib.add(other, family.bits, 0, LEAF_SESSION, 2) == -errno.ENOMEM
        fib.check(other)
        assert fib.add(host + 1, family.bits, 0, LEAF_SESSION, 3) == 0, "has its place"
        fib.check(host + 1)
        assert fib.routes() == 2


def test_an_address_takes_two_pages_a_network_of_24_bits_one(library: ctypes.CDLL) -> None:
    network = number(IP4.first)
    with Fib(library, IP4, parts=1) as fib:
        assert fib.add(network, 32, 0, LEAF_SESSION, 1) == -errno.ENOMEM
        assert fib.add(network, 24, 0, LEAF_SESSION, 2) == 0
        assert fib.add(network + 1, 32, 0, LEAF_SESSION, 3) == -errno.ENOMEM
        fib.check(network + 1)
        assert fib.routes() == 1


@FAMILIES
def test_a_part_is_used_again_only_after_two_reclaims(library: ctypes.CDLL, family: Family) -> None:
    host, other = (number(network) + 1 for network in (family.first, family.second))
    with Fib(library, family, parts=family.parts) as fib:
        assert fib.add(host, family.bits, 0, LEAF_SESSION, 1) == 0
        fib.delete(host, family.bits, 0)
        for _ in range(2):
            assert fib.add(other, family.bits, 0, LEAF_SESSION, 1) == -errno.ENOMEM
            fib.reclaim()
        assert fib.add(other, family.bits, 0, LEAF_SESSION, 1) == 0


@FAMILIES
def test_reserved_parts_are_for_sessions_and_our_own_addresses(
    library: ctypes.CDLL, family: Family
) -> None:
    host, other = (number(network) + 1 for network in (family.first, family.second))
    with Fib(library, family, parts=2 * family.parts) as fib:
        fib.reserve(family.parts)
        assert fib.add(host, family.bits, 4, LEAF_ADJACENCY, 1) == 0
        assert fib.add(other, family.bits, 4, LEAF_ADJACENCY, 1) == -errno.ENOMEM
        assert fib.add(host + 1, family.bits, 4, LEAF_ADJACENCY, 1) == 0, "that needs no part"
        assert fib.add(other, family.bits, 0, LEAF_SESSION, 1) == 0
        fib.check(other)
        fib.delete(other, family.bits, 0)
        fib.reclaim()
        fib.reclaim()
        assert fib.add(other, family.bits, 1, LEAF_ADJACENCY, 1) == 0


@FAMILIES
@pytest.mark.parametrize(
    ("beyond", "source", "kind", "index"),
    [(1, 0, 1, 0), (0, SOURCES, 1, 0), (0, 0, 0, 0), (0, 0, 1, 1 << 22)],
)
def test_values_out_of_range_are_refused(
    library: ctypes.CDLL, family: Family, beyond: int, source: int, kind: int, index: int
) -> None:
    address = number(family.first)
    with Fib(library, family) as fib:
        assert fib.add(address, family.bits + beyond, source, kind, index) == -errno.EINVAL
        assert fib.lookup(address) is None


def test_a_default_route_over_longer_ones_is_no_more_than_its_slots(fib6: Fib) -> None:
    for i in range(16):
        fib6.add(number("2001:db8::") + (i << 64), 64, 0, LEAF_SESSION, i)
    used = MAX_PARTS - fib6.parts_free()
    fib6.add(0, 0, 4, LEAF_ADJACENCY, 5)
    fib6.check(number("2001:db8:0:f::1"))
    fib6.check(number("2001:db8:0:10::1"))
    fib6.check(number("3fff::"))
    assert MAX_PARTS - fib6.parts_free() == used


def test_twenty_thousand_addresses_go_in_and_come_out(library: ctypes.CDLL) -> None:
    with Fib(library, IP4, parts=100) as fib:
        first = number("100.64.0.0")
        for i in range(20_000):
            assert fib.add(first + i, 32, 0, LEAF_SESSION, i) == 0
        assert fib.lookup(first + 19_999) == (LEAF_SESSION, 19_999)
        fib.delete_all()
        assert fib.root_used() == 0


def test_ten_thousand_sessions_with_two_prefixes_each_take_few_nodes(library: ctypes.CDLL) -> None:
    links = number("2001:db8:100::")
    delegated = number("2001:db8:1000::")
    with Fib(library, IP6, parts=4096) as fib:
        for i in range(10_000):
            assert fib.add(links + (i << 64), 64, 0, LEAF_SESSION, i) == 0
            assert fib.add(delegated + (i << 72), 56, 0, LEAF_SESSION, i) == 0
        assert fib.lookup(links + (9_999 << 64) + 1) == (LEAF_SESSION, 9_999)
        assert fib.lookup(delegated + (9_999 << 72) + 1) == (LEAF_SESSION, 9_999)
        fib.reclaim()
        fib.reclaim()
        assert 4096 - fib.parts_free() < 1_400
        fib.delete_all()
        assert fib.root_used() == 0
