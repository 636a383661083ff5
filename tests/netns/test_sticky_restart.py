"""Who had which address outlives bngd, and the dataplane: nobody gets another one for a restart.

What is drained stays so over a restart of bngd.

PREFIX-sub                 PREFIX-bng
+--------------------+    +-----------------------+
| subscribers   sub0 |----| acc0  bngd, dataplane |
+--------------------+    +-----------------------+
"""

import signal
import time

from tests.netns.conftest import MakeLab
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.lab import Lab, load_users
from tests.support.lab6 import IPV6

COUNT = 8


def addresses(lab: Lab, client: LoadClient) -> dict[str, list[str]]:
    """Return what each user has: an IPv4 address, a prefix on the link, one that is delegated."""
    own = {s.user.decode(): s.v6.delegated for s in client.subscribers if s.v6 is not None}
    had = {s["user"]: [s["address"], s["ipv6_prefix"], str(own[s["user"]])] for s in lab.sessions()}
    assert all(None not in one and "None" not in one for one in had.values()), had
    return had


def dial(lab: Lab, first: int) -> LoadClient:
    """Have everybody dial, *first* before the others."""
    profile = Profile(auth=("chap",), wants=Wants(delegate=56))
    client = LoadClient("sub0", COUNT, 100, netns=lab.sub, profile=profile)
    order = client.subscribers
    order[:] = [*order[first:], *order[:first]]
    client.run(timeout_s=20, until=lambda client: client.dual == COUNT)
    assert client.dual == COUNT
    return client


def test_users_get_their_addresses_back_after_bngd_and_after_the_machine(make_lab: MakeLab) -> None:
    lab = make_lab(users=load_users(COUNT), config={"ipv6": IPV6})
    client = dial(lab, 0)
    before = addresses(lab, client)
    assert len(before) == COUNT
    client.terminate_all()
    lab.wait_for_sessions(0)
    time.sleep(1.5)  # journal.flush_interval_s, and some more
    lab.stop("bngd", signal.SIGKILL)
    lab.start_bngd()
    client.close()
    client = dial(lab, 3)
    assert addresses(lab, client) == before, "what was sticky when bngd died"
    time.sleep(1.5)
    for name in ("bngd", "bng-dataplane"):
        lab.stop(name, signal.SIGKILL)
    lab.start_dataplane()
    lab.start_bngd()
    client.close()
    client = dial(lab, 5)
    assert addresses(lab, client) == before, "what was in use when everything died"
    lab.ask("drain")
    lab.stop("bngd", signal.SIGKILL)
    lab.start_bngd()
    lab.wait_for_sessions(0)
    assert lab.ask("show version")["draining"] == ["all"]
    client.close()
    for name in ("bngd", "bng-dataplane"):
        lab.stop(name, signal.SIGKILL)
    lab.start_dataplane()
    lab.start_bngd()
    assert lab.ask("show version")["draining"] == []
    dial(lab, 0).close()
