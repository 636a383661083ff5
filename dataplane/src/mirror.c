/*
 * The mirror: life, commands of bngd, and what time brings. See mirror.h.
 */
#include "mirror_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hdr/byteorder.h"

enum {
	USED_LATELY_MS = 10000, /* a next hop that carried traffic is kept resolved */
	TICKS_OF_A_SECOND = 10,
	EPOCHS_TO_PASS = 2, /* the first vector may have been under way */
	/* Neighbours that packets make the kernel ask for; it gives one up after 3 s, and by
	 * default makes room from 512 on, refuses from 1024 on. */
	RESOLVES_PER_S = 50,
	RESOLVE_BURST = 100,
	DUMP_TRIES = 8, /* at start */
};

void mirror_no_memory(struct mirror *m)
{
	m->shared->no_memory++;
}

/* ---- life ---- */

static int open_kernel(struct mirror *m)
{
	int status = netlink_open(&m->netlink);
	if (status)
		return status;
	m->resync = true;
	while (!m->shared->dumps && m->dump_failures < DUMP_TRIES)
		mirror_work(m);
	return m->shared->dumps ? 0 : -EIO;
}

/* The route to a public address, which leads to its entry in the NAT table. Idempotent. */
static int nat_route(struct mirror *m, be32 address, uint32_t index, bool on)
{
	struct rib_key key = {.prefix = {.low = ntoh32(address)},
		.length = 32,
		.source = FIB_LOCAL,
		.priority = PRIORITY_NAT_POOL};
	uint32_t id = adjacency_get(
		m->adjacencies, ADJ_NAT_POOL, ADJACENCY_NO_PORT, ip4_words(address), index, 0);
	if (on)
		return rib_add_own(m->rib, &key, id);
	if (id == ADJACENCY_NONE)
		return 0;
	(void)rib_del(m->rib, &key, id);
	adjacency_put(m->adjacencies, id);
	return 0;
}

static int install_nat_pool(struct mirror *m)
{
	int status = 0;
	for (uint32_t i = 0; i < m->t->arena->n_nat_addresses && !status; i++)
		if (m->t->nat_address[i].address)
			status = nat_route(m, m->t->nat_address[i].address, i, true);
	return status;
}

struct mirror *mirror_create(
	const struct tables *t, struct session_reserve reserve, bool with_kernel)
{
	struct mirror *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->t = t;
	m->shared = t->mirror;
	m->resolves_left = RESOLVE_BURST;
	mirror_nexthops_init(&m->nexthops);
	m->n_ports = t->n_ports;
	m->with_kernel = with_kernel;
	m->fib = fib4_create(t->fib4_root, t->fib4_page, t->arena->max_fib4_pages);
	m->adjacencies = adjacency_create(t->adjacency, t->arena->max_adjacencies);
	m->fib6 = fib6_create(&t->fib6, t->arena->max_fib6_nodes);
	if (m->fib && m->fib6 && m->adjacencies)
		m->rib = rib_create(m->fib, m->adjacencies);
	if (m->rib)
		m->rib6 = rib6_create(m->fib6, m->adjacencies);
	if (m->rib6) {
		fib4_reserve(m->fib, reserve.fib4_pages);
		fib6_reserve(m->fib6, reserve.fib6_nodes);
	}
	int status = m->rib6 ? install_nat_pool(m) : -ENOMEM;
	if (!status)
		status = mirror_install6(m);
	if (!status && with_kernel)
		status = open_kernel(m);
	if (!status)
		return m;
	fprintf(stderr, "bng-dataplane: mirror: %s\n", strerror(-status));
	mirror_destroy(m);
	return NULL;
}

void mirror_destroy(struct mirror *m)
{
	if (!m)
		return;
	netlink_close(&m->netlink);
	mirror_nexthops_free(&m->nexthops);
	rib_destroy(m->rib);
	rib_destroy(m->rib6);
	adjacency_destroy(m->adjacencies);
	fib4_destroy(m->fib);
	fib6_destroy(m->fib6);
	free(m);
}

/* ---- the kernel ---- */

int mirror_fd(const struct mirror *m, unsigned i)
{
	if (!m->with_kernel)
		return -1;
	return mnl_socket_get_fd(i ? m->netlink.routes : m->netlink.events);
}

static void resolve(struct mirror *m, uint8_t port, struct ip6_words address)
{
	if (m->with_kernel && port < m->n_ports && m->t->port[port].twin < m->n_ports)
		netlink_resolve(&m->netlink, m->t->port[m->t->port[port].twin].ifindex, address);
}

