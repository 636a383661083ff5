"""The second half of ``packaging/quickstart``: lab, dial, proof, clean-up.

Everything that it claims, it has looked at: each step raises when it did not see what it says.
"""

import contextlib
import ipaddress
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.support.freeradius import BOX, SampleSite
from tests.support.lab import NAT_POOL, PAGE, SERVER, Lab, LabError, tear_down
from tests.support.lab6 import SERVER6, DualLab
from tests.support.netns import run
from tests.support.radius_lab import SAMPLE_OPTIONS, wait_for_record

PREFIX = "qs"
DIRECTORY = Path("/run/bng-quickstart")
SHOWN = (
    *("Acct-Status-Type", "User-Name", "Framed-IP-Address", "Class", "Acct-Output-Octets"),
    "Acct-Terminate-Cause",
)
"""What is shown of a record of accounting."""


def _title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _show(text: str) -> None:
    print("   " + text.strip().replace("\n", "\n   "), flush=True)


def _dialled(lab: Lab, password: str) -> str:
    """Dial in and return the subscriber's address, as the session table has it too."""
    _title("alice dials in: PPPoE, LCP, CHAP, IPCP, IPv6CP (our own test client)")
    event = lab.dial("alice", password, "--delegate", "56")
    address = str(event["address"])
    took = f"{event['seconds']} s after her PADI, authenticated with {event['auth']}"
    _show(f"she has {address} {took}")
    six = lab.wait_for_event("client-ppp0", "ipv6")
    _show(f"she made {six['address']} of the /64 that was advertised on her link")
    _show(f"her network has {six['delegated']}, delegated by DHCPv6")
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


def _over_ipv6(lab: Lab) -> None:
    """Ping the server from both of her prefixes, fetch its page, and see whom the server saw."""
    six = lab.wait_for_event("client-ppp0", "ipv6")
    home = str(ipaddress.IPv6Network(six["delegated"])[1])
    _title("bngctl show session alice: what she has of IPv6")
    shown = lab.ctl("show", "session", "alice").stdout
    part = shown[shown.index("\nipv6\n") + 1 : shown.index("\nlink\n")]
    _show(part)
    if six["delegated"] not in part:
        raise LabError("bngctl does not show the prefix that she has")
    for whose, source in (("link", six["address"]), ("own network", home)):
        _title(f"over IPv6: ping {SERVER6} from an address of her {whose}")
        replies = run(lab.sub, "ping", "-c", "3", "-i", "0.2", "-I", source, SERVER6).stdout
        _show(replies)
        if " 0% packet loss" not in replies:
            raise LabError("a ping was lost")
    url = f"http://[{SERVER6}]/"
    _title(f"alice fetches {url}")
    page = run(lab.sub, "curl", "-fsS", "--max-time", "10", "--interface", home, url).stdout
    _show(page)
    if page != PAGE:
        raise LabError("that is not the page")
    _title("what the server logged")
    request = [line for line in lab.log("http6").splitlines() if '"GET / ' in line][-1]
    _show(request)
    if request.split()[0] != home:
        raise LabError(f"the server saw {request.split()[0]}, not {home}")
    _show("so it saw her own address: IPv6 is routed, not translated")


def _by_radius(lab: Lab) -> str:
    """Show what FreeRADIUS said of alice, and return the id of her session."""
    _title("bngctl show session alice: what holds for her, and who said so")
    shown = lab.ctl("show", "session", "alice").stdout
    _show(shown[shown.index("profile\n") :])
    if "RADIUS server aaa1: Bng-Rate-Down" not in shown or "pool cgnat" not in shown:
        raise LabError("she has not what the samples say")
    _title("bngctl show radius")
    _show(lab.ctl("show", "radius").stdout)
    return str(lab.ctl_json("show", "session", "alice")["id"])


def _ordered(site: SampleSite, order: str, wanted: str, *attributes: str) -> None:
    """Have radclient order something of alice's session, and show the answer."""
    pairs = ('User-Name = "alice"', *attributes)
    what = wanted.removesuffix("-ACK")
    _title(f"the server sends a {what}-Request: {', '.join(pairs)}")
    said = site.radclient(order, *pairs)
    answer = next((line for line in said.splitlines() if line.startswith("Received")), said)
    _show(answer)
    if wanted not in answer:
        raise LabError(f"that is no {wanted}")


