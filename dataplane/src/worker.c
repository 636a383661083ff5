/* What a worker does for its nodes: buffers, transmit vectors, hand-off, records to bngd. */
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine.h"
#include "ring.h"
#include "trace.h"

struct pkt *pkt_alloc(struct worker *w)
{
	struct pkt *p = w->free_list;

	if (!p) {
		__atomic_store_n(&w->shared->no_buffer, w->shared->no_buffer + 1, __ATOMIC_RELAXED);
		return NULL;
	}
	w->free_list = p->link;
	w->n_free--;
	__builtin_prefetch(w->free_list, 1);
	uint8_t pool = p->pool;
	pkt_fence_none(p);
	memset(p, 0, offsetof(struct pkt, buf));
	p->session = NO_SESSION;
	p->data = PKT_HEADROOM;
	p->pool = pool;
	return p;
}

void pkt_free(struct worker *w, struct pkt *p)
{
	pkt_fence_free(p);
	if (p->pool == w->id) {
		p->link = w->free_list;
		w->free_list = p;
		w->n_free++;
		return;
	}
	/* It holds as many as its pool has buffers: never full. */
	spsc_push(w->dp->home[w->id][p->pool], (uint64_t)(uintptr_t)p);
}

struct pkt *worker_buffers(const struct worker *w, uint64_t *size, bool *hugepages)
{
	*size = w->dp->pool_mapped;
	*hugepages = w->dp->pool_hugepages;
	return w->dp->pool;
}

void worker_collect(struct worker *w)
{
	uint64_t words[BURST_SIZE];

	for (uint32_t from = 0; from < w->dp->n_workers; from++) {
		if (from == w->id)
			continue;
		uint32_t n = spsc_pop(w->dp->home[from][w->id], words, BURST_SIZE);
		for (uint32_t i = 0; i < n; i++)
			pkt_free(w, (struct pkt *)(uintptr_t)words[i]);
	}
}

/* A buffer that straddles two hugepages is left out: no device could write it in one piece. */
static void make_pool(struct worker *w, uint32_t n)
{
	const uintptr_t hugepage = 1u << 21;
	struct pkt *pkts = &w->dp->pool[(size_t)w->id * n];

	for (uint32_t i = n; i--;) {
		uintptr_t first = (uintptr_t)&pkts[i];
		if (first / hugepage != (first + sizeof(*pkts) - 1) / hugepage)
			continue;
		pkts[i].pool = w->id;
		pkt_free(w, &pkts[i]);
	}
	w->n_buffers = w->n_free;
}

/* One array for each node and a spare one; the extra line keeps them apart in the cache sets. */
static int make_queues(struct engine *e)
{
	size_t slots = QUEUE_SIZE + 8;
	uint16_t n = e->graph->n_nodes;
	struct pkt **memory = aligned_alloc(64, ((uint32_t)n + 1) * slots * sizeof(struct pkt *));

	e->trace = trace_create();
	if (!memory || !e->trace) {
		free(memory);
		return -1;
	}
	e->queue_memory = memory;
	for (uint16_t i = 0; i < n; i++)
		e->queue[i].pkts = memory + i * slots;
	e->spare = memory + n * slots;
	return 0;
}

static void point_into_arena(struct worker *w)
{
	const struct arena_header *h = w->t->arena;
	const uint8_t *base = w->t->base;
	const struct arena_section *edges = &h->section[SECTION_EDGE_COUNTER];
	const struct arena_section *runtime = &h->section[SECTION_NODE_RUNTIME];

	w->shared = &w->t->worker[w->id];
	w->edge_counter = (uint64_t *)(uintptr_t)(base + edges->offset + w->id * edges->stride);
	w->runtime = (struct node_runtime *)(uintptr_t)(base + runtime->offset +
							w->id * runtime->stride);
}

