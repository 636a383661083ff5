"""Port forwards as an operator has them: a user's list, followed by a reload."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP

from bng.session.model import Cause
from dataplane.binding import lib
from tests.node import lab
from tests.node.harness import ACC, WAN
from tests.support.managed_box import Managed, managed_box

from .test_one_to_one import SERVER, dial, lead_to_server, reload, session_of, show, user

PUBLIC = "198.51.100.3"
ETHERNET_PPPOE = 14 + 8


def forwards(*wanted: str, **more: Any) -> dict[str, Any]:
    return user(nat_address=PUBLIC, port_forwards=list(wanted), **more)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Managed]:
    """Yield a box with a user to whom two ports lead."""
    with managed_box(tmp_path) as (_, managed):
        lead_to_server(managed)
        reload(managed, user00001=forwards("udp 270 27015", "tcp 443 8443"))
        dial(managed, 1)
        yield managed


def arrives(box: Managed, port: int) -> tuple[str, int] | None:
    """Send to a public UDP port; return where it arrived."""
    embedded = box.memory.embedded
    packet = IP(src=SERVER, dst=PUBLIC) / UDP(sport=5, dport=port)
    embedded.receive(WAN, lab.routed_frame(bytes(packet)))
    for frame in embedded.sent(ACC):
        got = IP(frame[ETHERNET_PPPOE:])
        return str(got.dst), int(got[UDP].dport)
    return None


def table(box: Managed) -> int:
    dataplane = box.memory.dataplane
    n = int(dataplane.nat_config[0].forwards_per_worker)
    return sum(bool(dataplane.nat_forward[i].session) for i in range(n))


def end(box: Managed, number: int) -> None:
    memory = box.memory
    memory.manager.end(session_of(box, number), Cause.NAS_REQUEST, "", memory.now)
    memory.run(1.0)


def test_a_port_leads_to_the_user_who_has_it(box: Managed) -> None:
    assert arrives(box, 270) == (show(box)["address"], 27015)
    assert arrives(box, 443) is None  # that of TCP
    assert show(box)["port_forwards"] == ["udp 270 27015", "tcp 443 8443"]
    assert show(box)["nat_address"] == PUBLIC


def test_a_reload_adds_and_removes_while_the_session_lives(box: Managed) -> None:
    assert reload(box, user00001=forwards("udp 271 27015")) == {"changed": 1}
    assert arrives(box, 270) is None
    assert arrives(box, 271) == (show(box)["address"], 27015)
    assert reload(box, user00001=forwards("udp 271 27015")) == {}
    assert reload(box, user00001=forwards()) == {"changed": 1}
    assert arrives(box, 271) is None
    assert table(box) == len(box.memory.manager.forwards.holders) == 0
    assert show(box)["features_in"] & 1 << lib.FEATURE_IN_NAT44_FORWARD == 0


def test_a_port_passes_from_one_user_to_another_with_one_reload(box: Managed) -> None:
    dial(box, 2)
    end(box, 2)
    reload(box, user00001=forwards("udp 270 27015"), user00002=forwards("udp 271 9"))
    dial(box, 2)
    swapped = {"user00001": forwards("udp 271 27015"), "user00002": forwards("udp 270 9")}
    reload(box, **swapped)
    assert arrives(box, 271) == (show(box)["address"], 27015)
    assert arrives(box, 270) == (show(box, 2)["address"], 9)


def test_a_port_that_another_session_has_is_left_out_until_it_is_free(box: Managed) -> None:
    reload(box, user00001=None, user00002=forwards("udp 270 9", "udp 271 9000"))
    dial(box, 2)
    assert box.memory.manager.counters["forward_refused"] == 1
    assert show(box, 2)["port_forwards"] == ["udp 271 9000"]
    assert arrives(box, 270) == (show(box)["address"], 27015)
    end(box, 1)
    assert arrives(box, 270) == (show(box, 2)["address"], 9)


def test_the_dataplane_may_refuse_one_and_the_session_goes_on(box: Managed) -> None:
    memory, session = box.memory, session_of(box)
    memory.manager.forwards.failed(session, -28)
    assert memory.manager.counters["forward_refused"] == 1
    assert memory.manager.table.count == 1


def test_a_session_that_ends_leaves_none(box: Managed) -> None:
    index = session_of(box).index
    end(box, 1)
    assert table(box) == len(box.memory.manager.forwards.holders) == 0
    assert box.memory.dataplane.session_cold[index].nat_forwards == 0
    assert arrives(box, 270) is None


def test_a_pause_keeps_them(box: Managed) -> None:
    memory, session = box.memory, session_of(box)
    memory.manager.network_down(session, 4, memory.now)
    memory.turn()
    assert arrives(box, 270) is None
    memory.manager.network_up(session, 4, memory.now)
    memory.turn()
    assert arrives(box, 270) == (str(session.ipv4_address), 27015)


def test_explain_shows_them(box: Managed) -> None:
    answer = box.ask("explain", **{"address": SERVER, "from": "user00001"})["data"]
    assert answer["from"]["port_forwards"] == ["udp 270 27015", "tcp 443 8443"]
    whose = box.ask("explain", address=PUBLIC, port="270", protocol="udp")["data"]
    assert whose["session"]["user"] == "user00001"
    assert whose["nat"]["udp"] == {"inner_port": 27015, "forward": True}
    nobody = box.ask("explain", address=PUBLIC, port="271", protocol="udp")["data"]
    assert nobody["verdict"] == "dropped: port 271 belongs to nobody"


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ({"user00001": user(port_forwards=["udp 1 1"])}, "needs a nat_address of a [[nat.pool]]"),
        (
            {"user00001": forwards("udp 270 1"), "user00002": forwards("udp 270 2")},
            "198.51.100.3 udp 270 belongs to user user00001, too",
        ),
        ({"user00001": forwards("udp 1 1", "udp 2 1")}, "a second forward leads to his port 1"),
        ({"user00001": forwards("udp 1 1", "udp 1 2")}, "198.51.100.3 udp 1 is forwarded twice"),
        ({"user00001": forwards("udp 1024 1")}, "port 1024 is not one of nat.forward_ports"),
        ({"user00001": forwards("udp 1 1", simultaneous_use=2)}, "lead to one session"),
        ({"user00001": forwards("icmp 1 1")}, 'must be "tcp" or "udp", a public port, his own'),
        ({"user00001": forwards("udp 1")}, 'must be "tcp" or "udp", a public port, his own'),
        ({"user00001": forwards("udp 0 1")}, 'must be "tcp" or "udp", a public port, his own'),
    ],
)
def test_forwards_that_make_no_sense_are_refused(
    box: Managed, users: dict[str, Any], expected: str
) -> None:
    box.write_users(**users)
    error = box.ask("reload")["error"]
    assert "port_forwards" in error
    assert expected in error


@pytest.mark.parametrize("ports", ["0-7", "9-7", "7", "a-b", "1-70000"])
def test_a_range_that_is_none_is_refused(box: Managed, ports: str) -> None:
    pools = [{"name": "public", "addresses": ["198.51.100.0/29"]}]
    box.write(nat={"pool": pools, "forward_ports": ports})
    assert 'nat.forward_ports: must be ports, FIRST-LAST, or "none"' in box.ask("reload")["error"]
