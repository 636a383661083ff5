/*
 * Where the leaf of a destination leads: what ip4_lookup and ip6_lookup do once they have found it.
 * Groups are those of RFC 2992: the flow says the slot.
 */
#ifndef BNG_NODE_NEXT_HOP_H
#define BNG_NODE_NEXT_HOP_H

#include "graph.h"
#include "node/hints.h"
#include "node/ip_verdict.h"
#include "table/adjacency.h"
#include "table/leaf.h"
#include "worker.h"

enum {
	EDGE_REWRITE,
	EDGE_SESSION_OUTPUT,
	EDGE_LOCAL,
	EDGE_ICMP_ERROR,
	EDGE_UNRESOLVED,
	EDGE_BLACKHOLE,
	EDGE_ADJACENCY_GONE,
	EDGE_NAT44_OUT2IN, /* IPv4 alone */
};

#define NEXT_HOP_EDGES                                                                             \
	[EDGE_UNRESOLVED] = DROP("unresolved"), [EDGE_BLACKHOLE] = DROP("blackhole"),              \
	[EDGE_ADJACENCY_GONE] = DROP("adjacency-gone")

/* What differs. The functions look at the packet's header. */
struct next_hop_family {
	uint32_t (*flow_slot)(const struct pkt *p, const void *ip);
	struct ip6_words (*destination)(const void *ip);
	/* ICMP: type, and codes by what is unreachable */
	uint8_t unreachable, no_route, host, prohibited;
	bool has_nat;
};

static inline uint16_t next_hop_error(const struct next_hop_family *f, struct pkt *p, uint8_t code)
{
	icmp_error_set(p, f->unreachable, code, 0);
	return EDGE_ICMP_ERROR;
}

/* Asks for an ADJ_GLEAN's own next hop, or for the destination on a connected prefix. */
static inline uint16_t resolve_next_hop(const struct next_hop_family *f, struct worker *w,
	struct pkt *p, const struct adjacency *adjacency)
{
	struct ip6_words address = adjacency_address(adjacency);
	worker_resolve(
		w, adjacency->port, is_address(address) ? address : f->destination(pkt_data(p)));
	return EDGE_UNRESOLVED;
}

static inline uint16_t no_neighbour(const struct next_hop_family *f, struct worker *w,
	struct pkt *p, const struct adjacency *adjacency, uint8_t kind)
{
	switch (kind) {
	case ADJ_GLEAN:
		return resolve_next_hop(f, w, p, adjacency);
	case ADJ_LOCAL:
	case ADJ_GATEWAY:
		return EDGE_LOCAL;
	case ADJ_BLACKHOLE:
		return EDGE_BLACKHOLE;
	case ADJ_UNREACHABLE:
		return next_hop_error(f, p, f->host);
	case ADJ_PROHIBIT:
		return next_hop_error(f, p, f->prohibited);
	default:
		return EDGE_ADJACENCY_GONE;
	}
}

/* The leaf becomes that of the member: the nodes that follow know of no groups. Out of the way of
 * most packets. */
static __attribute__((noinline)) uint16_t member(const struct next_hop_family *f, struct worker *w,
	struct pkt *p, const struct adjacency *group, uint8_t kind)
{
	uint32_t slot = kind == ADJ_GROUP ? f->flow_slot(p, pkt_data(p)) : 0;
	uint16_t id = __atomic_load_n(&group->member[slot], __ATOMIC_ACQUIRE);
	p->leaf = leaf_make(LEAF_ADJACENCY, id) | leaf_length(p->leaf) << LEAF_LENGTH;
	const struct adjacency *adjacency = &w->t->adjacency[id];
	uint8_t of_member = __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE);
	return of_member == ADJ_NEIGHBOUR ? EDGE_REWRITE
					  : no_neighbour(f, w, p, adjacency, of_member);
}

static inline uint16_t next_hop(
	const struct next_hop_family *f, struct worker *w, struct pkt *p, uint32_t leaf)
{
	const struct tables *t = w->t;
	p->leaf = leaf;
	if (leaf_kind(leaf) == LEAF_SESSION) {
		p->session = leaf_index(leaf);
		prefetch_write(&t->out[p->session]);
		return EDGE_SESSION_OUTPUT;
	}
	if (unlikely(leaf_kind(leaf) == LEAF_NONE))
		return next_hop_error(f, p, f->no_route);
	const struct adjacency *adjacency = &t->adjacency[leaf_index(leaf)];
	uint8_t kind = __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE);
	if (likely(kind == ADJ_NEIGHBOUR))
		return EDGE_REWRITE;
	if (likely(f->has_nat && kind == ADJ_NAT_POOL))
		return EDGE_NAT44_OUT2IN;
	if (kind == ADJ_NEXTHOP || kind == ADJ_GROUP)
		return member(f, w, p, adjacency, kind);
	return no_neighbour(f, w, p, adjacency, kind);
}

#endif
