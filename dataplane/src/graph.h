/*
 * The graph of nodes. A node takes a vector and fills next[i] with an edge number of its own; the
 * graph counts the edge and moves the packet there. Each drop reason is an edge of its own.
 *
 * A node stands in one file and registers itself with NODE(); nothing else names it but the edges
 * that lead to it.
 */
#ifndef BNG_GRAPH_H
#define BNG_GRAPH_H

#include <stdint.h>

#include "dataplane.h"
#include "pkt.h"

struct worker;

enum arc { ARC_NONE, ARC_SESSION_IN, ARC_SESSION_OUT };

struct edge {
	const char *next;   /* node name */
	const char *reason; /* NULL, or the drop reason: then next is "drop" */
};

/*
 * On an arc (arc != ARC_NONE) edges 0..ARC_EDGES-1 belong to the arc: 0 is its end, 1..15 are the
 * features by their bit; the node's own edges must start at ARC_EDGES. `feature` is the node's bit
 * on the arc; 0 for a node that only starts the arc (pppoe_input, session_output).
 */
struct node {
	const char *name;
	/* n is 1..VECTOR_SIZE. Must set next[i] for every i. Takes no lock, makes no syscall. */
	void (*process)(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next);
	/* Optional. Once per worker before it runs; makes w->node_state[id]. Returns 0 or -errno.
	 */
	int (*init)(struct worker *w);
	/* Optional. At most once per coarse millisecond, and at least every 20 ms while idle:
	 * bounded work (timers, scans), by how much now_ms has moved. */
	void (*tick)(struct worker *w);
	struct edge edges[MAX_EDGES];
	enum arc arc;
	uint8_t feature;
	uint16_t never; /* features it never leads to, where that is not what its own bit says */
	uint16_t id;	/* set at start */
	struct node *registered; /* list of all nodes */
};

void node_register(struct node *node);

/* Usage: NODE(ethernet_input) = {.name = "ethernet_input", .process = ..., .edges = {...}}; */
#define NODE(symbol)                                                                               \
	static struct node node_##symbol;                                                          \
	__attribute__((constructor)) static void register_##symbol(void)                           \
	{                                                                                          \
		node_register(&node_##symbol);                                                     \
	}                                                                                          \
	static struct node node_##symbol

/* The node has taken the packet over (sent, handed off, punted, freed): the graph only counts. */
#define CONSUMED                                                                                   \
	{                                                                                          \
		.next = "consumed"                                                                 \
	}
#define DROP(why)                                                                                  \
	{                                                                                          \
		.next = "drop", .reason = why                                                      \
	}

/* The end of each arc: edge 0 for IPv4, the last feature for IPv6. */
#define ARC_SESSION_IN_END "ip4_lookup"
#define ARC_SESSION_OUT_END "pppoe_output"
#define ARC_SESSION_IN6_END "ip6_lookup"
#define ARC_SESSION_OUT6_END "pppoe6_output"

enum {
	ARC_IP6_END = ARC_EDGES - 1,
	/* what packets of a family never visit, edge 0 among it */
	IP4_NEVER_IN = FEATURES_IN_IP6_ONLY,
	IP6_NEVER_IN = FEATURES_IN_IP4_ONLY | 1,
	IP4_NEVER_OUT = FEATURES_OUT_IP6_ONLY,
	IP6_NEVER_OUT = FEATURES_OUT_IP4_ONLY | 1,
};

_Static_assert((int)FEATURE_IN_IP6 == (int)ARC_IP6_END && (int)FEATURE_OUT_IP6 == (int)ARC_IP6_END,
	"one end for both arcs");

/* Enter an arc with the session's bitmap; returns the edge to take. */
static inline uint16_t arc_start(struct pkt *p, uint16_t features)
{
	p->arc = features;
	return features ? (uint16_t)__builtin_ctz(features) : 0;
}

/* Leave this feature for the next one of the session, or for the end of the arc. On the session-in
 * arc that is arc_next_in() of node/account.h, which charges for what comes to its end. */
static inline uint16_t arc_next(struct pkt *p)
{
	p->arc = (uint16_t)(p->arc & (p->arc - 1));
	return p->arc ? (uint16_t)__builtin_ctz(p->arc) : 0;
}

#endif
