"""acl_in and acl_out: what is compiled decides as the rules in their order do; both families."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.acl import compile_acl
from dataplane.binding import AclAction

from . import lab
from .acl_rules import BOTH, DENY, PERMIT, REJECT, Family, number, written
from .harness import ACC, START_NS, WAN, Dataplane

FAMILIES = pytest.mark.parametrize("family", BOTH, ids=["ip4", "ip6"])


@FAMILIES
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_first_rule_that_fits_decides(
    dp: Dataplane, family: Family, data: st.DataObject
) -> None:
    acl = data.draw(st.lists(family.rules, max_size=150))
    default = data.draw(st.sampled_from(AclAction))
    flows = data.draw(st.lists(family.flows, min_size=1, max_size=20))
    lab.furnish_once(dp)
    lab.filter_by(dp, dp.session_in(0).generation, acl, default)
    wanted = [family.expected(acl, default, flow) for flow in flows]
    frames = [family.frame(*flow) for flow in flows]
    assert family.verdicts(dp, frames) == wanted
    downstream = [DENY if action == REJECT else action for action in wanted]
    assert family.verdicts(dp, frames, "acl_out") == downstream


def networks(family: Family) -> Iterator[tuple[str, str]]:
    """Make a thousand of them, each with an address in it."""
    for i in range(1_000):
        if family is BOTH[0]:
            yield f"10.{i // 256}.{i % 256}.0/24", f"10.{i // 256}.{i % 256}.7"
        else:
            yield f"2001:db8:{i:x}::/48", f"2001:db8:{i:x}::7"


@FAMILIES
def test_a_thousand_rules_are_as_good_as_one(dp: Dataplane, family: Family) -> None:
    generation = family.of.furnish(dp)
    places = list(networks(family))
    rules = (f"deny tcp any {places[i][0]} port {1000 + i}" for i in range(1_000))
    acl = written(*rules)
    assert len(compile_acl(acl, PERMIT)) < 1 << 20
    lab.filter_by(dp, generation, acl)
    for i in (0, 63, 64, 500, 999):
        to = number(places[i][1])
        frames = [family.frame(1, to, 1, 1000 + i + off, "tcp") for off in (0, 1)]
        assert family.verdicts(dp, frames) == [DENY, PERMIT]


@FAMILIES
def test_an_acl_that_is_not_there_denies(dp: Dataplane, family: Family) -> None:
    generation = family.of.furnish(dp)
    lab.filter_by(dp, generation, [])
    assert lab.set_acl(dp, 0, b"") == 0
    for node in ("acl_in", "acl_out"):
        assert family.edges(dp, [family.of.frame], node) == ["drop: acl-denied"]


@FAMILIES
def test_reject_tells_the_subscriber_and_nobody_outside(dp: Dataplane, family: Family) -> None:
    generation = family.of.furnish(dp)
    lab.filter_by(dp, generation, [], REJECT)
    dp.set_time(START_NS + 10**9)
    up = lab.session_frame(family.of.frame, family.of.ppp)
    dp.receive(ACC, up)
    down = family.of.udp(family.of.server, family.of.client)
    dp.receive(WAN, family.of.routed_frame(down))
    assert dp.sent(WAN) == []
    assert dp.counters()[family.of.name("acl_in/icmp{v}_error")] == 1
    assert dp.counters()["acl_out/drop: acl-denied"] == 2, "the error is filtered, too"
    lab.filter_by(dp, generation, written(f"permit {family.icmp} any any"), REJECT)
    dp.receive(ACC, up)
    (error,) = dp.sent(ACC)
    told = family.of.decoded(error[22:])
    assert (told.src, told.dst) == (family.of.error_from, family.of.client)
    icmp = bytes(told.payload)
    assert tuple(icmp[:2]) == family.prohibited
    assert icmp[8:] == family.of.frame
