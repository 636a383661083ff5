/*
 * session6_output: an IPv6 packet to a subscriber. Handed to the session's owner, then hop limit
 * and MTU (the peer's MRU), then the session-out arc.
 */
#include "graph.h"
#include "node/account.h"
#include "node/hints.h"
#include "node/ip6_forward.h"
#include "table/policer.h"
#include "worker.h"

enum {
	EDGE_ICMP6_ERROR = ARC_EDGES,
	EDGE_HANDOFF,
	EDGE_GENERATION_STALE,
	EDGE_PAUSED,
	EDGE_NOT_LIVE,
	EDGE_NOT_SERVED,
};

static struct node node_session6_output;

static uint16_t to_owner(struct pkt *p, const struct session_out *out, uint8_t owner)
{
	p->generation = __atomic_load_n(&out->generation, __ATOMIC_RELAXED);
	p->flags |= PKT_TO_SESSION;
	p->arg = owner;
	p->handoff_node = (uint8_t)node_session6_output.id;
	return EDGE_HANDOFF;
}

static uint16_t refused(
	const struct worker *w, const struct pkt *p, enum session_out_drop why, uint16_t edge)
{
	drop_out(w->t, p->session, why);
	return edge;
}

static uint16_t answered(const struct worker *w, const struct pkt *p)
{
	bool expired = p->cause == ICMP6_TIME_EXCEEDED;
	return refused(w, p, expired ? OUT_DROP_TTL : OUT_DROP_TOO_BIG, EDGE_ICMP6_ERROR);
}

static inline uint16_t output(struct worker *w, struct pkt *p)
{
	const struct session_out *out = &w->t->out[p->session];
	uint8_t owner = __atomic_load_n(&out->owner, __ATOMIC_RELAXED);
	if (unlikely(owner != w->id))
		return to_owner(p, out, owner);
	/* Whoever says TO_SESSION has said which: the packet may have waited in a ring since. */
	if (unlikely(p->flags & PKT_TO_SESSION && p->generation != out->generation))
		return EDGE_GENERATION_STALE;
	if (unlikely(out->state != SESSION_LIVE))
		return refused(w, p, OUT_DROP_NOT_LIVE,
			out->state == SESSION_PAUSED ? EDGE_PAUSED : EDGE_NOT_LIVE);
	if (unlikely(!(out->features & 1 << FEATURE_OUT_IP6)))
		return refused(w, p, OUT_DROP_NOT_LIVE, EDGE_NOT_SERVED);
	if (unlikely(ip6_forward(p, out->mtu) != IP6_SEND))
		return answered(w, p);
	p->flags |= PKT_TO_SESSION;
	prefetch_write(&w->t->ip6[p->session]);
	policer_prefetch(w->t, p->session, DIRECTION_OUT, out->features & 1 << FEATURE_OUT_POLICER);
	return arc_start(p, (uint16_t)(out->features & ~FEATURES_OUT_IP4_ONLY));
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_write(&w->t->out[pkts[i + PREFETCH_AHEAD]->session]);
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
			[EDGE_ICMP6_ERROR] = {.next = "icmp6_error"},
			[EDGE_HANDOFF] = {.next = "handoff"},
			[EDGE_GENERATION_STALE] = DROP("generation-stale"),
			[EDGE_PAUSED] = DROP("session-paused"),
			[EDGE_NOT_LIVE] = DROP("session-not-live"),
			[EDGE_NOT_SERVED] = DROP("ip6-not-served"),
		},
};
