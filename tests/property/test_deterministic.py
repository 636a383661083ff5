"""Deterministic NAT: both directions agree for every host, and no two hosts share a port."""

from ipaddress import IPv4Address, IPv4Network, summarize_address_range

from hypothesis import given
from hypothesis import strategies as st

from bng.pool.deterministic import Deterministic, PortRange


@st.composite
def prefixes(draw: st.DrawFn, base: int, most: int) -> tuple[IPv4Network, ...]:
    """Return prefixes with gaps between them, in any order."""
    found: list[IPv4Network] = []
    at = base
    for _ in range(draw(st.integers(1, most))):
        at += draw(st.integers(0, 40))
        size = draw(st.integers(1, 40))
        last = IPv4Address(at + size - 1)
        found += summarize_address_range(IPv4Address(at), last)
        at += size
    return tuple(draw(st.permutations(found)))


@st.composite
def pools(draw: st.DrawFn) -> Deterministic:
    return Deterministic(
        inside=draw(prefixes(0x64400000, 4)),
        outside=draw(prefixes(0xC6336400, 3)),
        ports=1 << draw(st.integers(6, 15)),
        port_min=draw(st.integers(1_024, 32_768)),
    )


@given(pools())
def test_forward_and_inverse_agree_for_every_host(pool: Deterministic) -> None:
    seen: set[tuple[IPv4Address, int]] = set()
    hosts = list(pool.all_ranges())
    assert len(hosts) == min(pool.hosts, pool.capacity)
    for inner, ports in hosts:
        assert pool.range_of(inner) == ports
        assert {pool.inner_of(ports.address, port) for port in (ports.first, ports.last)} == {inner}
        assert any(ports.address in prefix for prefix in pool.outside)
        assert pool.port_min <= ports.first <= ports.last == ports.first + pool.ports - 1 < 1 << 16
        assert ports.first % pool.ports == 0
        assert (ports.address, ports.first) not in seen
        seen.add((ports.address, ports.first))


@given(pools(), st.integers(0, 1 << 16), st.integers(0, 0xFFFFFFFF))
def test_what_is_nobodys_is_nobodys(pool: Deterministic, port: int, address: int) -> None:
    outer = IPv4Address(address)
    inner = pool.inner_of(outer, port)
    if not any(outer in prefix for prefix in pool.outside) or port < pool.port_min:
        assert inner is None
    if inner is not None:
        found = pool.range_of(inner)
        assert found is not None and found.first <= port <= found.last
    if not any(outer in prefix for prefix in pool.inside):
        assert pool.range_of(outer) is None


def test_the_example_by_hand() -> None:
    """1,024 ports each from 1,024 on: 63 hosts to an address."""
    pool = Deterministic(
        inside=(IPv4Network("100.64.0.0/26"), IPv4Network("10.0.0.0/30")),
        outside=(IPv4Network("198.51.100.0/31"),),
        ports=1024,
        port_min=1024,
    )
    assert (pool.hosts, pool.capacity) == (68, 126)
    first, second = IPv4Address("198.51.100.0"), IPv4Address("198.51.100.1")
    assert pool.range_of(IPv4Address("100.64.0.0")) == PortRange(first, 1024, 2047)
    assert pool.range_of(IPv4Address("100.64.0.62")) == PortRange(first, 64_512, 65_535)
    assert pool.range_of(IPv4Address("100.64.0.63")) == PortRange(second, 1024, 2047)
    assert pool.range_of(IPv4Address("10.0.0.1")) == PortRange(second, 3072, 4095)
    assert pool.inner_of(second, 4096) == IPv4Address("10.0.0.2")
    assert pool.inner_of(second, 6144) is None
    assert pool.inner_of(first, 1023) is None


@given(pools(), prefixes(0xCB007100, 2))
def test_an_appended_prefix_moves_nobody(
    pool: Deterministic, more: tuple[IPv4Network, ...]
) -> None:
    grown = Deterministic(
        inside=(*pool.inside, IPv4Network("10.0.0.0/28")),
        outside=(*pool.outside, *more),
        ports=pool.ports,
        port_min=pool.port_min,
    )
    for inner, ports in pool.all_ranges():
        assert grown.range_of(inner) == ports
