"""How large packets may be: the port's MTU, PPP-Max-Payload (RFC 4638), MRU, the profile's MTU."""

from typing import Any

import pytest

from bng.access.pppoe import PppoeSession
from tests.support.client.layer import Phase, Profile
from tests.support.memory_box import CONFIG, USERS, memory_box


def port(mtu: int) -> list[dict[str, Any]]:
    access, routed = CONFIG["port"]
    return [{**access, "mtu": mtu}, routed]


@pytest.mark.parametrize(
    ("port_mtu", "ppp", "pppoe", "sent", "mru", "mtu"),
    [
        (1508, {}, {"max_payload": 1500}, 1500, 1500, 1500),
        (1508, {}, {"max_payload": 1500}, 0, 1492, 1492),
        (1508, {}, {}, 1500, 1492, 1492),
        (1500, {}, {}, 1500, 1492, 1492),
        (1400, {"mru": 1392}, {}, 1500, 1392, 1392),
        (1400, {"mru": 1392}, {}, 0, 1392, 1392),
    ],
)
def test_the_smallest_of_port_tag_and_mru_counts(
    port_mtu: int, ppp: dict[str, Any], pppoe: dict[str, Any], sent: int, mru: int, mtu: int
) -> None:
    with memory_box(config={"port": port(port_mtu), "ppp": ppp, "pppoe": pppoe}) as box:
        profile = Profile(auth=("chap",), mru=max(sent, 1492), max_payload=sent)
        client = box.subscriber(1, profile=profile)
        box.dial(client)
        assert client.phase is Phase.UP
        (session,) = box.manager.table
        assert isinstance(session.access, PppoeSession)
        assert session.access.link.config.mru == mru
        assert session.peer_mru == mru
        out = box.dataplane.session_out[session.index]
        assert int(out.mtu) == mtu


def test_a_profile_may_say_less() -> None:
    table = {**USERS, "user00001": {"password": "secret", "mtu": 1400}}
    with memory_box(user_table=table) as box:
        box.dial(box.subscriber(1))
        (session,) = box.manager.table
        entry_in, entry_out = (
            box.dataplane.session_in[session.index],
            box.dataplane.session_out[session.index],
        )
        assert (int(entry_in.mtu), int(entry_out.mtu), int(entry_in.mss)) == (1400, 1400, 1360)
