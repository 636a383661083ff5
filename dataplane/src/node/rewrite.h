/* The last step to a neighbour on a routed port, for ip4_rewrite and ip6_rewrite. */
#ifndef BNG_NODE_REWRITE_H
#define BNG_NODE_REWRITE_H

#include "graph.h"
#include "hdr/ethernet.h"
#include "node/hints.h"
#include "node/ip_verdict.h"
#include "table/leaf.h"
#include "worker.h"

enum { EDGE_PORT_OUTPUT, EDGE_ICMP_ERROR, EDGE_UNRESOLVED, EDGE_IP4_FRAGMENT };

#define REWRITE_EDGES_OF(error)                                                                    \
	[EDGE_PORT_OUTPUT] = {.next = "port_output"}, [EDGE_ICMP_ERROR] = {.next = (error)},       \
	[EDGE_UNRESOLVED] = DROP("unresolved")

enum { USED_GRAIN_MS = 1000 }; /* all workers write it: not for every packet */

/* So that the control thread keeps next hops in use resolved. */
static inline void mark_used(struct adjacency *adjacency, uint64_t now_ms)
{
	if (unlikely(now_ms - __atomic_load_n(&adjacency->used, __ATOMIC_RELAXED) > USED_GRAIN_MS))
		__atomic_store_n(&adjacency->used, now_ms, __ATOMIC_RELAXED);
}

/* A next hop may have been found by either family (RFC 8950): the type is that of the packet. */
static inline void rewrite_ethernet(
	struct pkt *p, const struct adjacency *adjacency, uint16_t ethertype)
{
	be16 type = hton16(ethertype);
	uint8_t *header = pkt_push(p, ETH_LEN);
	memcpy(header, adjacency->rewrite, ETH_LEN - sizeof(type));
	memcpy(header + ETH_LEN - sizeof(type), &type, sizeof(type));
	p->tx_port = adjacency->port;
}

/* What the family does to the header of a packet that may go. */
typedef enum ip_verdict rewrite_forward(struct pkt *p, uint16_t mtu);

static inline uint16_t rewrite(const struct tables *t, uint64_t now_ms, struct pkt *p,
	rewrite_forward *forward, uint16_t ethertype)
{
	struct adjacency *adjacency = &t->adjacency[leaf_index(p->leaf)];
	if (unlikely(__atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE) !=
		     ADJ_NEIGHBOUR)) /* lost since the lookup */
		return EDGE_UNRESOLVED;
	enum ip_verdict verdict = forward(p, adjacency->mtu);
	if (unlikely(verdict != IP_SEND))
		return verdict == IP_ERROR ? EDGE_ICMP_ERROR : EDGE_IP4_FRAGMENT;
	mark_used(adjacency, now_ms);
	rewrite_ethernet(p, adjacency, ethertype);
	return EDGE_PORT_OUTPUT;
}

/* The process() of both nodes. */
static inline void rewrite_all(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next,
	rewrite_forward *forward, uint16_t ethertype)
{
	uint64_t now_ms = w->now_ns / 1000000;
	for (uint16_t i = 0; i < n; i++)
		next[i] = rewrite(w->t, now_ms, pkts[i], forward, ethertype);
}

#endif
