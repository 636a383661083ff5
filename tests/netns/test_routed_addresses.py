"""Addresses and static routes of a routed port stand in the kernel as bng.toml has them.

Those that a host on the link claims are told, and had again.

PREFIX-bng                              PREFIX-inet
+---------------------------------+    +-----------------------+
| TAP bng-wan0              wan0  |----| inet0 192.0.2.2       |
+---------------------------------+    +-----------------------+
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.netns.conftest import MakeLab
from tests.support.lab import Lab
from tests.support.netns import inside, run

TAP = "bng-wan0"


def addresses(lab: Lab) -> dict[str, str]:
    """Return the addresses of the TAP with their scopes."""
    done = run(lab.bng, "ip", "-j", "addr", "show", "dev", TAP)
    (link,) = json.loads(done.stdout)
    return {f"{a['local']}/{a['prefixlen']}": a["scope"] for a in link["addr_info"]}


def routes(lab: Lab) -> list[dict[str, Any]]:
    """Return the static IPv6 routes out of the TAP."""
    done = run(lab.bng, "ip", "-6", "-j", "route", "show", "dev", TAP, "proto", "static")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def restart(lab: Lab, *wanted: str) -> None:
    """Start bngd anew, with other addresses."""
    lab.config["port"][1]["addresses"] = list(wanted)
    lab.write_config()
    lab.stop("bngd")
    lab.start_bngd()


def test_both_families_are_set_and_taken_away_but_link_local_addresses_stay(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    run(lab.bng, "ip", "addr", "add", "2001:db8:9::1/64", "dev", TAP, "nodad")
    lab.config["route"] = [{"prefix": "2001:db8:5::/48", "via": "2001:db8:2::7"}]
    restart(lab, "192.0.2.1/24", "2001:db8:2::1/64", "2001:db8:3::1/64")
    found = addresses(lab)
    kernels = {address for address, scope in found.items() if scope == "link"}
    assert len(kernels) == 1
    assert found.keys() - kernels == {"192.0.2.1/24", "2001:db8:2::1/64", "2001:db8:3::1/64"}
    assert [(r["dst"], r["gateway"]) for r in routes(lab)] == [("2001:db8:5::/48", "2001:db8:2::7")]
    restart(lab, "192.0.2.1/24", "2001:db8:2::1/64")
    assert addresses(lab).keys() - kernels == {"192.0.2.1/24", "2001:db8:2::1/64"}
    lab.config["route"] = []
    restart(lab, "192.0.2.1/24")
    run(lab.bng, "ip", "addr", "add", "2001:db8:9::1/64", "dev", TAP, "nodad")
    restart(lab, "192.0.2.1/24")
    assert "2001:db8:9::1/64" in addresses(lab), "the file says nothing of IPv6 there"
    assert kernels <= addresses(lab).keys()


# ---- hosts that claim them

OURS, OURS6 = "192.0.2.1", "2001:db8:2::1"
LIAR = "02:00:00:00:00:66"
CLAIMANT = (sys.executable, "-m", "tests.support.claimant", "inet0")


def until(condition: Callable[[], object], what: str, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def shown(lab: Lab) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the rows of the port's addresses, and its alarms."""
    (row,) = (row for row in lab.ask("show ports") if row["port"] == "wan0")
    return {entry["address"]: entry for entry in row["addresses"]}, row["alarms"]


def state(lab: Lab) -> object:
    return shown(lab)[0][f"{OURS6}/64"]["state"]


def told(lab: Lab, event: str) -> list[dict[str, Any]]:
    return [line for line in lab.events("bngd") if line["event"] == event]


def is_ours(lab: Lab, address: str) -> bool:
    return str(lab.ask("explain", address=address)["verdict"]).startswith("to the kernel")


def test_an_address_that_another_host_has_is_told_and_had_again_when_it_is_gone(
    make_lab: MakeLab,
) -> None:
    """RFC 4862 §5.4.5, against a host that answers Duplicate Address Detection."""
    lab = make_lab()
    lab.spawn("inet", "claimant", *CLAIMANT, OURS6)
    until(lambda: "ready" in lab.log("claimant"), "the other host is there")
    restart(lab, f"{OURS}/24", f"{OURS6}/64")
    until(lambda: state(lab) == "duplicate", "found")
    until(lambda: shown(lab)[1], "an alarm")
    assert not is_ours(lab, OURS6)
    until(lambda: told(lab, "address-duplicate")[-1]["mac"] == LIAR, "told with its MAC")
    first = told(lab, "address-duplicate")[0]
    assert (first["level"], first["port"], first["address"]) == ("error", "wan0", f"{OURS6}/64")
    alarm = f"{OURS6}/64 is not in use: {LIAR} has it"
    until(lambda: shown(lab)[1] == [alarm], "the alarm names it")
    assert f"alarm: wan0: {alarm}" in lab.ctl("show", "interfaces", "--interval", "0").stdout
    assert is_ours(lab, OURS)
    lab.stop("claimant")
    until(lambda: state(lab) == "ready", "had again")
    until(lambda: is_ours(lab, OURS6), "packets to it are the box's")
    assert shown(lab)[1] == []
    assert len(told(lab, "address-regained")) == 1


def test_without_dad_an_address_is_had_whoever_answers(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.spawn("inet", "claimant", *CLAIMANT, OURS6)
    until(lambda: "ready" in lab.log("claimant"), "the other host is there")
    lab.config["port"][1]["dad"] = False
    restart(lab, f"{OURS}/24", f"{OURS6}/64")
    until(lambda: is_ours(lab, OURS6), "used at once")
    assert told(lab, "address-duplicate") == []
    for address, times in ((OURS, 7), (OURS6, 5)):
        with (
            inside(lab.inet),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire,
        ):
            wire.bind(("inet0", 3))
            wire.settimeout(5)
            run(lab.inet, *CLAIMANT, address, str(times))
            assert is_contradicted(wire, mac_of(lab))
        until(lambda a=address, n=times: claims_of(lab, a) == (n, LIAR), "all are counted")  # type: ignore[misc]
        assert is_ours(lab, address)
        until(lambda a=address: lines(lab, a), "told")  # type: ignore[misc]
        assert {line["mac"] for line in lines(lab, address)} == {LIAR}
    assert len(shown(lab)[1]) == 2


def claims_of(lab: Lab, address: str) -> tuple[object, object]:
    (row,) = (row for key, row in shown(lab)[0].items() if key.startswith(f"{address}/"))
    return row["claims"], row["claimed_by"]


def lines(lab: Lab, address: str) -> list[dict[str, Any]]:
    """Return what was told of claims to *address*."""
    found = told(lab, "address-claimed")
    return [line for line in found if line["address"].startswith(f"{address}/")]


def mac_of(lab: Lab) -> bytes:
    (row,) = (row for row in lab.ask("show ports") if row["port"] == "wan0")
    return bytes.fromhex(row["mac"].replace(":", ""))


def is_contradicted(wire: socket.socket, mac: bytes) -> bool:
    """Wait for the box's own announcement, by ARP or ND, to all."""
    while True:
        frame = wire.recv(2048)
        to_all = frame[:6] in (b"\xff" * 6, b"\x33\x33\0\0\0\1")
        if frame[6:12] == mac and to_all and (frame[12:14] == b"\x08\x06" or frame[54] == 136):
            return True
