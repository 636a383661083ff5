"""Both processes with no more of root's powers than their systemd units leave them.

PREFIX-sub                     PREFIX-bng                      PREFIX-inet
+--------------------+     +-----------------------+     +-------------------+
| ppp0 - client sub0 |-----| acc0             wan0 |-----| inet0 192.0.2.2   |
+--------------------+     +-----------------------+     +-------------------+
"""

import subprocess
from pathlib import Path

from tests.netns.conftest import _prefix
from tests.support.lab import SERVER, Lab
from tests.support.netns import run
from tests.support.systemd import capabilities


class Bounded(Lab):
    """A lab whose bngd and bng-dataplane have the bounding sets of their units."""

    def spawn(self, side: str, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """Start *argv* in the namespace *side*; it logs to ``log/NAME.log``."""
        if name in ("bngd", "bng-dataplane"):
            kept = "".join(f",+{power}" for power in capabilities(f"{name}.service"))
            argv = ("setpriv", f"--bounding-set=-all{kept}", "--no-new-privs", *argv)
        return super().spawn(side, name, *argv)


def test_a_subscriber_is_served_with_the_powers_of_the_units(tmp_path: Path) -> None:
    with Bounded(_prefix(), tmp_path) as lab:
        status = Path(f"/proc/{lab.process('bngd').pid}/status").read_text()
        bounding = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
        assert int(bounding.split()[1], 16).bit_count() == len(capabilities("bngd.service"))
        with lab.subscriber():
            done = run(lab.sub, "ping", "-c", "3", "-i", "0.2", SERVER, check=False)
            assert "3 received" in done.stdout
        lab.wait_for_sessions(0)
        lab.stop("bngd")
        lab.start_bngd()
