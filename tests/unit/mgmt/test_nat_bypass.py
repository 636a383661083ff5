"""What passes NAT as an operator has it: a list for each NAT profile, followed by a reload."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP

from bng.session.model import Cause
from tests.node import lab
from tests.node.harness import ACC, WAN
from tests.support.managed_box import Managed, managed_box

from .test_one_to_one import (
    SERVER,
    dial,
    lead_to_server,
    reload,
    session_of,
    show,
    source_seen,
    user,
)

POOLS = [{"name": "public", "addresses": ["198.51.100.0/29"]}]
GUARD = "inner-address-from-outside"


def profiles(**bypass: list[str]) -> dict[str, Any]:
    return {
        "pool": POOLS,
        "profile": {name: {"translate": True, "bypass": rules} for name, rules in bypass.items()},
    }


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Managed]:
    """Yield a box whose user 1 reaches a DNS server untranslated."""
    with managed_box(tmp_path, nat=profiles(some=["192.0.2.9 udp 53"], none_of_it=[])) as (_, one):
        lead_to_server(one)
        reload(one, user00001=user(nat_profile="some"))
        dial(one, 1, 2)
        yield one


def inner(box: Managed, number: int = 1) -> str:
    return str(session_of(box, number).ipv4_address)


def arrives(box: Managed, packet: IP) -> bool:
    embedded = box.memory.embedded
    embedded.receive(WAN, lab.routed_frame(bytes(packet)))
    return bool(embedded.sent(ACC))


def answer(box: Managed, number: int = 1) -> IP:
    return IP(src=SERVER, dst=inner(box, number)) / UDP(sport=53, dport=4000)


def test_a_profile_says_what_is_not_translated(box: Managed) -> None:
    assert source_seen(box) == inner(box)
    assert source_seen(box, 2).startswith("198.51.100.")
    assert arrives(box, answer(box))
    assert not arrives(box, answer(box, 2))
    assert not arrives(box, IP(src=SERVER, dst=inner(box)) / TCP(sport=53))
    drops = show(box)["out_drops_by_reason"]
    assert drops["nat"] == 1


def test_the_list_changes_and_goes_while_sessions_live(box: Managed) -> None:
    some = user(nat_profile="some")
    box.write(nat=profiles(some=["192.0.2.9 udp 54"]))
    reload(box, user00001=some)
    assert source_seen(box).startswith("198.51.100.")
    assert not arrives(box, answer(box))
    box.write(nat=profiles(some=["192.0.2.0/24"]))
    reload(box, user00001=some)
    assert source_seen(box) == inner(box)
    box.write(nat=profiles(some=[]))
    assert reload(box, user00001=some) == {"changed": 1}
    assert source_seen(box).startswith("198.51.100.")
    assert session_of(box).bypassed == 0
    assert show(box)["features_in"] & 1 << 6 == 0


def test_a_user_takes_another_profile_over_while_he_is_connected(box: Managed) -> None:
    assert reload(box, user00001=user(nat_profile="none_of_it")) == {"changed": 1}
    assert source_seen(box).startswith("198.51.100.")
    assert not arrives(box, answer(box))


def test_a_session_that_ends_leaves_nothing(box: Managed) -> None:
    memory, index = box.memory, session_of(box).index
    memory.manager.end(session_of(box), Cause.NAS_REQUEST, "", memory.now)
    memory.run(1.0)
    assert memory.dataplane.session_out[index].bypass == 0
    box.write(nat={"pool": POOLS})
    reload(box)
    assert memory.acls.numbers() == {}


def test_show_says_what_and_how_much_of_it(box: Managed) -> None:
    assert show(box)["nat_bypass"] == ["192.0.2.9 udp 53"]
    assert show(box, 2)["nat_bypass"] == []
    source_seen(box)
    (row,) = box.ask("show acls")["data"]
    assert (row["acl"], row["rules"], row["sessions_in"], row["sessions_out"]) == (
        "nat bypass some",
        1,
        1,
        1,
    )
    rows = box.ask("show acls", acl="nat bypass some")["data"]
    assert [row["text"] for row in rows] == [
        "192.0.2.9 udp 53",
        "translate (default)",
    ]
    explained = box.ask("explain", **{"address": SERVER, "from": "user00001"})["data"]
    assert explained["from"]["nat_bypass"] == ["192.0.2.9 udp 53"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("", "a rule is: DESTINATION [PROTOCOL [PORTS]]"),
        ("10.0.0.0/8 udp 1 2", "a rule is: DESTINATION [PROTOCOL [PORTS]]"),
        ("10.0.0.300", "'10.0.0.300' is not any, an address, a prefix or FIRST-LAST"),
        ("any sctp", "'sctp' is not ip, icmp, tcp, udp, gre, esp, icmpv6 or a number up to 255"),
        ("any icmp 7", "ports are those of tcp and udp"),
        ("any udp 70000", "'70000' is not a port up to 65535, or a range of them"),
    ],
)
def test_a_rule_that_is_none_is_refused(box: Managed, rule: str, expected: str) -> None:
    box.write(nat=profiles(some=[rule]))
    error = box.ask("reload")["error"]
    assert "nat.profile.some.bypass[0]" in error or "nat.profile.some.bypass.0" in error, error
    assert expected in error


def test_a_list_beside_translate_false_is_refused(box: Managed) -> None:
    nat = profiles(some=["any"])
    nat["profile"]["some"]["translate"] = False
    box.write(nat=nat)
    assert "translate = false bypasses all" in box.ask("reload")["error"]
