/* bngd's routes, of both families: of sessions, of gateways and public addresses, and of what is
 * nobody's but by longer routes. All commands are idempotent. */
#include "mirror_state.h"

#include <errno.h>

/* What a command speaks of. */
struct place {
	struct fib *fib;
	struct rib *rib;
	struct ip6_words prefix;
	uint32_t length;
};

static struct place ip4_place(const struct mirror *m, be32 prefix, uint32_t length)
{
	return (struct place){m->fib, m->rib, {.low = ntoh32(prefix)}, length};
}

static struct place ip6_place(const struct mirror *m, const struct route6 *route)
{
	return (struct place){m->fib6, m->rib6, ip6_words(route->prefix), route->length};
}

static bool is_prefix(const struct place *place)
{
	uint32_t bits = place->fib->trie->bits;
	return place->length <= bits &&
	       same_address(ip6_masked(place->prefix, 128 - bits + place->length), place->prefix);
}

static int session_add(const struct mirror *m, const struct place *at, uint32_t session)
{
	if (session >= m->t->max_sessions || !is_prefix(at))
		return -EINVAL;
	return fib_add(
		at->fib, at->prefix, (uint8_t)at->length, FIB_SESSION, LEAF_SESSION, session);
}

/* A route that is gone is no error; one that another session took over stays. */
static int session_del(const struct mirror *m, const struct place *at, uint32_t session)
{
	if (session >= m->t->max_sessions || !is_prefix(at))
		return -EINVAL;
	uint32_t leaf = fib_find(at->fib, at->prefix, (uint8_t)at->length, FIB_SESSION);
	if (!leaf)
		return 0;
	if (leaf_index(leaf) != session)
		return -ESTALE;
	return fib_del(at->fib, at->prefix, (uint8_t)at->length, FIB_SESSION);
}

/* `id` is the adjacency's, of which one reference is taken over. */
static int own_route(
	struct mirror *m, const struct place *at, uint32_t priority, uint32_t id, bool on)
{
	struct rib_key key = {.prefix = at->prefix,
		.length = (uint8_t)at->length,
		.source = FIB_LOCAL,
		.priority = priority};
	if (on)
		return rib_add_own(at->rib, &key, id);
	if (id == ADJACENCY_NONE)
		return 0;
	(void)rib_del(at->rib, &key, id);
	adjacency_put(m->adjacencies, id);
	return 0;
}

/* Addresses of ours that are somebody's by longer routes only: who sends to the others is told. */
static int unreachable(struct mirror *m, const struct place *at, bool on)
{
	if (!at->length || !is_prefix(at))
		return -EINVAL;
	uint32_t id =
		adjacency_get(m->adjacencies, ADJ_UNREACHABLE, ADJACENCY_NO_PORT, NO_ADDRESS, 0, 0);
	return own_route(m, at, PRIORITY_NAT_POOL, id, on);
}

int mirror_nat_route(struct mirror *m, be32 address, uint32_t index, bool on)
{
	struct place at = ip4_place(m, address, 32);
	uint32_t id = adjacency_get(
		m->adjacencies, ADJ_NAT_POOL, ADJACENCY_NO_PORT, ip4_words(address), index, 0);
	return own_route(m, &at, PRIORITY_NAT_POOL, id, on);
}

/* ICMP errors to subscribers come from the first gateway. */
static int gateway(struct mirror *m, be32 address, bool on)
{
	if (!address)
		return -EINVAL;
	struct place at = ip4_place(m, address, 32);
	uint32_t id = adjacency_get(
		m->adjacencies, ADJ_GATEWAY, ADJACENCY_NO_PORT, ip4_words(address), 0, 0);
	if (on && id != ADJACENCY_NONE && !m->t->adjacency[id].index)
		m->t->adjacency[id].index = ++m->addresses;
	int status = own_route(m, &at, PRIORITY_GATEWAY, id, on);
	uint32_t oldest = adjacency_first(m->adjacencies, ADJ_GATEWAY, ADJACENCY_NO_PORT, true);
	be32 first = oldest == ADJACENCY_NONE ? 0 : m->t->adjacency[oldest].address;
	for (uint32_t i = 0; i < m->n_ports; i++)
		if (m->t->port[i].role == PORT_ACCESS)
			__atomic_store_n(&m->t->port[i].ip4, first, __ATOMIC_RELAXED);
	return status;
}

static int nat_address(struct mirror *m, const struct nat_address_set *set)
{
	if (!set->address || set->index >= m->t->arena->n_nat_addresses || set->on > 1)
		return -EINVAL;
	return mirror_nat_route(m, set->address, set->index, set->on);
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
					      : fib_add(m->fib6, prefix, all[i].length, FIB_LOCAL,
							LEAF_ADJACENCY, id);
	}
	return status;
}

int mirror_command(struct mirror *m, const struct command *c)
{
	struct place ip4 = ip4_place(m, c->u.route4.prefix, c->u.route4.length);
	struct place ip6 = ip6_place(m, &c->u.route6);
	switch (c->type) {
	case CMD_ROUTE4_ADD:
		return session_add(m, &ip4, c->session);
	case CMD_ROUTE4_DEL:
		return session_del(m, &ip4, c->session);
	case CMD_ROUTE6_ADD:
		return session_add(m, &ip6, c->session);
	case CMD_ROUTE6_DEL:
		return session_del(m, &ip6, c->session);
	case CMD_GATEWAY4_ADD:
	case CMD_GATEWAY4_DEL:
		return gateway(m, c->u.route4.prefix, c->type == CMD_GATEWAY4_ADD);
	case CMD_UNREACHABLE4_ADD:
	case CMD_UNREACHABLE4_DEL:
		return unreachable(m, &ip4, c->type == CMD_UNREACHABLE4_ADD);
	case CMD_UNREACHABLE6_ADD:
	case CMD_UNREACHABLE6_DEL:
		return unreachable(m, &ip6, c->type == CMD_UNREACHABLE6_ADD);
	case CMD_NAT_ADDRESS:
		return nat_address(m, &c->u.nat_address);
	default:
		return -EINVAL;
	}
}
