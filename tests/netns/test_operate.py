"""bngd is reloaded, stopped and started again while a subscriber is connected.

PREFIX-sub                     PREFIX-bng                      PREFIX-inet
+--------------------+     +-----------------------+     +-------------------+
| ppp0 - client sub0 |-----| acc0             wan0 |-----| inet0 192.0.2.2   |
+--------------------+     +-----------------------+     +-------------------+
"""

import json
import signal
import time
from typing import Any

import pytest

from tests.netns.conftest import MakeLab
from tests.support.lab import SERVER, Lab, load_users, program
from tests.support.netns import run


def logged(lab: Lab, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in lab.log("bngd").splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def wait_for_log(lab: Lab, event: str, count: int = 1) -> dict[str, Any]:
    """Wait until *event* was logged *count* times. Raises: AssertionError."""
    end = time.monotonic() + 15
    while len(found := logged(lab, event)) < count:
        assert time.monotonic() < end, f"no {event}"
        time.sleep(0.05)
    return found[-1]


def passes(lab: Lab) -> bool:
    done = run(lab.sub, "ping", "-c", "3", "-i", "0.2", "-W", "2", SERVER, check=False)
    return "3 received" in done.stdout


def test_sighup_brings_new_users_in_and_drops_nobody(make_lab: MakeLab) -> None:
    lab = make_lab()
    with lab.subscriber():
        lab.users |= load_users(20_000)
        lab.write_config()
        lab.process("bngd").send_signal(signal.SIGHUP)
        assert wait_for_log(lab, "reloaded")["users"] == 20_003
        assert passes(lab)
        with lab.subscriber("user19999", "secret", tun="ppp1"):
            assert {row["user"] for row in lab.sessions()} == {"alice", "user19999"}
    assert not logged(lab, "internal-error")


def test_sighup_with_a_broken_file_says_where_and_changes_nothing(make_lab: MakeLab) -> None:
    lab = make_lab()
    with lab.subscriber():
        with (lab.directory / "users.toml").open("a") as file:
            file.write('\n[user.new]\npassword = "x"\nspeed = 9\n')
        lab.process("bngd").send_signal(signal.SIGHUP)
        assert "user.new.speed: unknown key" in wait_for_log(lab, "reload-failed")["error"]
        assert passes(lab)


def test_a_stop_leaves_the_dataplane_forwarding(make_lab: MakeLab) -> None:
    lab = make_lab()
    with lab.subscriber():
        assert lab.stop("bngd") == 0
        assert logged(lab, "stopped")[0]["sessions_kept"] is True
        assert passes(lab)
        assert [event["event"] for event in lab.events("client-ppp0")] == ["up"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_bngd_goes_on_with_the_sessions_of_the_last(
    make_lab: MakeLab, how: signal.Signals
) -> None:
    lab = make_lab()
    with lab.subscriber("alice", "wonder", "--persist"):
        (before,) = lab.sessions()
        assert lab.ctl_json("show", "session", "alice")["adopted"] is False
        lab.stop("bngd", how)
        assert passes(lab)
        lab.start_bngd()
        adopted = wait_for_log(lab, "adopted")
        assert (adopted["sessions"], adopted["ended"]) == (1, 0)
        assert not logged(lab, "journal-sessions-lost")
        (after,) = lab.sessions()
        assert {**after, "uptime_s": 0} | _counters(before) == {**before, "uptime_s": 0}
        assert after["in_packets"] > before["in_packets"]
        assert lab.ctl_json("show", "session", "alice")["adopted"] is True
        assert passes(lab)
        assert [event["event"] for event in lab.events("client-ppp0")] == ["up"]
    lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values())


def _counters(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in row if name.endswith(("_packets", "_bytes"))}


def test_sessions_that_died_with_the_dataplane_are_called_lost(make_lab: MakeLab) -> None:
    lab = make_lab(config={"journal": {"flush_interval_s": 0.1}})
    with lab.subscriber("alice", "wonder", "--persist"):
        time.sleep(0.5)
        lab.stop("bngd", signal.SIGKILL)
        lab.stop("bng-dataplane", signal.SIGKILL)
        lab.start_bng()
        assert wait_for_log(lab, "journal-sessions-lost")["count"] == 1
        assert not logged(lab, "adopted")


def test_bngd_names_the_port_that_the_running_dataplane_has_otherwise(make_lab: MakeLab) -> None:
    lab = make_lab()
    assert lab.stop("bngd") == 0
    lab.config["port"][0]["mtu"] = 1508
    lab.write_config()
    words = "port acc0: access with mtu 1508, in the running dataplane access with mtu 1500"
    done = run(lab.bng, program("bngd"), "--config", str(lab.directory / "bng.toml"), check=False)
    assert done.returncode == 2
    assert words in done.stderr
    lab.config["port"][0]["mtu"] = 1500
    lab.write_config()
    lab.start_bngd()


def test_a_drained_public_address_stays_drained_whatever_is_killed(make_lab: MakeLab) -> None:
    lab = make_lab()
    rows = {row["address"]: row["state"] for row in lab.ctl_json("show", "nat")["addresses"]}
    address, *others = sorted(rows)
    assert lab.ctl_json("nat", "drain", address)["state"] == "drained"
    lab.stop("bngd", signal.SIGKILL)
    lab.start_bngd()
    states = {row["address"]: row["state"] for row in lab.ctl_json("show", "nat")["addresses"]}
    assert states == {address: "drained", **dict.fromkeys(others, "ready")}
    assert lab.ctl_json("nat", "undrain", address)["state"] == "ready"
