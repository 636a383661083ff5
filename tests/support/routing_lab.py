"""The lab with routers: FRR beside the box, FRR and BIRD as its upstream neighbours.

    PREFIX-sub         PREFIX-bng                               PREFIX-inet: FRR, AS 64501
    +--------+   +----------------------------------+    +----------------------------------+
    | sub0   |---| acc0   bng-dataplane, bngd  wan0 |----| inet0 192.0.2.2/24               |
    +--------+   |                                  |    | lo 10.255.0.2, 198.18.100.1, .101.1
                 | FRR, AS 64500    lo 10.255.0.1   |    +----------------------------------+
                 | TAP bng-wan0 192.0.2.1/24        |     PREFIX-east: BIRD, AS 64502
                 | TAP bng-wan1 10.8.0.1/24         |    +----------------------------------+
                 |                             wan1 |----| east0 10.8.0.2/24                |
                 +----------------------------------+    | lo 10.255.0.3, 198.18.100.1, .102.1
                                                         +----------------------------------+

IPv6: 2001:db8:2::/64 in the west, 2001:db8:8::/64 in the east; 2001:db8:100::1 behind both,
2001:db8:101::1 and 2001:db8:102::1 behind one each.

198.18.100.1 is behind both neighbours. The routers have the files of ``conf/frr`` as they are.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bng.cli.client import call
from tests.support.lab import ROOT, Lab, merged
from tests.support.netns import processes, run

SAMPLES = ROOT / "conf" / "frr"
BOTH, WEST, EAST = "198.18.100.1", "198.18.101.1", "198.18.102.1"
"""Addresses behind both neighbours, behind inet alone, behind east alone."""
WEST_HOP, EAST_HOP = "192.0.2.2", "10.8.0.2"
BOTH6, WEST6, EAST6 = "2001:db8:100::1", "2001:db8:101::1", "2001:db8:102::1"
WEST_HOP6, EAST_HOP6 = "2001:db8:2::2", "2001:db8:8::2"
_DAEMONS = Path("/usr/lib/frr")


def until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> float:
    """Wait for *condition*; return how long it took. Raises: AssertionError naming *what*."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + timeout_s, f"after {timeout_s} s still not: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun


