"""Large datagrams, GRE and ESP through NAT44, between the stacks of two Linux hosts.

PREFIX-sub                          PREFIX-bng             PREFIX-inet
+--------------------------+    +---------------+    +-------------------+
| ppp0 (TUN) - client sub0 |----| acc0     wan0 |----| inet0 192.0.2.2   |
+--------------------------+    +---------------+    +-------------------+
 alice: 100.64.x.y, NAT          public addresses     cuts its answers itself
"""

import sys

import pytest

from tests.support.lab import SERVER, Lab
from tests.support.netns import run

_PROGRAM = (sys.executable, "-m", "tests.support.datagrams")


def _ask(lab: Lab, size: int, *protocol: str) -> str:
    return run(lab.sub, *_PROGRAM, "ask", SERVER, str(size), *protocol).stdout.strip()


def _echo(lab: Lab, order: str) -> None:
    name = f"echo-{order}"
    lab.spawn("inet", name, *_PROGRAM, "echo", order)
    lab.wait(name, lambda: "ready" in lab.log(name))


def test_a_large_ping_comes_back(lab: Lab) -> None:
    before = lab.ask("show nat")["fragments"]["delivered"]
    with lab.subscriber():
        done = run(lab.sub, "ping", "-c", "3", "-i", "0.2", "-W", "2", "-s", "4000", SERVER)
        assert "3 received" in done.stdout, done.stdout
    after = lab.ask("show nat")["fragments"]["delivered"]
    assert after - before == 9  # three each


@pytest.mark.parametrize(("order", "waits"), [("forward", 0), ("backward", 2), ("middle", 1)])
def test_a_large_datagram_comes_back_in_whatever_order(lab: Lab, order: str, waits: int) -> None:
    before = lab.ask("show nat")["fragments"]
    _echo(lab, order)
    with lab.subscriber():
        assert [_ask(lab, 4000) for _ in range(3)] == ["same"] * 3
    lab.stop(f"echo-{order}")
    after = lab.ask("show nat")["fragments"]
    moved = {name: count - before[name] for name, count in after.items() if count != before[name]}
    assert moved == {"delivered": 9} | ({"held": 3 * waits} if waits else {})


@pytest.mark.parametrize("protocol", ["47", "50"], ids=["gre", "esp"])
@pytest.mark.parametrize("size", [100, 4000])
def test_a_tunnel_goes_there_and_back(lab: Lab, protocol: str, size: int) -> None:
    _echo(lab, "forward")
    with lab.subscriber():
        assert _ask(lab, size, protocol) == "same"
        rows = lab.ask("show nat")["addresses"]
        assert sum(row["gre_esp"] for row in rows) == 1
    lab.wait_for_sessions(0)
    rows = lab.ask("show nat")["addresses"]
    assert sum(row["gre_esp"] for row in rows) == 0
    lab.stop("echo-forward")
