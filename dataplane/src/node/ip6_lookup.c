/*
 * ip6_lookup: the destination's leaf in the FIB, and with it the next node. Errors are those of RFC
 * 4443 section 3.1. The current header is the IPv6 header.
 */
#include "graph.h"
#include "node/hints.h"
#include "node/ip6_forward.h"
#include "node/next_hop.h"
#include "table/fib6.h"
#include "worker.h"

enum {
	EDGE_IP6_REWRITE,
	EDGE_SESSION6_OUTPUT,
	EDGE_IP6_LOCAL,
	EDGE_ICMP6_ERROR,
	EDGE_UNRESOLVED,
	EDGE_BLACKHOLE,
	EDGE_ADJACENCY_GONE,
};

#define FLOW_LABEL UINT32_C(0x000fffff)

static uint16_t unreachable(struct pkt *p, uint8_t code)
{
	icmp6_error_set(p, ICMP6_UNREACHABLE, code, 0);
	return EDGE_ICMP6_ERROR;
}

static uint16_t no_neighbour(
	struct worker *w, struct pkt *p, const struct adjacency *adjacency, uint8_t kind)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	switch (kind) {
	case ADJ_GLEAN:
		resolve_next_hop(w, adjacency, ip6_words(ip->destination));
		return EDGE_UNRESOLVED;
	case ADJ_LOCAL:
		return EDGE_IP6_LOCAL;
	case ADJ_BLACKHOLE:
		return EDGE_BLACKHOLE;
	case ADJ_UNREACHABLE:
		return unreachable(p, ICMP6_CODE_ADDRESS);
	case ADJ_PROHIBIT:
		return unreachable(p, ICMP6_CODE_PROHIBITED);
	default:
		return EDGE_ADJACENCY_GONE;
	}
}

/* RFC 6438 section 3: addresses and flow label, which fragments have, too. Ports only of a flow
 * without a label, when they are at hand. */
static uint32_t flow_slot(const struct pkt *p, const struct ip6_hdr *ip)
{
	uint64_t word[IP6_ADDRESS_LEN / 4]; /* of both addresses */
	uint32_t flow = ip->version_class_flow & hton32(FLOW_LABEL);
	bool has_ports = ip->next_header == IPPROTO_TCP6 || ip->next_header == IPPROTO_UDP6;
	if (!flow && has_ports && p->len >= IP6_LEN + sizeof(flow))
		memcpy(&flow, ip + 1, sizeof(flow));
	memcpy(word, ip->source, sizeof(word));
	uint64_t hash = flow;
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	return (uint32_t)(hash * 0x94d049bb133111ebull >> 60);
}

/* The leaf becomes that of the member: the nodes that follow know of no groups. */
static uint16_t member(
	struct worker *w, struct pkt *p, const struct adjacency *group, uint32_t slot)
{
	uint16_t id = __atomic_load_n(&group->member[slot], __ATOMIC_ACQUIRE);
	p->leaf = leaf_make(LEAF_ADJACENCY, id);
	const struct adjacency *adjacency = &w->t->adjacency[id];
	uint8_t kind = __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE);
	return kind == ADJ_NEIGHBOUR ? EDGE_IP6_REWRITE : no_neighbour(w, p, adjacency, kind);
}

static inline uint16_t lookup(struct worker *w, struct pkt *p)
{
	const struct tables *t = w->t;
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	uint32_t leaf = fib6_lookup(&t->fib6, ip->destination);
	p->leaf = leaf;
	if (leaf_kind(leaf) == LEAF_SESSION) {
		p->session = leaf_index(leaf);
		prefetch_write(&t->out[p->session]);
		return EDGE_SESSION6_OUTPUT;
	}
	if (unlikely(leaf_kind(leaf) == LEAF_NONE))
		return unreachable(p, ICMP6_CODE_NO_ROUTE);
	const struct adjacency *adjacency = &t->adjacency[leaf_index(leaf)];
	uint8_t kind = __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE);
	if (likely(kind == ADJ_NEIGHBOUR))
		return EDGE_IP6_REWRITE;
	if (kind == ADJ_NEXTHOP)
		return member(w, p, adjacency, 0);
	if (kind == ADJ_GROUP)
		return member(w, p, adjacency, flow_slot(p, ip));
	return no_neighbour(w, p, adjacency, kind);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = lookup(w, pkts[i]);
}

NODE(ip6_lookup) = {
	.name = "ip6_lookup",
	.process = process,
	.edges =
		{
			[EDGE_IP6_REWRITE] = {.next = "ip6_rewrite"},
			[EDGE_SESSION6_OUTPUT] = {.next = "session6_output"},
			[EDGE_IP6_LOCAL] = {.next = "ip6_local"},
			[EDGE_ICMP6_ERROR] = {.next = "icmp6_error"},
			[EDGE_UNRESOLVED] = DROP("unresolved"),
			[EDGE_BLACKHOLE] = DROP("blackhole"),
			[EDGE_ADJACENCY_GONE] = DROP("adjacency-gone"),
		},
};
