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

/* Adds to a bucket what has room there; returns the rest. */
static inline uint64_t policer_fill(uint64_t *tokens, uint64_t burst, uint64_t add)
{
	uint64_t room = burst - *tokens;
	if (add < room) {
		*tokens += add;
		return 0;
	}
	*tokens = burst;
	return add - room;
}

/* What a rate gives in that time; more than any bucket holds when it is more than that. */
static inline uint64_t policer_earned(uint64_t rate_bps, uint64_t ticks)
{
	uint64_t tokens;
	return __builtin_mul_overflow(rate_bps, ticks, &tokens) ? UINT64_MAX : tokens;
}

static inline void policer_refill(struct policer *p, uint64_t tick)
{
	uint64_t ticks = tick - p->stamp;
	p->stamp = tick;
	uint64_t rest = policer_fill(&p->tc, p->cbs, policer_earned(p->cir_bps, ticks));
	/* RFC 2697 section 3: what C has no room for goes to E. */
	policer_fill(&p->te, p->ebs,
		p->mode == POLICER_TRTCM ? policer_earned(p->pir_bps, ticks) : rest);
}

/* RFC 2697 section 3, RFC 2698 section 3: the colour of a packet, which takes its tokens. */
static inline enum policer_colour policer_meter(struct policer *p, uint64_t tick, uint32_t len)
{
	if (p->stamp != tick)
		policer_refill(p, tick);
	uint64_t cost = (uint64_t)(len + p->overhead_bytes) * POLICER_BYTE;
	bool two_rates = p->mode == POLICER_TRTCM;
	if (two_rates && p->te < cost)
		return POLICER_RED;
	if (p->tc >= cost) {
		p->tc -= cost;
		p->te -= two_rates ? cost : 0;
		return POLICER_GREEN;
	}
	if (p->te < cost)
		return POLICER_RED;
	p->te -= cost;
	return POLICER_YELLOW;
}

#endif
