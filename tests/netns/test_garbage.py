"""Random, cut and mutated frames on either port, as fast as they go; forged frames of others.

PREFIX-sub                          PREFIX-bng                     PREFIX-inet
+--------------------------+    +---------------------+    +-----------------------+
| 20 subscribers      sub0 |----| acc0           wan0 |----| inet0    UDP echo     |
| garbage, other sources   |    +---------------------+    | garbage, to NAT pool  |
+--------------------------+                               +-----------------------+
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.conftest import interface_mac
from tests.support.client import wire
from tests.support.client.load import LoadClient
from tests.support.client.raw import PacketPort
from tests.support.client.subscriber import Subscriber
from tests.support.lab import ROOT, SERVER, Lab, load_users
from tests.support.netns import command
from tests.support.traffic import Blaster, EchoServer, Tally

LAB_OPTIONS = {"users": load_users(20)}
_COUNT, _SECONDS, _PPS = 20, 5, 2000
_POOL = ("198.51.100.0", "198.51.100.7", "198.51.100.15", "203.0.113.7", "192.0.2.1", "100.64.0.1")


@contextlib.contextmanager
def subscribers(lab: Lab) -> Iterator[LoadClient]:
    """Dial in the subscribers; their IPv4 is for the traffic program."""
    client = LoadClient("sub0", _COUNT, 100, netns=lab.sub, control_only=True)
    try:
        assert client.run(timeout_s=10).opened == _COUNT
        yield client
        assert client.up == _COUNT, client.result().lost
        for name in ("bngd", "bng-dataplane"):
            assert lab.process(name).poll() is None, lab.log(name)
        assert "record-error" not in lab.log("bngd")
        client.terminate_all()
    finally:
        client.close()
    lab.wait_for_sessions(0, timeout_s=40)


@dataclass
class Flood:
    """What the garbage came to: frames sent, and the share of them that found no room."""

    sent: int
    lost_share: float


def port_counters(lab: Lab, port: str) -> tuple[int, int]:
    row = next(row for row in lab.ctl_json("show", "ports") if row["port"] == port)
    return row["rx_packets"], row["rx_errors"]


def drill(
    lab: Lab, client: LoadClient, directory: Path, netns: str, port: str, *words: str
) -> tuple[Tally, Flood]:
    """Send numbered packets from all sessions while *netns* floods *port* with garbage."""
    assert client.export(directory / "sessions") == _COUNT
    device = {"acc0": "sub0", "wan0": "inet0"}[port]
    argv = [sys.executable, "-m", "tests.support.garbage", device, str(_SECONDS), "7", *words]
    before = port_counters(lab, port)
    flood = subprocess.Popen(command(netns, argv), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        with (
            EchoServer(lab.inet, SERVER),
            Blaster(
                lab.sub, "sub0", directory / "sessions", SERVER, pps=_PPS, seconds=_SECONDS
            ) as blaster,
        ):
            while blaster.running():
                client.serve(0.1)
            tally = blaster.wait()
        output, _ = flood.communicate(timeout=30)
    finally:
        flood.kill()
    received, lost = (
        now - then for now, then in zip(port_counters(lab, port), before, strict=True)
    )
    return tally, Flood(int(output), lost / max(received + lost, 1))


@pytest.mark.parametrize("flood", ["broadcast", "unicast", "routed"])
def test_a_flood_takes_nothing_from_the_sessions(lab: Lab, flood: str, tmp_path: Path) -> None:
    acc, wan = (interface_mac(lab.bng, name) for name in ("acc0", "wan0"))
    target = {
        "broadcast": (lab.sub, "acc0"),
        "unicast": (lab.sub, "acc0", acc),
        "routed": (lab.inet, "wan0", wan, *_POOL),
    }[flood]
    with subscribers(lab) as client:
        tally, garbage = drill(lab, client, tmp_path, *target)
        print(tally, garbage)
        assert garbage.sent > 100_000, "that was no flood"
        # What a core cannot take in is lost for all alike: no more for sessions than for garbage.
        assert tally.lost <= (garbage.lost_share + 0.002) * tally.sent, (tally, garbage)
        assert (tally.duplicated, tally.misdelivered, tally.bad_checksum) == (0, 0, 0)


# --- forged frames ---


def forged(subscriber: Subscriber, tags: bytes, mac: bytes, box: bytes) -> list[bytes]:
    """Build what would end or change *subscriber*'s session, were it his."""
    session_id = subscriber.head[-2:]
    requests = wire.option(1, b"\x05\xd4") + wire.option(5, b"mean")
    control = [
        wire.ppp(wire.P_LCP, code, 1, requests)
        for code in (wire.CONF_REQ, wire.TERM_REQ, wire.TERM_ACK, 7, 8)
    ]
    control += [wire.ppp(wire.P_IPCP, wire.TERM_REQ, 1, b""), wire.ppp(0xC023, 1, 1, b"\1x\1y")]
    head = box + mac + tags
    frames = [
        head + wire.ETH_SESSION + b"\x11\0" + session_id + len(p).to_bytes(2, "big") + p
        for p in control
    ]
    padt = b"\x11" + bytes((wire.PADT,)) + session_id + b"\0\0"
    return [*frames, head + wire.ETH_DISCOVERY + padt, box + mac + tags + wire.ETH_SESSION + padt]


def test_forged_frames_from_another_mac_or_vlan_touch_no_session(lab: Lab, tmp_path: Path) -> None:
    box = bytes.fromhex(interface_mac(lab.bng, "acc0").replace(":", ""))
    with subscribers(lab) as client:
        before = {row["id"]: row["state"] for row in lab.sessions()}
        port = PacketPort("sub0", netns=lab.sub)
        try:
            for subscriber in client.subscribers:
                other = b"\x02\xee" + subscriber.mac[2:]
                for tags, mac in (
                    (b"", other),
                    (b"\x81\x00\x00\x07", subscriber.mac),
                    (b"\x88\xa8\x00\x64\x81\x00\x00\x07", subscriber.mac),
                    (b"\x91\x00\x00\x07", other),
                ):
                    for frame in forged(subscriber, tags, mac, box):
                        port.send(frame)
                client.serve(0.01)
        finally:
            port.close()
        client.serve(1)
        assert {row["id"]: row["state"] for row in lab.sessions()} == before
        tally, _ = drill(lab, client, tmp_path, lab.sub, "acc0")
        assert tally.received > 0
