"""Each edge of each node is taken at least once: a case by name, and no edge without a case."""

import pytest

from . import (
    edge_cases_access,
    edge_cases_arcs,
    edge_cases_both,
    edge_cases_control,
    edge_cases_ip4,
    edge_cases_ip6,
    edge_cases_nat,
    edge_cases_nat_fragments,
    edge_cases_twin,
)
from .edges import CASES
from .harness import DEFAULT_ARGS, Dataplane, dataplane, ffi, lib
from .nat44 import nat_args

MODULES = (
    edge_cases_access,
    edge_cases_arcs,
    edge_cases_both,
    edge_cases_control,
    edge_cases_ip4,
    edge_cases_ip6,
    edge_cases_nat,
    edge_cases_nat_fragments,
    edge_cases_twin,
)
"""They fill CASES."""
NODES = (
    "ethernet_input",
    "twin_output",
    "address_claim",
    "pppoe_input",
    "pppoe_padt",
    "antispoof4",
    "ip4_off_in",
    "ip4_off_out",
    "acl_in",
    "acl_out",
    "policer_in",
    "policer_out",
    "mss_clamp_in",
    "mss_clamp_out",
    "nat44_bypass",
    "nat44_forward",
    "nat44_guard",
    "nat44_static_in",
    "nat44_static_out",
    "ip4_input",
    "ip4_lookup",
    "ip4_rewrite",
    "ip4_local",
    "session_output",
    "pppoe_output",
    "punt",
    "inject",
    "lcp_echo",
    "icmp4_error",
    "ip4_fragment",
    "nat44_fragment",
    "pppoe6_input",
    "ip6_control",
    "antispoof6",
    "ip6_input",
    "ip6_local",
    "ip6_lookup",
    "ip6_rewrite",
    "icmp6_error",
    "session6_output",
    "pppoe6_output",
)
NO_FEATURE = "drop: no-such-feature"  # an arc's bit that nobody stands on


def edges_of(dp: Dataplane, node: str) -> set[str]:
    """Return the names of all edges of a node."""
    nodes = dp.section(lib.SECTION_NODE, "struct node_name")
    for number in range(dp.header.n_nodes):
        if lib_string(nodes[number].name) == node:
            names = {dp.edge_name(node, edge) for edge in range(nodes[number].n_edges)}
            return {f"{node}/{name}" for name in names - {NO_FEATURE}}
    raise AssertionError(node)


def lib_string(chars: object) -> str:
    """Return a C string as text."""
    return bytes(ffi.string(chars)).decode()


def test_no_edge_is_without_a_case(dp: Dataplane) -> None:
    edges = {edge for node in NODES for edge in edges_of(dp, node)}
    assert edges == set(CASES)


@pytest.mark.parametrize("edge", sorted(CASES))
def test_the_case_takes_its_edge(edge: str) -> None:
    args = list(nat_args() if "nat44_fragment/" in edge else DEFAULT_ARGS)
    if "graph-full" in edge:
        args.append("--buffers=8192")
    if "handoff" in edge:
        args.append("--workers=-,-")
    with dataplane(*args) as dp:
        CASES[edge](dp)
        assert dp.counters().get(edge, 0) > 0, dp.counters()
