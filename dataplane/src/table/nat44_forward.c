/* NAT44 port forwards: a chained hash of fixed size per worker, and a chain for each session. */
#include "table/nat44_forward.h"

#include <errno.h>

#include "hdr/ip4.h"

static struct nat_forward *entries(const struct worker *w)
{
	return w->t->nat_forward + (size_t)w->id * w->t->nat->forwards_per_worker;
}

/* The number of a forward + 1, where 0 is none. */
static struct nat_forward *at(const struct worker *w, uint32_t index_1)
{
	return index_1 ? entries(w) + index_1 - 1 : NULL;
}

static uint32_t *chain(const struct worker *w, uint32_t address, uint32_t plane, be16 external)
{
	const struct nat_config *nat = w->t->nat;
	uint32_t hash = nat44_hash(nat, address * NAT_PLANES + plane, external);
	return &entries(w)[hash & (nat->forwards_per_worker - 1)].head;
}

const struct nat_forward *nat44_forward_in(
	const struct worker *w, uint32_t address, uint32_t plane, be16 external)
{
	const struct nat_forward *f = at(w, *chain(w, address, plane, external));
	while (f && (f->address != address || f->plane != plane || f->external != external))
		f = at(w, f->next);
	return f;
}

const struct nat_forward *nat44_forward_out(
	const struct worker *w, uint32_t session, uint32_t plane, be16 inner)
{
	const struct nat_forward *f = at(w, w->t->cold[session].nat_forwards);
	while (f && (f->plane != plane || f->inner != inner))
		f = at(w, f->next_of_session);
	return f;
}

static struct nat_log_record record_of(
	const struct worker *w, const struct nat_forward *f, enum nat_log_type type)
{
	const struct session_in *in = &w->t->in[f->session - 1];
	return (struct nat_log_record){
		.type = (uint8_t)type,
		.protocol = f->plane == NAT_TCP ? IPPROTO_TCP4 : IPPROTO_UDP4,
		.inner_port = ntoh16(f->inner),
		.session = f->session - 1,
		.generation = in->generation,
		.inner = in->ip4,
		.outer = w->t->nat_address[f->address].address,
		.port_first = ntoh16(f->external),
		.port_last = ntoh16(f->external),
	};
}

static void turn(const struct worker *w, uint32_t session)
{
	const int bit = 1 << FEATURE_IN_NAT44_FORWARD;
	uint16_t *features = &w->t->in[session].features;
	bool on = w->t->cold[session].nat_forwards;
	*features = (uint16_t)(on ? *features | bit : *features & ~bit);
}

/* The one that *link, of a session's chain, leads to. */
static void unlink_forward(struct worker *w, uint32_t *link)
{
	struct nat_forward *f = at(w, *link);
	struct nat_log_record record = record_of(w, f, NAT_LOG_FORWARD_REMOVED);
	worker_nat_log_end(w, &record);
	uint32_t *in_chain = chain(w, f->address, f->plane, f->external);
	while (*in_chain != *link)
		in_chain = &at(w, *in_chain)->next;
	*in_chain = f->next;
	*link = f->next_of_session;
	*f = (struct nat_forward){.head = f->head};
}

void nat44_forward_clear(struct worker *w, uint32_t session)
{
	uint32_t *first = &w->t->cold[session].nat_forwards;
	while (*first)
		unlink_forward(w, first);
	turn(w, session);
}

static struct nat_forward *find_free(const struct worker *w)
{
	struct nat_forward *f = entries(w);
	for (uint32_t i = 0; i < w->t->nat->forwards_per_worker; i++)
		if (!f[i].session)
			return &f[i];
	return NULL;
}

static uint32_t count(const struct worker *w, uint32_t session)
{
	uint32_t n = 0;
	for (const struct nat_forward *f = at(w, w->t->cold[session].nat_forwards); f;
		f = at(w, f->next_of_session))
		n++;
	return n;
}

static int add(struct worker *w, uint32_t session, const struct nat_forward *wanted)
{
	struct nat_forward *f = find_free(w);
	if (!f || count(w, session) >= NAT_FORWARDS_PER_SESSION)
		return -ENOSPC;
	struct nat_log_record record = record_of(w, wanted, NAT_LOG_FORWARD_ADDED);
	if (!worker_nat_log_begin(w, &record))
		return -ENOSPC;
	uint32_t *first = &w->t->cold[session].nat_forwards;
	uint32_t *in_chain = chain(w, wanted->address, wanted->plane, wanted->external);
	uint32_t head = f->head, index_1 = (uint32_t)(f - entries(w)) + 1;
	*f = *wanted;
	f->head = head;
	f->next = *in_chain;
	f->next_of_session = *first;
	*in_chain = *first = index_1;
	turn(w, session);
	return 0;
}

static void remove_forward(struct worker *w, uint32_t session, const struct nat_forward *wanted)
{
	uint32_t *link = &w->t->cold[session].nat_forwards;
	for (struct nat_forward *f; (f = at(w, *link)); link = &f->next_of_session)
		if (f->plane == wanted->plane && f->external == wanted->external) {
			unlink_forward(w, link);
			turn(w, session);
			return;
		}
}

int nat44_forward_command(struct worker *w, const struct command *c)
{
	const struct session_forward *s = &c->u.forward;
	uint32_t address = nat44_session_address(w->t, c->session);
	if (w->t->in[c->session].state == SESSION_CLOSED || s->on > 1 || !s->external ||
		!s->inner || (s->protocol != IPPROTO_TCP4 && s->protocol != IPPROTO_UDP4))
		return -EINVAL;
	if (!address) /* and so there are none */
		return s->on ? -EINVAL : 0;
	const struct nat_forward wanted = {
		.session = c->session + 1,
		.address = address - 1,
		.external = hton16(s->external),
		.inner = hton16(s->inner),
		.plane = s->protocol == IPPROTO_TCP4 ? NAT_TCP : NAT_UDP,
	};
	if (!s->on) {
		remove_forward(w, c->session, &wanted);
		return 0;
	}
	if (!nat44_is_forward_port(w->t->nat, wanted.external))
		return -EINVAL;
	const struct nat_forward *in =
		nat44_forward_in(w, wanted.address, wanted.plane, wanted.external);
	const struct nat_forward *out =
		nat44_forward_out(w, c->session, wanted.plane, wanted.inner);
	if (in || out)
		return in == out ? 0 : -EEXIST;
	return add(w, c->session, &wanted);
}
