/*
 * session6_output: an IPv6 packet to a subscriber. Handed to the session's owner, then hop limit
 * and MTU (the peer's MRU), then the session-out arc.
 */
#include "graph.h"
#include "node/ip6_forward.h"
#include "node/to_session.h"
#include "table/policer.h"
#include "worker.h"

enum { EDGE_NOT_SERVED = TO_SESSION_EDGES };

static struct node node_session6_output;

static inline uint16_t output(struct worker *w, struct pkt *p)
{
	const struct session_out *out = &w->t->out[p->session];
	uint16_t obstacle = to_session_obstacle(w, p, out, &node_session6_output);
	if (unlikely(obstacle))
		return obstacle;
	if (unlikely(!(out->features & 1 << FEATURE_OUT_IP6)))
		return refused_out(w->t, p, OUT_DROP_NOT_LIVE, EDGE_NOT_SERVED);
	if (unlikely(ip6_forward(p, out->mtu) != IP_SEND))
		return to_session_error(w, p, p->cause == ICMP6_TIME_EXCEEDED);
	p->flags |= PKT_TO_SESSION;
	prefetch_write(&w->t->ip6[p->session]);
	policer_prefetch(w->t, p->session, DIRECTION_OUT, out->features & 1 << FEATURE_OUT_POLICER);
	return arc_start(p, (uint16_t)(out->features & ~FEATURES_OUT_IP4_ONLY));
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		to_session_prefetch(w, pkts, n, i);
		next[i] = output(w, pkts[i]);
	}
}

NODE(session6_output) = {
	.name = "session6_output",
	.process = process,
	.arc = ARC_SESSION_OUT,
	.never = IP6_NEVER_OUT,
	.edges =
		{
			TO_SESSION_EDGES_OF("icmp6_error"),
			[EDGE_NOT_SERVED] = DROP("ip6-not-served"),
		},
};
