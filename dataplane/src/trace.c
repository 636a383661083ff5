/* Packet trace: marks, and the records of what a node made of a packet. */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "engine.h"
#include "ring.h"

enum { NUMBER_SHIFT = 20, WORKER_SHIFT = 16 };

/* A marked packet before the node has it. */
struct before {
	struct trace_record record;
	uint16_t at; /* in the vector */
	uint8_t ip6[TRACE_IP6_LEN];
	uint8_t bytes[TRACE_BYTES];
};

struct trace {
	struct trace_filter filter;
	uint32_t number; /* of this trace, or of the last one */
	uint32_t session;
	uint32_t generation;
	uint32_t deadline_ms;
	uint32_t marked;
	struct before before[VECTOR_SIZE];
};

struct trace *trace_create(void)
{
	return calloc(1, sizeof(struct trace));
}

static void stop(struct worker *w)
{
	w->tracing = false;
	w->shared->tracing = 0;
}

static int check(const struct worker *w, const struct command *c)
{
	const struct trace_filter *f = &c->u.trace;

	if (c->arg > TRACE_MAX || !f->count || f->count > TRACE_MAX_COUNT || !f->lease_ms ||
		f->lease_ms > TRACE_MAX_LEASE)
		return -EINVAL;
	if ((f->port != TRACE_ANY && f->port >= w->t->n_ports) || f->length6 > 128)
		return -EINVAL;
	if (c->session == NO_SESSION)
		return 0;
	if (c->session >= w->t->max_sessions)
		return -EINVAL;
	return w->t->in[c->session].generation == c->generation ? 0 : -ESTALE;
}

int trace_command(struct worker *w, const struct command *c)
{
	struct trace *t = w->engine->trace;

	if (!c->arg) {
		stop(w);
		return 0;
	}
	int error = check(w, c);
	if (error)
		return error;
	if (c->arg != t->number)
		t->marked = 0;
	t->number = c->arg;
	t->filter = c->u.trace;
	t->session = c->session;
	t->generation = c->generation;
	t->deadline_ms = w->now_ms + c->u.trace.lease_ms;
	w->tracing = true;
	w->shared->tracing = t->number;
	return 0;
}

/* The lease ran out, or the session is another's. */
static bool is_over(const struct worker *w, const struct trace *t)
{
	if ((int32_t)(w->now_ms - t->deadline_ms) >= 0)
		return true;
	return t->session != NO_SESSION && w->t->in[t->session].generation != t->generation;
}

static bool is_marked(const struct trace *t, const struct pkt *p)
{
	return p->trace >> NUMBER_SHIFT == t->number;
}

static void mark(const struct worker *w, struct trace *t, struct pkt *p)
{
	t->marked++;
	p->trace = t->number << NUMBER_SHIFT | (uint32_t)w->id << WORKER_SHIFT | t->marked;
}

/* What can be seen of a packet from outside a node; with TRACE_IP6 its addresses are in ip6. */
static void fill(const struct worker *w, struct trace_record *r, const struct pkt *p,
	uint8_t ip6[TRACE_IP6_LEN])
{
	struct trace_tuple tuple = {0};
	bool has_tuple = trace_read(p->buf + p->data, p->len, &tuple);

	*r = (struct trace_record){
		.packet = p->trace,
		.monotonic_ns = w->now_ns,
		.session = p->session,
		.generation = p->generation,
		.leaf = p->leaf,
		.arg = p->arg,
		.source = tuple.source,
		.destination = tuple.destination,
		.source_port = tuple.source_port,
		.destination_port = tuple.destination_port,
		.protocol = tuple.protocol,
		.ttl = tuple.ttl,
		.len = p->len,
		.arc = p->arc,
		.outer_vid = p->outer_vid,
		.inner_vid = p->inner_vid,
		.rx_port = p->rx_port,
		.tx_port = p->tx_port,
		.pkt_flags = p->flags,
		.cause = p->cause,
		.flags = has_tuple ? TRACE_HAS_TUPLE : 0,
	};
	if (!tuple.is_ip6)
		return;
	r->flags |= TRACE_IP6;
	memcpy(ip6, tuple.ip6, TRACE_IP6_LEN);
}

