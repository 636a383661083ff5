"""The FIB's trie against a dictionary of prefixes searched from the longest to the shortest.

The C file is compiled alone into a shared object; the arena's arrays are arrays of this process.
"""

import ctypes
import errno
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
MAX_PAGES = 64
SOURCES = 5
LEAF_ADJACENCY = 1
LEAF_SESSION = 2


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("fib4") / "fib4.so"
    dataplane = ROOT / "dataplane"
    subprocess.run(
        [
            *("cc", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Werror", "-o", out),
            *("-I", dataplane / "include", "-I", dataplane / "src"),
            *(dataplane / "src/table" / name for name in ("fib4.c", "fib4_list.c")),
            ROOT / "tests/support/c/fib4_shim.c",
        ],
        check=True,
    )
    lib = ctypes.CDLL(str(out))
    lib.fib4_create.restype = ctypes.c_void_p
    lib.fib4_find.restype = ctypes.c_uint32
    lib.shim_lookup.restype = ctypes.c_uint32
    lib.shim_rate.restype = ctypes.c_double
    return lib


@dataclass(slots=True)
class Fib:
    """The C FIB, and beside it the dictionary that says what it must answer."""

    lib: ctypes.CDLL
    max_pages: int = MAX_PAGES
    root: ctypes.Array[ctypes.c_uint32] = field(init=False)
    pages: ctypes.Array[ctypes.c_uint32] = field(init=False)
    fib: ctypes.c_void_p = field(init=False)
    model: dict[tuple[int, int], dict[int, tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = (ctypes.c_uint32 * 65536)()
        self.pages = (ctypes.c_uint32 * (max(self.max_pages, 1) * 256))()
        self.fib = ctypes.c_void_p(self.lib.fib4_create(self.root, self.pages, self.max_pages))

    def close(self) -> None:
        self.lib.fib4_destroy(self.fib)

    def add(self, prefix: int, length: int, source: int, kind: int, index: int) -> int:
        status = self.lib.fib4_add(self.fib, prefix, length, source, kind, index)
        if status == 0:
            key = (prefix & mask(length), length)
            self.model.setdefault(key, {})[source] = (kind, index)
        return int(status)

    def delete(self, prefix: int, length: int, source: int) -> int:
        key = (prefix & mask(length), length)
        known = self.model.get(key, {}).pop(source, None) is not None
        if not self.model.get(key, True):
            del self.model[key]
        status = int(self.lib.fib4_del(self.fib, prefix, length, source))
        assert status == (0 if known else -errno.ENOENT)
        return status

    def reclaim(self) -> None:
        self.lib.fib4_reclaim(self.fib)

    def pages_free(self) -> int:
        return int(self.lib.fib4_pages_free(self.fib))

    def lookup(self, address: int) -> tuple[int, int, int] | None:
        """Kind, index and prefix length, as the trie has them."""
        leaf = self.lib.shim_lookup(self.root, self.pages, address)
        return (leaf >> 28 & 7, leaf & 0x3FFFFF, leaf >> 22 & 63) if leaf else None

    def expected(self, address: int) -> tuple[int, int, int] | None:
        for length in range(32, -1, -1):
            offers = self.model.get((address & mask(length), length))
            if offers:
                kind, index = offers[min(offers)]
                return kind, index, length
        return None

    def check(self, address: int) -> None:
        assert self.lookup(address) == self.expected(address), f"{address:#x}"


def mask(length: int) -> int:
    return (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF


@pytest.fixture
def fib(library: ctypes.CDLL) -> Iterator[Fib]:
    fib = Fib(library)
    yield fib
    fib.close()


# Few bits differ, so that prefixes cover each other and meet at page borders.
addresses = st.builds(
    lambda high, a, b, c: high << 24 | a << 16 | b << 8 | c,
    st.sampled_from([0, 10, 255]),
    st.sampled_from([0, 1, 255]),
    st.sampled_from([0, 1, 127, 128, 255]),
    st.sampled_from([0, 1, 2, 127, 128, 254, 255]),
)
lengths = st.one_of(st.sampled_from([0, 8, 15, 16, 17, 23, 24, 25, 31, 32]), st.integers(0, 32))
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


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(operations, max_size=60))
def test_the_trie_answers_as_the_longest_prefix_of_a_dictionary(
    library: ctypes.CDLL, steps: list[tuple[object, ...]]
) -> None:
    fib = Fib(library)
    seen: list[int] = [0, 0xFFFFFFFF]
    try:
        for step in steps:
            match step:
                case ("add", int(prefix), int(length), int(source), int(kind), int(index)):
                    assert fib.add(prefix, length, source, kind, index) in (0, -errno.ENOMEM)
                    first = prefix & mask(length)
                    last = first | ~mask(length) & 0xFFFFFFFF
                    seen += [first, last, max(first - 1, 0), min(last + 1, 0xFFFFFFFF), prefix]
                case ("delete", int(pick)) if fib.model:
                    routes = sorted((k, s) for k, offers in fib.model.items() for s in offers)
                    (prefix, length), source = routes[pick % len(routes)]
                    fib.delete(prefix, length, source)
                case ("reclaim",):
                    fib.reclaim()
            for address in seen[-10:]:
                fib.check(address)
        for address in seen:
            fib.check(address)
        assert library.fib4_routes(fib.fib) == sum(map(len, fib.model.values()))
        for (prefix, length), offers in list(fib.model.items()):
            for source in list(offers):
                fib.delete(prefix, length, source)
        assert all(fib.lookup(address) is None for address in seen)
        assert not any(fib.root), "a root slot still leads somewhere"
        fib.reclaim()
        fib.reclaim()
        assert fib.pages_free() == MAX_PAGES
    finally:
        fib.close()


def test_the_better_source_wins_and_the_other_comes_back(fib: Fib) -> None:
    fib.add(0x0A000001, 32, 4, LEAF_ADJACENCY, 7)
    fib.add(0x0A000001, 32, 0, LEAF_SESSION, 9)
    assert fib.lookup(0x0A000001) == (LEAF_SESSION, 9, 32)
    fib.delete(0x0A000001, 32, 0)
    assert fib.lookup(0x0A000001) == (LEAF_ADJACENCY, 7, 32)


def test_find_tells_a_source_from_the_best_one(fib: Fib) -> None:
    fib.add(0x0A000000, 8, 4, LEAF_ADJACENCY, 7)
    assert fib.lib.fib4_find(fib.fib, 0x0A000000, 8, 0) == 0
    assert fib.lib.fib4_find(fib.fib, 0x0A00FFFF, 8, 4) & 0x3FFFFF == 7
    assert fib.lib.fib4_find(fib.fib, 0x0A000000, 9, 4) == 0


def test_no_free_page_refuses_the_route_and_changes_nothing(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_pages=1)
    try:
        assert fib.add(0x0A000000, 32, 0, LEAF_SESSION, 1) == -errno.ENOMEM
        assert fib.add(0x0A000000, 24, 0, LEAF_SESSION, 2) == 0
        assert fib.add(0x0A000001, 32, 0, LEAF_SESSION, 3) == -errno.ENOMEM
        fib.check(0x0A000001)
        assert library.fib4_routes(fib.fib) == 1
    finally:
        fib.close()


def test_a_page_is_used_again_only_after_two_reclaims(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_pages=2)
    try:
        assert fib.add(0x0A000001, 32, 0, LEAF_SESSION, 1) == 0
        fib.delete(0x0A000001, 32, 0)
        assert fib.add(0x0B000001, 32, 0, LEAF_SESSION, 1) == -errno.ENOMEM
        fib.reclaim()
        assert fib.add(0x0B000001, 32, 0, LEAF_SESSION, 1) == -errno.ENOMEM
        fib.reclaim()
        assert fib.add(0x0B000001, 32, 0, LEAF_SESSION, 1) == 0
    finally:
        fib.close()


@pytest.mark.parametrize(
    ("length", "source", "kind", "index"),
    [(33, 0, 1, 0), (24, SOURCES, 1, 0), (24, 0, 0, 0), (24, 0, 1, 1 << 22)],
)
def test_values_out_of_range_are_refused(
    fib: Fib, length: int, source: int, kind: int, index: int
) -> None:
    status = fib.lib.fib4_add(fib.fib, 0x0A000000, length, source, kind, index)
    assert status == -errno.EINVAL
    assert fib.lookup(0x0A000000) is None


def test_twenty_thousand_session_routes_go_in_and_come_out(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_pages=100)
    try:
        assert library.shim_rate(fib.fib, 20_000, 0x64400000, ctypes.c_uint8(32)) > 0
        assert fib.lookup(0x64400000 + 19_999) == (LEAF_SESSION, 19_999, 32)
        for i in range(20_000):
            assert library.fib4_del(fib.fib, 0x64400000 + i, 32, 0) == 0
        assert not any(fib.root)
    finally:
        fib.close()


def test_reserved_pages_are_for_sessions_and_our_own_addresses(library: ctypes.CDLL) -> None:
    fib = Fib(library, max_pages=3)
    try:
        library.fib4_reserve(fib.fib, 2)
        assert fib.add(0x0A000000, 24, 4, LEAF_ADJACENCY, 1) == 0
        assert fib.add(0x0B000000, 24, 4, LEAF_ADJACENCY, 1) == -errno.ENOMEM
        assert fib.add(0x0A000100, 24, 4, LEAF_ADJACENCY, 1) == 0, "that needs no page"
        assert fib.add(0x0B000001, 32, 0, LEAF_SESSION, 1) == 0
        fib.check(0x0B000001)
        fib.delete(0x0B000001, 32, 0)
        fib.reclaim()
        fib.reclaim()
        assert fib.add(0x0B000001, 32, 1, LEAF_ADJACENCY, 1) == 0
    finally:
        fib.close()
