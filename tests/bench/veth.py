"""CPU for each packet on veths, side by side: our drivers, the kernel's own NAT, and a ceiling.

The same generator (AF_XDP) sends frames of 60 to 68 bytes, 64 UDP flows; the same sink counts them;
only what forwards in between differs. Upwards, and downwards the other way round:

    PREFIX-sub              PREFIX-bng                    PREFIX-inet
    +-----------------+   +---------------------------+   +---------------+
    | generator  sub0 |---| acc0   one of these  wan0 |---| inet0   sink  |
    +-----------------+   +---------------------------+   +---------------+

af_xdp, af_packet: both processes of the BNG, PPPoE + NAT44. kernel: IPv4 forwarding and nftables
masquerade. ceiling: a bare AF_XDP forwarder that looks at nothing.

CPU is what all processors were busy (/proc/stat), generator, sink and softirq included, so let
nothing else run. Generator and sink are pinned to the first processor, workers and ceiling to the
last. At most 512 packets are under way: full load, no loss.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests.support.client.load import LoadClient
from tests.support.lab import SERVER, Lab, default_config, load_users
from tests.support.netns import command, inside, offloads_off, run

ROOT = Path(__file__).parents[2]
FIRST_CPU, *_, LAST_CPU = sorted(os.sched_getaffinity(0)) * 2
FLOWS = 64
_SOURCES = (
    "tests/support/c/veth_bench.c",
    "dataplane/src/io/xdp_program.c",
    "dataplane/src/io/xdp_insns.c",
    "dataplane/src/io/netdev.c",
)
_CEILING, _KERNEL = "ceiling", "kernel"
CASES = (_CEILING, "af_xdp", "af_packet", _KERNEL)
UP, DOWN = "up", "down"
_ECHO_PORT, _FIRST_PORT = 7007, 40_000
_TRIES = 50
"""How often the first packets of all flows are sent, 0.1 s apart, until all have come through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one case."""

    case: str
    direction: str
    packets_per_s: float
    cpu_ns: float
    lost: int


def build() -> str:
    """Compile the ends and the ceiling; return the program."""
    target = ROOT / "build" / "tests" / "veth_bench"
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [str(ROOT / source) for source in _SOURCES]
    words = [
        "cc",
        "-std=gnu11",
        "-D_GNU_SOURCE",
        "-O2",
        *(f"-I{ROOT}/dataplane/{folder}" for folder in ("src", "include")),
        "-o",
        str(target),
        *sources,
        "-lxdp",
        "-lbpf",
    ]
    subprocess.run(words, check=True)
    return str(target)


def _sum16(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _udp(source: bytes, source_port: int, target: bytes, target_port: int) -> bytes:
    """Return 46 bytes of IPv4 and UDP, without UDP checksum."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0x4000, 64, 17, 0, source, target)
    head = head[:10] + struct.pack("!H", _sum16(head)) + head[12:]
    return head + struct.pack("!HHHH", source_port, target_port, 26, 0) + bytes(18)


def _asked(source: bytes, number: int) -> bytes:
    """Return what flow *number* sends to the server."""
    server = IPv4Address(SERVER).packed
    return _udp(source, _FIRST_PORT + number, server, _ECHO_PORT)


def _write(path: Path, frames: list[bytes]) -> None:
    path.write_bytes(b"".join(struct.pack("!H", len(frame)) + frame for frame in frames))


def _mac(netns: str, device: str) -> bytes:
    text = run(netns, "cat", f"/sys/class/net/{device}/address").stdout.strip()
    return bytes.fromhex(text.replace(":", ""))


def _lab(case: str, directory: Path) -> Lab:
    ports: list[dict[str, Any]] = default_config(directory)["port"]
    if case == "af_xdp":
        options = {"driver": "af_xdp", "options": {"peer-offloads": "off"}}
        ports = [port | options for port in ports]
    config = {
        "port": ports,
        "dataplane": {"workers": [LAST_CPU]},
        "ppp": {"lcp_echo_interval_s": 300},
    }
    return Lab(f"bv{os.getpid()}", directory, config=config, users=load_users(FLOWS))


