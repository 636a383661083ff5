"""A home router that lives gets other prefixes, and deprecates the old ones.

guest: pppd, kernel PPPoE                      PREFIX-bng                   PREFIX-inet
+------------------------+   +------+   +----------------------+   +-----------------------+
| ppp0   vec0 (tap) -----|---| sub0 |---| acc0            wan0 |---| inet0 2001:db8:2::2   |
| lan0 with a /64 of     |   +------+   |        bngctl reload |   | knows both the old and|
|   the delegated /56    |              +----------------------+   | the new pools         |
+------------------------+                                         +-----------------------+
  User Mode Linux, wide-dhcpv6-client: pings all the time, from each address that it has
"""

import re
from ipaddress import IPv6Interface, IPv6Network
from typing import Any

from tests.netns.conftest import MakeLab
from tests.netns.test_acl_live import wait_until
from tests.support import uml
from tests.support.lab6 import BOX6, DELEGATED, IPV6, LINKS, SERVER6, DualLab
from tests.support.netns import run

NEW_LINKS, NEW_HOMES = IPv6Network("2001:db8:4000::/36"), IPv6Network("2001:db8:7000::/36")
SOON = {"server": {"preferred_s": 16, "valid_s": 600}}
"""T1 is 8 s."""
GUEST = f"""guest-pd.sh wide
while sleep 0.3; do
  ip -6 -o addr show scope global | awk '{{print "HAS", $2, $4, $0}}'
  for address in $(ip -6 -o addr show scope global | awk '{{print $4}}'); do
    ping -6 -c 1 -W 2 -I ${{address%/*}} {SERVER6} >/dev/null && from=FROM || from=LOST
    echo $from $address
  done
done"""


def pools(links: IPv6Network, homes: IPv6Network) -> dict[str, Any]:
    """Return ``[ipv6]`` with these prefixes in pools of the same names as ever."""
    nets = zip(IPV6["pool"], (links, homes), strict=True)
    return {**IPV6, **SOON, "pool": [pool | {"prefixes": [str(net)]} for pool, net in nets]}


def answered(output: str) -> set[IPv6Network]:
    """Return the pools of the addresses that pings came back to."""
    found = re.findall(r"^FROM (\S+)\s*$", output, re.MULTILINE)
    every = (LINKS, DELEGATED, NEW_LINKS, NEW_HOMES)
    return {net for net in every for one in found if IPv6Interface(one).ip in net}


def preferred(output: str, network: IPv6Network) -> bool:
    """Say whether the kernel still prefers the address of *network* that it had last."""
    lines = re.findall(r"^HAS \S+ (\S+) (.*)", output, re.MULTILINE)
    last = [text for address, text in lines if IPv6Interface(address).ip in network][-1]
    return "deprecated" not in last


def test_a_kernel_and_a_dhcpv6_client_take_new_prefixes_and_lose_nothing_of_the_old(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(kind=DualLab, config={"ipv6": pools(LINKS, DELEGATED)})
    for prefix in (NEW_LINKS, NEW_HOMES):
        run(lab.inet, "ip", "-6", "route", "replace", str(prefix), "via", BOX6)
    with uml.dial_in_background(
        lab.sub, "sub0", "alice", "wonder", GUEST, want="4 6 g", limit_s=120
    ) as guest:
        wait_until(lambda: answered(guest.output()) == {LINKS, DELEGATED}, 60)
        (before,) = lab.sessions()
        assert preferred(guest.output(), LINKS)
        lab.config["ipv6"] = pools(NEW_LINKS, NEW_HOMES)
        lab.write_config()
        lab.ctl_json("reload")
        seen = 0

        def all_are_answered() -> bool:
            return answered(guest.output()[seen:]) == {LINKS, DELEGATED, NEW_LINKS, NEW_HOMES}

        wait_until(all_are_answered, 60)
        seen = len(guest.output())
        wait_until(all_are_answered, 60)  # the old ones, too, when all is renewed
        output = guest.output()
        assert preferred(output, NEW_LINKS)
        assert not preferred(output, LINKS)
        assert "LOST" not in output
        session = lab.ctl_json("show", "session", "alice")
        assert session["id"] == before["id"], "the same session"
        assert IPv6Network(session["ipv6_prefix"]).subnet_of(NEW_LINKS)
        (old,) = session["deprecated_prefixes"]
        assert old["prefix"] == before["ipv6_prefix"]
        homes = [IPv6Network(home) for home in session["delegated_prefixes"]]
        assert [home.subnet_of(NEW_HOMES) for home in homes] == [False, True]
        assert session["in_drops_by_reason"]["spoofed"] == 0
        lab.ctl("terminate", "--user", "alice")
        lab.wait_for_sessions(0)
    assert not any(lab.occupancy().values()), lab.occupancy()
