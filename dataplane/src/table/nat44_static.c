/* One-to-one NAT: which session has which public address, and the log of it (RFC 6888 REQ-12). */
#include "table/nat44_static.h"

#include <errno.h>

static struct nat_log_record binding(
	const struct tables *t, uint32_t session, enum nat_log_type type, be32 address)
{
	return (struct nat_log_record){
		.type = (uint8_t)type,
		.session = session,
		.generation = t->in[session].generation,
		.inner = t->in[session].ip4,
		.outer = address,
		.port_last = UINT16_MAX,
	};
}

static void turn(const struct tables *t, uint32_t session, bool on)
{
	const int in = 1 << FEATURE_IN_NAT44_STATIC, out = 1 << FEATURE_OUT_NAT44_STATIC;
	uint16_t *features = &t->in[session].features;
	*features = (uint16_t)(on ? *features | in : *features & ~in);
	features = &t->out[session].features;
	*features = (uint16_t)(on ? *features | out : *features & ~out);
}

void nat44_static_clear(struct worker *w, uint32_t session)
{
	const struct tables *t = w->t;
	be32 address = t->cold[session].nat_public;
	if (!address)
		return;
	struct nat_log_record record = binding(t, session, NAT_LOG_STATIC_REMOVED, address);
	worker_nat_log_end(w, &record);
	t->cold[session].nat_public = 0;
	turn(t, session, false);
}

int nat44_static_command(struct worker *w, const struct command *c)
{
	const struct session_static *s = &c->u.nat_static;
	const struct tables *t = w->t;
	struct session_in *in = &t->in[c->session];
	be32 *address = &t->cold[c->session].nat_public;
	if (in->state == SESSION_CLOSED || (s->address && !s->inner) ||
		(s->address && in->ip4 && s->inner != in->ip4))
		return -EINVAL;
	if (s->address == *address)
		return 0;
	nat44_static_clear(w, c->session);
	if (!s->address)
		return 0;
	in->ip4 = s->inner; /* UP says the same */
	struct nat_log_record record = binding(t, c->session, NAT_LOG_STATIC_ADDED, s->address);
	if (!worker_nat_log_begin(w, &record))
		return -ENOSPC;
	*address = s->address;
	turn(t, c->session, true);
	return 0;
}
