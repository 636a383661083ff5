"""port_output, control_output: what leaves, leaves in order and whole, control before data."""

from scapy.layers.inet import IP, UDP

from . import lab
from .edge_cases_twin import bfd, other
from .harness import ACC, TWIN, WAN, Dataplane

NEIGHBOUR = "100.65.0.2"


def numbered(destination: str, number: int) -> bytes:
    packet = IP(src=lab.CLIENT_IP, dst=destination) / UDP(sport=number, dport=9) / b"x"
    return lab.session_frame(bytes(packet))


def numbers(frames: list[bytes], behind: int) -> list[int]:
    return [int(IP(frame[behind:])[UDP].sport) for frame in frames]


def test_runs_of_any_length_by_two_ports_keep_their_order(dp: Dataplane) -> None:
    lab.furnish(dp)
    generation = dp.bind(1)
    dp.up(1, generation, NEIGHBOUR)
    dp.route(NEIGHBOUR, 32, 1, generation)
    to_network: list[int] = []
    to_session: list[int] = []
    frames = []
    for number in range(1, 201):
        there = number.bit_count() % 2 == 0  # runs of one, two, three
        (to_network if there else to_session).append(number)
        frames.append(numbered(lab.SERVER if there else NEIGHBOUR, number))
    dp.receive(ACC, *frames)
    assert numbers(dp.sent(WAN), 14) == to_network
    assert numbers(dp.sent(ACC), 22) == to_session


def test_control_leaves_before_data_that_the_kernel_sent_earlier(dp: Dataplane) -> None:
    lab.furnish(dp)
    data = [other(f"198.18.0.{i}") for i in range(150)]
    control = [bfd(f"198.18.0.{i}") for i in range(2)]
    dp.receive(TWIN, *data[:100], control[0], *data[100:], control[1])
    assert dp.sent(WAN) == [*control, *data]
    tx = dp.port(WAN).tx[0]
    assert (tx.packets, tx.control_packets, tx.control_errors) == (152, 2, 0)
