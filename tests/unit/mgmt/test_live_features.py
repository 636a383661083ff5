"""What a reload changes for sessions that live: rates, MSS clamp; what needs a redial is said."""

from typing import Any

import pytest

from bng.session.model import Cause
from dataplane.binding import Direction, PolicerMode, lib
from tests.node import lab
from tests.node.harness import ACC
from tests.support.managed_box import Managed

POLICER = 1 << 5
RATES = {
    "rate_up": {"cir_bps": 8_000, "cbs_bytes": 3_000},
    "rate_down": {"cir_bps": 8_000, "cbs_bytes": 4_000, "pir_bps": 16_000, "pbs_bytes": 5_000},
}


def user(**attributes: Any) -> dict[str, Any]:
    return {"password": "secret", **attributes}


def reload(box: Managed, **users: Any) -> dict[str, Any]:
    """Reload with these users changed; return what is said of living sessions."""
    box.box.loop.now = lambda: box.memory.now  # type: ignore[method-assign]
    box.write_users(**users)
    answer = box.ask("reload")
    assert answer["ok"] is True, answer
    data = {k: v for k, v in answer["data"].items() if k.startswith("sessions_")}
    box.memory.turn()
    return {key.removeprefix("sessions_"): value for key, value in data.items() if value}


def show(box: Managed, name: str = "user00001") -> dict[str, Any]:
    data: dict[str, Any] = box.ask("show session", session=name)["data"]
    return data


def up(box: Managed, count: int) -> int:
    """Send *count* packets of 1000 bytes from user00001; return how many were charged."""
    memory = box.memory
    (session,) = (s for s in memory.manager.table if s.user_name == "user00001")
    entry = memory.dataplane.session_in[session.index]
    before = int(entry.packets)
    packet = lab.udp(str(session.ipv4_address), "192.0.2.9", 972)
    pppoe_id = int(memory.dataplane.session_cold[session.index].session_id)
    frame = lab.session_frame(packet, session_id=pppoe_id, source=bytes(session.mac))
    for _ in range(count):
        memory.embedded.receive(ACC, frame)
    return int(entry.packets) - before


def test_a_rate_begins_changes_and_ends_while_the_session_lives(dialled: Managed) -> None:
    assert show(dialled)["policer_up"] is None
    assert up(dialled, 5) == 5
    assert reload(dialled, user00001=user(**RATES)) == {"changed": 1}
    assert up(dialled, 5) == 3
    policer = show(dialled)["policer_up"]
    assert (policer["cir_bps"], policer["cbs_bytes"], policer["overhead_bytes"]) == (
        8_000,
        3_000,
        0,
    )
    assert (policer["red_packets"], policer["red_bytes"]) == (2, 2_000)
    assert show(dialled)["in_drops"] == show(dialled)["in_drops_by_reason"]["policed"] == 2
    assert show(dialled)["policer_down"]["pir_bps"] == 16_000
    assert reload(dialled, user00001=user(**RATES)) == {}
    assert reload(dialled) == {"changed": 1}
    assert show(dialled)["policer_up"] is None
    assert show(dialled)["features_in"] & POLICER == show(dialled)["features_out"] & POLICER == 0
    assert up(dialled, 5) == 5


def test_a_rate_that_is_there_at_the_start_is_kept_from_the_first_packet(dialled: Managed) -> None:
    assert reload(dialled, user00003=user(**RATES)) == {}
    memory = dialled.memory
    memory.dial(memory.subscriber(3))
    data = show(dialled, "user00003")
    assert (data["policer_up"]["cir_bps"], data["policer_down"]["pbs_bytes"]) == (8_000, 5_000)
    assert data["features_in"] & data["features_out"] & POLICER


def test_the_overhead_of_a_packet_changes_live(dialled: Managed) -> None:
    reload(dialled, user00001=user(**RATES))
    dialled.write(session={"policer_overhead_bytes": 128})
    assert reload(dialled, user00001=user(**RATES)) == {"changed": 1}
    assert show(dialled)["policer_up"]["overhead_bytes"] == 128
    assert up(dialled, 5) == 2


@pytest.mark.parametrize("where", ["user", "configuration"])
def test_the_mss_clamp_goes_off_live(dialled: Managed, where: str) -> None:
    assert show(dialled)["mss"] == 1452
    if where == "user":
        assert reload(dialled, user00001=user(mss_clamp=False)) == {"changed": 1}
    else:
        dialled.write(session={"mss_clamp": False})
        assert reload(dialled) == {"changed": 2}
    assert show(dialled)["mss"] == 0
    assert show(dialled, "user00002")["mss"] == (1452 if where == "user" else 0)


