/*
 * policer: RFC 2697 and RFC 2698 for each session, both ways: policer_in and policer_out. Red is
 * dropped, yellow passes and is counted. Bytes are those of the IP packet, with a fixed number
 * added to each where the session says so. The nodes that begin the arcs have prefetched the entry.
 */
#include "table/policer.h"

#include "graph.h"
#include "node/account.h"
#include "node/hints.h"
#include "worker.h"

enum { EDGE_POLICED = ARC_EDGES };

/* False: red. */
static bool count(const struct worker *w, const struct pkt *p, enum direction direction,
	enum policer_colour colour)
{
	struct policer_counters *counters = &w->t->cold[p->session].policed[direction];
	if (colour == POLICER_YELLOW) {
		counters->yellow_packets++;
		counters->yellow_bytes += p->len;
		return true;
	}
	counters->red_packets++;
	counters->red_bytes += p->len;
	return false;
}

static inline bool passes(
	const struct worker *w, const struct pkt *p, uint64_t tick, enum direction direction)
{
	struct policer *policer = policer_of(w->t, p->session, direction);
	enum policer_colour colour = policer_meter(policer, tick, p->len);
	return likely(colour == POLICER_GREEN) || count(w, p, direction, colour);
}

static void process_in(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	uint64_t tick = policer_tick(w);
	for (uint16_t i = 0; i < n; i++) {
		struct pkt *p = pkts[i];
		bool pass = passes(w, p, tick, DIRECTION_IN);
		next[i] = likely(pass) ? arc_next_in_both(w->t, &w->t->in[p->session], p)
				       : EDGE_POLICED;
	}
}

static void process_out(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	uint64_t tick = policer_tick(w);
	for (uint16_t i = 0; i < n; i++) {
		bool pass = passes(w, pkts[i], tick, DIRECTION_OUT);
		next[i] = likely(pass) ? arc_next(pkts[i]) : EDGE_POLICED;
	}
}

NODE(policer_in) = {
	.name = "policer_in",
	.process = process_in,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_POLICER,
	.edges = {[EDGE_POLICED] = DROP("policed")},
};

NODE(policer_out) = {
	.name = "policer_out",
	.process = process_out,
	.arc = ARC_SESSION_OUT,
	.feature = FEATURE_OUT_POLICER,
	.edges = {[EDGE_POLICED] = DROP("policed")},
};
