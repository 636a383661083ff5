"""Debian's Kea as a DHCPv6 server that is reached through a relay, in a folder of its own."""

import csv
import json
import os
import signal
import subprocess
import time
from ipaddress import IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.netns import command


class Kea:
    """A kea-dhcp6 on *address* of *device* in *netns*.

    Whom a relay says to be on the link *network* gets an address of it, and a /56 of *delegated*.
    """

    def __init__(
        self,
        directory: Path,
        netns: str,
        device: str,
        address: str,
        *,
        network: IPv6Network,
        delegated: IPv6Network,
        dns: str,
    ) -> None:
        self.directory = directory
        self._netns = netns
        self._process: subprocess.Popen[bytes] | None = None
        first = network.network_address + 0x1000
        self._config: dict[str, Any] = {
            "interfaces-config": {"interfaces": [f"{device}/{address}"]},
            "data-directory": str(directory),
            "lease-database": {"type": "memfile", "name": str(directory / "leases")},
            "option-data": [{"name": "dns-servers", "data": dns}],
            "preferred-lifetime": 1800,
            "valid-lifetime": 3600,
            "subnet6": [
                {
                    "id": 1,
                    "subnet": str(network),
                    "rapid-commit": True,
                    "pools": [{"pool": f"{first}-{first + 0xFFF}"}],
                    "pd-pools": [
                        {
                            "prefix": str(delegated.network_address),
                            "prefix-len": delegated.prefixlen,
                            "delegated-len": 56,
                        }
                    ],
                }
            ],
            "loggers": [
                {
                    "name": "kea-dhcp6",
                    "output_options": [{"output": "stdout", "flush": True}],
                    "severity": "INFO",
                }
            ],
        }

    def __enter__(self) -> Self:
        self.directory.mkdir()
        file, log = self.directory / "kea.conf", self.directory / "log"
        file.write_text(json.dumps({"Dhcp6": self._config}, indent=1))
        places = {f"KEA_{kind}_DIR": str(self.directory) for kind in ("PIDFILE", "LOCKFILE")}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command(self._netns, ["kea-dhcp6", "-c", str(file)]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **places},
            )
        end = time.monotonic() + 20
        while "DHCP6_STARTED" not in log.read_text():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.resume()
            self._process.terminate()
            self._process.wait(10)
        print((self.directory / "log").read_text())

    def pause(self) -> None:
        """Have it answer nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on, with what has come meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def leases(self) -> dict[str, int]:
        """Return what is leased now, addresses and prefixes, with its length."""
        found: dict[str, int] = {}
        with (self.directory / "leases").open() as file:
            for row in csv.DictReader(file):  # the last row of an address holds
                found[row["address"]] = int(row["prefix_len"])
                if row["state"] != "0" or row["valid_lifetime"] == "0":
                    del found[row["address"]]
        return found