def _ip(netns: str, words: str) -> None:
    run(netns, "ip", *words.split())


def _answers(lab: Lab, up: list[bytes]) -> list[bytes]:
    """Send the first packet of each flow; return what the server answers, as frames."""
    heads = _mac(lab.bng, "wan0") + _mac(lab.inet, "inet0") + b"\x08\x00"
    found: dict[bytes, bytes] = {}
    with inside(lab.inet):
        server = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        server.bind(("inet0", 0x0800))
    with inside(lab.sub):
        client = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        client.bind(("sub0", 0))
    with server, client:
        server.settimeout(0.1)
        for _ in range(_TRIES):
            for frame in up:
                client.send(frame)
            with contextlib.suppress(TimeoutError):
                while len(found) < len(up):
                    packet = server.recv(2048)[14:]
                    if packet[9] == 17 and packet[22:24] == struct.pack("!H", _ECHO_PORT):
                        found[packet[12:16] + packet[20:22]] = packet
            if len(found) == len(up):
                break
        else:
            raise RuntimeError(f"only {len(found)} of {len(up)} flows came through")
    return [
        heads + _udp(p[16:20], _ECHO_PORT, p[12:16], int.from_bytes(p[20:22]))
        for p in found.values()
    ]


def _fill(lab: Lab, direction: str, frames: Path, up: list[bytes]) -> None:
    """Write the frames to be sent."""
    _write(frames, up if direction == UP else _answers(lab, up))


@contextlib.contextmanager
def _bng(lab: Lab, direction: str, frames: Path) -> Iterator[None]:
    """Have the BNG forward: all subscribers dial in; the server's neighbour entry is fixed."""
    lab.start_servers()
    lab.start_bng()
    server = run(lab.inet, "cat", "/sys/class/net/inet0/address").stdout.strip()
    _ip(lab.bng, f"neigh replace {SERVER} lladdr {server} dev bng-wan0 nud permanent")
    client = LoadClient("sub0", FLOWS, 200, netns=lab.sub, control_only=True)
    try:
        opened = client.run(timeout_s=20).opened
        if opened != FLOWS:
            raise RuntimeError(f"only {opened} of {FLOWS} subscribers came up")
        up = [
            subscriber.head + struct.pack("!HH", 48, 0x0021) + _asked(subscriber.address.packed, 0)
            for subscriber in client.subscribers
        ]
        _fill(lab, direction, frames, up)
        yield
    finally:
        client.close()


@contextlib.contextmanager
def _kernel(lab: Lab, direction: str, frames: Path) -> Iterator[None]:
    """Have the kernel of the middle namespace route and masquerade."""
    _ip(lab.bng, "addr add 100.64.0.1/24 dev acc0")
    client = _mac(lab.sub, "sub0").hex(":")
    _ip(lab.bng, f"neigh replace 100.64.0.2 lladdr {client} dev acc0 nud permanent")
    _ip(lab.bng, "route add 100.64.1.0/24 via 100.64.0.2")
    _ip(lab.bng, "addr add 192.0.2.1/24 dev wan0")
    server = run(lab.inet, "cat", "/sys/class/net/inet0/address").stdout.strip()
    _ip(lab.bng, f"neigh replace {SERVER} lladdr {server} dev wan0 nud permanent")
    rules = "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }"
    run(lab.bng, "nft", f"{rules}; add rule ip nat post oif wan0 masquerade")
    _fill(lab, direction, frames, _plain(lab))
    yield


def _plain(lab: Lab) -> list[bytes]:
    ethernet = _mac(lab.bng, "acc0") + _mac(lab.sub, "sub0") + b"\x08\x00"
    sources = [bytes((100, 64, 1, number + 1)) for number in range(FLOWS)]
    return [ethernet + _asked(source, number) for number, source in enumerate(sources)]


