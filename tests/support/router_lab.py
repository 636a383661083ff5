"""A router lab: bng-dataplane alone between two hosts, without bngd or subscribers.

    namespace PREFIX-a           PREFIX-bng                        PREFIX-b
    +---------------+   +----------------------------+   +---------------+
    | e 10.9.0.2/24 |---| wan0   bng-dataplane  wan1 |---| e 10.8.0.2/24 |
    +---------------+   | TAP bng-wan0   10.9.0.1/24 |   +---------------+
                        | TAP bng-wan1   10.8.0.1/24 |
                        +----------------------------+

The kernel of the bng namespace has ip_forward=1, and the veth pairs keep all their offloads. The
arena is read through the same binding as bngd's.
"""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from bng.dataplane_launch import binary
from dataplane import sight
from dataplane.binding import Dataplane, lib
from dataplane.fib6 import fib6_lookup
from tests.support.netns import command, processes, run
from tests.support.pinger import pinging

SIDES = ("a", "bng", "b")
HOST_A, BOX_A = "10.9.0.2", "10.9.0.1"
HOST_B, BOX_B = "10.8.0.2", "10.8.0.1"
WAN0, TAP0, WAN1, TAP1 = range(4)

ROUTED_PORTS = (
    "--port=name=wan0,if=wan0,driver=af_packet,role=routed,mtu=1500,tap=bng-wan0",
    "--port=name=wan1,if=wan1,driver=af_packet,role=routed,mtu=1500,tap=bng-wan1",
)
XDP_PORTS = tuple(
    port.replace("af_packet", "af_xdp") + ",peer-offloads=off" for port in ROUTED_PORTS
)

KINDS = {
    0: "free",
    1: "neighbour",
    2: "glean",
    3: "local",
    4: "gateway",
    5: "nat-pool",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "group",
    10: "nexthop",
}


class Leaf(NamedTuple):
    """What the FIB says of an address: adjacency kind, port, next hop, prefix length."""

    kind: str
    port: int
    next_hop: str
    length: int


def next_hop_of(adjacency: Any) -> str:
    """Return an adjacency's address, 0.0.0.0 for none."""
    ip6 = IPv6Address(bytes(adjacency.ip6))
    if not adjacency.address and int(ip6) and adjacency.kind not in (9, 10):
        return str(ip6)
    return str(IPv4Address(int(adjacency.address).to_bytes(4, "little")))


