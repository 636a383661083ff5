/* drop: the end of a packet. Why it came here is counted on the edge that led here. */
#include "graph.h"
#include "worker.h"

enum { EDGE_FREED };

static void drop_process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		pkt_free(w, pkts[i]);
		next[i] = EDGE_FREED;
	}
}

NODE(drop) = {
	.name = "drop",
	.process = drop_process,
	.edges = {[EDGE_FREED] = CONSUMED},
};