class Frr:
    """The daemons of FRR in one namespace, apart from all others by a directory of their own.

    They run as user frr, who cannot enter the directories of pytest.
    """

    def __init__(self, netns: str, daemons: Sequence[str] = ()) -> None:
        self.netns = netns
        self.daemons = ("zebra", "staticd", *daemons)
        self.directory = Path(tempfile.mkdtemp(prefix=f"frr-{netns}-"))
        shutil.chown(self.directory, "frr", "frr")

    def start(self, *daemons: str) -> None:
        """Start *daemons*, or all; each is ready when its command returns."""
        for name in daemons or self.daemons:
            words = ["-d", "-P", "0", "-i", f"{self.directory}/{name}.pid"]
            words += ["--vty_socket", str(self.directory), "-z", f"{self.directory}/zserv.api"]
            words += ["--log", f"file:{self.directory}/{name}.log"]
            if name == "zebra":
                words += ["-K", "3"]  # else routes of a zebra that crashed may stay
            run(self.netns, str(_DAEMONS / name), *words)

    def load(self, *files: Path) -> None:
        """Add the configuration in *files* to what there is."""
        for file in files:
            done = self._vtysh("-f", str(file))
            assert not done.strip(), f"{file}: {done}"

    def configure(self, *lines: str) -> None:
        """Enter *lines* after ``configure terminal``."""
        words = [word for line in ("configure terminal", *lines) for word in ("-c", line)]
        done = self._vtysh(*words)
        assert "% " not in done, done

    def show(self, line: str) -> Any:
        """Return what ``show LINE json`` says."""
        return json.loads(self._vtysh("-c", f"show {line} json") or "{}")

    def text(self, line: str) -> str:
        """Return what a command prints."""
        return self._vtysh("-c", line)

    def _vtysh(self, *words: str) -> str:
        return run(None, "vtysh", "--vty_socket", str(self.directory), *words).stdout

    def kill(self, *daemons: str, how: str = "-KILL") -> None:
        """Kill *daemons*, or all, as a crash does: they withdraw nothing."""
        for name in daemons or self.daemons:
            file = self.directory / f"{name}.pid"
            if file.exists():
                run(None, "kill", how, file.read_text().strip(), check=False)
                file.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop all, zebra last, and wait until the kernel has none of their routes."""
        self.kill(*reversed(self.daemons), how="-TERM")
        for family in ("-4", "-6"):
            show = ("ip", family, "route", "show", "proto", "bgp")
            until(lambda s=show: not run(self.netns, *s).stdout, "zebra leaves nothing")

    def logs(self) -> str:
        """Return the ends of the daemons' logs."""
        files = sorted(self.directory.glob("*.log"))
        return "".join(f"--- {f.name}\n{f.read_text(errors='replace')[-2000:]}" for f in files)

    def remove(self) -> None:
        """Kill all and delete the directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class RoutingLab(Lab):
    """A lab with a second routed port, and routers; *frr* are the daemons beside the box."""

    def __init__(
        self,
        prefix: str,
        directory: Path,
        *,
        config: Mapping[str, Any] | None = None,
        users: Mapping[str, Any] | None = None,
        frr: Sequence[str] = ("bgpd", "bfdd"),
    ) -> None:
        super().__init__(prefix, directory, users=users)
        self.east = f"{prefix}-east"
        port = {"name": "wan1", "interface": "wan1", "role": "routed"}
        self.config["port"].append({**port, "addresses": ["10.8.0.1/24", "2001:db8:8::1/64"]})
        self.config["port"][1]["addresses"].append("2001:db8:2::1/64")
        self.config = merged(self.config, config or {})
        self._daemons = frr

    def build(self) -> None:
        """Make the namespaces; the routers' own addresses."""
        super().build()
        run(None, "ip", "netns", "add", self.east)
        pair = ("link", "add", "wan1", "netns", self.bng, "type", "veth")
        run(None, "ip", *pair, "peer", "name", "east0", "netns", self.east)
        for netns, device in ((self.bng, "wan1"), (self.east, "east0"), (self.east, "lo")):
            run(netns, "ip", "link", "set", device, "up")
        for netns, device, address in (
            (self.east, "east0", "10.8.0.2/24"),
            (self.east, "lo", "10.255.0.3/32"),
            (self.east, "lo", f"{BOTH}/32"),
            (self.east, "lo", f"{EAST}/32"),
            (self.inet, "lo", "10.255.0.2/32"),
            (self.inet, "lo", f"{BOTH}/32"),
            (self.inet, "lo", f"{WEST}/32"),
            (self.bng, "lo", "10.255.0.1/32"),
        ):
            run(netns, "ip", "addr", "add", address, "dev", device)
        for netns, device, address in (
            (self.east, "east0", f"{EAST_HOP6}/64"),
            (self.east, "lo", f"{BOTH6}/128"),
            (self.east, "lo", f"{EAST6}/128"),
            (self.inet, "inet0", f"{WEST_HOP6}/64"),
            (self.inet, "lo", f"{BOTH6}/128"),
            (self.inet, "lo", f"{WEST6}/128"),
        ):
            run(netns, "ip", "-6", "addr", "add", address, "dev", device, "nodad")
        keep = "/proc/sys/net/ipv6/conf/inet0/keep_addr_on_down"
        run(self.inet, "sh", "-c", f"echo 1 >{keep}")  # as a router does, when its link goes down
        run(self.east, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.router = Frr(self.bng, self._daemons)
        self.neighbour = Frr(self.inet, self._daemons)
        self.bird_socket = self.directory / "bird.ctl"

    def route_back(self, prefix: str) -> None:
        """Let routing do it."""

    def start_routers(self, *samples: str) -> None:
        """Start FRR on both sides with *samples* of ``conf/frr``."""
        self.start_router(*samples)
        self.neighbour.start()
        self.neighbour.load(*(SAMPLES / "neighbour" / f"{name}.conf" for name in samples))

    def start_router(self, *samples: str) -> None:
        """Start FRR beside the box."""
        self.router.start()
        self.router.load(*(SAMPLES / f"{name}.conf" for name in samples))

    def wait_gone(self, name: str) -> None:
        """Wait until a process has ended by itself."""
        self.process(name).wait(15)
        self.stop(name)

    def start_bird(self, file: Path = SAMPLES / "neighbour" / "bird.conf") -> None:
        """Start BIRD in the east."""
        argv = ("-f", "-c", str(file), "-s", str(self.bird_socket))
        self.spawn("east", "bird", "/usr/sbin/bird", *argv)
        self.wait("bird", self.bird_socket.exists)

    def bird(self, words: str) -> str:
        """Ask BIRD."""
        return run(None, "birdc", "-s", str(self.bird_socket), *words.split()).stdout

    def down(self) -> None:
        """Stop everything."""
        for name in ("router", "neighbour"):
            if frr := getattr(self, name, None):
                print(f"=== FRR, {name}\n{frr.logs()}")
                frr.remove()
        super().down()
        for pid in processes(self.east):
            os.kill(pid, 9)
        run(None, "ip", "netns", "del", self.east, check=False)

    # ---- what the routers see ----

    def routes(self, netns: str, prefix: str) -> list[dict[str, Any]]:
        """Return the kernel's routes for exactly *prefix*."""
        family = "-6" if ":" in prefix else "-4"
        shown = run(netns, "ip", "-json", family, "route", "show", "exact", prefix).stdout
        found: list[dict[str, Any]] = json.loads(shown or "[]")
        return found

    def hops(self, address: str) -> set[str]:
        """Return which neighbours the dataplane's route to *address* leads to, all that share it.

        A route that leads elsewhere has its kind instead, no route nothing.
        """
        adjacency = self.explain(address).get("adjacency")
        if adjacency is None:
            return set()
        members = adjacency.get("members", [adjacency["adjacency"]])
        known = {
            found["adjacency"]: hop
            for hop in ((WEST_HOP6, EAST_HOP6) if ":" in address else (WEST_HOP, EAST_HOP))
            if (found := self.explain(hop).get("adjacency"))
        }
        return {known.get(member, adjacency["kind"]) for member in members}

    def explain(self, address: str) -> dict[str, Any]:
        """Return where the dataplane sends *address*, and why: as ``bngctl explain`` does."""
        return cast(dict[str, Any], call(str(self.socket), "explain", address=address))

    def leads_to(self, address: str, *hops: str) -> bool:
        """Say whether *address* leads to these next hops, or kinds, exactly."""
        return self.hops(address) == set(hops)

    def established(self, family: str = "ipv4Unicast") -> set[str]:
        """Return the BGP neighbours of the box that are established."""
        peers = self.router.show("bgp summary").get(family, {}).get("peers", {})
        return {peer for peer, state in peers.items() if state["state"] == "Established"}

    def bfd_up(self, router: Frr | None = None) -> set[str]:
        """Return the BFD peers of *router*, which is the box's, that are up."""
        peers = (router or self.router).show("bfd peers")
        return {peer["peer"] for peer in peers if peer["status"] == "up"}

    def ospf_full(self) -> bool:
        """Say whether the box's OSPF neighbour is there."""
        neighbours = self.router.show("ip ospf neighbor").get("neighbors", {})
        states = [entry["nbrState"] for entries in neighbours.values() for entry in entries]
        return bool(states) and all(state.startswith("Full") for state in states)

    def converged(self) -> None:
        """Wait until BGP and BFD are there with both neighbours, and their routes in the FIB."""
        both = {WEST_HOP, EAST_HOP}
        until(lambda: self.established() == both, "BGP with both neighbours")
        until(lambda: self.bfd_up() >= both, "BFD with both neighbours")
        until(lambda: self.hops(BOTH) == both, "both share the traffic")