def test_what_needs_a_redial_is_counted_until_the_redial(dialled: Managed) -> None:
    changed = user(ipv4_address="203.0.113.9", mtu=1400, idle_timeout_s=99)
    expected = {"changed": 1, "need_redial": {"ipv4_address": 1, "mtu": 1}}
    assert reload(dialled, user00001=changed) == expected
    assert show(dialled)["mtu_in"] == 1500
    assert reload(dialled, user00001=changed) == {"need_redial": expected["need_redial"]}
    memory = dialled.memory
    client = memory._by_mac[bytes.fromhex("02b000000001")]
    client.terminate("padt", memory.now)
    memory.run(1.0)
    memory.dial(client)
    assert (show(dialled)["address"], show(dialled)["mtu_in"]) == ("203.0.113.9", 1400)
    assert reload(dialled, user00001=changed) == {}


def test_a_session_outlives_its_user_in_the_file(dialled: Managed) -> None:
    assert reload(dialled, user00001=None) == {"of_unknown_users": 1}
    assert up(dialled, 1) == 1


def test_a_paused_session_gets_its_new_rates_when_it_goes_on(dialled: Managed) -> None:
    memory = dialled.memory
    (session,) = (s for s in memory.manager.table if s.user_name == "user00001")
    memory.manager.link_left(session, memory.now)
    memory.turn()
    assert reload(dialled, user00001=user(**RATES)) == {}
    memory.manager.network_up(session, 4, memory.now)
    memory.turn()
    assert memory.dataplane.session_in[session.index].state == lib.SESSION_LIVE
    assert up(dialled, 5) == 3


ACLS: list[dict[str, Any]] = [
    {"name": "all", "default": "permit"},
    {"name": "some", "default": "permit", "rules": ["deny udp any 192.0.2.9 port 53"]},
]


def test_an_acl_begins_changes_and_ends_while_the_session_lives(dialled: Managed) -> None:
    filtered = user(acl_in="some", acl_out="all")
    dialled.write(acl=ACLS)
    assert reload(dialled, user00001=filtered) == {"changed": 1}
    assert (show(dialled)["acl_in"], show(dialled)["acl_out"]) == ("some", "all")
    assert (up(dialled, 3), show(dialled)["in_drops_by_reason"]["acl"]) == (0, 3)
    dialled.write(acl=[ACLS[0], {**ACLS[1], "rules": ["deny udp any 192.0.2.9 port 54"]}])
    assert reload(dialled, user00001=filtered) == {}
    assert up(dialled, 3) == 3
    dialled.write(acl=ACLS)
    reload(dialled, user00001=filtered)
    assert up(dialled, 3) == 0
    assert reload(dialled) == {"changed": 1}
    assert up(dialled, 3) == 3
    assert (show(dialled)["acl_in"], show(dialled)["features_in"] & 1 << 3) == (None, 0)


def test_an_acl_stays_for_a_session_whose_user_is_gone(dialled: Managed) -> None:
    dialled.write(acl=ACLS)
    reload(dialled, user00001=user(acl_in="some"))
    dialled.write()
    assert reload(dialled, user00001=None) == {"of_unknown_users": 1}
    assert up(dialled, 3) == 0
    memory = dialled.memory
    (session,) = (s for s in memory.manager.table if s.user_name == "user00001")
    memory.manager.end(session, Cause.NAS_REQUEST, "", memory.now)
    memory.run(1.0)
    reload(dialled)
    reload(dialled)
    assert memory.acls.numbers() == {}
    assert not any(memory.dataplane.acl[i] for i in range(lib.MAX_ACLS))


def test_acls_that_find_no_room_change_nothing(
    dialled: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled.write(acl=ACLS)
    reload(dialled, user00001=user(acl_in="some"))
    monkeypatch.setattr(dialled.memory.dataplane, "acl_memory_bytes", 2_048)
    more = [f"permit udp any any port {n}" for n in range(100)]
    dialled.write(acl=[*ACLS, {"name": "more", "default": "deny", "rules": more}])
    answer = dialled.ask("reload")
    assert "acl more: no room for its" in answer["error"]
    assert sorted(dialled.memory.acls.numbers()) == ["all", "some"]
    assert up(dialled, 1) == 0


def test_an_acl_that_a_user_names_must_be_there(dialled: Managed) -> None:
    dialled.write_users(user00001=user(acl_in="none-such"))
    error = dialled.ask("reload")["error"]
    assert 'user.user00001.acl_in: there is no [[acl]] named "none-such"' in error


def test_a_session_that_ends_leaves_no_policer(dialled: Managed) -> None:
    reload(dialled, user00001=user(**RATES))
    memory = dialled.memory
    assert memory.tables()["policers"] == 2
    (session,) = (s for s in memory.manager.table if s.user_name == "user00001")
    assert memory.dataplane.policer[2 * session.index + Direction.OUT].mode == PolicerMode.TRTCM
    memory.manager.end(session, Cause.NAS_REQUEST, "", memory.now)
    memory.run(1.0)
    assert memory.tables()["policers"] == 0


def test_a_reload_that_is_refused_changes_no_session(dialled: Managed) -> None:
    dialled.write_users(user00001=user(rate_up={"cir_bps": 1}), user00002=user(**RATES))
    assert "cir_bps: must be at least 1000" in dialled.ask("reload")["error"]
    assert show(dialled, "user00002")["policer_up"] is None
