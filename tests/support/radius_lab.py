"""The lab with what the samples of conf/freeradius name, and their server on the internet side."""

import time
from typing import Any

from tests.support.freeradius import SECRET, Server
from tests.support.lab import GATEWAY, SERVER

SAMPLE_OPTIONS: dict[str, Any] = {
    "config": {
        "aaa": {"method": "radius"},
        "radius": {
            "server": [{"name": "aaa1", "address": SERVER, "secret": SECRET}],
            "dynauth": {"client": [{"name": "aaa1", "prefix": SERVER, "secret": SECRET}]},
        },
        "pool": [{"name": "cgnat", "ranges": ["100.64.0.10-100.64.127.254"], "gateway": GATEWAY}],
        "acl": [
            {"name": "no-mail", "default": "permit", "rules": ["reject tcp any any port 25"]},
        ],
    }
}
"""Options of a `tests.support.lab.Lab`."""


def wait_for_record(
    server: Server, session: str, status: str, timeout_s: float = 10
) -> dict[str, str]:
    """Return the last record of *session* with that Acct-Status-Type. Raises: AssertionError."""
    end = time.monotonic() + timeout_s
    while True:
        found = [
            record
            for record in server.detail()
            if (record["Acct-Session-Id"], record["Acct-Status-Type"]) == (session, status)
        ]
        if found:
            return found[-1]
        assert time.monotonic() < end, f"no {status} of {session}: {server.detail()}"
        time.sleep(0.1)
