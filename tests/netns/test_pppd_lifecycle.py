"""How sessions live and end with Debian's pppd: echo, hang-up from either side, crash, redial.

guest: pppd, kernel PPPoE                      PREFIX-bng
+------------------------+    +------+    +---------------------+
| ppp0   vec0 (tap) -----|----| sub0 |----| acc0  bng-dataplane |
+------------------------+    +--^---+    |       bngd          |
  User Mode Linux                |        +---------------------+
                              capture
"""

import signal
import time
from pathlib import Path

from tests.netns.conftest import interface_mac
from tests.support import uml
from tests.support.lab import SERVER, Lab
from tests.support.tshark import Capture, count, fields

LAB_OPTIONS = {
    "config": {"ppp": {"lcp_echo_interval_s": 1, "lcp_echo_failures": 3}},
}
_MAC = "02:00:5e:00:53:01"
_LOG_ECHOES = "debug"  # a second time: pppd logs echoes of an open link only at level 2


def test_lcp_echo_of_pppd_is_answered(lab: Lab) -> None:
    done = uml.dial(
        lab.sub,
        "sub0",
        "alice",
        "wonder",
        "sleep 3.5; cat $PPPD_LOG; ip addr show ppp0",
        pppd_options=f"lcp-echo-interval 1 lcp-echo-failure 2 {_LOG_ECHOES}",
    )
    assert done.status == 0, done.output
    assert done.output.count("rcvd [LCP EchoRep") >= 3, done.output


def test_a_silent_pppd_is_asked_for_an_echo_and_stays(lab: Lab) -> None:
    done = uml.dial(
        lab.sub,
        "sub0",
        "alice",
        "wonder",
        "for _ in $(seq 200); do"
        " [ $(grep -c 'sent .LCP EchoRep' $PPPD_LOG) -ge 3 ] && break; sleep 0.1; done;"
        " cat $PPPD_LOG; ping -c 1 192.0.2.2",
        pppd_options=f"lcp-echo-interval 0 {_LOG_ECHOES}",
    )
    assert done.status == 0, done.output
    assert done.output.count("rcvd [LCP EchoReq") >= 3, done.output
    assert done.output.count("sent [LCP EchoRep") >= 3, done.output


def test_terminate_by_the_operator_hangs_pppd_up_with_padt(lab: Lab, tmp_path: Path) -> None:
    with (
        Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed", "or", "pppoes") as capture,
        uml.dial_in_background(lab.sub, "sub0", "alice", "wonder", uml.UNTIL_GONE) as guest,
    ):
        guest.wait_for("IS-UP")
        session = lab.ctl_json("show", "session", "alice")
        lab.ctl("terminate", "--user", "alice")
        guest.wait_for("IS-GONE")
        guest.wait()
    lab.wait_for_sessions(0)
    mac = interface_mac(lab.bng, "acc0")
    ours = f"eth.src == {mac} && eth.dst == {session['mac']}"
    padt = fields(capture.path, f"{ours} && pppoe.code == 0xa7", "pppoe.session_id")
    assert [int(row[0], 0) for row in padt] == [session["session_id"]]


def test_terminate_request_of_pppd_ends_the_session_at_once(lab: Lab, tmp_path: Path) -> None:
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed", "or", "pppoes") as capture:
        done = uml.dial(lab.sub, "sub0", "alice", "wonder", "kill -TERM $PPPD_PID; sleep 1")
        assert done.status == 0, done.output
        lab.wait_for_sessions(0, timeout_s=1)
    mac = interface_mac(lab.bng, "acc0")
    assert count(capture.path, f"eth.src != {mac} && ppp.code == 5 && lcp") >= 1
    assert count(capture.path, f"eth.src == {mac} && ppp.code == 6 && lcp") >= 1


def test_padt_of_a_client_ends_the_session_without_an_answer(lab: Lab, tmp_path: Path) -> None:
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed") as capture:
        lab.dial("alice", "wonder", "--leave", "padt")
        lab.wait_for_sessions(1)
        lab.stop("client-ppp0")
        lab.wait_for_sessions(0, timeout_s=2)
    mac = interface_mac(lab.bng, "acc0")
    assert count(capture.path, f"eth.src == {mac} && pppoe.code == 0xa7") == 0
    assert count(capture.path, f"eth.src != {mac} && pppoe.code == 0xa7") == 1


