/* Embedded mode: the process without its threads, turned by hand. */
#include "embedded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "io/gen.h"

enum { MAX_TURNS = 10000 };

struct embedded {
	struct dataplane dp;
	uint64_t now_ns;
	struct pkt *held[MAX_WORKERS];
};

struct embedded *embedded_create(int argc, char **argv)
{
	struct embedded *e = aligned_alloc(64, (sizeof(*e) + 63) / 64 * 64);

	if (!e)
		return NULL;
	memset(e, 0, sizeof(*e));
	bool parsed = options_parse(&e->dp.options, argc, argv) == OPTIONS_RUN;
	e->dp.options.lazy = true;
	if (!parsed || dataplane_start(&e->dp, false)) {
		free(e);
		return NULL;
	}
	for (uint32_t i = 0; i < e->dp.options.n_ports; i++)
		if (gen_is(&e->dp.port[i]))
			gen_keep(&e->dp.port[i], true);
	embedded_set_time(e, UINT64_C(1000000000000));
	e->dp.tables.arena->ready = 1;
	return e;
}

void embedded_destroy(struct embedded *e)
{
	dataplane_stop(&e->dp);
	free(e);
}

void *embedded_arena(struct embedded *e)
{
	return e->dp.arena.base;
}

void embedded_set_time(struct embedded *e, uint64_t monotonic)
{
	e->now_ns = monotonic;
	for (uint32_t i = 0; i < e->dp.n_workers; i++)
		worker_clock(e->dp.worker[i], monotonic);
}

static struct pkt *frame_in(struct worker *w, const struct embedded_frame *f)
{
	struct pkt *p = pkt_alloc(w);

	if (!p)
		return NULL;
	memcpy(pkt_data(p), f->bytes, f->len);
	p->len = f->len;
	pkt_fence_end(p);
	pkt_pull(p, f->skip);
	p->session = f->session;
	if (f->session < w->t->max_sessions)
		p->generation = w->t->in[f->session].generation;
	p->leaf = f->leaf;
	p->arg = f->arg;
	p->arc = f->arc;
	p->outer_vid = f->outer_vid;
	p->inner_vid = f->inner_vid;
	p->outer_tpid = f->outer_tpid;
	p->inner_tpid = f->inner_tpid;
	p->rx_port = f->rx_port;
	p->tx_port = f->tx_port;
	p->flags = f->flags;
	p->cause = f->cause;
	return p;
}

/* The frame starts where it did, or further in front when the node put a header there. */
static void frame_out(const struct pkt *p, struct embedded_frame *f)
{
	uint16_t start = p->data < PKT_HEADROOM ? p->data : PKT_HEADROOM;

	f->skip = (uint16_t)(p->data - start);
	f->len = (uint16_t)(f->skip + p->len);
	if (f->len > sizeof(f->bytes))
		f->len = sizeof(f->bytes);
	memcpy(f->bytes, p->buf + start, f->len);
	f->session = p->session;
	f->leaf = p->leaf;
	f->arg = p->arg;
	f->arc = p->arc;
	f->outer_vid = p->outer_vid;
	f->inner_vid = p->inner_vid;
	f->outer_tpid = p->outer_tpid;
	f->inner_tpid = p->inner_tpid;
	f->rx_port = p->rx_port;
	f->tx_port = p->tx_port;
	f->flags = p->flags;
	f->cause = p->cause;
}

static struct node *node_by_name(const struct graph *g, const char *name)
{
	for (uint16_t id = 0; id < g->n_nodes; id++)
		if (!strcmp(g->node[id]->name, name))
			return g->node[id];
	return NULL;
}

/* What a node put in front of others goes no further either. */
static void empty_queues(struct worker *w)
{
	struct engine *e = w->engine;

	for (uint16_t id = 0; id < e->graph->n_nodes; id++) {
		struct queue *q = &e->queue[id];
		for (uint16_t i = 0; i < q->n; i++)
			pkt_free(w, q->pkts[i]);
		q->n = 0;
	}
	e->pending = 0;
	w->in_graph = 0;
}

int embedded_run_node(struct embedded *e, uint32_t worker, const char *name,
	struct embedded_frame *frames, uint32_t n)
{
	struct pkt *pkts[BURST_SIZE];
	const struct node *node = node_by_name(e->dp.graph, name);

