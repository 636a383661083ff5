/*
 * The graph: names resolved to ids at start, packets moved between nodes in vectors.
 *
 * Ids are in topological order, so the lowest pending id is the node furthest upstream and vectors
 * stay together. A vector whose packets all take one edge is handed over as it is: the queues swap
 * their arrays.
 */
#include "graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "engine.h"
#include "trace.h"

static struct node *all_nodes;
static struct graph graph;

void node_register(struct node *node)
{
	node->registered = all_nodes;
	all_nodes = node;
}

/* Our bug, found at start. */
__attribute__((noreturn)) static void broken(const char *node, const char *what, const char *name)
{
	fprintf(stderr, "event=graph-broken node=%s error=\"%s %s\"\n", node, what, name);
	abort();
}

static struct node *find(const char *name)
{
	for (struct node *n = all_nodes; n; n = n->registered)
		if (!strcmp(n->name, name))
			return n;
	return NULL;
}

static struct node *find_feature(enum arc arc, uint16_t feature)
{
	for (struct node *n = all_nodes; n; n = n->registered)
		if (n->arc == arc && n->feature == feature)
			return n;
	return NULL;
}

/* Features that no packet visits which has visited this node: those of the other family. */
static uint16_t family_never(const struct node *n)
{
	bool in = n->arc == ARC_SESSION_IN;
	uint16_t own = (uint16_t)(1 << n->feature);

	if (n->never)
		return n->never;
	if (own & (in ? FEATURES_IN_IP4_ONLY : FEATURES_OUT_IP4_ONLY))
		return in ? IP4_NEVER_IN : IP4_NEVER_OUT;
	if (own & (in ? FEATURES_IN_IP6_ONLY : FEATURES_OUT_IP6_ONLY))
		return in ? IP6_NEVER_IN : IP6_NEVER_OUT;
	return 0;
}

static const char *arc_end(enum arc arc, uint16_t edge)
{
	bool in = arc == ARC_SESSION_IN;

	if (edge == 0)
		return in ? ARC_SESSION_IN_END : ARC_SESSION_OUT_END;
	return in ? ARC_SESSION_IN6_END : ARC_SESSION_OUT6_END;
}

/* Name that edge `edge` of n leads to, NULL when there is no such edge. */
static const char *edge_next(const struct node *n, uint16_t edge)
{
	if (n->arc == ARC_NONE || edge >= ARC_EDGES)
		return n->edges[edge].next;
	if (n->edges[edge].next)
		broken(n->name, "edges below ARC_EDGES are the arc's, not for",
			n->edges[edge].next);
	if (family_never(n) >> edge & 1)
		return NULL;
	if (edge == 0 || edge == ARC_IP6_END)
		return arc_end(n->arc, edge);
	if (edge <= n->feature)
		return NULL; /* the bitmap only goes forward */
	const struct node *next = find_feature(n->arc, edge);
	return next ? next->name : NULL;
}

static bool consumes(const char *next)
{
	return !strcmp(next, "consumed");
}

/* Depth first; a node gets its place, from the end, when all it leads to have theirs. */
static uint16_t place_from(struct node *root, uint16_t place, bool *seen)
{
	struct node *stack[MAX_NODES];
	uint16_t edge[MAX_NODES];
	uint16_t depth = 1;

	stack[0] = root;
	edge[0] = 0;
	seen[root->id] = true;
	while (depth) {
		struct node *n = stack[depth - 1];
		if (edge[depth - 1] == MAX_EDGES) {
			graph.node[--place] = n;
			depth--;
			continue;
		}
		const char *next = edge_next(n, edge[depth - 1]++);
		if (!next || consumes(next))
			continue;
		struct node *to = find(next);
		if (!to)
			broken(n->name, "no node", next);
		if (!seen[to->id]) {
			seen[to->id] = true;
			stack[depth] = to;
			edge[depth++] = 0;
		}
	}
	return place;
}