def until(condition: Callable[[], Any], what: str, timeout_s: float = 5.0) -> None:
    """Wait for *condition*. Raises: AssertionError naming *what* when it does not come true."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"after {timeout_s} s still not: {what}"
        time.sleep(0.02)


class RouterLab:
    """Three namespaces and one bng-dataplane; a context manager."""

    def __init__(self, prefix: str, directory: Path, ports: tuple[str, ...] = ROUTED_PORTS) -> None:
        self.prefix = prefix
        self.ports = ports
        self.options: tuple[str, ...] = ()
        """More options of the dataplane."""
        self.wrapper: tuple[str, ...] = ()
        """A program that starts the dataplane, and its arguments."""
        self.log = directory / "dataplane.log"
        self.socket = directory / "dataplane.socket"
        self.process: subprocess.Popen[bytes] | None = None
        self._arena: Dataplane | None = None

    def __enter__(self) -> "RouterLab":
        try:
            self._build()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
        if self.log.exists():
            print(f"--- {self.log.name}\n{self.log.read_text(errors='replace')}")

    def netns(self, side: str) -> str:
        """Return the name of a side's namespace."""
        return f"{self.prefix}-{side}"

    def run(self, side: str, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on one side."""
        return run(self.netns(side), *argv, check=check)

    def ip(self, side: str, words: str) -> None:
        """Run ``ip`` with *words* on one side."""
        self.run(side, "ip", *words.split())

    def _build(self) -> None:
        for side in SIDES:
            run(None, "ip", "netns", "add", self.netns(side))
            self.ip(side, "link set lo up")
        for port, side, host, box in (("wan0", "a", HOST_A, BOX_A), ("wan1", "b", HOST_B, BOX_B)):
            peer = f"peer name e netns {self.netns(side)}"
            self.ip("bng", f"link add {port} type veth {peer}")
            self.ip(side, f"addr add {host}/24 dev e")
            self.ip(side, "link set e up")
            self.ip(side, f"route add default via {box}")
        self.run("bng", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    # ---- the process ----

    def start(self, *, addresses: bool = True) -> None:
        """Start the dataplane, wait until it is ready, put the addresses on the TAPs."""
        assert self.launch() is None, self.log.read_text()
        if addresses:
            self.ip("bng", f"addr replace {BOX_A}/24 dev bng-wan0")
            self.ip("bng", f"addr replace {BOX_B}/24 dev bng-wan1")
            until(lambda: self.leaf(BOX_A) and self.leaf(BOX_B), "own addresses mirrored")
            for twin in ("bng-wan0", "bng-wan1"):
                until(partial(self._carrier, twin), f"{twin} has its port's carrier")

    def _carrier(self, device: str) -> bool:
        shown = self.run("bng", "cat", f"/sys/class/net/{device}/carrier", check=False)
        return shown.stdout.strip() == "1"

    def launch(self) -> int | None:
        """Start the dataplane; return its exit status, None when it is ready and runs on."""
        argv = [
            *self.wrapper,
            str(binary()),
            f"--socket={self.socket}",
            "--workers=-",
            "--sessions=64",
        ]
        argv += ["--hugepages=off", *self.ports, *self.options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(self.netns("bng"), argv), stdout=log, stderr=subprocess.STDOUT
            )
        process = self.process
        until(
            lambda: process.poll() is not None or b"event=ready" in self.log.read_bytes(),
            "dataplane ready, or gone",
            timeout_s=20,
        )
        return process.poll()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the dataplane; return its exit status."""
        self.detach()
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(10)
        self.process = None
        return status

    def down(self) -> None:
        """Stop everything; safe to repeat."""
        self.detach()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for side in SIDES:
            for pid in processes(self.netns(side)):
                run(None, "kill", "-9", str(pid), check=False)
            run(None, "ip", "netns", "del", self.netns(side), check=False)

    # ---- the arena ----

    @property
    def arena(self) -> Dataplane:
        """The attached arena."""
        if self._arena is None:
            self._arena = Dataplane.attach(str(self.socket))
        return self._arena

    def detach(self) -> None:
        """Give the arena back."""
        if self._arena is not None:
            self._arena.close()
            self._arena = None

    def _found(self, address: str) -> sight.Leaf:
        """Look *address* up as a worker does."""
        wanted = ip_address(address)
        if isinstance(wanted, IPv6Address):
            return fib6_lookup(self.arena, wanted)
        return sight.fib4_lookup(self.arena, wanted)

    def leaf(self, address: str) -> Leaf | None:
        """Return where *address* leads; None: no route."""
        found = self._found(address)
        if not found.kind:
            return None
        adjacency = self._adjacency(address)
        return Leaf(KINDS[adjacency.kind], adjacency.port, next_hop_of(adjacency), found.length)

    def adjacency_index(self, address: str) -> int:
        """Return the index of the adjacency that *address* leads to."""
        return self._found(address).index

    def slots(self, address: str) -> list[str]:
        """Return the next hop of each slot of the group that *address* leads to."""
        table = self.arena.adjacencies
        members = [table[i] for i in self._adjacency(address).member]
        assert all(member.kind in (1, 2) for member in members), "a member is no next hop"
        return [next_hop_of(member) for member in members]

    def slots_or_none(self, address: str) -> list[str] | None:
        """Return the slots, None when *address* leads to no group or object."""
        leaf = self.leaf(address)
        return self.slots(address) if leaf and leaf.kind in ("group", "nexthop") else None

    def kinds_of_slots(self, address: str) -> set[str]:
        """Return the kinds of what is in the slots of the group that *address* leads to."""
        members = self._adjacency(address).member
        return {KINDS[self.arena.adjacencies[i].kind] for i in members}

    def rewrite(self, address: str) -> str:
        """Return the destination MAC of what leaves for *address*."""
        return bytes(self._adjacency(address).rewrite)[:6].hex(":")

    def _adjacency(self, address: str) -> Any:
        found = self._found(address)
        assert found.kind == lib.LEAF_ADJACENCY, f"{address} leads to {found}"
        return self.arena.adjacencies[found.index]

    def waits_for(self, address: str, leaf: Leaf | None) -> None:
        """Wait until the FIB says *leaf* of *address*."""
        until(lambda: self.leaf(address) == leaf, f"{address}: {leaf}, is {self.leaf(address)}")

    # ---- hosts ----

    def mac(self, side: str, device: str) -> str:
        """Return a device's MAC."""
        return str(self.link(side, device)["address"])

    def link(self, side: str, device: str) -> dict[str, Any]:
        """Return what ``ip -json link show`` says of a device."""
        found: list[dict[str, Any]] = json.loads(
            self.run(side, "ip", "-json", "link", "show", device).stdout
        )
        return found[0]

    def ping(self, side: str, address: str, *words: str) -> bool:
        """Ping *address* once, or as *words* say; True when all were answered."""
        argv = ("ping", "-n", "-q", "-W", "2", *(words or ("-c", "1")), address)
        done = self.run(side, *argv, check=False)
        return done.returncode == 0 and " 0% packet loss" in done.stdout

    def meet(self) -> None:
        """Have both hosts' neighbour entries in the FIB: no first packet is lost."""
        for port, host in ((WAN0, HOST_A), (WAN1, HOST_B)):
            assert self.ping("bng", host)
            self.waits_for(host, Leaf("neighbour", port, host, 32))

    def kernel_counter(self, name: str) -> int:
        """Return a counter of the kernel of the bng namespace, such as IpForwDatagrams."""
        done = self.run("bng", "nstat", "-asz", "--json", name)
        return int(json.loads(done.stdout)["kernel"][name])

    @contextlib.contextmanager
    def background(self, side: str, *argv: str, ready: str = "") -> Iterator[subprocess.Popen[str]]:
        """Run a program while the block lasts; wait first for a line with *ready*."""
        process = subprocess.Popen(
            command(self.netns(side), argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            if ready:
                assert process.stdout is not None
                line = next((text for text in process.stdout if ready in text), "")
                assert line, f"{argv[0]} did not start"
            yield process
        finally:
            process.kill()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


@contextlib.contextmanager
def counted_packets(lab: RouterLab, address: str) -> Iterator[None]:
    """Ping *address* from a while the block lasts; each packet has to be answered."""
    with pinging(lab.netns("a"), address) as pings:
        yield
        time.sleep(0.1)
    assert pings.sent > 20, "the block was too short to show anything"
    assert pings.missing == 0, pings
