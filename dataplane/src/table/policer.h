/*
 * Token buckets of a session: RFC 2697 (srTCM) and RFC 2698 (trTCM), both colour-blind. All of it
 * is integer arithmetic without loss: see struct policer for the units.
 */
#ifndef BNG_POLICER_H
#define BNG_POLICER_H

#include "dataplane.h"
#include "worker.h"

enum policer_colour { POLICER_GREEN, POLICER_YELLOW, POLICER_RED };

#define POLICER_BYTE UINT64_C(1000000000)     /* tokens */
#define POLICER_MAX_BURST (UINT64_C(1) << 34) /* bytes: what 64 bits of tokens hold */

/* CMD_SESSION_POLICER. What was saved up stays, as far as the new bursts reach. */
int policer_command(struct worker *w, const struct command *c);
/* Turns both directions off. */
void policer_clear(struct worker *w, uint32_t session);

static inline struct policer *policer_of(
	const struct tables *t, uint32_t session, enum direction direction)
{
	return &t->policer[session * 2 + direction];
}

static inline uint64_t policer_tick(const struct worker *w)
{
	return w->now_ns >> POLICER_TICK_SHIFT;
}

/* On its way to the cache before the packet comes to the policer, where the session has one. */
static inline void policer_prefetch(
	const struct tables *t, uint32_t session, enum direction direction, bool is_policed)
{
	if (is_policed)
		__builtin_prefetch(policer_of(t, session, direction), 1, 3);
}

/* What a rate gives in that time; more than any bucket holds when it is more than that. */
static inline uint64_t policer_earned(uint64_t rate_bps, uint64_t ticks)
{
	uint64_t tokens;
	return __builtin_expect(__builtin_mul_overflow(rate_bps, ticks, &tokens), 0) ? UINT64_MAX
										     : tokens;
}

/* A bucket, filled. What it has no room for is added to *rest. */
static inline uint64_t policer_fill(uint64_t tokens, uint64_t burst, uint64_t add, uint64_t *rest)
{
	uint64_t room = burst - tokens;
	if (add < room)
		return tokens + add;
	*rest = add - room;
	return burst;
}

static inline uint64_t policer_ticks(struct policer *p, uint64_t tick)
{
	uint64_t ticks = tick - p->stamp;
	p->stamp = tick;
	return ticks;
}

/* RFC 2697 section 3: what C has no room for goes to E. */
static inline enum policer_colour policer_srtcm(struct policer *p, uint64_t tick, uint64_t cost)
{
	uint64_t earned = policer_earned(p->cir_bps, policer_ticks(p, tick));
	uint64_t rest = 0;
	uint64_t tc = policer_fill(p->tc, p->cbs, earned, &rest);
	if (rest)
		p->te = policer_fill(p->te, p->ebs, rest, &rest);
	bool green = tc >= cost;
	p->tc = green ? tc - cost : tc;
	if (__builtin_expect(green, 1))
		return POLICER_GREEN;
	if (p->te < cost)
		return POLICER_RED;
	p->te -= cost;
	return POLICER_YELLOW;
}

/* RFC 2698 section 3: te is Tp, ebs PBS. */
static inline enum policer_colour policer_trtcm(struct policer *p, uint64_t tick, uint64_t cost)
{
	uint64_t ticks = policer_ticks(p, tick);
	uint64_t rest;
	uint64_t tc = policer_fill(p->tc, p->cbs, policer_earned(p->cir_bps, ticks), &rest);
	uint64_t tp = policer_fill(p->te, p->ebs, policer_earned(p->pir_bps, ticks), &rest);
	bool red = tp < cost;
	bool green = !red && tc >= cost;
	p->tc = green ? tc - cost : tc;
	p->te = red ? tp : tp - cost;
	return red ? POLICER_RED : green ? POLICER_GREEN : POLICER_YELLOW;
}

/* The colour of a packet, which takes its tokens. A cost of 0 refills only. */
static inline enum policer_colour policer_take(struct policer *p, uint64_t tick, uint64_t cost)
{
	return p->mode == POLICER_TRTCM ? policer_trtcm(p, tick, cost)
					: policer_srtcm(p, tick, cost);
}

static inline enum policer_colour policer_meter(struct policer *p, uint64_t tick, uint32_t len)
{
	return policer_take(p, tick, (uint64_t)(len + p->overhead_bytes) * POLICER_BYTE);
}

#endif
