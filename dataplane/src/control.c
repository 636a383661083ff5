/*
 * The control thread's work: commands of bngd that are no worker's, next hops to resolve, port
 * state. One writer of FIB, adjacencies and access ranges.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "ring.h"
#include "table/acl.h"
#include "table/nat44.h"

/*
 * Returns once every worker has passed a vector boundary that began after this call. Two steps of
 * the epoch: the first one may have been under way, its loads ahead of its store.
 */
static void workers_barrier(const struct dataplane *dp)
{
	uint64_t goal[MAX_WORKERS];
	const struct timespec pause = {.tv_nsec = 100000};

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t id = 0; id < dp->n_workers; id++)
		goal[id] = __atomic_load_n(&dp->tables.worker[id].epoch, __ATOMIC_ACQUIRE) + 2;
	for (uint32_t id = 0; id < dp->n_workers; id++)
		while (__atomic_load_n(&dp->tables.worker[id].epoch, __ATOMIC_ACQUIRE) < goal[id]) {
			eventfd_kick(dp->group_fd[id]);
			nanosleep(&pause, NULL);
		}
}

static bool range_valid(const struct access_range *r)
{
	return r->outer_low <= r->outer_high && r->outer_high < 4095 &&
	       r->inner_low <= r->inner_high && r->inner_high < 4095;
}

/*
 * Replaces the ranges of a port. Readers take no lock, so they find no range at all while the new
 * ones are written: discovery in that instant is dropped, never wrongly taken.
 */
static int access_set(
	struct dataplane *dp, const struct command *c, const uint8_t *ranges, uint32_t ranges_len)
{
	struct access_range set[MAX_ACCESS_RANGES];
	uint32_t port = c->u.access.port;
	uint32_t count = c->u.access.count;

	if (port >= dp->options.n_ports || dp->tables.port[port].role != PORT_ACCESS ||
		count > MAX_ACCESS_RANGES || ranges_len != count * sizeof(set[0]))
		return -EINVAL;
	memcpy(set, ranges, ranges_len);
	for (uint32_t i = 0; i < count; i++)
		if (!range_valid(&set[i]))
			return -EINVAL;
	struct port_shared *shared = &dp->tables.port[port];
	__atomic_store_n(&shared->n_access_ranges, 0, __ATOMIC_RELEASE);
	if (dp->threads)
		workers_barrier(dp);
	memcpy(&dp->tables.access[port * MAX_ACCESS_RANGES], set, ranges_len);
	__atomic_store_n(&shared->n_access_ranges, (uint16_t)count, __ATOMIC_RELEASE);
	return 0;
}

/* An ACL moves as a whole: a worker reads the old place or the new one. */
static int acl_set(struct dataplane *dp, const struct command *c)
{
	const struct acl_set *set = &c->u.acl_set;
	uint64_t place = (uint64_t)set->offset << ACL_PLACE_SHIFT | set->size;

	if (set->index >= MAX_ACLS || (set->size && !acl_is_sane(&dp->tables, place)))
		return -EINVAL;
	__atomic_store_n(&dp->tables.acl[set->index], set->size ? place : 0, __ATOMIC_RELEASE);
	if (dp->threads)
		workers_barrier(dp);
	return 0;
}

/* When a route is gone no packet is on its way to the address: its entry may be emptied. */
static int nat_address(struct dataplane *dp, const struct command *c)
{
	int status = mirror_command(dp->mirror, c);
	if (!status && !c->u.nat_address.on && dp->threads)
		workers_barrier(dp);
	return status;
}

static int apply(
	struct dataplane *dp, const struct command *c, const uint8_t *more, uint32_t more_len)
{
	if (c->type == CMD_ACCESS_SET)
		return access_set(dp, c, more, more_len);
	if (more_len)
		return -EINVAL;
	switch (c->type) {
	case CMD_NOP:
		return 0;
	case CMD_ROUTE4_ADD:
	case CMD_ROUTE4_DEL:
	case CMD_ROUTE6_ADD:
	case CMD_ROUTE6_DEL:
		if (c->session >= dp->tables.max_sessions)
			return -EINVAL;
		return mirror_command(dp->mirror, c);
	case CMD_NAT_SET:
		return nat44_set(&dp->tables, &c->u.nat);
	case CMD_GATEWAY4_ADD:
	case CMD_GATEWAY4_DEL:
	case CMD_UNREACHABLE4_ADD:
	case CMD_UNREACHABLE4_DEL:
	case CMD_UNREACHABLE6_ADD:
	case CMD_UNREACHABLE6_DEL:
		return mirror_command(dp->mirror, c);
	case CMD_NAT_ADDRESS:
		return nat_address(dp, c);
	case CMD_ACL_SET:
		return acl_set(dp, c);
	default:
		return -EINVAL;
	}
}

