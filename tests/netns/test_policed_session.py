"""A policed subscriber gets his rates: UDP beyond them is cut to them, TCP fills them; through NAT.

    guest: pppd, kernel PPPoE                      PREFIX-bng                   PREFIX-inet
    +------------------------+   +------+   +----------------------+   +-----------------------+
    | ppp0   vec0 (tap) -----|---| sub0 |---| acc0            wan0 |---| inet0 192.0.2.2       |
    +------------------------+   +------+   |  alice: 4 up,  6 down|   |           iperf3      |
      User Mode Linux                       |      Mbit/s of IP    |   +-----------------------+
                                            +----------------------+

The bursts are the default: 200 ms of the rate, which is 2 % of what UDP sends in UDP_S, in both
directions at once; TCP, whose acknowledgements go the other way, has its turns. TCP is four flows.
A policer drops the end of a burst, retransmissions included, so that with a round trip under a
millisecond a single flow often waits for its retransmission timer: 200 ms at least, which the
bucket just makes up for; what a second timeout in a row, of 400 ms, costs is lost. So does what
curl fetches, in one flow.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import uml
from tests.support.lab import SERVER, Lab

UP_BPS, DOWN_BPS = 4_000_000, 6_000_000
UDP_S, TCP_S = 10, 8
PAYLOAD_BYTES, UDP_IP_BYTES = 1_200, 28
TCP_IP_SHARE = 1_440 / 1_492
"""Of the bytes of full segments: the rest are headers and timestamps."""
LAB_OPTIONS = {
    "users": {
        "alice": {
            "password": "wonder",
            "rate_up": {"cir_bps": UP_BPS},
            "rate_down": {"cir_bps": DOWN_BPS},
        }
    }
}
_CLIENT = f"iperf3 -J -c {SERVER}"
_UDP = f"{_CLIENT} -t {UDP_S} -u -l {PAYLOAD_BYTES}"
_TCP = f"{_CLIENT} -t {TCP_S} -P 4"
_OTHER_PORT = "5202"
_PAGE_BYTES = 3_000_000
_FETCH = f"curl -sS -o /dev/null -w '%{{size_download}} %{{speed_download}}\\n' http://{SERVER}/big"
_MARK = "=====NEXT====="
_COUNTED = "rx_packets rx_bytes tx_packets tx_bytes"
_SHOW = f"(cd /sys/class/net/ppp0/statistics; cat {_COUNTED})"
_COMMANDS = f""" ; echo {_MARK} ; """.join(
    (
        f"{_SHOW}",
        f"{_UDP} -p {_OTHER_PORT} -b {DOWN_BPS * 3 // 2} -R >/run/down &"
        f" {_UDP} -b {UP_BPS * 3 // 2}; wait $!",
        "cat /run/down",
        _TCP,
        f"{_TCP} -R",
        _FETCH,
        f"sleep 1; {_SHOW}",
        "echo ALL-DONE; sleep 2",
    )
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What iperf3, the client's kernel and the BNG counted."""

    udp_up: dict[str, Any]
    udp_down: dict[str, Any]
    tcp_up: dict[str, Any]
    tcp_down: dict[str, Any]
    page: tuple[int, float]
    """What curl fetched: bytes, bytes a second."""
    ppp0: dict[str, int]
    session: dict[str, Any]