void mirror_resolve(struct mirror *m, uint8_t port, struct ip6_words address)
{
	bool is_gateway = adjacency_find(m->adjacencies, port, address) != ADJACENCY_NONE;
	if (!m->resolves_left && !is_gateway) {
		m->shared->resolves_cut++;
		return;
	}
	m->resolves_left -= !is_gateway;
	m->shared->resolves++;
	resolve(m, port, address);
}

/* ---- commands ---- */

static int route_add(struct mirror *m, const struct command *c)
{
	if (c->session >= m->t->max_sessions || c->u.route4.length > 32)
		return -EINVAL;
	return fib4_add(m->fib, ntoh32(c->u.route4.prefix), (uint8_t)c->u.route4.length,
		FIB_SESSION, LEAF_SESSION, c->session);
}

/* Idempotent: a route that is gone is no error; one that another session took over stays. */
static int route_del(struct mirror *m, const struct command *c)
{
	if (c->session >= m->t->max_sessions || c->u.route4.length > 32)
		return -EINVAL;
	uint32_t prefix = ntoh32(c->u.route4.prefix);
	uint8_t length = (uint8_t)c->u.route4.length;
	uint32_t leaf = fib4_find(m->fib, prefix, length, FIB_SESSION);
	if (!leaf)
		return 0;
	if (leaf_index(leaf) != c->session)
		return -ESTALE;
	return fib4_del(m->fib, prefix, length, FIB_SESSION);
}

/* ICMP errors to subscribers come from the first gateway. */
static int gateway(struct mirror *m, const struct command *c)
{
	be32 address = c->u.route4.prefix;
	if (!address)
		return -EINVAL;
	struct rib_key key = {.prefix = {.low = ntoh32(address)},
		.length = 32,
		.source = FIB_LOCAL,
		.priority = PRIORITY_GATEWAY};
	uint32_t id = adjacency_get(
		m->adjacencies, ADJ_GATEWAY, ADJACENCY_NO_PORT, ip4_words(address), 0, 0);
	int status = 0;
	if (c->type == CMD_GATEWAY4_ADD) {
		if (id != ADJACENCY_NONE && !m->t->adjacency[id].index)
			m->t->adjacency[id].index = ++m->addresses;
		status = rib_add_own(m->rib, &key, id);
	} else if (id != ADJACENCY_NONE) {
		(void)rib_del(m->rib, &key, id);
		adjacency_put(m->adjacencies, id);
	}
	uint32_t oldest = adjacency_first(m->adjacencies, ADJ_GATEWAY, ADJACENCY_NO_PORT, true);
	be32 first = oldest == ADJACENCY_NONE ? 0 : m->t->adjacency[oldest].address;
	for (uint32_t i = 0; i < m->n_ports; i++)
		if (m->t->port[i].role == PORT_ACCESS)
			__atomic_store_n(&m->t->port[i].ip4, first, __ATOMIC_RELAXED);
	return status;
}

/* Addresses of ours that are somebody's by longer routes only: who sends to the others is told. */
static int unreachable(struct mirror *m, const struct command *c)
{
	uint32_t prefix = ntoh32(c->u.route4.prefix);
	uint32_t length = c->u.route4.length;
	if (length < 1 || length > 32 || (uint32_t)((uint64_t)prefix << length))
		return -EINVAL;
	struct rib_key key = {.prefix = {.low = prefix},
		.length = (uint8_t)length,
		.source = FIB_LOCAL,
		.priority = PRIORITY_NAT_POOL};
	uint32_t id =
		adjacency_get(m->adjacencies, ADJ_UNREACHABLE, ADJACENCY_NO_PORT, NO_ADDRESS, 0, 0);
	if (c->type == CMD_UNREACHABLE4_ADD)
		return rib_add_own(m->rib, &key, id);
	if (id != ADJACENCY_NONE) {
		(void)rib_del(m->rib, &key, id);
		adjacency_put(m->adjacencies, id);
	}
	return 0;
}

static int nat_address(struct mirror *m, const struct command *c)
{
	const struct nat_address_set *set = &c->u.nat_address;
	if (!set->address || set->index >= m->t->arena->n_nat_addresses || set->on > 1)
		return -EINVAL;
	return nat_route(m, set->address, set->index, set->on);
}