static void kick_bngd(const struct dataplane *dp)
{
	struct arena_header *arena = dp->tables.arena;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* records first, then who sleeps */
	if (__atomic_exchange_n(&arena->consumer_sleeping, 0, __ATOMIC_ACQ_REL))
		eventfd_kick(dp->bngd_fd);
}

static struct ring *control_ring(const struct dataplane *dp, enum ring_kind kind)
{
	return &dp->tables.ring[dp->n_workers * RINGS_PER_GROUP + kind];
}

/* One command with its tail, copied out of the ring before it is looked at. */
static int apply_record(struct dataplane *dp, const void *record, uint32_t len, struct command *c)
{
	uint8_t more[MAX_ACCESS_RANGES * sizeof(struct access_range)];

	memset(c, 0, sizeof(*c));
	if (len < sizeof(*c) || len - sizeof(*c) > sizeof(more))
		return -EINVAL;
	memcpy(c, record, sizeof(*c));
	memcpy(more, (const uint8_t *)record + sizeof(*c), len - sizeof(*c));
	return apply(dp, c, more, (uint32_t)(len - sizeof(*c)));
}

uint32_t control_commands(struct dataplane *dp)
{
	struct ring *commands = control_ring(dp, RING_COMMAND);
	struct ring *completions = control_ring(dp, RING_COMPLETION);
	const uint8_t *bytes = ring_bytes(&dp->tables, commands);
	uint8_t *completion_bytes = ring_bytes(&dp->tables, completions);
	uint32_t taken = 0;

	while (taken < BURST_SIZE) {
		struct command c;
		uint32_t len;
		const void *record = ring_peek(commands, bytes, &len);
		if (!record) {
			ring_mend(commands, bytes);
			break;
		}
		struct completion *done =
			ring_reserve(completions, completion_bytes, sizeof(*done));
		if (!done)
			break; /* nothing is applied that cannot be answered */
		int status = apply_record(dp, record, len, &c);
		ring_consume(commands, len);
		taken++;
		if (status == 0 && (c.flags & CMD_FLAG_QUIET))
			continue;
		*done = (struct completion){.cookie = c.cookie, .status = status, .type = c.type};
		ring_publish(completions, completion_bytes, sizeof(*done));
	}
	if (taken)
		kick_bngd(dp);
	return taken;
}

void control_resolve(struct dataplane *dp)
{
	uint64_t words[RESOLVE_SIZE / RESOLVE_WORDS * RESOLVE_WORDS];

	for (uint32_t id = 0; id < dp->n_workers; id++) {
		uint32_t n = spsc_pop(dp->resolve[id], words, sizeof(words) / sizeof(words[0]));
		for (uint32_t i = 0; i < n; i += RESOLVE_WORDS)
			mirror_resolve(dp->mirror, (uint8_t)words[i],
				(struct ip6_words){words[i + 1], words[i + 2]});
	}
}

/* Tells bngd of ports that went up or down; the drivers keep the flags. */
static void port_events(struct dataplane *dp)
{
	struct ring *events = control_ring(dp, RING_EVENT);
	uint8_t *bytes = ring_bytes(&dp->tables, events);

	for (uint32_t i = 0; i < dp->options.n_ports; i++) {
		uint8_t flags = __atomic_load_n(&dp->tables.port[i].flags, __ATOMIC_RELAXED);
		if (!((flags ^ dp->last_flags[i]) & PORT_UP))
			continue;
		struct event *event = ring_reserve(events, bytes, sizeof(*event));
		if (!event)
			return; /* told on the next tick */
		*event = (struct event){
			.type = flags & PORT_UP ? EVENT_PORT_UP : EVENT_PORT_DOWN, .session = i};
		ring_publish(events, bytes, sizeof(*event));
		dp->last_flags[i] = flags;
		kick_bngd(dp);
	}
}

void control_tick(struct dataplane *dp, uint64_t now_ms)
{
	mirror_tick(dp->mirror, now_ms);
	port_events(dp);
}
