/*
 * Dumps of what the kernel has, into a new generation, and scans of all routes for those that are
 * gone. Both are done in slices, with the control thread's other work in between.
 *
 * A dump's messages may be older than an event that is read before them. So events wait until what
 * they could contradict has been dumped and swept: those of routes for a whole dump, the others
 * only while links, addresses, nexthop objects and neighbours are dumped, which are few. Read after
 * it, the last event of each object has the last word. What was waiting when some were lost is read
 * before the dump begins: its continuation is missing.
 *
 * Only what can be wrong is dumped: the routes of one family, when events of those were lost or an
 * address of it went, else all.
 *
 * Forwarding goes on all the while: a route that the dump shows unchanged is not touched.
 */
#include "mirror_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "engine.h"

enum {
	SLICE_NS = 2000000,
	RETRY_NS = 100000000,
	SCAN_STEP = 1024,
	STAGE_TRIES = 8,
	CATCH_UP_MAX = 256
};

static const struct {
	uint16_t type;
	uint8_t family;
} dumps[N_DUMPS] = {
	[DUMP_LINKS] = {RTM_GETLINK, AF_UNSPEC},
	[DUMP_ADDRESSES] = {RTM_GETADDR, AF_UNSPEC},
	[DUMP_NEXTHOPS] = {RTM_GETNEXTHOP, AF_UNSPEC},
	[DUMP_NEIGHBOURS] = {RTM_GETNEIGH, AF_UNSPEC},
	[DUMP_ROUTES] = {RTM_GETROUTE, AF_INET},
	[DUMP_ROUTES6] = {RTM_GETROUTE, AF_INET6},
};

/* ---- scans ---- */

void mirror_scan(struct mirror *m)
{
	m->scan = true;
	m->scan6 = false;
	m->scan_at = 0;
}

static bool on_lost_link(const struct mirror *m, const struct adjacency *a)
{
	return (a->kind == ADJ_GLEAN || a->kind == ADJ_NEIGHBOUR) && !m->usable[a->port];
}

static bool is_lost(const struct mirror *m, const struct adjacency *a)
{
	if (a->flags & ADJACENCY_OBJECT)
		return a->flags & ADJACENCY_LOST;
	if (a->kind != ADJ_GROUP)
		return on_lost_link(m, a);
	for (int i = 0; i < GROUP_SLOTS; i++)
		if (!on_lost_link(m, &m->t->adjacency[a->member[i]]))
			return false;
	return true;
}

/* The stage that shows what is in the RIB that is scanned. */
static enum dump_stage shown_by(const struct mirror *m, enum fib_source source)
{
	if (source == FIB_NEIGHBOUR)
		return DUMP_NEIGHBOURS;
	if (source == FIB_LOCAL)
		return DUMP_ADDRESSES;
	return m->scan6 ? DUMP_ROUTES6 : DUMP_ROUTES;
}

static bool goes(void *mirror, uint32_t adjacency, enum fib_source source, bool seen)
{
	struct mirror *m = mirror;
	if (is_lost(m, &m->t->adjacency[adjacency]))
		return true;
	if (seen || !m->dump.sweeping || !(m->dump.stages & 1u << shown_by(m, source)))
		return false;
	return source != FIB_NEIGHBOUR || !mirror_hold(m, adjacency);
}

static void scan_step(struct mirror *m)
{
	struct rib *rib = m->scan6 ? m->rib6 : m->rib;
	if (!rib_visit(rib, &m->scan_at, SCAN_STEP, goes, m))
		return;
	m->scan = !m->scan6;
	m->scan6 = true;
	m->scan_at = 0;
}

/* ---- dumps ---- */

static int counted_message(const struct nlmsghdr *nlh, void *mirror)
{
	struct mirror *m = mirror;
	m->dump.messages++;
	return mirror_kernel_message(nlh, m);
}

static void dump_begin(struct mirror *m)
{
	unsigned stages = m->resync;
	m->resync = 0;
	m->dump = (struct dump){.running = true,
		.stages = stages,
		.stage = (enum dump_stage)__builtin_ctz(stages),
		.begin_ns = monotonic_ns()};
	m->netlink.dump_ns = 0;
	m->unread = true;
	if (stages & RESYNC_ROUTES) {
		rib_begin(m->rib);
		m->unsupported[0] = 0;
	}
	if (stages & RESYNC_ROUTES6) {
		rib_begin(m->rib6);
		m->unsupported[1] = 0;
	}
	m->shared->unsupported = m->unsupported[0] + m->unsupported[1];
	if (stages & 1u << DUMP_NEXTHOPS)
		mirror_nexthops_begin(m);
}

static const char *dump_name(unsigned stages)
{
	return stages == RESYNC_ALL	  ? "all"
	       : stages == RESYNC_ROUTES  ? "ipv4-routes"
	       : stages == RESYNC_ROUTES6 ? "ipv6-routes"
					  : "routes";
}

