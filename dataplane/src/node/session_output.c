/*
 * session_output: an IPv4 packet to a subscriber. Handed to the session's owner, then TTL and MTU
 * (the peer's MRU), then the session-out arc.
 */
#include "graph.h"
#include "node/ip4_forward.h"
#include "node/to_session.h"
#include "table/policer.h"
#include "worker.h"

enum { EDGE_IP4_FRAGMENT = TO_SESSION_EDGES };

static struct node node_session_output;

static inline uint16_t output(struct worker *w, struct pkt *p)
{
	const struct session_out *out = &w->t->out[p->session];
	uint16_t obstacle = to_session_obstacle(w, p, out, &node_session_output);
	if (unlikely(obstacle))
		return obstacle;
	enum ip_verdict verdict = ip4_forward(p, out->mtu, node_session_output.id);
	if (unlikely(verdict == IP_ERROR))
		return to_session_error(w, p, p->cause == ICMP4_TIME_EXCEEDED);
	if (unlikely(verdict == IP_FRAGMENT))
		return EDGE_IP4_FRAGMENT;
	p->flags |= PKT_TO_SESSION;
	policer_prefetch(w->t, p->session, DIRECTION_OUT, out->features & 1 << FEATURE_OUT_POLICER);
	/* the guard asks what came past NAT */
	uint16_t skipped = p->flags & PKT_TRANSLATED ? 1 << FEATURE_OUT_NAT44_GUARD : 0;
	return arc_start(p, (uint16_t)(out->features & ~FEATURES_OUT_IP6_ONLY & ~skipped));
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		to_session_prefetch(w, pkts, n, i);
		next[i] = output(w, pkts[i]);
	}
}

NODE(session_output) = {
	.name = "session_output",
	.process = process,
	.arc = ARC_SESSION_OUT,
	.never = IP4_NEVER_OUT,
	.edges =
		{
			TO_SESSION_EDGES_OF("icmp4_error"),
			[EDGE_IP4_FRAGMENT] = {.next = "ip4_fragment"},
		},
};
