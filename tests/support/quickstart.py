"""The second half of ``packaging/quickstart``: lab, dial, proof, clean-up.

Everything that it claims, it has looked at: each step raises when it did not see what it says.
"""

import ipaddress
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.support.lab import NAT_POOL, PAGE, SERVER, Lab, LabError, tear_down
from tests.support.netns import run

PREFIX = "qs"
DIRECTORY = Path("/run/bng-quickstart")


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _show(text: str) -> None:
    print("   " + text.strip().replace("\n", "\n   "), flush=True)


def _dialled(lab: Lab) -> str:
    """Dial in and return the subscriber's address, as the session table has it too."""
    _title("alice dials in: PPPoE, LCP, CHAP, IPCP, IPv6CP (our own test client)")
    event = lab.dial()
    address = str(event["address"])
    took = f"{event['seconds']} s after her PADI, authenticated with {event['auth']}"
    _show(f"she has {address} {took}")
    _title("bngctl show sessions")
    table = lab.ctl("show", "sessions").stdout
    _show(table)
    if "alice" not in table or address not in table:
        raise LabError("the session table does not show alice and her address")
    return address


def _through_nat(lab: Lab) -> None:
    """Ping the server, fetch its page, and see whom the server saw."""
    _title(f"alice pings {SERVER} on the internet side")
    replies = run(lab.sub, "ping", "-c", "3", "-i", "0.2", SERVER).stdout
    _show(replies)
    if " 0% packet loss" not in replies:
        raise LabError("a ping was lost")
    _title(f"alice fetches http://{SERVER}/")
    page = run(lab.sub, "curl", "-fsS", "--max-time", "10", f"http://{SERVER}/").stdout
    _show(page)
    if page != PAGE:
        raise LabError("that is not the page")
    _title("bngctl show nat")
    _show(lab.ctl("show", "nat").stdout)
    _title("what the server logged")
    requests = [line for line in lab.log("http").splitlines() if '"GET / ' in line]
    seen = requests[-1].split()[0]
    _show(requests[-1])
    if ipaddress.IPv4Address(seen) not in ipaddress.IPv4Network(NAT_POOL):
        raise LabError(f"the server saw {seen}, not an address of {NAT_POOL}")
    _show(f"so it saw {seen}: the subscriber's own address never left the BNG")


def _how_to_go_on() -> None:
    _title("the lab stays up")
    ctl = f".venv/bin/bngctl --socket {DIRECTORY}/run/bngd.sock"
    _show(
        f"""ip netns exec {PREFIX}-sub ping {SERVER}          the subscriber's side (ppp0)
ip netns exec {PREFIX}-bng ip addr                 the BNG's side
{ctl} show sessions
{DIRECTORY}/bng.toml, {DIRECTORY}/log/             configuration and logs
packaging/quickstart --down                      remove it"""
    )


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run it; the exit status is 0 only when all was seen."""
    arguments = sys.argv[1:]
    tear_down(PREFIX)
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    if arguments == ["--down"]:
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    started_at = time.monotonic()
    lab = Lab(PREFIX, DIRECTORY)
    keep = False
    try:
        _title("three namespaces: qs-sub, qs-bng, qs-inet; both processes of the BNG")
        lab.up()
        _show(lab.ctl("show", "version").stdout)
        _dialled(lab)
        _through_nat(lab)
        keep = arguments == ["--keep"]
        _title(f"all of it was seen, in {time.monotonic() - started_at:.0f} s")
    except (RuntimeError, OSError, KeyboardInterrupt) as error:
        print(f"\nquickstart: FAILED: {error or 'interrupted'}", file=sys.stderr)
        for name in ("bng-dataplane", "bngd", "client-ppp0"):
            print(f"--- {name}\n{lab.log(name)[-4000:]}", file=sys.stderr)
        return 1
    finally:
        if not keep:
            lab.down()
            shutil.rmtree(DIRECTORY, ignore_errors=True)
    if keep:
        _how_to_go_on()
    return 0


if __name__ == "__main__":
    sys.exit(main())