struct worker *worker_create(struct dataplane *dp, uint8_t id)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) / 64 * 64);
	struct engine *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);

	if (!w || !e) {
		free(w);
		free(e);
		return NULL;
	}
	memset(w, 0, sizeof(*w));
	memset(e, 0, sizeof(*e));
	w->dp = dp;
	w->t = &dp->tables;
	w->id = id;
	w->ports = dp->ports;
	w->engine = e;
	e->graph = dp->graph;
	e->epoll_fd = -1;
	e->entry = node_id("ethernet_input");
	e->inject = node_id("inject");
	e->handoff = node_id("handoff");
	point_into_arena(w);
	if (getrandom(&w->random, sizeof(w->random), 0) < 0 || !w->random)
		w->random = monotonic_ns() | 1;
	worker_clock(w, monotonic_ns());
	if (make_queues(e)) {
		worker_destroy(w);
		return NULL;
	}
	make_pool(w, dp->options.buffers);
	return w;
}

void worker_destroy(struct worker *w)
{
	struct engine *e = w->engine;

	if (e->epoll_fd >= 0)
		close(e->epoll_fd);
	free(e->queue_memory);
	for (uint32_t id = 0; id < MAX_NODES; id++)
		free(w->node_state[id]);
	free(e->trace);
	free(e);
	free(w);
}

static void flush_port(struct worker *w, unsigned kind, uint8_t index)
{
	struct transmit *t = &w->engine->transmit[kind][index];
	struct port *port = w->ports[index];
	struct port_tx *tx = &port->shared->tx[w->id];
	uint64_t bytes[BURST_SIZE + 1];
	uint16_t n = t->n;

	bytes[0] = 0;
	for (uint16_t i = 0; i < n; i++)
		bytes[i + 1] = bytes[i] + t->pkts[i]->len;
	t->n = 0;
	uint16_t dropped = port->driver->tx(port, w, t->pkts, n);
	uint16_t sent = (uint16_t)(n - dropped); /* the last ones are dropped */
	tx->packets += sent;
	tx->bytes += bytes[sent];
	tx->errors += dropped;
	if (kind == TRANSMIT_CONTROL) {
		tx->control_packets += sent;
		tx->control_errors += dropped;
	}
}

void worker_transmit(struct worker *w, uint8_t port, struct pkt **pkts, uint16_t n)
{
	unsigned kind = n && pkts[0]->flags & PKT_CONTROL ? TRANSMIT_CONTROL : TRANSMIT_DATA;
	struct transmit *t = &w->engine->transmit[kind][port];

	while (n) {
		if (t->n == BURST_SIZE)
			flush_port(w, kind, port);
		uint16_t room = (uint16_t)(BURST_SIZE - t->n);
		uint16_t taken = n < room ? n : room;
		memcpy(t->pkts + t->n, pkts, taken * sizeof(*pkts));
		t->n = (uint16_t)(t->n + taken);
		pkts += taken;
		n = (uint16_t)(n - taken);
		w->engine->transmitting[kind] |= UINT64_C(1) << port;
	}
}

static bool retry(struct worker *w)
{
	bool unsent = false;

	for (uint32_t i = 0; i < w->dp->opened; i++) {
		struct port *port = w->ports[i];
		if (port->driver->retry && port->driver->retry(port, w))
			unsent = true;
	}
	return unsent;
}

void worker_flush(struct worker *w)
{
	struct engine *e = w->engine;

	for (unsigned kind = 0; kind < TRANSMIT_ORDER; kind++)
		while (e->transmitting[kind]) {
			uint8_t port = (uint8_t)__builtin_ctzll(e->transmitting[kind]);
			e->transmitting[kind] &= e->transmitting[kind] - 1;
			flush_port(w, kind, port); /* a VLAN: gives them to its parent */
		}
	e->unsent = retry(w);
}

bool worker_handoff(struct worker *w, uint8_t to, uint16_t id, struct pkt *p)
{
	if (to >= w->dp->n_workers || to == w->id)
		return false;
	p->handoff_node = (uint8_t)id;
	if (!spsc_push(w->dp->handoff[w->id][to], (uint64_t)(uintptr_t)p))
		return false;
	w->engine->wake_workers |= 1u << to;
	return true;
}