@contextlib.contextmanager
def _ceiling(lab: Lab, direction: str, frames: Path, program: str) -> Iterator[None]:
    """Have a bare AF_XDP program forward."""
    _write(frames, _plain(lab))
    ports = ["acc0", "wan0"] if direction == UP else ["wan0", "acc0"]
    forward = [program, "forward", *ports]
    argv = command(lab.bng, ["taskset", "-c", str(LAST_CPU), *forward])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()


def _forwarder(
    case: str, direction: str, lab: Lab, frames: Path, program: str
) -> contextlib.AbstractContextManager[None]:
    if case == _CEILING:
        return _ceiling(lab, direction, frames, program)
    return (_kernel if case == _KERNEL else _bng)(lab, direction, frames)


def measure(case: str, direction: str, seconds: float, program: str) -> Run:
    """Build the lab of *case* anew and blast once."""
    with tempfile.TemporaryDirectory(prefix="bng-bench-") as directory:
        lab = _lab(case, Path(directory))
        frames = Path(directory) / "frames"
        ends = [(lab.sub, "sub0"), (lab.inet, "inet0")]
        (netns, device), (sink_netns, sink) = ends if direction == UP else reversed(ends)
        try:
            lab.build()
            offloads_off(lab.sub, "sub0")
            offloads_off(lab.inet, "inet0")
            with _forwarder(case, direction, lab, frames, program):
                words = ["taskset", "-c", str(FIRST_CPU), program, "blast", device]
                words += [sink_netns, sink, str(frames), str(seconds)]
                result = json.loads(run(netns, *words, timeout_s=60).stdout)
        finally:
            lab.down()
    packets = max(1, result["packets"])
    return Run(
        case=case,
        direction=direction,
        packets_per_s=result["packets"] / result["seconds"],
        cpu_ns=result["busy_s"] / packets * 1e9,
        lost=result["lost"],
    )


def report(runs: list[Run]) -> list[dict[str, Any]]:
    """Return a row for each direction and case, CPU in relation to the ceiling and the kernel.

    Ratios are of medians, and of minima, which other work on the machine disturbs least.
    """
    rows = []
    for direction in (UP, DOWN):
        mine = [run for run in runs if run.direction == direction]
        cpu = {case: [run.cpu_ns for run in mine if run.case == case] for case in CASES}
        median = {case: statistics.median(values) for case, values in cpu.items()}
        least = {case: min(values) for case, values in cpu.items()}
        rows += [
            {
                "case": case,
                "direction": direction,
                "cpu_ns_min": least[case],
                "cpu_ns_median": median[case],
                "cpu_ns_max": max(cpu[case]),
                "packets_per_s": statistics.median(r.packets_per_s for r in mine if r.case == case),
                "lost": sum(run.lost for run in mine if run.case == case),
                "to_ceiling": median[case] / median[_CEILING],
                "to_kernel": median[case] / median[_KERNEL],
                "to_ceiling_min": least[case] / least[_CEILING],
                "to_kernel_min": least[case] / least[_KERNEL],
            }
            for case in CASES
        ]
    return rows


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(prog="packaging/bench veth", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    program = build()
    # Case by case in turn: what disturbs, disturbs all.
    runs = [
        measure(case, direction, args.seconds, program)
        for _ in range(args.runs)
        for direction in (UP, DOWN)
        for case in CASES
    ]
    rows = report(runs)
    if args.json:
        print(json.dumps(rows))
        return
    print("CPU ns for each packet: median (min..max); ratios of medians and of minima")
    print(f"{'packets/s':>51} {'lost':>7} {': ceiling':>12} {': kernel':>13}")
    for row in rows:
        print(
            f"{row['direction']:4} {row['case']:10} {row['cpu_ns_median']:9.0f} "
            f"({row['cpu_ns_min']:.0f}..{row['cpu_ns_max']:.0f}) {row['packets_per_s']:14.0f} "
            f"{row['lost']:7} {row['to_ceiling']:6.2f} {row['to_ceiling_min']:5.2f} "
            f"{row['to_kernel']:7.2f} {row['to_kernel_min']:5.2f}"
        )


if __name__ == "__main__":
    main()