int mirror_command(struct mirror *m, const struct command *c)
{
	switch (c->type) {
	case CMD_ROUTE4_ADD:
		return route_add(m, c);
	case CMD_ROUTE4_DEL:
		return route_del(m, c);
	case CMD_GATEWAY4_ADD:
	case CMD_GATEWAY4_DEL:
		return gateway(m, c);
	case CMD_UNREACHABLE4_ADD:
	case CMD_UNREACHABLE4_DEL:
		return unreachable(m, c);
	case CMD_NAT_ADDRESS:
		return nat_address(m, c);
	case CMD_ROUTE6_ADD:
	case CMD_ROUTE6_DEL:
	case CMD_UNREACHABLE6_ADD:
	case CMD_UNREACHABLE6_DEL:
		return mirror_command6(m, c);
	default:
		return -EINVAL;
	}
}

/* ---- time ---- */

static void reclaim(struct mirror *m)
{
	for (uint32_t i = 0; i < m->t->n_workers; i++)
		if (__atomic_load_n(&m->t->worker[i].epoch, __ATOMIC_ACQUIRE) - m->epoch[i] <
			EPOCHS_TO_PASS)
			return;
	fib4_reclaim(m->fib);
	fib6_reclaim(m->fib6);
	adjacency_reclaim(m->adjacencies);
	for (uint32_t i = 0; i < m->t->n_workers; i++)
		m->epoch[i] = __atomic_load_n(&m->t->worker[i].epoch, __ATOMIC_ACQUIRE);
}

/* The kernel does not see our traffic: it is told which of its stale neighbours are in use. A
 * gateway of a route is resolved before the first packet needs it. */
static void keep_resolved(struct mirror *m, uint64_t now_ms, bool gateways)
{
	for (uint32_t i = 0; i < adjacency_high(m->adjacencies); i++) {
		struct adjacency *a = &m->t->adjacency[i];
		if (!adjacency_is_used(m->adjacencies, i))
			continue;
		uint64_t used = __atomic_load_n(&a->used, __ATOMIC_RELAXED);
		struct ip6_words address = adjacency_address(a);
		if (a->kind == ADJ_GLEAN && is_address(address) && gateways) {
			resolve(m, a->port, address);
		} else if (a->kind == ADJ_NEIGHBOUR && a->flags & ADJACENCY_STALE && used &&
			   now_ms - used < USED_LATELY_MS) {
			a->flags = 0; /* the kernel will say what came of it */
			resolve(m, a->port, address);
		}
	}
}

static void share(struct mirror *m)
{
	struct mirror_shared *s = m->shared;
	s->routes = fib4_routes(m->fib);
	s->pages = m->t->arena->max_fib4_pages;
	s->pages_free = fib4_pages_free(m->fib);
	s->waiting = rib_waiting(m->rib) + rib_waiting(m->rib6);
	s->nexthops = m->nexthops.n;
	s->adjacencies = adjacency_in_use(m->adjacencies);
	s->fib_writes = fib4_writes(m->fib) + fib6_writes(m->fib6);
	s->routes6 = fib6_routes(m->fib6);
	s->nodes6 = m->t->arena->max_fib6_nodes;
	s->nodes6_free = fib6_nodes_free(m->fib6);
	s->repoints = adjacency_repoints(m->adjacencies);
}

/* What changed since it was last told; `now` may be less, after a dump. */
static void tell(const char *event, uint64_t *told, uint64_t now)
{
	if (now != *told && now)
		fprintf(stderr, "event=%s count=%" PRIu64 "\n", event, now);
	*told = now;
}

static void each_second(struct mirror *m)
{
	const struct mirror_shared *s = m->shared;
	tell("routes-no-memory", &m->told_no_memory, s->no_memory);
	if (!m->dump.running)
		tell("routes-unsupported", &m->told_unsupported, s->unsupported);
	tell("routes-waiting-for-room", &m->told_waiting, s->waiting);
	if (s->waiting && (s->pages_free || s->nodes6_free) && !m->scan)
		mirror_scan(m);
}

void mirror_tick(struct mirror *m, uint64_t now_ms)
{
	bool second = ++m->ticks % TICKS_OF_A_SECOND == 0;
	reclaim(m);
	share(m);
	m->resolves_left += RESOLVES_PER_S / TICKS_OF_A_SECOND;
	if (m->resolves_left > RESOLVE_BURST)
		m->resolves_left = RESOLVE_BURST;
	if (second)
		each_second(m);
	if (!m->with_kernel)
		return;
	keep_resolved(m, now_ms, m->ask_now || second);
	m->ask_now = false;
}
