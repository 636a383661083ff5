/*
 * The engine's own side of a worker: queues of the graph, transmit vectors, rings between workers;
 * and of the process: all of it in one struct, made by the same code in both modes.
 */
#ifndef BNG_ENGINE_H
#define BNG_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "driver.h"
#include "graph.h"
#include "mirror.h"
#include "options.h"
#include "spsc.h"
#include "table/line.h"
#include "worker.h"

enum { EDGE_CONSUMED = 0xffff };

/* The graph as resolved at start; the same for all workers. Ids are in the order of the flow. */
struct graph {
	uint16_t n_nodes;
	struct node *node[MAX_NODES];
	uint16_t n_edges[MAX_NODES];
	uint16_t target[MAX_NODES][MAX_EDGES]; /* node id, EDGE_CONSUMED */
};

/* Resolves names; asserts, with a line that says which, on unknown and double ones. Idempotent. */
const struct graph *graph_build(void);
/* Names for bngd to print. */
void graph_describe(const struct graph *g, struct node_name *names);

struct queue {
	struct pkt **pkts; /* [QUEUE_SIZE] */
	uint16_t n;
};

struct transmit {
	uint16_t n;
	struct pkt *pkts[BURST_SIZE];
};

/* What leaves a port, in this order: control frames never wait for data, nor stand among it. */
enum { TRANSMIT_CONTROL, TRANSMIT_DATA, TRANSMIT_ORDER };

/* A next hop that was asked for; no address: none yet. */
struct resolved {
	struct ip6_words address;
	uint32_t asked_ms;
	uint8_t port;
};

enum { RESOLVED_SLOTS = 256 };

struct engine {
	const struct graph *graph;
	uint64_t pending; /* bitmap of nodes with packets */
	struct queue queue[MAX_NODES];
	struct pkt **spare;
	uint16_t next[VECTOR_SIZE];
	uint64_t transmitting[TRANSMIT_ORDER]; /* bitmap of ports */
	struct transmit transmit[TRANSMIT_ORDER][MAX_PORTS];
	uint32_t wake_workers; /* bitmap: they got something in this vector */
	bool wake_bngd;
	bool wake_control;
	uint16_t n_rx, n_taps;
	struct port *rx[MAX_PORTS]; /* ports that this worker polls, TAPs first */
	bool must_poll;		    /* one of them has no descriptor to sleep on */
	bool sweeping;		    /* more of the NAT table is due than one turn visits */
	bool unsent;		    /* a device has not taken all that it was given */
	bool unanswerable;	    /* commands wait for room in the completion ring */
	int epoll_fd;
	uint32_t ticked_ms;
	uint16_t entry; /* ids of nodes that packets enter by */
	uint16_t inject;
	uint16_t handoff;
	struct resolved resolved[RESOLVED_SLOTS];
	struct trace *trace;
	uint64_t nat_log_sequence;
	uint64_t nat_log_promised; /* records to come for which room is kept */
	void *queue_memory;
	pthread_t thread;
};

struct dataplane {
	struct options options;
	struct arena arena;
	struct tables tables;
	const struct graph *graph;
	uint32_t n_workers;
	struct pkt *pool; /* buffers of all workers, one after another */
	uint64_t pool_mapped;
	bool pool_hugepages;
	struct worker *worker[MAX_WORKERS];
	struct port port[MAX_PORTS];
	struct port *ports[MAX_PORTS];
	struct lines lines;
	uint32_t opened; /* ports */
	struct mirror *mirror;
	struct spsc *handoff[MAX_WORKERS][MAX_WORKERS]; /* [from][to] */
	struct spsc *home[MAX_WORKERS][MAX_WORKERS];	/* [from][to]: buffers of `to` */
	struct spsc *resolve[MAX_WORKERS];		/* to the control thread */
	int bngd_fd;					/* eventfds */
	int group_fd[MAX_WORKERS + 1];			/* workers, then the control thread */
	bool threads;					/* false: embedded mode */
	bool stop;
	uint8_t last_flags[MAX_PORTS]; /* ports, as last told to bngd */
};

/* Arena, workers, ports, mirror; no thread runs yet. 0 or -errno with a line on stderr, and then
 * nothing is left. dp->options are set. */
int dataplane_start(struct dataplane *dp, bool threads);
void dataplane_stop(struct dataplane *dp);

/* A worker with its pool and queues; NULL when there is no memory. */
struct worker *worker_create(struct dataplane *dp, uint8_t id);
void worker_destroy(struct worker *w);
/* Sets the clocks of a worker. */
void worker_clock(struct worker *w, uint64_t monotonic_ns);
/* One turn: commands, ticks, sources, graph, transmit. Returns how many packets and commands were
 * taken. */
uint32_t worker_turn(struct worker *w);
/* The body of a worker's thread. */
void *worker_thread(void *worker);
int worker_prepare_sleep(struct worker *w);
void worker_flush(struct worker *w);
/* Wakes whom this vector gave something. */
void worker_wake(struct worker *w);
/* Packets in front of a node, from a source; the caller keeps to the budget. */
void graph_enter(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n);
void graph_run(struct worker *w);
/* Runs one node; w->engine->next[] has the edges, nothing is moved. */
void graph_process(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n);
uint16_t graph_target(const struct worker *w, uint16_t id, uint16_t edge);
void graph_count(struct worker *w, uint16_t id, uint16_t edge, uint16_t n);
/* Buffers that came home from other workers. */
void worker_collect(struct worker *w);

/* Applies commands from bngd, at most one burst of them; returns how many. */
uint32_t command_run(struct worker *w);

/* The control thread's work, each piece without waiting but for a barrier of the workers. */
uint32_t control_commands(struct dataplane *dp);
void control_resolve(struct dataplane *dp);
void control_tick(struct dataplane *dp, uint64_t now_ms);

uint64_t monotonic_ns(void);
void eventfd_kick(int fd);
void eventfd_clear(int fd);

#endif
