/*
 * A packet on its way to a subscriber, in session_output and session6_output: to the session's
 * owner first, and then only to a session that is LIVE.
 */
#ifndef BNG_NODE_TO_SESSION_H
#define BNG_NODE_TO_SESSION_H

#include "graph.h"
#include "node/account.h"
#include "node/hints.h"
#include "worker.h"

enum {
	EDGE_ICMP_ERROR = ARC_EDGES,
	EDGE_HANDOFF,
	EDGE_GENERATION_STALE,
	EDGE_PAUSED,
	EDGE_NOT_LIVE,
	TO_SESSION_EDGES, /* the node's own */
};

#define TO_SESSION_EDGES_OF(error)                                                                 \
	[EDGE_ICMP_ERROR] = {.next = (error)}, [EDGE_HANDOFF] = {.next = "handoff"},               \
	[EDGE_GENERATION_STALE] = DROP("generation-stale"),                                        \
	[EDGE_PAUSED] = DROP("session-paused"), [EDGE_NOT_LIVE] = DROP("session-not-live")

static inline uint16_t to_owner(
	struct pkt *p, const struct session_out *out, uint8_t owner, const struct node *node)
{
	p->generation = __atomic_load_n(&out->generation, __ATOMIC_RELAXED);
	p->flags |= PKT_TO_SESSION;
	p->arg = owner;
	p->handoff_node = (uint8_t)node->id;
	return EDGE_HANDOFF;
}

/* Where the packet goes instead of to the subscriber; 0: nowhere else. `node` is the caller. */
static inline uint16_t to_session_obstacle(
	struct worker *w, struct pkt *p, const struct session_out *out, const struct node *node)
{
	uint8_t owner = __atomic_load_n(&out->owner, __ATOMIC_RELAXED);
	if (unlikely(owner != w->id))
		return to_owner(p, out, owner, node);
	/* Whoever says TO_SESSION has said which: the packet may have waited in a ring since. */
	if (unlikely(p->flags & PKT_TO_SESSION && p->generation != out->generation))
		return EDGE_GENERATION_STALE;
	if (unlikely(out->state != SESSION_LIVE))
		return refused_out(w->t, p, OUT_DROP_NOT_LIVE,
			out->state == SESSION_PAUSED ? EDGE_PAUSED : EDGE_NOT_LIVE);
	return 0;
}

/* An error says that the packet has expired, or that it is too big. */
static inline uint16_t to_session_error(const struct worker *w, const struct pkt *p, bool expired)
{
	return refused_out(w->t, p, expired ? OUT_DROP_TTL : OUT_DROP_TOO_BIG, EDGE_ICMP_ERROR);
}

static inline void to_session_prefetch(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t i)
{
	if (i + PREFETCH_AHEAD < n)
		prefetch_write(&w->t->out[pkts[i + PREFETCH_AHEAD]->session]);
}

#endif
