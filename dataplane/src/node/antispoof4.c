/*
 * antispoof4: strict source check per session (RFC 3704 section 2.2). The source is the session's
 * address or lies in a prefix routed to this very session.
 */
#include "graph.h"
#include "hdr/ip4.h"
#include "node/account.h"
#include "node/hints.h"
#include "table/fib4.h"
#include "worker.h"

enum { EDGE_SPOOFED = ARC_EDGES };

static bool is_framed_route(const struct tables *t, uint32_t session, be32 source)
{
	return leaf_is_session(fib4_lookup(t->fib4_root, t->fib4_page, ntoh32(source)), session);
}

static inline uint16_t check(const struct tables *t, struct pkt *p)
{
	struct session_in *in = &t->in[p->session];
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	if (unlikely(ip->source != in->ip4 && !is_framed_route(t, p->session, ip->source)))
		return refused_in(t, p, IN_DROP_SPOOFED, EDGE_SPOOFED);
	return arc_next_in(in, p);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = check(w->t, pkts[i]);
}

NODE(antispoof4) = {
	.name = "antispoof4",
	.process = process,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_ANTISPOOF4,
	.edges = {[EDGE_SPOOFED] = DROP("source-spoofed")},
};
