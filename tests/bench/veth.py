"""CPU for each packet on veths, side by side: our drivers, the kernel's own NAT, and a ceiling.

The same generator (AF_XDP) sends frames of 60 to 68 bytes, 64 UDP flows, upwards; the same sink
counts them; only what forwards in between differs:

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
import statistics
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.client.load import LoadClient
from tests.support.lab import SERVER, Lab, default_config, load_users
from tests.support.netns import command, offloads_off, run

ROOT = Path(__file__).parents[2]
FIRST_CPU, *_, LAST_CPU = sorted(os.sched_getaffinity(0)) * 2
FLOWS = 64
_SOURCES = (
    "tests/support/c/veth_bench.c",
    "dataplane/src/io/xdp_program.c",
    "dataplane/src/io/netdev.c",
)
_CEILING, _KERNEL = "ceiling", "kernel"
CASES = (_CEILING, "af_xdp", "af_packet", _KERNEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one case."""

    case: str
    packets_per_s: float
    cpu_ns: float
    lost: int


def _program() -> str:
    target = ROOT / "build" / "tests" / "veth_bench"
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [str(ROOT / source) for source in _SOURCES]
    words = [
        "cc",
        "-std=gnu11",
        "-D_GNU_SOURCE",
        "-O2",
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


def _udp(source: bytes, number: int) -> bytes:
    """Return 46 bytes of IPv4 and UDP, without UDP checksum."""
    server = bytes(map(int, SERVER.split(".")))
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 46, 0, 0x4000, 64, 17, 0, source, server)
    head = head[:10] + struct.pack("!H", _sum16(head)) + head[12:]
    return head + struct.pack("!HHHH", 40_000 + number, 7007, 26, 0) + bytes(18)


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
    return Lab("bv", directory, config=config, users=load_users(FLOWS))


def _ip(netns: str, words: str) -> None:
    run(netns, "ip", *words.split())


@contextlib.contextmanager
def _bng(lab: Lab, frames: Path) -> Iterator[None]:
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
            subscriber.head + struct.pack("!HH", 48, 0x0021) + _udp(subscriber.address.packed, 0)
            for subscriber in client.subscribers
        ]
        _write(frames, up)
        yield
    finally:
        client.close()


@contextlib.contextmanager
def _kernel(lab: Lab, frames: Path) -> Iterator[None]:
    """Have the kernel of the middle namespace route and masquerade."""
    _ip(lab.bng, "addr add 100.64.0.1/17 dev acc0")
    _ip(lab.bng, "addr add 192.0.2.1/24 dev wan0")
    server = run(lab.inet, "cat", "/sys/class/net/inet0/address").stdout.strip()
    _ip(lab.bng, f"neigh replace {SERVER} lladdr {server} dev wan0 nud permanent")
    rules = "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }"
    run(lab.bng, "nft", f"{rules}; add rule ip nat post oif wan0 masquerade")
    _write(frames, _plain(lab))
    yield


def _plain(lab: Lab) -> list[bytes]:
    ethernet = _mac(lab.bng, "acc0") + _mac(lab.sub, "sub0") + b"\x08\x00"
    sources = [bytes((100, 64, 1, number + 1)) for number in range(FLOWS)]
    return [ethernet + _udp(source, number) for number, source in enumerate(sources)]


@contextlib.contextmanager
def _ceiling(lab: Lab, frames: Path, program: str) -> Iterator[None]:
    """Have a bare AF_XDP program forward."""
    _write(frames, _plain(lab))
    forward = [program, "forward", "acc0", "wan0"]
    argv = command(lab.bng, ["taskset", "-c", str(LAST_CPU), *forward])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()


def _forwarder(
    case: str, lab: Lab, frames: Path, program: str
) -> contextlib.AbstractContextManager[None]:
    if case == _CEILING:
        return _ceiling(lab, frames, program)
    return _kernel(lab, frames) if case == _KERNEL else _bng(lab, frames)


def measure(case: str, seconds: float, program: str) -> Run:
    """Build the lab of *case* anew and blast once."""
    with tempfile.TemporaryDirectory(prefix="bng-bench-") as directory:
        lab = _lab(case, Path(directory))
        frames = Path(directory) / "frames"
        try:
            lab.build()
            offloads_off(lab.sub, "sub0")
            offloads_off(lab.inet, "inet0")
            with _forwarder(case, lab, frames, program):
                words = ["taskset", "-c", str(FIRST_CPU), program, "blast", "sub0"]
                words += [lab.inet, "inet0", str(frames), str(seconds)]
                result = json.loads(run(lab.sub, *words, timeout_s=60).stdout)
        finally:
            lab.down()
    packets = max(1, result["packets"])
    return Run(
        case=case,
        packets_per_s=result["packets"] / result["seconds"],
        cpu_ns=result["busy_s"] / packets * 1e9,
        lost=result["lost"],
    )


def report(runs: list[Run]) -> list[dict[str, Any]]:
    """Return a row for each case: medians, and CPU in relation to the ceiling and the kernel."""
    cpu = {case: [run.cpu_ns for run in runs if run.case == case] for case in CASES}
    median = {case: statistics.median(values) for case, values in cpu.items()}
    return [
        {
            "case": case,
            "cpu_ns_min": min(cpu[case]),
            "cpu_ns_median": median[case],
            "cpu_ns_max": max(cpu[case]),
            "packets_per_s": statistics.median(r.packets_per_s for r in runs if r.case == case),
            "lost": sum(run.lost for run in runs if run.case == case),
            "to_ceiling": median[case] / median[_CEILING],
            "to_kernel": median[case] / median[_KERNEL],
        }
        for case in CASES
    ]


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(prog="packaging/bench veth", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    program = _program()
    # Case by case in turn: what disturbs, disturbs all.
    runs = [measure(case, args.seconds, program) for _ in range(args.runs) for case in CASES]
    rows = report(runs)
    if args.json:
        print(json.dumps(rows))
        return
    print("case        CPU ns/packet: median (min..max)   packets/s    lost  : ceiling  : kernel")
    for row in rows:
        print(
            f"{row['case']:10} {row['cpu_ns_median']:14.0f} ({row['cpu_ns_min']:.0f}.."
            f"{row['cpu_ns_max']:.0f}) {row['packets_per_s']:18.0f} {row['lost']:7} "
            f"{row['to_ceiling']:9.2f} {row['to_kernel']:9.2f}"
        )


if __name__ == "__main__":
    main()
