"""A lab whose dataplane makes and checks its subscribers' data itself: ``tests/support/c/soak.c``.

Both processes run as in production, two workers, clients dial over a veth; but the data of their
sessions never touches a device, so it flows at any rate and every packet is accounted for:

    PREFIX-sub              PREFIX-bng                             PREFIX-inet
    +-----------------+   +------------------------------------+   +-----------------+
    | clients    sub0 |---| acc0: worker 0     worker 1: wan0  |---| inet0 192.0.2.2 |
    | (control only)  |   |    data made and checked in memory |   |   2001:db8:2::2 |
    +-----------------+   +------------------------------------+   +-----------------+
"""

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bng.dataplane_launch import BINARY_VARIABLE
from dataplane.binding import ffi, lib
from tests.support import cmake
from tests.support.lab import ACCESS_MTU, SERVER, Lab, default_config
from tests.support.lab6 import BOX6, IPV6, SERVER6
from tests.support.netns import run
from tests.support.soak_area import Area

WORKER_NICE = -5
_PROGRAM = "bng-dataplane-soak"


def program() -> Path:
    """Build the dataplane with ports of this kind and return it."""
    return cmake.build("bench", _PROGRAM, options=("-DBENCH=ON",)) / _PROGRAM


def sanitized() -> Path:
    """The same with ASan and UBSan."""
    return cmake.sanitized(_PROGRAM) / _PROGRAM


def config(directory: Path, count: int) -> dict[str, Any]:
    """Return bng.toml for *count* subscribers and two workers, laid over the lab's."""
    cpus = sorted(os.sched_getaffinity(0))
    access, routed = default_config(directory)["port"]
    ports = [
        access | {"worker": 0, "mtu": ACCESS_MTU},
        routed | {"worker": 1, "addresses": [*routed["addresses"], f"{BOX6}/64"]},
    ]
    return {
        "dataplane": {
            "workers": [cpus[0], cpus[-1]],
            "max_sessions": 2 * count + 64,
            "buffers_per_worker": 8192,
        },
        "port": ports,
        "route": [
            {"prefix": "198.18.0.0/15", "via": SERVER},
            {"prefix": "2a00::/16", "via": SERVER6},
        ],
        "ipv6": IPV6,
        "session": {"setup_per_s": 100_000},
        "pppoe": {"max_half_open": count, "max_sessions_per_vlan": 65_534, "max_payload": 1500},
        "ppp": {"lcp_echo_interval_s": 300},
        "nat": {
            "pool": [{"name": "public", "addresses": ["198.51.100.0/26"]}],
            "port_block_size": 256,
            "filtering": "address-dependent",
            "remotes_per_worker": 1 << 18,
            "port_quarantine_s": 2,
        },
    }


