"""However sessions come and go: when all have left, every table is empty once time has passed."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bng.aaa.dynauth import Known
from bng.aaa.reading import Offered, Value
from bng.aaa.requests import Nas
from bng.session.coa import Outcome
from bng.session.model import Cause
from tests.support.client import wire
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Phase, Profile
from tests.support.memory_box import CONFIG, MemoryBox, memory_box

CLIENTS = 6
OPS = (
    *("dial", "wrong", "padt", "terminate", "vanish", "close", "end", "echo", "idle", "wait"),
    *("coa", "disconnect", "ipcp", "ipv6cp", "again", "release", "restart"),
)
ACLS = [{"name": "none", "default": "deny"}]
TABLE = {
    **{f"user{i:05d}": {"password": "secret"} for i in range(3)},
    "user00001": {"password": "secret", "ipv4": False},
    "user00003": {
        "password": "secret",
        "ipv4_address": "203.0.113.3",
        "nat_profile": "none",
        "ipv6_prefix": "2001:db8:aaaa::/64",
        "ipv6_address": "2001:db8:aaaa::7",
        "delegated_prefix": "2001:db8:bbbb::/48",
    },
    "user00004": {
        "password": "secret",
        "routes": [{"prefix": "192.168.7.0/24"}],
        "ipv6_routes": [{"prefix": "2001:db8:cccc::/48"}],
        "session_timeout_s": 60,
        "acl_in": "none",
        "acl_out": "none",
        "rate_up": {"cir_bps": 1_000_000},
        "rate_down": {"cir_bps": 1_000_000, "pir_bps": 2_000_000},
    },
}


PROFILE = Profile(auth=("chap",), wants=Wants(delegate=56, address=True, rapid=False))
KNOWN = Known(nas=Nas(identifier="bng"), offered=Offered(acls={"none"}))


def ignore(outcome: Outcome) -> None:
    """Take the answer to an order."""


def act(box: MemoryBox, op: str, who: int, step: float) -> None:
    client = box._by_mac[bytes.fromhex("02b0") + who.to_bytes(4, "big")]
    sessions = list(box.manager.table)
    session = sessions[who % len(sessions)] if sessions else None
    match op:
        case "dial" | "wrong":
            client.password = "secret" if op == "dial" else "no"
            client.start(box.now)
        case "padt" | "terminate":
            client.terminate(op, box.now)
        case "vanish":
            client.deadline = None
            client._clear()
        case "close" if session:
            box.manager.close(session, Cause.ADMIN_RESET, "", box.now)
        case "end" if session:
            box.manager.end(session, Cause.NAS_REQUEST, "", box.now)
        case "echo" if session:
            box.manager.echo_lost(session.index, session.handle.generation, box.now)
        case "idle" if session:
            box.manager.idle(session.index, session.handle.generation, box.now)
        case "coa" | "disconnect":
            pairs: list[tuple[str, Value]] = [("User-Name", f"user{who % 5:05d}")]
            if op == "coa":
                pairs += [("Bng-Acl-In", "none"), ("Framed-Route", f"10.{who}.0.0/16")]
            disconnect = op == "disconnect"
            box.manager.orders.take(pairs, ignore, box.now, disconnect=disconnect, source="oss")
        case "ipcp" | "ipv6cp":
            protocol = wire.P_IPCP if op == "ipcp" else wire.P_IPV6CP
            client.send_ppp(wire.ppp(protocol, wire.TERM_REQ, 9, b""))
        case "again" if client.phase in {Phase.NETWORK, Phase.UP}:
            for layer in (client.ipcp, client.ipv6cp):
                if layer.protocol in client.names:
                    client._again(layer, box.now)
        case "release" if client.v6 is not None:
            client.v6.release()
        case "restart":
            box.restart()
            box.manager.orders.known = KNOWN
        case "wait":
            step *= 100
    box.run(step, step=max(0.01, step / 10))


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(OPS),
            st.integers(0, CLIENTS - 1),
            st.sampled_from([0.0, 0.02, 0.05, 0.3, 1.0]),
        ),
        max_size=40,
    )
)
def test_after_all_have_left_and_time_has_passed_every_table_is_empty(
    script: list[tuple[str, int, float]],
) -> None:
    ipv6 = {**CONFIG["ipv6"], "address_from_link": True}
    with memory_box(user_table=TABLE, config={"acl": ACLS, "ipv6": ipv6}) as box:
        box.manager.orders.known = KNOWN
        for who in range(CLIENTS):
            box.subscriber(who, user=f"user{who % 5:05d}", profile=PROFILE)
        for op, who, step in script:
            act(box, op, who, step)
        for client in box._by_mac.values():
            client.terminate("padt", box.now)
            client.deadline = None
        box._by_mac.clear()
        box._dialer._by_mac.clear()
        for session in list(box.manager.table):
            box.manager.end(session, Cause.NAS_REQUEST, "", box.now)
        box.run(2.0, step=0.1)
        box.run(700.0, step=5.0)
        assert {name: count for name, count in box.tables().items() if count} == {}
        assert len(box.manager.deadlines) == 0
