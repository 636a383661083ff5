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

#include <linux/rtnetlink.h>

#include "hdr/byteorder.h"

enum {
	USED_LATELY_MS = 10000, /* a next hop that carried traffic is kept resolved */
	TICKS_OF_A_SECOND = 10,
	EPOCHS_TO_PASS = 2, /* the first vector may have been under way */
};

void mirror_refused(struct mirror *m, int status)
{
	m->refused++;
	m->refused_status = status;
}

/* ---- life ---- */

static uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int counted_message(const struct nlmsghdr *nlh, void *mirror)
{
	struct mirror *m = mirror;
	m->dumped++;
	return mirror_kernel_message(nlh, m);
}

/* Dumps into a new generation and sweeps. Returns 0 or -errno: nothing was swept. */
static int dump_all(struct mirror *m)
{
	static const struct {
		uint16_t type;
		uint8_t family;
	} dumps[] = {{RTM_GETLINK, AF_UNSPEC}, {RTM_GETADDR, AF_INET}, {RTM_GETROUTE, AF_INET},
		{RTM_GETNEIGH, AF_INET}};
	uint64_t begin_ms = clock_ms();
	m->resync = false;
	m->dumped = 0;
	rib_begin(m->rib);
	for (size_t i = 0; i < sizeof(dumps) / sizeof(*dumps); i++) {
		int status = netlink_dump(
			&m->netlink, dumps[i].type, dumps[i].family, counted_message, m);
		if (status)
			return status;
		if (dumps[i].type == RTM_GETLINK)
			m->resync = false; /* links that came up: the dumps that follow see all */
	}
	rib_sweep(m->rib);
	fprintf(stderr, "event=mirror-dump messages=%u ms=%" PRIu64 "\n", m->dumped,
		clock_ms() - begin_ms);
	return 0;
}

static int open_kernel(struct mirror *m)
{
	int status = netlink_open(&m->netlink);
	if (status)
		return status;
	status = dump_all(m);
	m->resync |= status == -EINTR; /* too much changes just now */
	return status == -EINTR ? 0 : status;
}

static int install_nat_pool(struct mirror *m)
{
	for (uint32_t i = 0; i < m->t->arena->n_nat_addresses; i++) {
		const struct nat_address *a = &m->t->nat_address[i];
		uint32_t id = adjacency_get(
			m->adjacencies, ADJ_NAT_POOL, ADJACENCY_NO_PORT, a->address, i, 0);
		struct rib_key key = {.prefix = ntoh32(a->address),
			.length = 32,
			.source = FIB_LOCAL,
			.priority = PRIORITY_NAT_POOL};
		int status = rib_add(m->rib, &key, id, false);
		if (status)
			return status;
	}
	return 0;
}

struct mirror *mirror_create(const struct tables *t, bool with_kernel)
{
	struct mirror *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->t = t;
	m->n_ports = t->n_ports;
	m->with_kernel = with_kernel;
	m->fib = fib4_create(t->fib4_root, t->fib4_page, t->arena->max_fib4_pages);
	m->adjacencies = adjacency_create(t->adjacency, t->arena->max_adjacencies);
	if (m->fib && m->adjacencies)
		m->rib = rib_create(m->fib, m->adjacencies, t->adjacency);
	int status = m->rib ? install_nat_pool(m) : -ENOMEM;
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
	rib_destroy(m->rib);
	adjacency_destroy(m->adjacencies);
	fib4_destroy(m->fib);
	free(m);
}

/* ---- the kernel ---- */

int mirror_fd(const struct mirror *m)
{
	return m->with_kernel ? mnl_socket_get_fd(m->netlink.events) : -1;
}

void mirror_receive(struct mirror *m)
{
	if (m->with_kernel && netlink_receive(&m->netlink, mirror_kernel_message, m))
		m->resync = true;
}

void mirror_resolve(struct mirror *m, uint8_t port, be32 address)
{
	if (!m->with_kernel || port >= m->n_ports || m->t->port[port].twin >= m->n_ports)
		return;
	netlink_resolve(&m->netlink, m->t->port[m->t->port[port].twin].ifindex, address);
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
	struct rib_key key = {.prefix = ntoh32(address),
		.length = 32,
		.source = FIB_LOCAL,
		.priority = PRIORITY_GATEWAY};
	uint32_t id = adjacency_get(m->adjacencies, ADJ_GATEWAY, ADJACENCY_NO_PORT, address, 0, 0);
	int status = 0;
	if (c->type == CMD_GATEWAY4_ADD) {
		status = rib_add(m->rib, &key, id, false);
	} else if (id != ADJACENCY_NONE) {
		(void)rib_del(m->rib, &key, id);
		adjacency_put(m->adjacencies, id);
	}
	be32 first = rib_first(m->rib, ADJ_GATEWAY, ADJACENCY_NO_PORT);
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
	struct rib_key key = {.prefix = prefix,
		.length = (uint8_t)length,
		.source = FIB_LOCAL,
		.priority = PRIORITY_NAT_POOL};
	uint32_t id = adjacency_get(m->adjacencies, ADJ_UNREACHABLE, ADJACENCY_NO_PORT, 0, 0, 0);
	if (c->type == CMD_UNREACHABLE4_ADD)
		return rib_add(m->rib, &key, id, false);
	if (id != ADJACENCY_NONE) {
		(void)rib_del(m->rib, &key, id);
		adjacency_put(m->adjacencies, id);
	}
	return 0;
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
		uint64_t used = __atomic_load_n(&a->used, __ATOMIC_RELAXED);
		if (a->kind == ADJ_GLEAN && a->address && gateways) {
			mirror_resolve(m, a->port, a->address);
		} else if (a->kind == ADJ_NEIGHBOUR && a->flags & ADJACENCY_STALE && used &&
			   now_ms - used < USED_LATELY_MS) {
			a->flags = 0; /* the kernel will say what came of it */
			mirror_resolve(m, a->port, a->address);
		}
	}
}

void mirror_tick(struct mirror *m, uint64_t now_ms)
{
	bool second = ++m->ticks % TICKS_OF_A_SECOND == 0;
	reclaim(m);
	if (!m->with_kernel)
		return;
	if (m->resync && dump_all(m))
		m->resync = true;
	keep_resolved(m, now_ms, m->ask_now || second);
	m->ask_now = false;
	if (m->refused && second) {
		fprintf(stderr, "event=routes-refused count=%u error=\"%s\"\n", m->refused,
			strerror(-m->refused_status));
		m->refused = 0;
	}
}
