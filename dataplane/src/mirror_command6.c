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

/* Idempotent. */
static int own_route(struct mirror *m, const struct rib_key *key, enum adjacency_kind kind, bool on)
{
	uint32_t id = adjacency_get(m->adjacencies, kind, ADJACENCY_NO_PORT, NO_ADDRESS, 0, 0);
	if (on)
		return rib_add_own(m->rib6, key, id);
	if (id == ADJACENCY_NONE)
		return 0;
	(void)rib_del(m->rib6, key, id);
	adjacency_put(m->adjacencies, id);
	return 0;
}

static int unreachable(struct mirror *m, struct ip6_words prefix, uint8_t length, bool on)
{
	struct rib_key key = {.prefix = prefix,
		.length = length,
		.source = FIB_LOCAL,
		.priority = PRIORITY_NAT_POOL};
	return own_route(m, &key, ADJ_UNREACHABLE, on);
}

/* What no router forwards (RFC 4291 sections 2.5.2, 2.5.3, 2.5.6, 2.7), whatever the default route
 * says: 0::/64, fe80::/10, ff00::/8. */
int mirror_install6(struct mirror *m)
{
	static const struct {
		uint64_t prefix;
		uint8_t length;
	} all[] = {{0, 64}, {UINT64_C(0xfe80) << 48, 10}, {UINT64_C(0xff00) << 48, 8}};
	int status = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && !status; i++) {
		uint32_t id = adjacency_get(
			m->adjacencies, ADJ_BLACKHOLE, ADJACENCY_NO_PORT, NO_ADDRESS, 0, 0);
		struct ip6_words prefix = {.high = all[i].prefix};
		status = id == ADJACENCY_NONE ? -ENOMEM
					      : fib6_add(m->fib6, prefix, all[i].length, FIB_LOCAL,
							LEAF_ADJACENCY, id);
	}
	return status;
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
		return unreachable(m, prefix, length, true);
	default:
		return unreachable(m, prefix, length, false);
	}
}
