"""RFC 5382, requirement by requirement: NAT behaviour for TCP. nat44.md says which do not hold."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from dataplane import binding

from .harness import ACC, WAN
from .nat44 import INNER, OTHER, PUBLIC, REMOTE, Nat, nat, nat_args, tcp, tcp_back


@pytest.fixture
def box() -> Iterator[Nat]:
    yield from nat()


def opened(box: Nat, sport: int = 5000, dst: str = REMOTE) -> int:
    external = int(box.sent(tcp("S", sport=sport, dst=dst))[TCP].sport)
    box.got(tcp_back("SA", external, src=dst))
    box.sent(tcp("A", sport=sport, dst=dst))
    return external


def test_req_1_the_mapping_is_the_same_for_every_endpoint(box: Nat) -> None:
    external = {
        int(box.sent(tcp("S", dst=dst, dport=dport))[TCP].sport)
        for dst in (REMOTE, OTHER)
        for dport in (80, 443)
    }
    assert len(external) == 1


@pytest.mark.parametrize(
    "sequence",
    [
        [("out", "S"), ("in", "SA"), ("out", "A")],
        [("out", "S"), ("in", "S"), ("out", "SA"), ("in", "SA"), ("out", "A")],
        [("out", "S"), ("in", "S"), ("in", "SA"), ("out", "A")],
    ],
    ids=["three-way", "simultaneous", "simultaneous, ours lost"],
)
def test_req_2_and_2a_every_way_to_open_is_let_through(
    box: Nat, sequence: list[tuple[str, str]]
) -> None:
    external = 0
    for way, flags in sequence:
        if way == "out":
            external = int(box.sent(tcp(flags))[TCP].sport)
        else:
            box.got(tcp_back(flags, external))
    box.at(7439)
    box.got(tcp_back("A", external))


@pytest.mark.parametrize(
    ("filtering", "stranger"),
    [("endpoint-independent", "session_output"), ("address-dependent", "drop: filtered")],
)
def test_req_3_filtering_is_as_configured(filtering: str, stranger: str) -> None:
    for box in nat(*nat_args(), f"--nat-filtering={filtering}"):
        external = opened(box)
        assert box.back(tcp_back("S", external, src=OTHER)).edge_name == stranger


def test_req_3a_filtering_is_configured_and_changes_live(box: Nat) -> None:
    external = opened(box)
    box.got(tcp_back("S", external, src=OTHER))
    strict = binding.NatSet(binding.NatFiltering.ADDRESS_DEPENDENT)
    assert box.dp.control(binding.nat_set_record(1, strict)) == 0
    assert box.back(tcp_back("S", external, src=OTHER)).edge_name == "drop: filtered"


def test_req_4_and_4a_an_unsolicited_syn_draws_no_answer(box: Nat) -> None:
    assert box.back(tcp_back("S", 2000)).edge_name == "drop: no-mapping"
    for second in range(8):
        box.at(second)
        box.dp.run()
    assert box.dp.sent(ACC) == box.dp.sent(WAN) == []


@pytest.mark.parametrize(("flags", "timer_s"), [("", 7440), ("R", 240)])
def test_req_5_idle_connections_live_as_long_as_they_must(
    box: Nat, flags: str, timer_s: int
) -> None:
    external = opened(box)
    if flags:
        box.sent(tcp(flags))
    probe = tcp_back("A", external, src=OTHER)
    box.at(timer_s - 1)
    box.got(probe)
    box.at(timer_s)
    assert box.back(probe).edge_name == "drop: no-mapping"


def test_req_5a_the_timers_are_configured() -> None:
    for box in nat(*nat_args(), "--nat-timeout=tcp=8000,tcp-trans=300"):
        opening = int(box.sent(tcp("S", sport=6000))[TCP].sport)
        external = opened(box)
        for port, timer_s in ((opening, 300), (external, 8000)):
            probe = tcp_back("A", port, src=OTHER)
            box.at(timer_s - 1)
            box.got(probe)
            box.at(timer_s)
            assert box.back(probe).edge_name == "drop: no-mapping"


def test_req_6_payloads_that_an_alg_would_change_pass_as_they_are(box: Nat) -> None:
    port = b"PORT 100,64,0,1,19,137\r\n"
    there = box.sent(tcp("PA", dport=21) / port)
    assert bytes(there[TCP].payload) == port


def test_req_7_no_external_port_serves_two_inner_ones(box: Nat) -> None:
    ports = {int(box.sent(tcp("S", sport=1000 + n))[TCP].sport) for n in range(100)}
    assert len(ports) == 100


def test_req_8_and_8a_a_hairpinned_segment_has_the_external_source(box: Nat) -> None:
    server = int(box.sent(tcp("S", sport=6000))[TCP].sport)
    there = box.sent(tcp("S", sport=5000, dst=PUBLIC, dport=server))
    assert there.src == PUBLIC
    home = box.got(there)
    assert (home.src, home[TCP].sport) == (PUBLIC, there[TCP].sport)
    assert (home.dst, home[TCP].dport) == (INNER[0], 6000)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 9, 10, 13])
def test_req_9_and_10_unreachables_are_translated_and_end_nothing(box: Nat, code: int) -> None:
    external = opened(box)
    quoted = IP(src=PUBLIC, dst=REMOTE) / TCP(sport=external, dport=80, flags="A")
    home = box.got(IP(src="192.0.2.254", dst=PUBLIC) / ICMP(type=3, code=code) / quoted)
    assert (home[ICMP].type, home[ICMP].code) == (3, code)
    assert home[ICMP].payload.src == INNER[0]
    box.at(7439)
    box.got(tcp_back("A", external))
