/* ACLs: what bngd compiled is checked before a worker looks into it; sessions are given theirs. */
#include "table/acl.h"

#include <errno.h>

/* An array between the head and `size`, aligned for its items. */
static bool is_inside(uint64_t offset, uint64_t n, uint64_t item, uint64_t size)
{
	uint64_t align = item < sizeof(uint64_t) ? item : sizeof(uint64_t);
	return offset % align == 0 && offset >= sizeof(struct acl_head) && offset <= size &&
	       n <= (size - offset) / item;
}

/* Behind everything else: what a worker counts changes nothing that another looks up. */
static bool counters_are_sane(const struct tables *t, const struct acl_head *h, uint64_t size)
{
	return h->counters % ACL_ALIGN == 0 &&
	       is_inside(h->counters, t->n_workers, acl_counter_stride(h->n_rules), size);
}

/* Of one of a field's bounds. */
static uint64_t bound_size(int field)
{
	bool ip6 = field == ACL_SOURCE6 || field == ACL_DESTINATION6;
	return ip6 ? sizeof(struct acl_address) : sizeof(uint32_t);
}

static bool field_is_sane(const struct acl_head *h, int field, uint64_t size)
{
	const struct acl_field *f = &h->field[field];
	if (!f->n_ranges || !f->n_classes || f->n_classes > f->n_ranges ||
		!is_inside(f->bounds, f->n_ranges, bound_size(field), size) ||
		!is_inside(f->classes, f->n_ranges, sizeof(uint16_t), size) ||
		!is_inside(f->bitmaps, (uint64_t)f->n_classes * (1 + h->n_words), sizeof(uint64_t),
			size))
		return false;
	const uint16_t *class = (const uint16_t *)((const uint8_t *)h + f->classes);
	for (uint32_t i = 0; i < f->n_ranges; i++)
		if (class[i] >= f->n_classes)
			return false;
	return true;
}

bool acl_is_sane(const struct tables *t, uint64_t place)
{
	uint64_t offset = place >> ACL_PLACE_SHIFT;
	uint64_t size = (uint32_t)place;
	if (offset % ACL_ALIGN || size < sizeof(struct acl_head) || offset > ACL_MEMORY ||
		size > ACL_MEMORY - offset)
		return false;
	const struct acl_head *h = (const struct acl_head *)(t->acl_memory + offset);
	if (!h->n_rules || h->n_rules > ACL_MAX_RULES || h->n_words != (h->n_rules + 63) / 64 ||
		!counters_are_sane(t, h, size) ||
		!is_inside(h->actions, h->n_rules, 1, h->counters))
		return false;
	for (int i = 0; i < ACL_FIELDS; i++)
		if (!field_is_sane(h, i, h->counters))
			return false;
	return true;
}

static void turn(uint16_t *features, int bit, bool on)
{
	*features = (uint16_t)(on ? *features | 1 << bit : *features & ~(1 << bit));
}

void acl_bind(struct worker *w, uint32_t session, uint16_t in, uint16_t out)
{
	w->t->in[session].acl = in;
	w->t->out[session].acl = out;
	turn(&w->t->in[session].features, FEATURE_IN_ACL, in);
	turn(&w->t->out[session].features, FEATURE_OUT_ACL, out);
}

int acl_command(struct worker *w, const struct command *c)
{
	const struct session_acl *a = &c->u.acl;
	if (w->t->in[c->session].state == SESSION_CLOSED || a->in > MAX_ACLS || a->out > MAX_ACLS)
		return -EINVAL;
	acl_bind(w, c->session, a->in, a->out);
	return 0;
}

void bypass_bind(struct worker *w, uint32_t session, uint16_t acl)
{
	w->t->out[session].bypass = acl;
	turn(&w->t->in[session].features, FEATURE_IN_NAT44_BYPASS, acl);
}

int bypass_command(struct worker *w, const struct command *c)
{
	uint16_t acl = c->u.bypass.acl;
	if (w->t->in[c->session].state == SESSION_CLOSED || acl > MAX_ACLS)
		return -EINVAL;
	bypass_bind(w, c->session, acl);
	return 0;
}
