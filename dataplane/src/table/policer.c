/* Policers by command: on, off, and changed while packets pass. */
#include "table/policer.h"

#include <errno.h>

static bool is_sane(const struct session_policer *s, uint32_t direction)
{
	if (direction > DIRECTION_OUT || s->mode > POLICER_TRTCM ||
		s->cbs_bytes > POLICER_MAX_BURST || s->ebs_bytes > POLICER_MAX_BURST)
		return false;
	switch (s->mode) {
	case POLICER_SRTCM: /* RFC 2697 section 2: one of the bursts is larger than 0 */
		return s->cir_bps && !s->pir_bps && (s->cbs_bytes || s->ebs_bytes);
	case POLICER_TRTCM: /* RFC 2698 section 2: both are, and PIR is at least CIR */
		return s->cir_bps && s->pir_bps >= s->cir_bps && s->cbs_bytes && s->ebs_bytes;
	default:
		return true;
	}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void turn(struct worker *w, uint32_t session, enum direction direction, bool on)
{
	uint16_t *features = direction == DIRECTION_IN ? &w->t->in[session].features
						       : &w->t->out[session].features;
	int bit = 1 << (direction == DIRECTION_IN ? FEATURE_IN_POLICER : FEATURE_OUT_POLICER);
	*features = (uint16_t)(on ? *features | bit : *features & ~bit);
}

int policer_command(struct worker *w, const struct command *c)
{
	const struct session_policer *s = &c->u.policer;
	if (w->t->in[c->session].state == SESSION_CLOSED || !is_sane(s, c->arg))
		return -EINVAL;
	enum direction direction = (enum direction)c->arg;
	struct policer *p = policer_of(w->t, c->session, direction);
	struct policer next = {.stamp = policer_tick(w)};
	if (s->mode != POLICER_OFF) {
		next.cir_bps = s->cir_bps;
		next.pir_bps = s->pir_bps;
		next.cbs = s->cbs_bytes * POLICER_BYTE;
		next.ebs = s->ebs_bytes * POLICER_BYTE;
		next.overhead_bytes = s->overhead_bytes;
		next.mode = s->mode;
	}
	if (p->mode == POLICER_OFF) { /* RFC 2697 section 3: the buckets are full at first */
		next.tc = next.cbs;
		next.te = next.ebs;
	} else {
		(void)policer_take(p, next.stamp, 0);
		next.tc = least(p->tc, next.cbs);
		next.te = least(p->te, next.ebs);
	}
	*p = next;
	turn(w, c->session, direction, s->mode != POLICER_OFF);
	return 0;
}

void policer_clear(struct worker *w, uint32_t session)
{
	for (int direction = DIRECTION_IN; direction <= DIRECTION_OUT; direction++) {
		*policer_of(w->t, session, (enum direction)direction) = (struct policer){0};
		turn(w, session, (enum direction)direction, false);
	}
}
