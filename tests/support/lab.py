"""The lab: three network namespaces, both processes of the BNG, servers on the internet side.

    namespace PREFIX-sub        PREFIX-bng                       PREFIX-inet
    +--------------+   +---------------------------+   +-----------------------------+
    | client  sub0 |---| acc0   bng-dataplane wan0 |---| inet0 192.0.2.2/24          |
    +--------------+   |        bngd  (ip_forward) |   | HTTP :80  UDP echo :7007    |
                       | TAP bng-wan0 192.0.2.1/24 |   | 198.51.100.0/28 via .1 (NAT)|
                       +---------------------------+   | 203.0.113.0/24 via .1       |
                                                       +-----------------------------+

Subscribers have 100.64.0.0/17 and leave as 198.51.100.0/28; user "pat" has a public address and no
NAT. The kernel of the bng namespace forwards (ip_forward=1) on purpose: a frame that it sees as
well as the dataplane would show up twice. Offloads of the veth pairs stay as they are by default.
The quick start and the tests build the same lab with this module; it needs root and iproute2.
"""

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from bng.cli.client import CtlError, call
from tests.support.netns import command, exists, processes, run
from tests.support.toml import dump

ROOT = Path(__file__).parents[2]
ACCESS_MTU = 1508
"""PPPoE in two VLAN tags takes 4 bytes more than an Ethernet device of 1500 lets through."""
SERVER = "192.0.2.2"
NAT_POOL = "198.51.100.0/28"
PUBLIC_ADDRESS = "203.0.113.7"
GATEWAY = "100.64.0.1"
PAGE = "This page came through the BNG.\n"
SIDES = ("sub", "bng", "inet")
_WITH_DEADLINE = {"deadlines", "id_domains", "ids_resting", "holdoffs"}

_USERS: dict[str, Any] = {
    "alice": {"password": "wonder"},
    "bob": {"password": "builder"},
    "pat": {"password": "public", "ipv4_address": PUBLIC_ADDRESS, "nat_profile": "none"},
}


