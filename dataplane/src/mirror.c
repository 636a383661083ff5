/*
 * The mirror: life, and what time brings. See mirror.h.
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
	m->resync = RESYNC_ALL;
	while (!m->shared->dumps && m->dump_failures < DUMP_TRIES)
		mirror_work(m);
	return m->shared->dumps ? 0 : -EIO;
}

static int install_nat_pool(struct mirror *m)
{
	int status = 0;
	for (uint32_t i = 0; i < m->t->arena->n_nat_addresses && !status; i++)
		if (m->t->nat_address[i].address)
			status = mirror_nat_route(m, m->t->nat_address[i].address, i, true);
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
	m->resolves_left[0] = m->resolves_left[1] = RESOLVE_BURST;
	mirror_nexthops_init(&m->nexthops);
	m->n_ports = t->n_ports;
	m->with_kernel = with_kernel;
	m->fib = fib4_create(t->fib4_root, t->fib4_page, t->arena->max_fib4_pages);
	m->adjacencies = adjacency_create(t->adjacency, t->arena->max_adjacencies);
	m->fib6 = fib6_create(&t->fib6, t->arena->max_fib6_nodes);
	if (m->fib && m->fib6 && m->adjacencies)
		m->rib = rib_create(m->fib, m->adjacencies);
	if (m->rib)
		m->rib6 = rib_create(m->fib6, m->adjacencies);
	if (m->rib6) {
		fib_reserve(m->fib, reserve.fib4_pages);
		fib_reserve(m->fib6, reserve.fib6_nodes);
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
	fib_destroy(m->fib);
	fib_destroy(m->fib6);
	free(m);
}

/* ---- the kernel ---- */

int mirror_fd(const struct mirror *m, unsigned i)
{
	struct mnl_socket *const sockets[MIRROR_FDS] = {
		m->netlink.events, m->netlink.routes, m->netlink.routes6};
	return m->with_kernel ? mnl_socket_get_fd(sockets[i]) : -1;
}

/* ---- time ---- */

static void reclaim(struct mirror *m)
{
	for (uint32_t i = 0; i < m->t->n_workers; i++)
		if (__atomic_load_n(&m->t->worker[i].epoch, __ATOMIC_ACQUIRE) - m->epoch[i] <
			EPOCHS_TO_PASS)
			return;
	fib_reclaim(m->fib);
	fib_reclaim(m->fib6);
	adjacency_reclaim(m->adjacencies);
	for (uint32_t i = 0; i < m->t->n_workers; i++)
		m->epoch[i] = __atomic_load_n(&m->t->worker[i].epoch, __ATOMIC_ACQUIRE);
}

static void share(struct mirror *m)
{
	struct mirror_shared *s = m->shared;
	s->routes = fib_routes(m->fib);
	s->pages = m->t->arena->max_fib4_pages;
	s->pages_free = fib_parts_free(m->fib);
	s->waiting = rib_waiting(m->rib) + rib_waiting(m->rib6);
	s->nexthops = m->nexthops.n;
	s->adjacencies = adjacency_in_use(m->adjacencies);
	s->fib_writes = m->fib->writes + m->fib6->writes;
	s->routes6 = fib_routes(m->fib6);
	s->nodes6 = m->t->arena->max_fib6_nodes;
	s->nodes6_free = fib_parts_free(m->fib6);
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
	m->now_ms = now_ms;
	bool second = ++m->ticks % TICKS_OF_A_SECOND == 0;
	reclaim(m);
	share(m);
	for (int met = 0; met < 2; met++) {
		m->resolves_left[met] += RESOLVES_PER_S / TICKS_OF_A_SECOND;
		if (m->resolves_left[met] > RESOLVE_BURST)
			m->resolves_left[met] = RESOLVE_BURST;
	}
	if (second)
		each_second(m);
	mirror_keep_resolved(m, m->ask_now || second);
	m->ask_now = false;
}
