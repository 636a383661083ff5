/*
 * handoff: sends a packet to the worker that owns its session or address. The node before it has
 * set arg (the worker) and handoff_node (where the packet continues there).
 */
#include "graph.h"
#include "worker.h"

enum { EDGE_SENT, EDGE_RING_FULL };

static void handoff_process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		struct pkt *p = pkts[i];
		bool sent = p->arg < MAX_WORKERS &&
			    worker_handoff(w, (uint8_t)p->arg, p->handoff_node, p);
		next[i] = sent ? EDGE_SENT : EDGE_RING_FULL;
	}
}

NODE(handoff) = {
	.name = "handoff",
	.process = handoff_process,
	.edges =
		{
			[EDGE_SENT] = CONSUMED,
			[EDGE_RING_FULL] = DROP("ring-full"),
		},
};