def test_a_client_that_lost_its_power_is_missed_and_may_come_back_at_once(lab: Lab) -> None:
    with uml.dial_in_background(
        lab.sub, "sub0", "alice", "wonder", "echo IS-UP; sleep 60", mac=_MAC
    ) as guest:
        guest.wait_for("IS-UP")
        [before] = lab.sessions()
        guest.kill()
    done = uml.dial(
        lab.sub, "sub0", "alice", "wonder", f"ping -c 2 -i 0.2 {SERVER}; sleep 1", mac=_MAC
    )
    assert done.status == 0, done.output
    assert f"local  IP address {before['address']}" in done.output or "2 received" in done.output
    lab.wait_for_sessions(0)


def test_a_client_that_vanished_is_dropped_after_three_lost_echoes(lab: Lab) -> None:
    with uml.dial_in_background(
        lab.sub, "sub0", "alice", "wonder", "echo IS-UP; sleep 60"
    ) as guest:
        guest.wait_for("IS-UP")
        lab.wait_for_sessions(1)
        guest.kill()
    lab.wait_for_sessions(0, timeout_s=8)


def test_pppd_comes_back_after_both_processes_were_killed_and_started_again(lab: Lab) -> None:
    persist = "persist maxfail 0 holdoff 1 lcp-echo-interval 1 lcp-echo-failure 2"
    twice = "grep -c 'local  IP address' $PPPD_LOG"
    wait_twice = f"for _ in $(seq 400); do [ $({twice}) -ge 2 ] && break; sleep 0.1; done"
    with uml.dial_in_background(
        lab.sub,
        "sub0",
        "alice",
        "wonder",
        f"echo IS-UP; {wait_twice}; ping -c 3 -i 0.2 {SERVER} && echo IS-BACK || cat $PPPD_LOG",
        pppd_options=persist,
    ) as guest:
        guest.wait_for("IS-UP")
        lab.stop("bngd", signal.SIGKILL)
        lab.stop("bng-dataplane", signal.SIGKILL)
        lab.start_bng()
        guest.wait_for("IS-BACK", timeout_s=60)
        lab.wait_for_sessions(1)
        guest.wait()
    lab.wait_for_sessions(0)


def test_pppd_notices_nothing_of_a_bngd_that_dies_and_comes_back_twice(
    lab: Lab, tmp_path: Path
) -> None:
    with (
        Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed", "or", "pppoes") as capture,
        uml.dial_in_background(
            lab.sub,
            "sub0",
            "alice",
            "wonder",
            f"echo IS-UP; ping -q -i 0.1 -c 100 -W 2 {SERVER};"
            " ip -s link show ppp0; kill -TERM $PPPD_PID; sleep 1; cat $PPPD_LOG; echo IS-DONE",
            pppd_options="lcp-echo-interval 0",  # the dataplane asks, pppd answers
        ) as guest,
    ):
        guest.wait_for("IS-UP")
        [before] = lab.sessions()
        killed_at = time.time()
        for _ in range(2):
            time.sleep(1)
            lab.stop("bngd", signal.SIGKILL)
            time.sleep(1)
            lab.start_bngd()
        [after] = lab.sessions()
        assert (after["id"], after["address"]) == (before["id"], before["address"])
        back_at = time.time()
        guest.wait_for("IS-DONE")
        lab.wait_for_sessions(0, timeout_s=2)
        done = guest.wait()
    assert "100 packets transmitted, 100 received" in done.output, done.output
    assert done.output.count("local  IP address") == 1, done.output
    assert "Connection terminated" in done.output, done.output
    ours = f"eth.src == {interface_mac(lab.bng, 'acc0')}"
    sent = fields(
        capture.path,
        f"{ours} && (lcp && ppp.code < 8 || ipcp || ipv6cp || pppoed)",
        "frame.time_epoch",
    )
    assert [row for row in sent if killed_at < float(row[0]) < back_at] == []


def test_a_bngd_that_keeps_no_session_hangs_all_up(lab: Lab, tmp_path: Path) -> None:
    lab.config["session"] = {**lab.config.get("session", {}), "keep_on_stop": False}
    lab.write_config()
    lab.ctl("reload")
    with (
        Capture(lab.sub, "sub0", tmp_path / "c.pcap", "pppoed") as capture,
        uml.dial_in_background(lab.sub, "sub0", "alice", "wonder", uml.UNTIL_GONE) as guest,
    ):
        guest.wait_for("IS-UP")
        assert lab.stop("bngd") == 0
        guest.wait_for("IS-GONE")
        guest.wait()
    lab.start_bngd()
    assert lab.sessions() == []
    mac = interface_mac(lab.bng, "acc0")
    assert count(capture.path, f"eth.src == {mac} && pppoe.code == 0xa7") == 1
