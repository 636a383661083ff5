/* IPv6 of a session, set by the owner between vectors. */
#include "table/session_ip6.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Ones, then zeros. */
static bool is_mask(uint64_t mask)
{
	return !(~mask & (~mask + 1));
}

int session_ip6_command(struct worker *w, const struct command *c)
{
	const struct session_ip6_set *set = &c->u.ip6;
	struct session_in *in = &w->t->in[c->session];
	struct session_out *out = &w->t->out[c->session];
	struct session_ip6 *ip6 = &w->t->ip6[c->session];
	bool bad = set->on > 1 || !is_mask(set->delegated_mask) ||
		   set->delegated & ~set->delegated_mask;

	if (in->state != SESSION_LIVE && in->state != SESSION_PAUSED)
		return -EINVAL;
	if (set->on && bad)
		return -EINVAL;
	ip6->link_prefix = set->on ? set->link_prefix : 0;
	ip6->delegated = set->on ? set->delegated : 0;
	ip6->delegated_mask = set->on ? set->delegated_mask : 0;
	ip6->interface_id = set->on ? set->interface_id : 0;
	in->features = (uint16_t)(set->on ? in->features | FEATURES_IN_IP6_ONLY
					  : in->features & ~FEATURES_IN_IP6_ONLY);
	out->features = (uint16_t)(set->on ? out->features | FEATURES_OUT_IP6_ONLY
					   : out->features & ~FEATURES_OUT_IP6_ONLY);
	return 0;
}

void session_ip6_clear(struct worker *w, uint32_t session)
{
	memset(&w->t->ip6[session], 0, sizeof(w->t->ip6[session]));
	w->t->in[session].features &= (uint16_t)~FEATURES_IN_IP6_ONLY;
	w->t->out[session].features &= (uint16_t)~FEATURES_OUT_IP6_ONLY;
}