class SoakLab(Lab):
    """A lab with that dataplane; *area* is there while it is up."""

    def __init__(
        self,
        prefix: str,
        directory: Path,
        binary: Path,
        *,
        flows: int,
        config: Mapping[str, Any],
        users: Mapping[str, Any],
    ) -> None:
        super().__init__(prefix, directory, config=config, users=users)
        self.binary = binary
        self.area = Area(directory / "soak", flows)

    def build(self) -> None:
        """Build; the ends of the veths say nothing on their own."""
        super().build()
        for netns, device in ((self.sub, "sub0"), (self.inet, "inet0")):
            run(netns, "sysctl", "-q", "-w", f"net.ipv6.conf.{device}.disable_ipv6=1")
        run(self.inet, "ip", "link", "set", "inet0", "addrgenmode", "none")
        run(self.inet, "sysctl", "-q", "-w", "net.ipv6.conf.inet0.disable_ipv6=0")
        run(self.inet, "ip", "addr", "add", f"{SERVER6}/64", "dev", "inet0", "nodad")
        self.area.router(run(self.inet, "cat", "/sys/class/net/inet0/address").stdout.strip())

    def start_bng(self) -> None:
        """Start both processes, and wait until both families know the box as a neighbour."""
        super().start_bng()
        self.wait("bngd", lambda: self.reaches(BOX6))

    def start_dataplane(self) -> None:
        """Start the dataplane with ports of its own."""
        told = {BINARY_VARIABLE: str(self.binary), "BNG_SOAK": str(self.area.path)}
        before = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        try:
            super().start_dataplane()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self._prefer_workers()

    def _prefer_workers(self) -> None:
        """Let workers run first when they want to: bngd and the clients share their processors."""
        for task in Path(f"/proc/{self.process('bng-dataplane').pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), WORKER_NICE)

    def down(self) -> None:
        """Stop everything."""
        super().down()
        self.area.close()

    def arena(self) -> contextlib.AbstractContextManager[Any]:
        """Yield a mapping of the dataplane's arena, to be read only."""
        return mapped_arena(self.process("bng-dataplane").pid)


@contextlib.contextmanager
def mapped_arena(pid: int) -> Iterator[Any]:
    """Yield a mapping of the arena of the dataplane *pid*, to be read only."""
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    for path in sorted(descriptors, key=lambda entry: int(entry.name)):
        fd = _open_arena(path)
        if fd is None:
            continue
        binding = lib.binding_map(fd, os.fstat(fd).st_size, [], 0)
        if binding == ffi.NULL:
            os.close(fd)
            continue
        try:
            yield binding
        finally:
            lib.binding_unmap(binding)
        return
    raise RuntimeError("the dataplane has no arena")


def _open_arena(path: Path) -> int | None:
    """Open a descriptor of the dataplane when it is its arena."""
    target = os.readlink(path)
    if "(deleted)" not in target and "memfd" not in target:
        return None
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    if os.pread(fd, 8, 0) == b"BNGARENA"[::-1] or os.pread(fd, 8, 0) == b"BNGARENA":
        return fd
    os.close(fd)
    return None


def usage(binding: Any) -> dict[str, int]:
    """Return how full the tables of an arena are: what a leak would leave behind."""
    header = ffi.cast("struct arena_header *", lib.binding_base(binding))
    ring_groups = header.n_workers + 1

    def bytes_of(section: int) -> memoryview:
        size = header.section[section].stride * header.section[section].count
        return memoryview(ffi.buffer(lib.binding_section(binding, section), size))

    def entries(section: int, ctype: str) -> Any:
        return ffi.cast(f"{ctype} *", lib.binding_section(binding, section))

    sessions = entries(lib.SECTION_SESSION_IN, "struct session_in")
    control = entries(lib.SECTION_CONTROL, "struct control_record")
    ip6 = entries(lib.SECTION_SESSION_IP6, "struct session_ip6")
    policers = entries(lib.SECTION_POLICER, "struct policer")
    blocks = entries(lib.SECTION_NAT_BLOCK, "struct nat_block")
    remotes = entries(lib.SECTION_NAT_REMOTE, "struct nat_remote")
    adjacencies = entries(lib.SECTION_ADJACENCY, "struct adjacency")
    rings = entries(lib.SECTION_RING, "struct ring")
    nat = [
        entries(lib.SECTION_NAT_ADDRESS, "struct nat_address")[i]
        for i in range(header.n_nat_addresses)
    ]
    workers = [
        entries(lib.SECTION_WORKER, "struct worker_shared")[w] for w in range(header.n_workers)
    ]
    every = range(header.max_sessions)
    remotes_count = header.section[lib.SECTION_NAT_REMOTE].count * (
        header.section[lib.SECTION_NAT_REMOTE].stride // ffi.sizeof("struct nat_remote")
    )
    fib = _reachable(bytes_of(lib.SECTION_FIB4_ROOT), bytes_of(lib.SECTION_FIB4_PAGE), 256)
    fib6 = _reachable(bytes_of(lib.SECTION_FIB6_ROOT), bytes_of(lib.SECTION_FIB6_SLOT), 16)
    return {
        "sessions": sum(sessions[i].state != 0 for i in every),
        "sessions_of_workers": sum(int(worker.sessions) for worker in workers),
        "control_records": sum(control[i].sequence != 0 for i in every),
        "policers": sum(policers[i].mode != 0 for i in range(2 * header.max_sessions)),
        "session_ids": _nonzero_words(bytes_of(lib.SECTION_DOMAIN_PAGE)),
        "fib_pages": fib[0],
        "fib_leaves": fib[1],
        "adjacencies": sum(adjacencies[i].kind != 0 for i in range(header.max_adjacencies)),
        "acls": _nonzero_words(bytes_of(lib.SECTION_ACL)),
        "sessions_with_ip6": sum(ip6[i].link_prefix != 0 for i in every),
        "fib6_nodes": fib6[0],
        "fib6_leaves": fib6[1],
        "nat_blocks_used": sum(int(address.used_blocks) for address in nat),
        "nat_blocks_free": sum(int(a.free_blocks) + int(a.resting_blocks) for a in nat),
        "nat_mappings": sum(sum(address.live) for address in nat),
        "nat_protocol_flows": sum(int(address.protocol_flows) for address in nat),
        "nat_blocks_with_session": sum(
            blocks[i].session != 0 for i in range(header.section[lib.SECTION_NAT_BLOCK].count)
        ),
        "nat_slot_bytes": _nonzero_bytes(bytes_of(lib.SECTION_NAT_SLOT)),
        "nat_remotes": sum(remotes[i].slot != 0 for i in range(remotes_count)),
        "ring_bytes": sum(
            int(rings[i].head - rings[i].tail) for i in range(ring_groups * lib.RINGS_PER_GROUP)
        ),
        "buffers_free": sum(int(worker.buffers_free) for worker in workers),
        "command_errors": sum(int(worker.command_errors) for worker in workers),
    }


def _nonzero_bytes(area: memoryview) -> int:
    step = 1 << 24
    return sum(
        len(piece) - piece.count(0)
        for piece in (bytes(area[at : at + step]) for at in range(0, len(area), step))
    )


def _nonzero_words(area: memoryview) -> int:
    data = bytes(area)
    return sum(any(data[at : at + 4]) for at in range(0, len(data), 4)) if any(data) else 0


def _reachable(root: memoryview, pages: memoryview, slots: int) -> tuple[int, int]:
    """Return (pages, leaves) that the root of a FIB leads to; a leaf is a route's share of it.

    A page, or node, has so many *slots*; its number is in the lower 24 bits of what leads to it.
    """
    page_words = bytes(pages)
    todo = [word for word in struct.unpack(f"={len(root) // 4}I", bytes(root)) if word]
    n_pages = n_leaves = 0
    while todo:
        word = todo.pop()
        if word >> 31:
            n_pages += 1
            page = struct.unpack_from(f"={slots}I", page_words, (word & 0xFFFFFF) * slots * 4)
            todo += [leaf for leaf in page if leaf]
        else:
            n_leaves += 1
    return n_pages, n_leaves
