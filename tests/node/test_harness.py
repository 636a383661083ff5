"""The harness itself, and the engine's own nodes."""

import pytest

from .harness import ACC, CLIENT_MAC, DEFAULT_ARGS, WAN, Dataplane, Frame, dataplane

FRAME = bytes(range(64))
OUTPUTS = ("port_output", "control_output")


@pytest.mark.parametrize("node", OUTPUTS)
def test_an_output_sends_a_frame_as_it_is(dp: Dataplane, node: str) -> None:
    (frame,) = dp.node(node, [Frame(data=FRAME, tx_port=WAN)])
    assert frame.edge_name == "consumed"
    assert dp.sent(WAN) == [FRAME]
    assert dp.port(WAN).tx[0].packets == 1
    assert dp.port(WAN).tx[0].bytes == len(FRAME)


@pytest.mark.parametrize("node", OUTPUTS)
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (Frame(data=FRAME, tx_port=31), "drop: no-such-port"),
        (Frame(data=FRAME[:13], tx_port=WAN), "drop: frame-length"),
        (Frame(data=bytes(1500 + 14 + 8 + 1), tx_port=WAN), "drop: frame-length"),
    ],
)
def test_an_output_drops_what_no_device_could_send(
    dp: Dataplane, node: str, frame: Frame, reason: str
) -> None:
    assert dp.node(node, [frame])[0].edge_name == reason
    assert dp.counters() == {f"{node}/{reason}": 1}
    assert dp.sent(WAN) == []


@pytest.mark.parametrize("node", OUTPUTS)
def test_an_output_drops_frames_of_a_port_that_is_down(dp: Dataplane, node: str) -> None:
    dp.port(WAN).flags = 0
    (frame,) = dp.node(node, [Frame(data=FRAME, tx_port=WAN)])
    assert frame.edge_name == "drop: port-down"


def test_a_burst_of_256_keeps_its_order(dp: Dataplane) -> None:
    frames = [Frame(data=i.to_bytes(2, "big") * 32, tx_port=WAN) for i in range(256)]
    dp.node("port_output", frames)
    assert dp.sent(WAN) == [f.data for f in frames]


def test_drop_frees_its_packets(dp: Dataplane) -> None:
    dp.node("drop", [Frame(data=FRAME)] * 256)
    assert dp.buffers_in_use() == 0
    assert dp.counters() == {"drop/consumed": 256}


def test_an_unknown_node_is_an_error(dp: Dataplane) -> None:
    with pytest.raises(RuntimeError, match="no_such_node"):
        dp.node("no_such_node", [Frame(data=FRAME)])


def test_handoff_moves_a_packet_to_another_worker() -> None:
    # handoff_node is the packet's, not the frame's: 0 is the first node of the flow, so what
    # counts here is that worker 1 runs it and the buffer comes home to worker 0.
    with dataplane(*DEFAULT_ARGS, "--workers=-,-") as dp:
        (frame,) = dp.node("handoff", [Frame(data=FRAME, arg=1)])
        assert frame.edge_name == "consumed"
        assert dp.buffers_in_use() == 1
        dp.run()
        assert dp.buffers_in_use() == 0


def test_handoff_refuses_a_worker_that_is_not_there(dp: Dataplane) -> None:
    (frame,) = dp.node("handoff", [Frame(data=FRAME, arg=1)])
    assert frame.edge_name == "drop: ring-full"


def test_a_full_handoff_ring_drops_and_counts() -> None:
    with dataplane(*DEFAULT_ARGS, "--workers=-,-", "--buffers=8192") as dp:
        edges = [
            f.edge_name
            for _ in range(17)
            for f in dp.node("handoff", [Frame(data=FRAME, arg=1)] * 256)
        ]
        assert edges.count("consumed") == 4096
        assert edges.count("drop: ring-full") == 256
        dp.run()


def test_a_session_is_bound_and_seen_in_the_arena(dp: Dataplane) -> None:
    generation = dp.session(5, "192.0.2.5", outer=(0x88A8, 100), inner=(0x8100, 7))
    assert dp.session_in(5).generation == generation
    assert dp.session_in(5).state == 2
    assert bytes(dp.session_out(5).header[0:6]) == CLIENT_MAC
    assert dp.header.n_workers == 1
    assert dp.port(ACC).role == 1


def test_the_clock_moves_only_by_hand(dp: Dataplane) -> None:
    before = dp.now_ns
    dp.advance(1.5)
    assert dp.now_ns - before == 1_500_000_000