/* A ring without room counts it: a trace never waits. */
static void write_record(struct worker *w, const struct trace_record *r,
	const uint8_t ip6[TRACE_IP6_LEN], const uint8_t *bytes)
{
	struct ring *ring = &w->t->ring[w->id * RINGS_PER_GROUP + RING_TRACE];
	uint8_t *ring_data = ring_bytes(w->t, ring);
	uint32_t addresses = r->flags & TRACE_IP6 ? TRACE_IP6_LEN : 0;
	uint32_t len = (uint32_t)sizeof(*r) + addresses + r->n_bytes;
	uint8_t *room = ring_reserve(ring, ring_data, len);

	if (!room)
		return;
	memcpy(room, r, sizeof(*r));
	memcpy(room + sizeof(*r), ip6, addresses);
	memcpy(room + sizeof(*r) + addresses, bytes, r->n_bytes);
	ring_publish(ring, ring_data, len);
}

/* Is to be marked: it enters and fits, or was made from one that did. */
static bool begins(const struct worker *w, struct pkt *p, bool enters, bool injected)
{
	const struct trace *t = w->engine->trace;
	bool room = t->marked < t->filter.count;

	if (is_marked(t, p)) {
		bool copy = p->trace & PKT_TRACE_COPY;
		if (copy && !room)
			p->trace = 0;
		return copy && room;
	}
	return enters && room && trace_fits(w, &t->filter, t->session, p, injected);
}

/* Marks what fits, where packets enter, and notes all that is marked. Returns how many. */
static uint16_t note(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n)
{
	const struct engine *e = w->engine;
	struct trace *t = e->trace;
	bool injected = id == e->inject;
	bool enters = id == e->entry || injected;
	uint16_t noted = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct pkt *p = pkts[i];
		struct before *b = &t->before[noted];
		bool first = begins(w, p, enters, injected);
		if (first)
			mark(w, t, p);
		if (!is_marked(t, p))
			continue;
		fill(w, &b->record, p, b->ip6);
		b->at = i;
		b->record.flags |= (uint8_t)((first ? TRACE_FIRST : 0) |
					     (first && injected ? TRACE_INJECTED : 0));
		b->record.n_bytes = trace_keep(p->buf + p->data, p->len);
		memcpy(b->bytes, p->buf + p->data, b->record.n_bytes);
		noted++;
	}
	return noted;
}

static void finish(struct worker *w, uint16_t id, struct before *b, const struct pkt *p)
{
	struct engine *e = w->engine;
	uint16_t edge = e->next[b->at];
	bool consumed = graph_target(w, id, edge) == EDGE_CONSUMED;
	struct trace_record r = b->record;

	if (!consumed) /* else it may be another worker's, or free */
		fill(w, &r, p, b->ip6);
	r.node = id;
	r.edge = edge;
	r.tsc = __rdtsc();
	r.flags |= b->record.flags & (TRACE_FIRST | TRACE_INJECTED);
	if (consumed && id != e->handoff)
		r.flags |= TRACE_LAST;
	bool keeps = r.flags & (TRACE_FIRST | TRACE_LAST);
	r.bytes_of = keeps ? b->record.len : 0;
	r.n_bytes = keeps ? b->record.n_bytes : 0;
	write_record(w, &r, b->ip6, b->bytes);
}

/* A packet of the session that could not be known for it when it came: an ICMP error to it, one
 * that a node made. Its trace begins here. */
static void join(struct worker *w, uint16_t id, uint16_t edge, struct pkt *p)
{
	struct trace_record r;
	uint8_t ip6[TRACE_IP6_LEN];
	uint16_t start = p->data < PKT_HEADROOM ? p->data : PKT_HEADROOM;

	mark(w, w->engine->trace, p);
	fill(w, &r, p, ip6);
	r.node = id;
	r.edge = edge;
	r.tsc = __rdtsc();
	r.flags |= TRACE_FIRST;
	r.bytes_of = (uint16_t)(p->data + p->len - start);
	r.n_bytes = trace_keep(p->buf + start, r.bytes_of);
	write_record(w, &r, ip6, p->buf + start);
}

static void join_session(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n)
{
	const struct engine *e = w->engine;
	const struct trace *t = e->trace;

	if (t->session == NO_SESSION || trace_is_narrow(&t->filter))
		return;
	for (uint16_t i = 0; i < n && t->marked < t->filter.count; i++)
		if (graph_target(w, id, e->next[i]) != EDGE_CONSUMED &&
			pkts[i]->session == t->session && !is_marked(t, pkts[i]))
			join(w, id, e->next[i], pkts[i]);
}

void trace_process(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n)
{
	struct trace *t = w->engine->trace;

	if (is_over(w, t)) {
		stop(w);
		graph_process(w, id, pkts, n);
		return;
	}
	uint16_t noted = note(w, id, pkts, n);
	graph_process(w, id, pkts, n);
	for (uint16_t k = 0; k < noted; k++)
		finish(w, id, &t->before[k], pkts[t->before[k].at]);
	join_session(w, id, pkts, n);
}