def _slower(lab: Lab, site: SampleSite) -> None:
    """Change a rate while she is connected."""
    _ordered(site, "coa", "CoA-ACK", 'Bng-Rate-Down = "10M"')
    shown = lab.ctl("show", "session", "alice").stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("  rate_down"))
    _show(line)
    if "10000000" not in line or "CoA" not in line:
        raise LabError("her rate is not what the server said")


def _accounted(lab: Lab, site: SampleSite, session: str) -> None:
    """Have the server end the session, and show what it wrote down of it."""
    _ordered(site, "disconnect", "Disconnect-ACK")
    _title(f"what FreeRADIUS wrote down: {site.directory}/{site.details}")
    for status in ("Start", "Stop"):
        try:
            record = wait_for_record(site, session, status)
        except AssertionError as error:
            raise LabError(str(error)) from None
        _show("   ".join(f"{name} {record[name]}" for name in SHOWN if name in record))
    if int(record["Acct-Output-Octets"]) < len(PAGE):
        raise LabError("the page was not accounted for")
    _title("bngctl show accounting")
    _show(lab.ctl("show", "accounting").stdout)


def _how_to_go_on(lab: Lab, site: SampleSite | None) -> None:
    _title("the lab stays up")
    ctl = f".venv/bin/bngctl --socket {lab.socket}"
    _show(
        f"""ip netns exec {lab.sub} ping {SERVER}          the subscriber's side (ppp0)
ip netns exec {lab.bng} ip addr                 the BNG's side
{ctl} show sessions
{lab.directory}/bng.toml, {lab.directory}/log/             configuration and logs
packaging/quickstart --down                      remove it"""
    )
    if site is not None:
        _show(
            f"""{ctl} test radius office@example.net
radclient -d {site.directory}                 (inside {lab.inet}) CoA and Disconnect to {BOX}
{site.directory}/bng/users                subscribers; FreeRADIUS reads them when it starts
{site.directory}/var/radacct/bng/         accounting"""
        )


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _all_of_it(lab: Lab, site: SampleSite | None, *, keep: bool) -> None:
    _title(f"three namespaces: {lab.sub}, {lab.bng}, {lab.inet}; both processes of the BNG")
    lab.build()
    lab.start_servers()
    if site is not None:
        site.start()
    lab.start_bng()
    _show(lab.ctl("show", "version").stdout)
    if site is not None:
        _title("FreeRADIUS on the internet side, with conf/freeradius as it is")
        _show(f'{site.directory}/bng/users has alice; bng.toml has aaa.method = "radius"')
    _dialled(lab, "wonder" if site is None else "alice-secret")
    session = "" if site is None else _by_radius(lab)
    _through_nat(lab)
    _over_ipv6(lab)
    if site is not None:
        _slower(lab, site)
        if not keep:
            _accounted(lab, site, session)


def quick_start(arguments: Sequence[str], prefix: str, directory: Path) -> int:
    """Run it in namespaces that begin with *prefix*, in *directory*, which is its own alone.

    The status is 0 only when all was seen.
    """
    tear_down(prefix)
    shutil.rmtree(directory, ignore_errors=True)
    if "--down" in arguments:
        return 0
    started_at = time.monotonic()
    radius = "--radius" in arguments
    lab = DualLab(prefix, directory, **(SAMPLE_OPTIONS if radius else {}))
    site = SampleSite(directory / "freeradius", lab.inet) if radius else None
    keep = False
    try:
        _all_of_it(lab, site, keep="--keep" in arguments)
        keep = "--keep" in arguments
        _title(f"all of it was seen, in {time.monotonic() - started_at:.0f} s")
    except (RuntimeError, OSError, KeyboardInterrupt) as error:
        print(f"\nquickstart: FAILED: {error or 'interrupted'}", file=sys.stderr)
        for name in ("bng-dataplane", "bngd", "client-ppp0"):
            print(f"--- {name}\n{lab.log(name)[-4000:]}", file=sys.stderr)
        return 1
    finally:
        if not keep:
            with contextlib.ExitStack() as stack:
                stack.callback(shutil.rmtree, directory, ignore_errors=True)
                stack.callback(lab.down)
                if site is not None:
                    site.stop()
    if keep:
        _how_to_go_on(lab, site)
    return 0


def main() -> int:
    """Run it with the arguments of the command line."""
    signal.signal(signal.SIGTERM, _interrupt)
    return quick_start(sys.argv[1:], PREFIX, DIRECTORY)


if __name__ == "__main__":
    sys.exit(main())
