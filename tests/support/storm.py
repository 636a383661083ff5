"""After a power cut: everybody dials within two seconds, and the AAA server takes its time.

Fifty subscribers are up before, and send numbered packets all the while. The load client is another
process, for it has the storm's own work to do.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.support.answering import AnsweringLab
from tests.support.client.load import LoadClient, TrafficResult
from tests.support.lab import ROOT, SERVER
from tests.support.netns import command
from tests.support.traffic import EchoServer

SETTLED, DIAL_S, PPS = 50, 2.0, 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What came of it. *result* is the load client's, *server* the AAA server's counts."""

    opened: int
    seconds: float
    result: dict[str, object]
    traffic: TrafficResult
    server: dict[str, int]


def config(count: int, rate: float) -> dict[str, Any]:
    """Return what bng.toml needs for a storm of *count*, admitted at *rate* a second."""
    return {
        "session": {"setup_per_s": round(rate)},
        "dataplane": {"max_sessions": count + 4_000, "buffers_per_worker": 32_768},
        "nat": {"pool": [{"name": "public", "addresses": ["198.18.0.0/23"]}]},
    }


def run(lab: AnsweringLab, count: int, limit_s: float, *options: str) -> Storm:
    """Have *count* dial in *lab*; those who are not in after *limit_s* are counted as they are.

    *options* are the load client's. Raises: RuntimeError when it fails.
    """
    lab.route_back("198.18.0.0/23")
    words = ["--count", str(count), "--rate", str(count / DIAL_S), "--redial", "1"]
    argv = [sys.executable, "-m", "tests.support.client", "load", "--interface", "sub0", *words]
    with EchoServer(lab.inet, SERVER):
        settled = LoadClient("sub0", SETTLED, 1_000, netns=lab.sub, first=count)
        try:
            if settled.run(timeout_s=20).opened != SETTLED:
                raise RuntimeError("those who are to be up before the storm did not get in")
            storm = subprocess.Popen(
                command(lab.sub, [*argv, "--timeout", str(limit_s), *options]),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                traffic = settled.send_traffic(PPS, limit_s / 2)
                output, _ = storm.communicate(timeout=limit_s + 60)
            finally:
                storm.kill()
        finally:
            settled.close()
    result = json.loads(output.splitlines()[-1])
    return Storm(
        opened=int(result["opened"]),
        seconds=float(result["seconds"]),
        result=result,
        traffic=traffic,
        server=lab.counts(),
    )
