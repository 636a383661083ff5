"""Who had which address outlives bngd, and the dataplane: nobody gets another one for a restart.

PREFIX-sub                 PREFIX-bng
+--------------------+    +-----------------------+
| subscribers   sub0 |----| acc0  bngd, dataplane |
+--------------------+    +-----------------------+
"""

import signal
import time

from tests.netns.conftest import MakeLab
from tests.support.client.load import LoadClient
from tests.support.lab import Lab, load_users

COUNT = 8


def addresses(lab: Lab) -> dict[str, str]:
    return {session["user"]: session["address"] for session in lab.sessions()}


def dial(lab: Lab, first: int) -> LoadClient:
    """Have everybody dial, *first* before the others."""
    client = LoadClient("sub0", COUNT, 100, netns=lab.sub)
    order = client.subscribers
    order[:] = [*order[first:], *order[:first]]
    assert client.run(timeout_s=20).opened == COUNT
    return client


def test_users_get_their_addresses_back_after_bngd_and_after_the_machine(make_lab: MakeLab) -> None:
    lab = make_lab(users=load_users(COUNT))
    client = dial(lab, 0)
    before = addresses(lab)
    assert len(before) == COUNT
    client.terminate_all()
    lab.wait_for_sessions(0)
    time.sleep(1.5)  # journal.flush_interval_s, and some more
    lab.stop("bngd", signal.SIGKILL)
    lab.start_bngd()
    client.close()
    client = dial(lab, 3)
    assert addresses(lab) == before, "what was sticky when bngd died"
    time.sleep(1.5)
    for name in ("bngd", "bng-dataplane"):
        lab.stop(name, signal.SIGKILL)
    lab.start_dataplane()
    lab.start_bngd()
    client.close()
    client = dial(lab, 5)
    assert addresses(lab) == before, "what was in use when everything died"
    client.close()