def default_config(directory: Path) -> dict[str, Any]:
    """Return bng.toml of the lab as a dictionary."""
    return {
        "system": {
            "name": "lab",
            "run_dir": str(directory / "run"),
            "state_dir": str(directory / "state"),
        },
        "dataplane": {"workers": [0], "max_sessions": 2048, "hugepages": "off"},
        "pppoe": {},
        "ppp": {},
        "session": {},
        "nat": {"pool": [{"name": "public", "addresses": [NAT_POOL]}]},
        "aaa": {"users": "users.toml"},
        "port": [
            {
                "name": "acc0",
                "interface": "acc0",
                "role": "access",
                "access": [
                    {"outer": "none", "inner": "none"},
                    {"outer": "any", "inner": "none"},
                    {"outer": "any", "inner": "any"},
                ],
            },
            {
                "name": "wan0",
                "interface": "wan0",
                "role": "routed",
                "addresses": ["192.0.2.1/24"],
            },
        ],
        "pool": [
            {
                "name": "subscribers",
                "ranges": ["100.64.0.10-100.64.127.254"],
                "gateway": GATEWAY,
                "dns": ["192.0.2.53", "192.0.2.54"],
            }
        ],
        "ipv6": {"pool": [{"name": "links", "prefixes": ["2001:db8:a000::/36"], "length": 64}]},
    }


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay *over* on *base*: tables are merged, everything else is replaced."""
    result = dict(copy.deepcopy(dict(base)))
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both and old is not None else value
    return result


def load_users(count: int, password: str = "secret") -> dict[str, Any]:
    """Return *count* users for the load client."""
    return {f"user{index:05d}": {"password": password} for index in range(count)}


class LabError(RuntimeError):
    """The lab or one of its processes did not come up; the message shows logs."""


class Lab:
    """One lab; several with different prefixes can stand side by side.

    *config* is laid over `default_config`, *users* over the lab's own.
    """

    def __init__(
        self,
        prefix: str,
        directory: Path,
        *,
        config: Mapping[str, Any] | None = None,
        users: Mapping[str, Any] | None = None,
    ) -> None:
        self.prefix = prefix
        self.directory = directory
        self.config = merged(default_config(directory), config or {})
        self.users = {**_USERS, **(users or {})}
        self.sub, self.bng, self.inet = (f"{prefix}-{side}" for side in SIDES)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- Up and down ---

    def __enter__(self) -> "Lab":
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.down()

    def up(self) -> None:
        """Build everything and start everything."""
        self.build()
        self.start_servers()
        self.start_bng()

    def build(self) -> None:
        """Make namespaces, links, addresses and configuration files."""
        for netns in (self.sub, self.bng, self.inet):
            run(None, "ip", "netns", "add", netns)
            run(None, "ip", "-n", netns, "link", "set", "lo", "up")
        for left, netns, right, peer in (
            ("sub0", self.sub, "acc0", self.bng),
            ("wan0", self.bng, "inet0", self.inet),
        ):
            pair = ("link", "add", left, "netns", netns, "type", "veth")
            run(None, "ip", *pair, "peer", "name", right, "netns", peer)
            run(None, "ip", "-n", netns, "link", "set", left, "up")
            run(None, "ip", "-n", peer, "link", "set", right, "up")
        for netns, name in ((self.sub, "sub0"), (self.bng, "acc0")):
            run(netns, "ip", "link", "set", name, "mtu", str(ACCESS_MTU))
        run(self.inet, "ip", "addr", "add", f"{SERVER}/24", "dev", "inet0")
        for prefix in (NAT_POOL, "203.0.113.0/24"):
            self.route_back(prefix)
        run(self.bng, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        for name in ("run", "state", "log", "www"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "www" / "index.html").write_text(PAGE)
        self.write_config()

    def route_back(self, prefix: str) -> None:
        """Have the internet side send *prefix* to the BNG."""
        run(self.inet, "ip", "route", "replace", prefix, "via", "192.0.2.1")

    def write_config(self) -> None:
        """Write bng.toml and users.toml as ``config`` and ``users`` say now."""
        (self.directory / "bng.toml").write_text(dump(self.config))
        (self.directory / "users.toml").write_text(dump({"user": self.users}))

    def down(self) -> None:
        """Stop everything and remove the namespaces; safe to repeat, also on half a lab."""
        for name in ("bngd", "bng-dataplane"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(name, timeout_s=5)
        for name in list(self._processes):
            self.stop(name, signal.SIGKILL)
        tear_down(self.prefix)

    # --- Processes ---

    def spawn(self, side: str, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """Start *argv* in the namespace *side*; it logs to ``log/NAME.log``."""
        with self.log_file(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command(f"{self.prefix}-{side}", argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self._processes[name]

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """Return the process that was spawned as *name*."""
        return self._processes[name]

    def stop(
        self, name: str, how: signal.Signals = signal.SIGTERM, *, timeout_s: float = 15
    ) -> int | None:
        """End one process and return its exit status; None when it was not there."""
        process = self._processes.get(name)
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(how)
        status = process.wait(timeout_s)
        del self._processes[name]
        return status

    def start_servers(self) -> None:
        """Start the HTTP server on the internet side."""
        www = str(self.directory / "www")
        http = ("-m", "http.server", "80", "--bind", SERVER, "--directory", www)
        self.spawn("inet", "http", sys.executable, "-u", *http)
        self.wait("http", lambda: self.fetches(f"http://{SERVER}/"))

    def start_bng(self) -> None:
        """Start the dataplane, then bngd, and wait until bngd and the routed port answer."""
        self.start_dataplane()
        self.start_bngd()
        self.wait("bngd", lambda: self.reaches("192.0.2.1"))

    def start_dataplane(self) -> None:
        """Start bng-dataplane and wait for its socket."""
        toml = str(self.directory / "bng.toml")
        self.spawn("bng", "bng-dataplane", program("bng-dataplane"), "--config", toml)
        path = self.directory / "run" / "dataplane.sock"
        self.wait("bng-dataplane", lambda: self._is_listening(path))

    def start_bngd(self) -> None:
        """Start bngd and wait until it answers."""
        self.spawn_bngd(program("bngd"))
        self.wait_for_bngd()

    def spawn_bngd(self, *words: str) -> None:
        """Start *words*, which are bngd, with the lab's configuration."""
        self.spawn("bng", "bngd", *words, "--config", str(self.directory / "bng.toml"))

    def wait_for_bngd(self) -> None:
        """Wait until bngd answers."""
        self.wait("bngd", self._bngd_answers)

    def _bngd_answers(self) -> bool:
        try:
            return bool(self.ask("show version"))
        except LabError:
            return False

    def wait(self, name: str, ready: Callable[[], bool], timeout_s: float = 20) -> None:
        """Wait until *ready*. Raises: LabError when the process ends first or time is over."""
        end = time.monotonic() + timeout_s
        while not ready():
            process = self._processes[name]
            if process.poll() is not None:
                raise LabError(f"{name} ended with {process.returncode}\n{self.log(name)}")
            if time.monotonic() > end:
                raise LabError(f"{name} is not ready after {timeout_s} s\n{self.log(name)}")
            time.sleep(0.05)

    def reaches(self, address: str) -> bool:
        """Say whether the internet side gets an echo, and so knows the neighbour's MAC."""
        ping = ("ping", "-c", "1", "-W", "1", address)
        return run(self.inet, *ping, check=False).returncode == 0

    def _is_listening(self, path: Path) -> bool:
        """Say whether the socket *path* is open, without connecting: it grants a lease."""
        sockets = run(self.bng, "cat", "/proc/net/unix").stdout.splitlines()
        return any(line.endswith(f" {path}") for line in sockets)

    def log_file(self, name: str) -> Path:
        """Say where *name* logs to."""
        return self.directory / "log" / f"{name}.log"

    def log(self, name: str) -> str:
        """Return what *name* logged so far."""
        path = self.log_file(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def fetches(self, url: str) -> bool:
        """Say whether the internet side itself gets a page."""
        fetch = ("curl", "-fsS", "-o", "/dev/null", url)
        return run(self.inet, *fetch, check=False).returncode == 0

    # --- Management ---

    @property
    def socket(self) -> Path:
        """Return the path of the management socket."""
        return self.directory / "run" / "bngd.sock"

    def ctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run bngctl. Raises: RuntimeError when it fails and *check* is set."""
        return run(None, program("bngctl"), "--socket", str(self.socket), *words, check=check)

    def ctl_json(self, *words: str) -> Any:
        """Run bngctl with ``--json`` and decode what it prints."""
        return json.loads(self.ctl(*words, "--json").stdout)

    def ask(self, command: str, **args: str) -> Any:
        """Return what bngd answers, without a bngctl in between. Raises: LabError."""
        try:
            return call(str(self.socket), command, **args)
        except CtlError as error:
            raise LabError(f"{command}: {error}") from None

    def sessions(self) -> list[dict[str, Any]]:
        """Return the session table."""
        table: list[dict[str, Any]] = self.ask("show sessions")
        return table

    def wait_for_sessions(self, count: int, timeout_s: float = 10) -> list[dict[str, Any]]:
        """Wait until there are *count* sessions. Raises: LabError when it stays otherwise."""
        end = time.monotonic() + timeout_s
        while len(table := self.sessions()) != count:
            if time.monotonic() > end:
                raise LabError(f"{len(table)} sessions, not {count}: {table}")
            time.sleep(0.1)
        return table

    def occupancy(self) -> dict[str, int]:
        """Return how full each table is that must be empty when all sessions have ended.

        What only waits for its deadline (resting ids, hold-offs) is left out.
        """
        tables = self.ask("show counters")["tables"]
        return {name: used for name, used in tables.items() if name not in _WITH_DEADLINE}

    def drops(self, node: str) -> int:
        """Return how many packets *node* dropped, for whatever reason."""
        drops = self.ask("show counters")["drops"]
        return sum(count for name, count in drops.items() if name.split()[0] == node)

    # --- Subscribers ---

    def dial(
        self, user: str = "alice", password: str = "wonder", *options: str, tun: str = "ppp0"
    ) -> dict[str, Any]:
        """Dial with our own client, in the background, and return its ``up`` event.

        Then the device *tun* is the session. The client is process ``client-TUN``.
        """
        name = f"client-{tun}"
        words = ("--user", user, "--password", password, "--tun", tun, *options)
        client = (sys.executable, "-m", "tests.support.client", "--interface", "sub0")
        self.log_file(name).unlink(missing_ok=True)
        self.spawn("sub", name, *client, *words)
        return self.wait_for_event(name, "up")

    @contextlib.contextmanager
    def subscriber(
        self, user: str = "alice", password: str = "wonder", *options: str, tun: str = "ppp0"
    ) -> Iterator[dict[str, Any]]:
        """Dial as `dial` does; the subscriber hangs up at the end of the block."""
        try:
            yield self.dial(user, password, *options, tun=tun)
        finally:
            self.stop(f"client-{tun}")

    def wait_for_event(self, name: str, event: str) -> dict[str, Any]:
        """Return the first *event* that the client *name* has printed, or prints now."""
        self.wait(name, lambda: f'"event": "{event}"' in self.log(name))
        return next(found for found in self.events(name) if found["event"] == event)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events that a client has printed."""
        return [json.loads(line) for line in self.log(name).splitlines() if line.startswith("{")]


def program(name: str) -> str:
    """Find one of our programs: beside this Python, then on the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise LabError(f"{name} is not installed: run pip install . first")
    return found


def tear_down(prefix: str) -> None:
    """Remove the lab called *prefix*, whoever built it: processes first, then namespaces."""
    for side in SIDES:
        netns = f"{prefix}-{side}"
        if not exists(netns):
            continue
        for how, patience_s in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            end = time.monotonic() + patience_s
            for pid in processes(netns):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
            while processes(netns) and time.monotonic() < end:
                time.sleep(0.05)
        run(None, "ip", "netns", "del", netns)
