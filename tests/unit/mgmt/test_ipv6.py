"""What bngctl shows of IPv6, and what a reload of its settings does to living sessions."""

from collections.abc import Iterator
from copy import deepcopy
from io import StringIO
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from bng.cli import sessions as cli_sessions
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.managed_box import Managed, managed_box
from tests.support.memory_box import CONFIG

WANTS = Profile(auth=("chap",), wants=Wants(delegate=56, address=True))


def ipv6(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(CONFIG["ipv6"]), "address_from_link": True, **changes}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Managed]:
    with managed_box(tmp_path, ipv6=ipv6()) as (_, managed):
        memory = managed.memory
        managed.box.loop.now = lambda: memory.now  # type: ignore[method-assign]
        client = memory.subscriber(1, profile=WANTS)
        memory.dial(client)
        memory.run(0.5)
        assert client.v6 is not None
        assert client.v6.complete
        yield managed


def show(box: Managed, session: str = "user00001") -> dict[str, Any]:
    answer = box.ask("show session", session=session)
    assert answer["ok"], answer
    data: dict[str, Any] = answer["data"]
    return data


def test_explain_says_what_ipv6_a_sender_may_use(box: Managed) -> None:
    six = box.ask("explain", **{"address": "2001:db8:ffff::1", "from": "user00001"})["data"]["from"]
    assert {"2001:db8:1::/64", "2001:db8:100::/56"} <= set(six["sources"])
    assert six["forwarded"] is True
    assert "nat" not in six
    four = box.ask("explain", **{"address": "192.0.2.9", "from": "user00001"})["data"]["from"]
    assert "nat" in four
    assert "sources" not in four


def test_a_list_of_sessions_has_prefixes_where_there_are_some(box: Managed) -> None:
    rows = box.ask("show sessions")["data"]
    columns = cli_sessions.columns_of(rows)
    assert columns[columns.index("address") + 1] == "ipv6_prefix"
    assert columns[:2] == ["user", "state"]
    rows[0]["ipv6_prefix"] = None
    assert cli_sessions.columns_of(rows) == list(cli_sessions.COLUMNS)


def test_a_session_shows_its_prefixes_and_leases(box: Managed) -> None:
    data = show(box)
    assert data["families"] == ["ipv4", "ipv6"]
    assert data["ipv6_prefix"] == "2001:db8:1::/64"
    assert data["delegated_prefixes"] == ["2001:db8:100::/56"]
    (address,) = data["ipv6_addresses"]
    assert data["ipv6_gateway"].startswith("fe80::")
    assert data["ipv6_forwarded"] is True
    leases = {row["lease"]: row for row in data["dhcpv6_leases"]}
    assert set(leases) == {"2001:db8:100::/56", address}
    assert 7190 < leases[address]["ends_in_s"] <= 7200
    assert leases[address]["iaid"] == 2
    assert (data["advertised_s_ago"], data["deprecated_prefixes"]) == (0, [])
    assert 0 < data["advertised_in_s"] <= 16
    text = StringIO()
    cli_sessions.show_one(data, text)
    assert "2001:db8:1::/64" in text.getvalue()
    lines = [line.split() for line in text.getvalue().splitlines()]
    at = next(at for at, line in enumerate(lines) if line[0] == "dhcpv6_leases")
    assert [lines[at][1:3], lines[at + 1][:2]] == [["lease", str(lease) + ","] for lease in leases]
    (row,) = box.ask("show sessions")["data"]
    assert row["ipv6_prefix"] == "2001:db8:1::/64"


@pytest.mark.parametrize(
    "address",
    ["2001:db8:1::1", "2001:db8:100:ff::1", "2001:db8:1::/64", "2001:db8:100:f0::/60"],
)
def test_a_session_is_found_by_any_address_or_prefix_that_leads_to_it(
    box: Managed, address: str
) -> None:
    assert show(box, address)["user"] == "user00001"
    (row,) = box.ask("show sessions", address=address)["data"]
    assert row["user"] == "user00001"
    for other in ("2001:db8:99::1", "2001:db8::/32"):
        assert box.ask("show sessions", address=other)["data"] == []


def test_counters_tell_of_ipv6(box: Managed) -> None:
    data = box.ask("show counters")["data"]
    assert data["ipv6"]["reply_sent"] == 1
    assert data["ipv6"]["router_advertisement_sent"] >= 1
    assert data["tables"]["ipv6_sessions"] == 1
    assert data["tables"]["pool6_used"] == 2


def test_a_reload_tells_living_sessions_of_new_settings(box: Managed) -> None:
    client = next(iter(box.memory._by_mac.values()))
    assert client.v6 is not None
    before = box.ask("show counters")["data"]["ipv6"]["router_advertisement_sent"]
    box.write(ipv6=ipv6(ra={"preferred_s": 1000}, server={"preferred_s": 500}))
    assert box.ask("reload")["ok"]
    box.memory.run(5.0)
    advertised = client.v6.advertised
    assert advertised is not None
    assert advertised.preferred_s == 1000
    after = box.ask("show counters")["data"]["ipv6"]["router_advertisement_sent"]
    assert after > before
    assert box.ask("reload")["ok"], "nothing has changed"
    box.memory.run(5.0)


def test_a_reload_may_take_pools_and_who_has_a_prefix_of_them_gets_another(box: Managed) -> None:
    new = [
        {"name": "others", "prefixes": ["2001:db8:9::/48"], "length": 64},
        {"name": "homes", "prefixes": ["2001:db8:100::/40"], "length": 60},
    ]
    box.write(ipv6=ipv6(pool=new))
    assert box.ask("reload")["ok"]
    memory = box.memory
    other = memory.subscriber(2, profile=WANTS)
    memory.dial(other)
    memory.run(0.5)
    data = show(box)
    assert IPv6Network(data["ipv6_prefix"]).subnet_of(IPv6Network("2001:db8:9::/48"))
    assert [row["prefix"] for row in data["deprecated_prefixes"]] == ["2001:db8:1::/64"]
    assert data["delegated_prefixes"] == ["2001:db8:100::/56"], "until it is renewed"
    found = IPv6Network(show(box, "user00002")["ipv6_prefix"])
    assert found.subnet_of(IPv6Network("2001:db8:9::/48"))
    (home,) = show(box, "user00002")["delegated_prefixes"]
    assert not IPv6Network(home).overlaps(IPv6Network("2001:db8:100::/56"))


def test_pools_that_overlap_change_nothing(box: Managed) -> None:
    pools = [
        {"name": name, "prefixes": ["2001:db8:9::/48"], "length": 64} for name in ("one", "two")
    ]
    box.write(ipv6=ipv6(pool=pools))
    error = box.ask("reload")["error"]
    assert "ipv6.pool[1].prefixes[0]: overlaps 2001:db8:9::/48 of pool one" in error
    assert show(box)["ipv6_prefix"] == "2001:db8:1::/64"
