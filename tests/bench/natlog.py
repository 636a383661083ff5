"""The NAT log's file: records of mappings a second, from the ring to the disk.

A ring full of records is written, made safe and taken off, as bngd does it; putting them in is not
measured. CPU time is that of the writing thread, so records per CPU second are what a slow disk and
a busy machine leave alone.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bng.io.natlog import NatLog
from bng.io.natlog_file import NatLogSettings
from dataplane.binding import NAT_LOG, Dataplane, NatLogType, Ring, ffi, lib

RING_MIB = 32
ARGS = (
    *("bench", "--port=name=acc0,driver=gen,role=access,mtu=1508", "--sessions=64"),
    *("--access=port=acc0,outer=any,inner=any", "--buffers=512", "--hugepages=off"),
    *("--nat-address=198.51.100.1", f"--nat-log-mib={RING_MIB}"),
)


def fill(dataplane: Dataplane, first: int, count: int) -> int:
    """Put up to *count* records of mappings into the ring; return how many found room."""
    now_ns = time.time_ns()
    records = bytearray()
    for i in range(count):
        kind = NatLogType.MAPPING_CREATED if i & 1 else NatLogType.MAPPING_DELETED
        inner, outer = (0x64400000 + i % 60_000).to_bytes(4, "big"), b"\xc6\x33\x64\x01"
        port = 1024 + i % 60_000
        records += NAT_LOG.pack(
            *(first + i, now_ns + i * 10_000, kind, 17, 1024 + i % 50_000, i % 60_000, 1 + i % 9),
            *(inner, outer, port, port),
        )
    pushed = lib.binding_push(
        dataplane._binding, 0, Ring.NAT_LOG, bytes(records), NAT_LOG.size, count
    )
    return int(pushed)


def measure(dataplane: Dataplane, count: int, runs: int, folder: Path) -> dict[str, float]:
    """Return records a second, by the clock and by CPU time, and bytes a record."""
    log = NatLog(dataplane, NatLogSettings(path=folder / "nat.log"))
    wall, cpu = [], []
    written = 0
    for _ in range(runs):
        n = fill(dataplane, written, count)
        written += n
        wall_at, cpu_at = time.perf_counter(), time.thread_time()
        log.flush()
        cpu.append(n / (time.thread_time() - cpu_at))
        wall.append(n / (time.perf_counter() - wall_at))
        if (log.written, log.lost, log.errors) != (written, 0, 0):
            sys.exit("bench: records are missing")
    return {
        "records": count,
        "runs": runs,
        "per_s": max(wall),
        "per_s_median": statistics.median(wall),
        "per_cpu_s": max(cpu),
        "per_cpu_s_median": statistics.median(cpu),
        "bytes_per_record": log.path.stat().st_size / written,
    }


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(prog="bench natlog", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000, help="a run (default 500,000)")
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on which disk")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    argv = [ffi.new("char[]", word.encode()) for word in ARGS]
    embedded = lib.embedded_create(len(argv), ffi.new("char *[]", argv))
    if embedded == ffi.NULL:
        sys.exit("bench: the dataplane does not start")
    dataplane = Dataplane(lib.binding_embedded(lib.embedded_arena(embedded)))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        result = measure(dataplane, args.records, args.runs, Path(folder))
    lib.embedded_destroy(embedded)
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.runs} runs of {args.records:,} records, best (median), to {args.folder}")
    print(f"  records/s        {result['per_s']:>12,.0f} ({result['per_s_median']:,.0f})")
    print(f"  records/s of CPU {result['per_cpu_s']:>12,.0f} ({result['per_cpu_s_median']:,.0f})")
    print(f"  bytes/record     {result['bytes_per_record']:>12.1f}")


if __name__ == "__main__":
    main()
