"""The outage drill: no accounting server, bngd killed twice, and in the end every record is right.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +--------------------------------+
| 2,000 come    |    |                       |    | FreeRADIUS :1812, access       |
| and go   sub0 |----| acc0  bngd  wan0      |----| FreeRADIUS :2813, accounting:  |
+---------------+    |       kill -9, twice  |    |   comes back at the end        |
                     +-----------------------+    +--------------------------------+
"""

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.netns.conftest import MakeLab
from tests.support.accounting import box_records, event_at, sessions, wait_for_spool
from tests.support.client.layer import Phase, Profile
from tests.support.client.load import LoadClient
from tests.support.freeradius import SECRET, FreeRadius
from tests.support.lab import SERVER, Lab
from tests.support.traffic import EchoServer

WAVE, WAVES = 500, 4
PACKET_BYTES = 100
USERS = """DEFAULT Cleartext-Password := "secret"
\tClass = 0xc0ffee
"""
ACCT_PORT = 2813
OPTIONS: dict[str, Any] = {
    "config": {
        "dataplane": {"max_sessions": 4096},
        "session": {"setup_per_s": 1000, "keep_on_stop": False},
        "aaa": {"method": "radius"},
        "radius": {
            "nas_identifier": "lab",
            "timeout_s": 0.5,
            "tries": 2,
            "dead_s": 30,
            "probe_s": 0.5,
            "accounting": {"interim_interval_s": 0},
            "server": [
                {
                    "name": "access",
                    "roles": ["authentication"],
                    "address": SERVER,
                    "secret": SECRET,
                },
                {
                    "name": "accounting",
                    "roles": ["accounting"],
                    "address": SERVER,
                    "acct_port": ACCT_PORT,
                    "secret": SECRET,
                },
            ],
        },
    }
}


class Ledger:
    """What each user sent and received, in IP octets, as his own end saw it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    @contextlib.contextmanager
    def wave(self, number: int) -> Iterator[LoadClient]:
        """Yield subscribers who are up and have sent something."""
        profile = Profile(auth=("chap",), discovery_s=(1.0, 1.0, 1.0))
        first = number * WAVE
        client = LoadClient("sub0", WAVE, 500, netns=self.lab.sub, first=first, profile=profile)
        try:
            result = client.run(timeout_s=15)
            assert result.opened == WAVE, result
            self.traffic(client)
            yield client
        finally:
            client.close()

    def traffic(self, client: LoadClient) -> None:
        """Have everybody who is up send some packets, which come back."""
        up = [s for s in client.subscribers if s.phase == Phase.UP]
        result = client.send_traffic(2000, 0.6, size=PACKET_BYTES, drain_s=0.3)
        assert (result.lost, result.duplicated, result.misdelivered) == (0, 0, 0), result
        for at, subscriber in enumerate(up):
            packets = result.sent // len(up) + (at < result.sent % len(up))
            self.sent[subscriber.user.decode()] += packets * PACKET_BYTES
            self.received[subscriber.user.decode()] += packets * PACKET_BYTES


def kill_bngd(lab: Lab) -> None:
    lab.stop("bngd", signal.SIGKILL)
    lab.start_bngd()


def test_every_session_of_an_outage_is_on_record_once_with_what_it_carried(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab(**OPTIONS)
    ledger = Ledger(lab)
    access = FreeRadius(tmp_path / "access", USERS, address=SERVER, netns=lab.inet, auth_port=1812)
    accounting = FreeRadius(
        tmp_path / "accounting", USERS, address=SERVER, netns=lab.inet, acct_port=ACCT_PORT
    )
    with access, EchoServer(lab.inet, SERVER):
        with ledger.wave(0) as first:
            first.terminate_all("padt")
        with ledger.wave(1) as second:
            kill_bngd(lab)  # while they are there
            ledger.traffic(second)
            assert second.up == WAVE, second.result().lost
            with ledger.wave(2) as third:
                for subscriber in third.subscribers[: WAVE // 2]:
                    subscriber.terminate("padt", time.monotonic())
                kill_bngd(lab)  # while they go
                ledger.traffic(third)
                assert (second.up, third.up) == (WAVE, WAVE - WAVE // 2)
                with ledger.wave(3):
                    shown = lab.ctl_json("show", "accounting")
                    assert shown["groups"][0]["on_disk"] > 2 * WAVE, "nobody takes them"
                    lab.ctl("terminate", "--all", "--yes")
                    lab.wait_for_sessions(0, timeout_s=15)
        with accounting:
            wait_for_spool(lab)
            on_record(accounting, ledger, lab)


def on_record(server: FreeRadius, ledger: Ledger, lab: Lab) -> None:
    """Check what *server* has of everybody."""
    found = sessions(server)
    assert box_records(server) == ["Accounting-On"]
    assert {of.keys() == {"Start", "Stop"} for of in found.values()} == {True}
    assert len(found) == WAVES * WAVE, "no death ended a session"
    stops = [of["Stop"] for of in found.values()]
    users = {stop["User-Name"] for stop in stops}
    assert len(users) == WAVES * WAVE
    assert {stop["Class"] for stop in stops} == {"0xc0ffee"}
    for name, expected in (("Input", ledger.sent), ("Output", ledger.received)):
        octets: Counter[str] = Counter()
        for stop in stops:
            octets[stop["User-Name"]] += int(stop[f"Acct-{name}-Octets"])
        assert octets == expected
    for of in found.values():
        start, stop = (event_at(of[status]) for status in ("Start", "Stop"))
        lasted = int(of["Stop"]["Acct-Session-Time"])
        assert abs(stop - start - lasted) <= 1, of
        assert int(of["Start"]["Acct-Delay-Time"]) >= 1
    assert lab.ctl_json("show", "accounting")["open_accounts"] == 0