static bool push(struct worker *w, enum ring_kind kind, const void *head, uint32_t head_len,
	const void *tail, uint32_t tail_len)
{
	struct ring *ring = &w->t->ring[w->id * RINGS_PER_GROUP + kind];
	uint8_t *bytes = ring_bytes(w->t, ring);
	uint8_t *room = ring_reserve(ring, bytes, head_len + tail_len);

	if (!room)
		return false;
	memcpy(room, head, head_len);
	if (tail_len)
		memcpy(room + head_len, tail, tail_len);
	ring_publish(ring, bytes, head_len + tail_len);
	w->engine->wake_bngd = true;
	return true;
}

bool worker_punt(
	struct worker *w, const struct punt_record *record, const uint8_t *bytes, uint16_t len)
{
	return push(w, RING_PUNT, record, sizeof(*record), bytes, len);
}

bool worker_event(struct worker *w, uint32_t type, uint32_t session, uint32_t arg)
{
	struct event event = {.type = type, .session = session, .arg = arg};

	if (session < w->t->max_sessions)
		event.generation = w->t->in[session].generation;
	return push(w, RING_EVENT, &event, sizeof(event), NULL, 0);
}

/* Whether `n` records find room beside those that are promised. */
static bool nat_log_has_room(const struct worker *w, uint64_t n)
{
	const struct ring *ring = &w->t->ring[w->id * RINGS_PER_GROUP + RING_NAT_LOG];
	return ring_has_room(ring, sizeof(struct nat_log_record), w->engine->nat_log_promised + n);
}

static bool nat_log(struct worker *w, const struct nat_log_record *record)
{
	struct nat_log_record stamped = *record;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now); /* no system call: vDSO */
	stamped.wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	stamped.sequence = w->engine->nat_log_sequence;
	if (!push(w, RING_NAT_LOG, &stamped, sizeof(stamped), NULL, 0))
		return false;
	w->engine->nat_log_sequence++;
	return true;
}

bool worker_nat_log(struct worker *w, const struct nat_log_record *record)
{
	return (!w->engine->nat_log_promised || nat_log_has_room(w, 1)) && nat_log(w, record);
}

bool worker_nat_log_begin(struct worker *w, const struct nat_log_record *record)
{
	if (!nat_log_has_room(w, 2) || !nat_log(w, record))
		return false;
	w->engine->nat_log_promised++;
	return true;
}

void worker_nat_log_end(struct worker *w, const struct nat_log_record *record)
{
	(void)nat_log(w, record); /* the room is there */
	w->engine->nat_log_promised--;
}

void worker_resolve(struct worker *w, uint8_t port, struct ip6_words address)
{
	struct engine *e = w->engine;
	const uint64_t words[RESOLVE_WORDS] = {port, address.high, address.low};
	uint64_t hash = (address.high ^ port) * 0xd6e8feb86659fd93u;
	hash = (hash ^ hash >> 32 ^ address.low) * 0x9e3779b97f4a7c15u;
	struct resolved *r = &e->resolved[hash >> 56];

	if (r->port == port && same_address(r->address, address) && w->now_ms - r->asked_ms < 500)
		return;
	if (!spsc_push_all(w->dp->resolve[w->id], words, RESOLVE_WORDS))
		return; /* asked again by the next packet */
	r->port = port;
	r->address = address;
	r->asked_ms = w->now_ms;
	e->wake_control = true;
}

void worker_wake(struct worker *w)
{
	struct engine *e = w->engine;
	struct arena_header *arena = w->t->arena;

	if (!e->wake_workers && !e->wake_bngd && !e->wake_control)
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* records first, then who sleeps */
	for (uint32_t mask = e->wake_workers; mask; mask &= mask - 1) {
		uint32_t to = (uint32_t)__builtin_ctz(mask);
		if (__atomic_exchange_n(&w->t->worker[to].sleeping, 0, __ATOMIC_ACQ_REL))
			eventfd_kick(w->dp->group_fd[to]);
	}
	if (e->wake_bngd && __atomic_load_n(&arena->consumer_sleeping, __ATOMIC_RELAXED) &&
		__atomic_exchange_n(&arena->consumer_sleeping, 0, __ATOMIC_ACQ_REL))
		eventfd_kick(w->dp->bngd_fd);
	if (e->wake_control)
		eventfd_kick(w->dp->group_fd[w->dp->n_workers]);
	e->wake_workers = 0;
	e->wake_bngd = e->wake_control = false;
}
