"""The IPv6 FIB's trie against a dictionary of prefixes searched from the longest to the shortest.

The C files are compiled alone into a shared object.
"""

import ctypes
import errno
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
MAX_NODES = 512
SOURCES = 5
LEAF_ADJACENCY = 1
LEAF_SESSION = 2
ALL_ONES = (1 << 128) - 1


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("fib6") / "fib6.so"
    dataplane = ROOT / "dataplane"
    subprocess.run(
        [
            *(
                "cc",
                "-O3",
                "-march=x86-64-v2",
                "-g",
                "-shared",
                "-fPIC",
                "-Wall",
                "-Werror",
                "-o",
                out,
            ),
            *("-I", dataplane / "include", "-I", dataplane / "src"),
            *(dataplane / "src/table" / name for name in ("fib6.c", "fib6_list.c")),
            ROOT / "tests/support/c/fib6_shim.c",
        ],
        check=True,
    )
    lib = ctypes.CDLL(str(out))
    lib.shim_create.restype = ctypes.c_void_p
    lib.shim_lookup.restype = ctypes.c_uint32
    lib.shim_find.restype = ctypes.c_uint32
    lib.shim_clocks.restype = ctypes.c_double
    return lib


def mask(length: int) -> int:
    return ALL_ONES ^ (1 << 128 - length) - 1


def packed(address: int) -> bytes:
    return address.to_bytes(16, "big")


@dataclass(slots=True)
class Fib:
    """The C FIB, and beside it the dictionary that says what it must answer."""

    lib: ctypes.CDLL
    max_nodes: int = MAX_NODES
    shim: ctypes.c_void_p = field(init=False)
    model: dict[tuple[int, int], dict[int, tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shim = ctypes.c_void_p(self.lib.shim_create(self.max_nodes))

    def close(self) -> None:
        self.lib.shim_destroy(self.shim)

    def add(self, prefix: int, length: int, source: int, kind: int, index: int) -> int:
        status = int(
            self.lib.shim_add(
                self.shim, packed(prefix), ctypes.c_uint8(length), source, kind, index
            )
        )
        if status == 0:
            key = (prefix & mask(length), length)
            self.model.setdefault(key, {})[source] = (kind, index)
        return status

    def delete(self, prefix: int, length: int, source: int) -> int:
        key = (prefix & mask(length), length)
        known = self.model.get(key, {}).pop(source, None) is not None
        if not self.model.get(key, True):
            del self.model[key]
        status = int(self.lib.shim_del(self.shim, packed(prefix), ctypes.c_uint8(length), source))
        assert status == (0 if known else -errno.ENOENT)
        return status

    def delete_all(self) -> None:
        for (prefix, length), offers in list(self.model.items()):
            for source in list(offers):
                self.delete(prefix, length, source)

    def reclaim(self) -> None:
        self.lib.shim_reclaim(self.shim)

    def nodes_free(self) -> int:
        return int(self.lib.shim_nodes_free(self.shim))

    def lookup(self, address: int) -> tuple[int, int] | None:
        """Kind and index, as the trie has them."""
        leaf = self.lib.shim_lookup(self.shim, packed(address))
        return (leaf >> 28 & 7, leaf & 0x3FFFFF) if leaf else None

    def find(self, prefix: int, length: int, source: int) -> int:
        return int(self.lib.shim_find(self.shim, packed(prefix), ctypes.c_uint8(length), source))

    def expected(self, address: int) -> tuple[int, int] | None:
        for length in range(128, -1, -1):
            offers = self.model.get((address & mask(length), length))
            if offers:
                return offers[min(offers)]
        return None

    def check(self, address: int) -> None:
        assert self.lookup(address) == self.expected(address), str(IPv6Address(address))


@pytest.fixture
def fib(library: ctypes.CDLL) -> Iterator[Fib]:
    fib = Fib(library)
    yield fib
    fib.close()


def number(address: str) -> int:
    return int(IPv6Address(address))


# Few bits differ, so that prefixes cover each other and part at many depths.
addresses = st.builds(
    lambda first, groups, last: first << 112 | sum(g << 16 * i for i, g in groups) | last,
    st.sampled_from([0, 0x2001, 0x2002, 0xFFFF]),
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([0, 1, 0x10, 0x8000, 0xFFFF])),
        max_size=2,
        unique_by=lambda pair: pair[0],
    ),
    st.sampled_from([0, 1, 2]),
)
lengths = st.one_of(
    st.sampled_from([0, 15, 16, 17, 20, 21, 32, 48, 56, 60, 61, 63, 64, 65, 68, 127, 128]),
    st.integers(0, 128),
)
operations = st.one_of(
    st.tuples(
        st.just("add"),
        addresses,
        lengths,
        st.integers(0, SOURCES - 1),
        st.sampled_from([LEAF_ADJACENCY, LEAF_SESSION]),
        st.integers(0, (1 << 22) - 1),
    ),
    st.tuples(st.just("delete"), st.integers(0, 1 << 16)),
    st.tuples(st.just("reclaim")),
)


def carry_out(fib: Fib, step: tuple[object, ...]) -> list[int]:
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
    first = prefix & mask(length)
    last = first | ~mask(length) & ALL_ONES
    return [first, last, max(first - 1, 0), min(last + 1, ALL_ONES), prefix]


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(operations, max_size=60))
def test_the_trie_answers_as_the_longest_prefix_of_a_dictionary(
    library: ctypes.CDLL, steps: list[tuple[object, ...]]
) -> None:
    fib = Fib(library)
    seen: list[int] = [0, ALL_ONES]
    try:
        for step in steps:
            seen += carry_out(fib, step)
            for address in seen[-10:]:
                fib.check(address)
        for address in seen:
            fib.check(address)
        assert library.shim_routes(fib.shim) == sum(map(len, fib.model.values()))
        fib.delete_all()
        assert all(fib.lookup(address) is None for address in seen)
        assert library.shim_root_used(fib.shim) == 0, "a root slot still leads somewhere"
        fib.reclaim()
        fib.reclaim()
        assert fib.nodes_free() == MAX_NODES
    finally:
        fib.close()