static int by_name(const void *a, const void *b)
{
	struct node *const *x = a;
	struct node *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

/* Gives ids in topological order, the same in every build. */
static void order(void)
{
	struct node *sorted[MAX_NODES];
	bool seen[MAX_NODES] = {false};
	uint16_t n = 0;

	for (struct node *node = all_nodes; node; node = node->registered) {
		if (n == MAX_NODES)
			broken(node->name, "too many nodes at", node->name);
		sorted[n++] = node;
	}
	qsort(sorted, n, sizeof(struct node *), by_name);
	for (uint16_t i = 0; i < n; i++) {
		if (i && !strcmp(sorted[i]->name, sorted[i - 1]->name))
			broken(sorted[i]->name, "registered twice:", sorted[i]->name);
		sorted[i]->id = i;
	}
	graph.n_nodes = n;
	uint16_t place = n;
	struct node *entry = find("ethernet_input");
	if (entry)
		place = place_from(entry, place, seen);
	for (uint16_t i = 0; i < n; i++)
		if (!seen[sorted[i]->id])
			place = place_from(sorted[i], place, seen);
	for (uint16_t i = 0; i < n; i++)
		graph.node[i]->id = i;
}

const struct graph *graph_build(void)
{
	if (graph.n_nodes)
		return &graph;
	struct node *drop = find("drop");
	if (!drop)
		broken("drop", "no node", "drop");
	order();
	for (uint16_t id = 0; id < graph.n_nodes; id++) {
		const struct node *n = graph.node[id];
		for (uint16_t edge = 0; edge < MAX_EDGES; edge++) {
			const char *next = edge_next(n, edge);
			graph.target[id][edge] = drop->id; /* a hole in the list */
			if (!next)
				continue;
			graph.target[id][edge] = consumes(next) ? EDGE_CONSUMED : find(next)->id;
			graph.n_edges[id] = (uint16_t)(edge + 1);
		}
	}
	return &graph;
}

void graph_describe(const struct graph *g, struct node_name *names)
{
	for (uint16_t id = 0; id < g->n_nodes; id++) {
		const struct node *n = g->node[id];
		snprintf(names[id].name, sizeof(names[id].name), "%s", n->name);
		names[id].n_edges = g->n_edges[id];
		for (uint16_t edge = 0; edge < g->n_edges[id]; edge++) {
			struct edge_name *to = &names[id].edge[edge];
			const char *next = edge_next(n, edge);
			const char *reason = n->edges[edge].reason;
			if (!next) { /* a feature that is not built */
				next = "drop";
				reason = "no-such-feature";
			}
			snprintf(to->next, sizeof(to->next), "%s", next);
			snprintf(to->reason, sizeof(to->reason), "%s", reason ? reason : "");
		}
	}
}

uint16_t node_id(const char *name)
{
	const struct node *n = find(name);
	if (!n)
		broken("node_id", "no node", name);
	return n->id;
}

uint16_t graph_target(const struct worker *w, uint16_t id, uint16_t edge)
{
	return w->engine->graph->target[id][edge];
}

static void append(struct engine *e, uint16_t id, struct pkt **pkts, uint16_t n)
{
	struct queue *q = &e->queue[id];

	assert(q->n + n <= QUEUE_SIZE);
	memcpy(q->pkts + q->n, pkts, n * sizeof(struct pkt *));
	q->n = (uint16_t)(q->n + n);
	e->pending |= UINT64_C(1) << id;
}

void graph_enter(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n)
{
	append(w->engine, id, pkts, n);
	w->in_graph += n;
}

bool graph_enqueue(struct worker *w, uint16_t id, struct pkt *p)
{
	if (w->in_graph >= QUEUE_SIZE) {
		pkt_free(w, p);
		return false;
	}
	graph_enter(w, id, &p, 1);
	return true;
}

void graph_count(struct worker *w, uint16_t id, uint16_t edge, uint16_t n)
{
	uint64_t *counter = &w->edge_counter[(uint32_t)id * MAX_EDGES + edge];
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* How many of next[0..n), from the first on, are the same edge. */
static uint16_t run_length(const uint16_t *next, uint16_t n)
{
	uint16_t i = 1;
	while (i < n && next[i] == next[0])
		i++;
	return i;
}

/* Each is what the one before it is. */
static bool all_same(const uint16_t *next, uint16_t n)
{
	return !memcmp(next, next + 1, (n - 1u) * sizeof(*next));
}

/* Moves a vector along its edges. Returns true when its array itself has been handed over. */
static bool scatter(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n, bool whole)
{
	struct engine *e = w->engine;
	const uint16_t *next = e->next;
	bool same = all_same(next, n);

	if (whole && same) {
		uint16_t to = e->graph->target[id][next[0]];
		if (to != EDGE_CONSUMED && e->queue[to].n == 0) {
			struct queue *q = &e->queue[to];
			e->spare = q->pkts;
			q->pkts = pkts;
			q->n = n;
			e->pending |= UINT64_C(1) << to;
			graph_count(w, id, next[0], n);
			return true;
		}
	}
	for (uint16_t i = 0; i < n;) {
		uint16_t run = same ? n : run_length(next + i, (uint16_t)(n - i));
		uint16_t to = e->graph->target[id][next[i]];
		graph_count(w, id, next[i], run);
		if (to == EDGE_CONSUMED)
			w->in_graph -= run;
		else
			append(e, to, pkts + i, run);
		i = (uint16_t)(i + run);
	}
	return false;
}

void graph_process(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n)
{
	struct engine *e = w->engine;
	struct node_runtime *runtime = &w->runtime[id];
	uint64_t start = w->measure ? __rdtsc() : 0;

	e->graph->node[id]->process(w, pkts, n, e->next);
	if (w->measure)
		__atomic_store_n(
			&runtime->clocks, runtime->clocks + (__rdtsc() - start), __ATOMIC_RELAXED);
	__atomic_store_n(&runtime->calls, runtime->calls + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&runtime->packets, runtime->packets + n, __ATOMIC_RELAXED);
}

static void run_node(struct worker *w, uint16_t id)
{
	struct engine *e = w->engine;
	struct queue *q = &e->queue[id];
	struct pkt **pkts = q->pkts;
	uint16_t n = q->n;
	bool handed = false;

	q->pkts = e->spare; /* the node may put packets in front of itself */
	q->n = 0;
	for (uint16_t done = 0; done < n;) {
		uint16_t left = (uint16_t)(n - done);
		uint16_t chunk = left < VECTOR_SIZE ? left : VECTOR_SIZE;
		if (__builtin_expect(w->tracing, 0))
			trace_process(w, id, pkts + done, chunk);
		else
			graph_process(w, id, pkts + done, chunk);
		handed = scatter(w, id, pkts + done, chunk, chunk == n);
		done = (uint16_t)(done + chunk);
	}
	if (!handed)
		e->spare = pkts;
}

void graph_run(struct worker *w)
{
	struct engine *e = w->engine;

	while (e->pending) {
		uint16_t id = (uint16_t)__builtin_ctzll(e->pending);
		e->pending &= e->pending - 1;
		run_node(w, id);
	}
}
