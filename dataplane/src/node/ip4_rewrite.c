/*
 * ip4_rewrite: TTL, MTU and the Ethernet header of the next hop on a routed port (RFC 1812 section
 * 5.2.1). Routed ports are untagged.
 */
#include "graph.h"
#include "hdr/ethernet.h"
#include "node/hints.h"
#include "node/ip4_forward.h"
#include "node/rewrite.h"
#include "table/fib4.h"
#include "worker.h"

enum { EDGE_PORT_OUTPUT, EDGE_ICMP4_ERROR, EDGE_IP4_FRAGMENT, EDGE_UNRESOLVED };

_Static_assert(EDGE_ICMP4_ERROR == (int)IP4_ERROR, "verdicts are edges");
_Static_assert(EDGE_IP4_FRAGMENT == (int)IP4_FRAGMENT, "verdicts are edges");

static struct node node_ip4_rewrite;

static inline uint16_t rewrite(const struct tables *t, uint64_t now_ms, struct pkt *p)
{
	struct adjacency *adjacency = &t->adjacency[leaf_index(p->leaf)];
	if (unlikely(__atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE) !=
		     ADJ_NEIGHBOUR)) /* lost since the lookup */
		return EDGE_UNRESOLVED;
	enum ip4_verdict verdict = ip4_forward(p, adjacency->mtu, node_ip4_rewrite.id);
	if (unlikely(verdict != IP4_SEND))
		return (uint16_t)verdict;
	mark_used(adjacency, now_ms);
	rewrite_ethernet(p, adjacency, ETHERTYPE_IP4);
	return EDGE_PORT_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	uint64_t now_ms = w->now_ns / 1000000;
	for (uint16_t i = 0; i < n; i++)
		next[i] = rewrite(w->t, now_ms, pkts[i]);
}

NODE(ip4_rewrite) = {
	.name = "ip4_rewrite",
	.process = process,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_ICMP4_ERROR] = {.next = "icmp4_error"},
			[EDGE_IP4_FRAGMENT] = {.next = "ip4_fragment"},
			[EDGE_UNRESOLVED] = DROP("unresolved"),
		},
};
