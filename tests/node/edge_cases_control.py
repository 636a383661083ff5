"""Edge cases of what goes to bngd and comes from it, and of LCP Echo."""

from dataplane import binding

from . import lab
from .edges import PADI, case, clients
from .harness import ACC, CLIENT_MAC, WAN, Dataplane, Frame


def discovery(source: bytes = CLIENT_MAC, vid: int = 0) -> Frame:
    tag = (0x8100, vid) if vid else (0, 0)
    frame = lab.ethernet(PADI, 0x8863, source=source, tags=(tag,) if vid else ())
    return Frame(data=frame, skip=18 if vid else 14, cause=1, rx_port=ACC, outer=tag)


@case("punt/consumed", "punt/drop: client-share-used-up")
def _one_client(dp: Dataplane) -> None:
    dp.node("punt", [discovery()] * 21)


@case("punt/drop: svlan-share-used-up")
def _one_svlan(dp: Dataplane) -> None:
    macs = clients(20224)
    for at in range(0, len(macs), 256):
        dp.node("punt", [discovery(mac) for mac in macs[at : at + 256]])
        dp.punts()


@case("punt/drop: discovery-policed")
def _all_discovery(dp: Dataplane) -> None:
    for number in range(160):
        dp.node("punt", [discovery(mac, number + 1) for mac in clients(256)])
        dp.punts()


@case("punt/drop: ring-full")
def _full(dp: Dataplane) -> None:
    for vid in range(1, 160):
        frames = [discovery(mac, vid) for mac in clients(250)]
        for frame in frames:
            frame.data += bytes(1400)
        if "drop: ring-full" in {f.edge_name for f in dp.node("punt", frames)}:
            break


def control(cause: int) -> Frame:
    frame = lab.session_frame(bytes(4), lab.PPP_LCP)
    return lab.at_pppoe(frame, session=0, cause=cause)


@case("punt/drop: session-share-used-up")
def _one_session(dp: Dataplane) -> None:
    lab.furnish(dp)
    dp.node("punt", [control(2)] * 41)


def all_sessions(cause: int, edge: str, most: int) -> None:
    @case(f"punt/drop: {edge}")
    def run(dp: Dataplane) -> None:
        lab.furnish(dp)
        for _ in range(most // 40 + 1):
            dp.session_in(0).punt_tokens = 40_000
            dp.node("punt", [control(cause)] * 40)
            dp.punts()


all_sessions(2, "lcp-policed", 50_000)
all_sessions(3, "auth-policed", 50_000)
all_sessions(4, "ncp-policed", 50_000)
all_sessions(5, "ppp-unknown-policed", 1_000)


def inject(dp: Dataplane, *records: bytes) -> None:
    dp.node("inject", [Frame(data=record) for record in records])


def record(kind: int, data: bytes, **fields: int) -> bytes:
    values = {"port": ACC, "session": 0, "generation": 1, "tpid": 0, "vid": 0} | fields
    return (
        binding.INJECT.pack(
            kind,
            values["port"],
            0,
            values["session"],
            values["generation"],
            values["tpid"],
            values["vid"],
            0,
            0,
            CLIENT_MAC,
            0,
            0,
        )
        + data
    )


@case(
    "inject/port_output",
    "inject/drop: truncated",
    "inject/drop: kind-unknown",
    "inject/drop: port-unknown",
    "inject/drop: tags-wrong",
    "inject/drop: session-unknown",
    "inject/drop: generation-stale",
)
def _inject(dp: Dataplane) -> None:
    lab.furnish(dp)
    inject(
        dp,
        record(2, b"\xc0\x21"),
        record(2, b"\xc0"),
        record(3, b""),
        record(1, PADI, port=WAN),
        record(1, PADI, tpid=0x1234),
        record(2, b"\xc0\x21", session=1 << 31),
        record(2, b"\xc0\x21", generation=9),
    )


@case("inject/handoff")
def _inject_elsewhere(dp: Dataplane) -> None:
    lab.furnish(dp, worker=1)
    inject(dp, record(2, b"\xc0\x21"))


@case(
    "lcp_echo/port_output",
    "lcp_echo/consumed",
    "lcp_echo/drop: length-wrong",
    "lcp_echo/drop: our-own-magic",
    "lcp_echo/drop: reply-magic-wrong",
    "lcp_echo/drop: session-share-used-up",
)
def _echoes(dp: Dataplane) -> None:
    generation = lab.furnish(dp)
    lab.start_echo(dp, generation)
    packets = [
        lab.echo(10, 0x22222222),
        lab.echo(10, 0x11111111),
        lab.echo(9, 0x11111111),
        lab.echo(9, 0x22222222, length=9),
        *[lab.echo(9, 0x22222222)] * 41,
    ]
    frames = [lab.at_pppoe(lab.session_frame(p, lab.PPP_LCP), session=0) for p in packets]
    dp.node("lcp_echo", frames)
