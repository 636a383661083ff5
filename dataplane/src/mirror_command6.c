/* bngd's IPv6 routes: of sessions, and of what is nobody's but by longer routes. */
#include "mirror_state.h"

#include <errno.h>

static bool is_prefix(const struct route6 *route)
{
	struct ip6_words prefix = ip6_words(route->prefix);
	struct ip6_words masked = ip6_masked(prefix, route->length);
	return prefix.high == masked.high && prefix.low == masked.low;
}

/* Idempotent: a route that is gone is no error; one that another session took over stays. */
static int route_del(struct mirror *m, const struct command *c, struct ip6_words prefix)
{
	uint8_t length = (uint8_t)c->u.route6.length;
	uint32_t leaf = fib6_find(m->fib6, prefix, length, FIB_SESSION);
	if (!leaf)
		return 0;
	if (leaf_index(leaf) != c->session)
		return -ESTALE;
	return fib6_del(m->fib6, prefix, length, FIB_SESSION);
}

static int unreachable_add(struct mirror *m, struct ip6_words prefix, uint8_t length)
{
	if (fib6_find(m->fib6, prefix, length, FIB_LOCAL))
		return 0;
	uint32_t id = adjacency_get(m->adjacencies, ADJ_UNREACHABLE, ADJACENCY_NO_PORT, 0, 0, 0);
	if (id == ADJACENCY_NONE)
		return -ENOMEM;
	int status = fib6_add(m->fib6, prefix, length, FIB_LOCAL, LEAF_ADJACENCY, id);
	if (status)
		adjacency_put(m->adjacencies, id);
	return status;
}

static int unreachable_del(struct mirror *m, struct ip6_words prefix, uint8_t length)
{
	uint32_t leaf = fib6_find(m->fib6, prefix, length, FIB_LOCAL);
	if (!leaf)
		return 0;
	(void)fib6_del(m->fib6, prefix, length, FIB_LOCAL);
	adjacency_put(m->adjacencies, leaf_index(leaf));
	return 0;
}

int mirror_command6(struct mirror *m, const struct command *c)
{
	struct ip6_words prefix = ip6_words(c->u.route6.prefix);
	uint8_t length = (uint8_t)c->u.route6.length;
	bool of_session = c->type == CMD_ROUTE6_ADD || c->type == CMD_ROUTE6_DEL;
	if (c->u.route6.length > 128 || !is_prefix(&c->u.route6) ||
		(of_session ? c->session >= m->t->max_sessions : !length))
		return -EINVAL;
	switch (c->type) {
	case CMD_ROUTE6_ADD:
		return fib6_add(m->fib6, prefix, length, FIB_SESSION, LEAF_SESSION, c->session);
	case CMD_ROUTE6_DEL:
		return route_del(m, c, prefix);
	case CMD_UNREACHABLE6_ADD:
		return unreachable_add(m, prefix, length);
	default:
		return unreachable_del(m, prefix, length);
	}
}
