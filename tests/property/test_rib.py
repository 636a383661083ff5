"""The list of offered routes, over FIB and adjacencies, against lists of this process.

The C files are compiled alone into a shared object.
"""

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
LAST, FIRST, REPLACE = range(3)
THAT, FIRST_OF_KEY, ONLY_OF_KEY = range(3)
ROUTES, WAITING, ADJACENCIES, INSTALLED = range(4)
PREFIXES = [(0, 0), (10 << 24, 8), (10 << 24, 16), (10 << 24 | 257 << 8, 24), (11 << 24 | 9, 32)]
ADDRESSES = [10 << 24 | 1, 10 << 24 | 257 << 8 | 5, 10 << 24 | 9 << 16, 11 << 24 | 9, 12 << 24]

Key = tuple[int, int, int]
"""Index of a prefix, metric; and, in a step, a place from 1 on."""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("rib") / "rib.so"
    dataplane = ROOT / "dataplane"
    files = ("rib.c", "fib.c", "fib_list.c", "fib4.c", "adjacency.c")
    subprocess.run(
        [
            *("cc", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Werror", "-o", out),
            *("-I", dataplane / "include", "-I", dataplane / "src"),
            *(dataplane / "src/table" / name for name in files),
            ROOT / "tests/support/c/rib_shim.c",
        ],
        check=True,
    )
    lib = ctypes.CDLL(str(out))
    lib.shim_create.restype = ctypes.c_void_p
    return lib


class Rib:
    """The C list, and beside it a list of (place, seen) for each (prefix, metric)."""

    def __init__(self, lib: ctypes.CDLL, pages: int = 64) -> None:
        self.lib = lib
        self.shim = ctypes.c_void_p(lib.shim_create(pages, 32))
        self.model: dict[tuple[int, int], dict[int, bool]] = {}

    def close(self) -> None:
        self.lib.shim_destroy(self.shim)

    def number(self, what: int) -> int:
        return int(self.lib.shim_number(self.shim, what))

    def offer(self, key: Key, how: int) -> None:
        at, metric, place = key
        status = self.lib.shim_offer(
            self.shim, *self._prefix(at), metric, ctypes.c_uint32(place), how
        )
        assert status == 0
        routes = self.model.setdefault((at, metric), {})
        if how == REPLACE and routes:
            first = next(iter(routes))
            rest = {p: seen for p, seen in routes.items() if p not in (first, place)}
            routes.clear()
            routes.update({place: True, **rest})
        elif how == LAST or place in routes:
            routes[place] = True
        else:
            rest = dict(routes)
            routes.clear()
            routes.update({place: True, **rest})

    def take(self, key: Key, how: int) -> None:
        at, metric, place = key
        routes = self.model.get((at, metric), {})
        found = self.lib.shim_take(
            self.shim, *self._prefix(at), metric, ctypes.c_uint32(place), how
        )
        if how == THAT:
            assert bool(found) == (place in routes)
            routes.pop(place, None)
        elif how == FIRST_OF_KEY and routes:
            del routes[next(iter(routes))]
        elif how == ONLY_OF_KEY:
            assert bool(found) == (len(routes) < 2)
            if found:
                routes.clear()

    def keep_seen(self) -> None:
        """Sweep what was not offered since the last time."""
        self.lib.shim_keep_seen(self.shim)
        for key, routes in self.model.items():
            self.model[key] = {place: False for place, seen in routes.items() if seen}

    def check(self) -> None:
        assert self.number(ROUTES) == sum(map(len, self.model.values()))
        places = {place for routes in self.model.values() for place in routes}
        assert self.number(ADJACENCIES) == len(places)
        for address in ADDRESSES:
            assert self.lib.shim_place(self.shim, address) == self.expected(address)

    def expected(self, address: int) -> int:
        """The place of the longest prefix, least metric, first in order."""
        for at in sorted(range(len(PREFIXES)), key=lambda i: -PREFIXES[i][1]):
            prefix, length = PREFIXES[at]
            if address >> (32 - length) != prefix >> (32 - length):
                continue
            offers = [(metric, list(p)) for (i, metric), p in self.model.items() if i == at and p]
            if offers:
                return min(offers)[1][0]
        return 0

    @staticmethod
    def _prefix(at: int) -> tuple[ctypes.c_uint32, ctypes.c_uint8]:
        return ctypes.c_uint32(PREFIXES[at][0]), ctypes.c_uint8(PREFIXES[at][1])


@pytest.fixture
def rib(library: ctypes.CDLL) -> Iterator[Rib]:
    rib = Rib(library)
    yield rib
    rib.close()


keys = st.tuples(st.integers(0, len(PREFIXES) - 1), st.integers(0, 2), st.integers(1, 4))
steps = st.one_of(
    st.tuples(st.just("offer"), keys, st.integers(0, 2)),
    st.tuples(st.just("take"), keys, st.integers(0, 2)),
    st.tuples(st.just("sweep"), keys, st.just(0)),
)


@settings(max_examples=400, deadline=None)
@given(todo=st.lists(steps, max_size=40))
def test_the_best_offer_of_each_prefix_is_in_the_fib(
    library: ctypes.CDLL, todo: list[tuple[str, Key, int]]
) -> None:
    rib = Rib(library)
    try:
        for what, key, how in todo:
            match what:
                case "offer":
                    rib.offer(key, how)
                case "take":
                    rib.take(key, how)
                case _:
                    rib.keep_seen()
            rib.check()
        rib.keep_seen()
        rib.keep_seen()
        assert [rib.number(what) for what in range(4)] == [0, 0, 0, 0]
    finally:
        rib.close()


def test_a_route_without_room_waits_and_goes_in_when_there_is_some(library: ctypes.CDLL) -> None:
    rib = Rib(library, pages=1)
    try:
        rib.offer((3, 0, 1), LAST)
        rib.offer((4, 0, 2), LAST)  # a /32: two pages
        rib.offer((4, 5, 3), LAST)
        assert [rib.number(what) for what in (ROUTES, WAITING, INSTALLED)] == [3, 1, 1]
        rib.take((4, 0, 2), THAT)
        assert rib.number(WAITING) == 1, "the next best waits in its place"
        rib.take((4, 5, 3), THAT)
        assert rib.number(WAITING) == 0
    finally:
        rib.close()


def test_ten_thousand_routes_keep_their_order_while_the_list_grows(library: ctypes.CDLL) -> None:
    rib = Rib(library, pages=200)
    try:
        for place in (7, 8, 9):
            for i in range(10_000):
                prefix = ctypes.c_uint32(20 << 24 | i << 8)
                assert library.shim_offer(rib.shim, prefix, ctypes.c_uint8(24), 0, place, LAST) == 0
        assert rib.number(ROUTES) == 30_000
        assert {library.shim_place(rib.shim, 20 << 24 | i << 8) for i in range(10_000)} == {7}
    finally:
        rib.close()
