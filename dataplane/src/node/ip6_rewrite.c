/*
 * ip6_rewrite: hop limit, MTU (RFC 8200 sections 3 and 5) and the Ethernet header of the next hop
 * on a routed port.
 */
#include "graph.h"
#include "node/hints.h"
#include "node/ip6_forward.h"
#include "node/rewrite.h"
#include "table/fib4.h"
#include "worker.h"

enum { EDGE_PORT_OUTPUT, EDGE_ICMP6_ERROR, EDGE_UNRESOLVED };

_Static_assert(EDGE_ICMP6_ERROR == (int)IP6_ERROR, "verdicts are edges");

static inline uint16_t rewrite(const struct tables *t, uint64_t now_ms, struct pkt *p)
{
	struct adjacency *adjacency = &t->adjacency[leaf_index(p->leaf)];
	if (unlikely(__atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE) !=
		     ADJ_NEIGHBOUR)) /* lost since the lookup */
		return EDGE_UNRESOLVED;
	enum ip6_verdict verdict = ip6_forward(p, adjacency->mtu);
	if (unlikely(verdict != IP6_SEND))
		return (uint16_t)verdict;
	mark_used(adjacency, now_ms);
	rewrite_ethernet(p, adjacency, ETHERTYPE_IP6);
	return EDGE_PORT_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	uint64_t now_ms = w->now_ns / 1000000;
	for (uint16_t i = 0; i < n; i++)
		next[i] = rewrite(w->t, now_ms, pkts[i]);
}

NODE(ip6_rewrite) = {
	.name = "ip6_rewrite",
	.process = process,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_ICMP6_ERROR] = {.next = "icmp6_error"},
			[EDGE_UNRESOLVED] = DROP("unresolved"),
		},
};