	if (!node || worker >= e->dp.n_workers || n > BURST_SIZE)
		return !node ? -ENOENT : -EINVAL;
	struct worker *w = e->dp.worker[worker];
	for (uint32_t i = 0; i < n; i++) {
		const struct embedded_frame *f = &frames[i];
		bool bad = f->len > sizeof(f->bytes) || f->skip > f->len;
		pkts[i] = bad ? NULL : frame_in(w, f);
		if (pkts[i])
			continue;
		while (i--)
			pkt_free(w, pkts[i]);
		return bad ? -EINVAL : -ENOMEM;
	}
	w->in_graph = n;
	for (uint32_t done = 0; done < n; done += VECTOR_SIZE) {
		uint32_t some = n - done < VECTOR_SIZE ? n - done : VECTOR_SIZE;
		graph_process(w, node->id, pkts + done, (uint16_t)some);
		for (uint32_t i = 0; i < some; i++)
			frames[done + i].edge = w->engine->next[i];
	}
	for (uint32_t i = 0; i < n; i++) {
		graph_count(w, node->id, frames[i].edge, 1);
		if (graph_target(w, node->id, frames[i].edge) == EDGE_CONSUMED)
			continue; /* no longer ours */
		frame_out(pkts[i], &frames[i]);
		pkt_free(w, pkts[i]);
	}
	empty_queues(w);
	worker_flush(w);
	return 0;
}

static struct port *gen_port(struct embedded *e, uint32_t port)
{
	if (port >= e->dp.options.n_ports || !gen_is(&e->dp.port[port]))
		return NULL;
	return &e->dp.port[port];
}

int embedded_put(struct embedded *e, uint32_t port, const struct embedded_frame *frames, uint32_t n)
{
	struct port *p = gen_port(e, port);

	if (!p)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		int error = gen_receive(p, frames[i].bytes, frames[i].len);
		if (error)
			return error;
	}
	return 0;
}

static uint32_t waiting(const struct embedded *e)
{
	uint32_t sum = 0;
	for (uint32_t id = 0; id < e->dp.n_workers; id++)
		sum += e->dp.worker[id]->in_graph;
	for (uint32_t i = 0; i < e->dp.options.n_ports; i++)
		if (gen_is(&e->dp.port[i]))
			sum += gen_pending(&e->dp.port[i]);
	return sum;
}

int embedded_run(struct embedded *e)
{
	for (int turn = 0; turn < MAX_TURNS; turn++) {
		uint32_t taken = control_commands(&e->dp);
		for (uint32_t id = 0; id < e->dp.n_workers; id++) {
			worker_clock(e->dp.worker[id], e->now_ns);
			taken += worker_turn(e->dp.worker[id]);
		}
		control_resolve(&e->dp);
		if (!taken && !waiting(e))
			break;
	}
	control_tick(&e->dp, e->now_ns / 1000000);
	return waiting(e) ? -EBUSY : 0;
}

int embedded_receive(
	struct embedded *e, uint32_t port, const struct embedded_frame *frames, uint32_t n)
{
	int error = embedded_put(e, port, frames, n);
	return error ? error : embedded_run(e);
}

int embedded_transmitted(
	struct embedded *e, uint32_t port, struct embedded_frame *frames, uint32_t max)
{
	struct port *p = gen_port(e, port);
	uint32_t n;

	if (!p)
		return -EINVAL;
	for (n = 0; n < max; n++) {
		struct embedded_frame *f = &frames[n];
		f->len = gen_transmitted(p, f->bytes, sizeof(f->bytes));
		if (!f->len)
			break;
	}
	return (int)n;
}

uint32_t embedded_hold(struct embedded *e, uint32_t worker, uint32_t n)
{
	struct worker *w = e->dp.worker[worker];
	struct pkt *p;
	uint32_t have = 0;

	while ((p = e->held[worker])) {
		e->held[worker] = p->link;
		pkt_free(w, p);
	}
	for (; have < n && (p = pkt_alloc(w)); have++) {
		p->link = e->held[worker];
		e->held[worker] = p;
	}
	return have;
}

uint32_t embedded_buffers_in_use(struct embedded *e)
{
	uint32_t sum = 0;

	for (uint32_t id = 0; id < e->dp.n_workers; id++) {
		worker_collect(e->dp.worker[id]);
		sum += e->dp.worker[id]->n_buffers - e->dp.worker[id]->n_free;
	}
	return sum;
}