def test_the_better_source_wins_and_the_other_comes_back(fib: Fib) -> None:
    address = number("2001:db8::1")
    fib.add(address, 128, 4, LEAF_ADJACENCY, 7)
    fib.add(address, 128, 0, LEAF_SESSION, 9)
    assert fib.lookup(address) == (LEAF_SESSION, 9)
    fib.delete(address, 128, 0)
    assert fib.lookup(address) == (LEAF_ADJACENCY, 7)


def test_find_tells_a_source_from_the_best_one(fib: Fib) -> None:
    prefix = number("2001:db8::")
    fib.add(prefix, 32, 4, LEAF_ADJACENCY, 7)
    assert fib.find(prefix, 32, 0) == 0
    assert fib.find(prefix | 0xFFFF, 32, 4) & 0x3FFFFF == 7
    assert fib.find(prefix, 33, 4) == 0


def test_no_free_node_refuses_the_route_and_changes_nothing(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_nodes=5)
    try:
        assert fib.add(number("2001:db8::"), 48, 0, LEAF_SESSION, 2) == 0
        assert fib.add(number("2001:db9::"), 64, 0, LEAF_SESSION, 1) == 0
        assert fib.add(number("2001:dba::"), 64, 0, LEAF_SESSION, 3) == -errno.ENOMEM
        assert fib.add(number("2001:db9:0:1::"), 64, 0, LEAF_SESSION, 4) == 0, "has its node"
        fib.check(number("2001:dba::"))
        fib.check(number("2001:db9:0:1::"))
        assert library.shim_routes(fib.shim) == 3
    finally:
        fib.close()


def test_a_node_is_used_again_only_after_two_reclaims(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_nodes=4)
    try:
        assert fib.add(number("2001:db8::"), 64, 0, LEAF_SESSION, 1) == 0
        fib.delete(number("2001:db8::"), 64, 0)
        assert fib.add(number("2001:db9::"), 64, 0, LEAF_SESSION, 1) == -errno.ENOMEM
        fib.reclaim()
        assert fib.add(number("2001:db9::"), 64, 0, LEAF_SESSION, 1) == -errno.ENOMEM
        fib.reclaim()
        assert fib.add(number("2001:db9::"), 64, 0, LEAF_SESSION, 1) == 0
    finally:
        fib.close()


def test_reserved_nodes_are_for_sessions_and_our_own_addresses(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_nodes=6)
    try:
        library.shim_reserve(fib.shim, 2)
        assert fib.add(number("2001:1::"), 64, 4, LEAF_ADJACENCY, 1) == 0
        assert fib.add(number("2001:2::"), 64, 4, LEAF_ADJACENCY, 1) == -errno.ENOMEM
        assert fib.add(number("2001:1:0:1::"), 64, 4, LEAF_ADJACENCY, 1) == 0, "no node needed"
        assert fib.add(number("2001:2::"), 64, 0, LEAF_SESSION, 1) == 0
    finally:
        fib.close()


@pytest.mark.parametrize(
    ("length", "source", "kind", "index"),
    [(129, 0, 1, 0), (64, SOURCES, 1, 0), (64, 0, 0, 0), (64, 0, 1, 1 << 22)],
)
def test_values_out_of_range_are_refused(
    library: ctypes.CDLL, fib: Fib, length: int, source: int, kind: int, index: int
) -> None:
    address = packed(number("2001:db8::"))
    status = library.shim_add(fib.shim, address, ctypes.c_uint8(length), source, kind, index)
    assert status == -errno.EINVAL
    assert fib.lookup(number("2001:db8::")) is None


def test_a_default_route_over_longer_ones_is_no_more_than_its_slots(fib: Fib) -> None:
    for i in range(16):
        fib.add(number("2001:db8::") + (i << 64), 64, 0, LEAF_SESSION, i)
    used = MAX_NODES - fib.nodes_free()
    fib.add(0, 0, 4, LEAF_ADJACENCY, 5)
    fib.check(number("2001:db8:0:f::1"))
    fib.check(number("2001:db8:0:10::1"))
    fib.check(number("3fff::"))
    assert MAX_NODES - fib.nodes_free() == used


def test_ten_thousand_sessions_with_two_prefixes_each_take_few_nodes(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_nodes=4096)
    links = IPv6Network("2001:db8:100::/40")
    delegated = IPv6Network("2001:db8:1000::/36")
    try:
        for i in range(10_000):
            assert fib.add(int(links[0]) + (i << 64), 64, 0, LEAF_SESSION, i) == 0
            assert fib.add(int(delegated[0]) + (i << 72), 56, 0, LEAF_SESSION, i) == 0
        assert fib.lookup(int(links[0]) + (9_999 << 64) + 1) == (LEAF_SESSION, 9_999)
        assert fib.lookup(int(delegated[0]) + (9_999 << 72) + 1) == (LEAF_SESSION, 9_999)
        fib.reclaim()
        fib.reclaim()
        assert 4096 - fib.nodes_free() < 1_400
        fib.delete_all()
        assert library.shim_root_used(fib.shim) == 0
    finally:
        fib.close()