/* The next dump lets at least as much time pass as this one took, however often it is asked for. */
static void dump_end(struct mirror *m)
{
	struct mirror_shared *s = m->shared;
	uint64_t now = monotonic_ns();
	uint64_t took = now - m->dump.begin_ns;
	m->dump.running = m->dump.sweeping = false;
	m->dump.not_before_ns = now + took;
	s->dump_ms = took / 1000000;
	s->dump_own_us = (m->dump.spent_ns - m->netlink.dump_ns) / 1000;
	s->dump_kernel_us = m->netlink.dump_ns / 1000;
	s->dump_messages = m->dump.messages;
	s->dumps++;
	fprintf(stderr,
		"event=mirror-dump messages=%u ms=%" PRIu64 " kernel-ms=%" PRIu64 " own-ms=%" PRIu64
		" of=%s\n",
		m->dump.messages, s->dump_ms, s->dump_kernel_us / 1000, s->dump_own_us / 1000,
		dump_name(m->dump.stages));
}

/* It is begun again after a while; nothing is swept. */
static void dump_failed(struct mirror *m, int status)
{
	fprintf(stderr, "event=mirror-dump-failed error=\"%s\"\n", strerror(-status));
	m->dump_failures++;
	m->dump.running = false;
	m->dump.not_before_ns = monotonic_ns() + RETRY_NS;
	m->resync |= m->dump.stages;
}

/* Asks the kernel, reads one buffer, or goes on to the next stage. */
static int dump_step(struct mirror *m)
{
	struct dump *d = &m->dump;
	if (!d->asked) {
		d->asked = true;
		return netlink_dump(&m->netlink, dumps[d->stage].type, dumps[d->stage].family);
	}
	int status = netlink_dump_read(&m->netlink, counted_message, m);
	if (status == -EAGAIN)
		return 0;
	d->asked = false;
	if (status == -EINTR && ++d->tries < STAGE_TRIES)
		return 0; /* it changed under way: this stage once more */
	if (status)
		return status;
	if (d->stage == DUMP_LINKS)
		m->resync = 0; /* links that came up: what follows sees all */
	do
		d->stage++;
	while (d->stage < N_DUMPS && !(d->stages & 1u << d->stage));
	if (d->stage == N_DUMPS) {
		if (d->stages & 1u << DUMP_NEXTHOPS)
			mirror_nexthops_sweep(m);
		d->sweeping = true;
		mirror_scan(m);
	}
	return 0;
}

/* ---- events ---- */

/* `stages`: what makes lost ones good. Returns as netlink_receive(). */
static int receive(struct mirror *m, struct mnl_socket *from, unsigned stages)
{
	int status = netlink_receive(from, mirror_kernel_message, m);
	m->unread |= status != 0;
	if (status == -ENOBUFS) {
		m->shared->events_lost++;
		m->resync |= stages;
	}
	return status;
}

void mirror_receive(struct mirror *m)
{
	const struct dump *d = &m->dump;
	unsigned dumping = d->running ? d->stages : 0;
	if (!m->with_kernel || (d->running && d->stage < DUMP_ROUTES))
		return;
	m->unread = d->running;
	(void)receive(m, m->netlink.events, RESYNC_ALL);
	if (!(dumping & RESYNC_ROUTES))
		(void)receive(m, m->netlink.routes, RESYNC_ROUTES);
	if (!(dumping & RESYNC_ROUTES6))
		(void)receive(m, m->netlink.routes6, RESYNC_ROUTES6);
}

void mirror_catch_up(struct mirror *m)
{
	if (!m->with_kernel || (m->dump.running && m->dump.stage < DUMP_ROUTES))
		return;
	for (int i = 0; i < CATCH_UP_MAX && receive(m, m->netlink.events, RESYNC_ALL); i++)
		;
}

/* ---- slices ---- */

static bool is_due(const struct mirror *m)
{
	return m->with_kernel && m->resync && !m->dump.running && !m->unread &&
	       monotonic_ns() >= m->dump.not_before_ns;
}

bool mirror_busy(const struct mirror *m)
{
	return m->scan || m->dump.running || m->unread || is_due(m);
}

/* False: there is nothing to do. */
static bool work_step(struct mirror *m)
{
	if (m->scan) {
		scan_step(m);
	} else if (m->dump.running) {
		int status = dump_step(m);
		if (status)
			dump_failed(m, status);
	} else if (is_due(m)) {
		dump_begin(m);
	} else {
		return false;
	}
	return true;
}

void mirror_work(struct mirror *m)
{
	if (m->unread)
		mirror_receive(m);
	if (!mirror_busy(m))
		return;
	uint64_t end = monotonic_ns() + SLICE_NS, before = netlink_cpu_ns();
	while (monotonic_ns() < end && work_step(m)) {
		uint64_t now = netlink_cpu_ns();
		m->dump.spent_ns += now - before;
		before = now;
		if (m->dump.sweeping && !m->scan)
			dump_end(m);
	}
}