@pytest.fixture(scope="module")
def evidence(lab: Lab) -> Iterator[Evidence]:
    """Dial once and measure all five ways."""
    (lab.directory / "www" / "big").write_bytes(bytes(_PAGE_BYTES))
    for port in ("5201", _OTHER_PORT):
        lab.spawn("inet", f"iperf3-{port}", "iperf3", "-s", "-B", SERVER, "-p", port)
    with uml.dial_in_background(
        lab.sub, "sub0", "alice", "wonder", _COMMANDS, pppd_options="noipv6", limit_s=120
    ) as guest:
        guest.wait_for("ALL-DONE", timeout_s=60 + UDP_S + 2 * TCP_S)
        session = lab.ctl_json("show", "session", "alice")
        done = guest.wait()
    before, *parts, after, _ = done.output.replace("\r", "").split(f"{_MARK}\n")
    size, speed = parts.pop().split()[-2:]
    udp_up, udp_down, tcp_up, tcp_down = (json.loads(part)["end"] for part in parts)
    counts = zip(after.split(), before.split()[-4:], strict=True)  # IPCP and IPV6CP came before
    passed = [int(end) - int(begin) for end, begin in counts]
    ppp0 = dict(zip(_COUNTED.split(), passed, strict=True))
    page = int(size), float(speed)
    yield Evidence(udp_up, udp_down, tcp_up, tcp_down, page, ppp0, session)


def udp_bps_of_ip(run: dict[str, Any]) -> float:
    """Return what arrived, in bit/s of IP."""
    arrived = run["sum"]["packets"] - run["sum"]["lost_packets"]
    bits: int = arrived * (PAYLOAD_BYTES + UDP_IP_BYTES) * 8
    return bits / UDP_S


def test_udp_at_one_and_a_half_times_the_rate_comes_out_at_the_rate(evidence: Evidence) -> None:
    assert udp_bps_of_ip(evidence.udp_up) == pytest.approx(UP_BPS, rel=0.05)
    assert udp_bps_of_ip(evidence.udp_down) == pytest.approx(DOWN_BPS, rel=0.05)


def test_tcp_gets_85_percent_of_the_rate_at_least(evidence: Evidence) -> None:
    for run, rate_bps in ((evidence.tcp_up, UP_BPS), (evidence.tcp_down, DOWN_BPS)):
        got_bps = run["sum_received"]["bits_per_second"] / TCP_IP_SHARE
        assert 0.85 * rate_bps <= got_bps <= 1.05 * rate_bps


def test_curl_fetches_a_page_at_no_more_than_rate_and_burst(evidence: Evidence) -> None:
    size, bytes_per_s = evidence.page
    assert size == _PAGE_BYTES
    assert 0.6 * DOWN_BPS <= 8 * bytes_per_s <= 1.1 * DOWN_BPS


def test_the_counters_agree_with_those_of_the_client(evidence: Evidence) -> None:
    session, ppp0 = evidence.session, evidence.ppp0
    for name in ("packets", "bytes"):  # a busy guest may lose a few before they reach its ppp0
        sent, got = session[f"out_{name}"], ppp0[f"rx_{name}"]
        assert 0.99 * sent <= got <= sent
    up = session["policer_up"]
    assert up["red_packets"] > 500 < session["policer_down"]["red_packets"]
    beside = ppp0["tx_packets"] - session["in_packets"] - up["red_packets"]
    beside_bytes = ppp0["tx_bytes"] - session["in_bytes"] - up["red_bytes"]
    not_policed = session["in_drops"] - up["red_packets"]  # IPv6CP is not open
    assert not_policed <= 20
    assert 0 <= beside <= not_policed + 0.01 * ppp0["tx_packets"]
    assert 40 * beside <= beside_bytes <= 1_500 * beside


def test_the_policers_of_the_session_are_shown(evidence: Evidence) -> None:
    up, down = evidence.session["policer_up"], evidence.session["policer_down"]
    assert (up["cir_bps"], up["cbs_bytes"]) == (UP_BPS, UP_BPS // 40)
    assert (down["cir_bps"], down["cbs_bytes"]) == (DOWN_BPS, DOWN_BPS // 40)
    assert evidence.session["in_drops_by_reason"]["policed"] == up["red_packets"]


def test_after_hanging_up_no_session_is_left(lab: Lab, evidence: Evidence) -> None:
    assert evidence.session["state"] == "up", "there was one before"
    lab.wait_for_sessions(0)
