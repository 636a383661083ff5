/*
 * A worker: one thread that polls its ports, runs the graph, and applies commands between vectors.
 * Everything a node may touch hangs on it.
 */
#ifndef BNG_WORKER_H
#define BNG_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "driver.h"
#include "graph.h"
#include "pkt.h"
#include "table/fib6.h"

enum {
	QUEUE_SIZE = 4096, /* packets one node can have pending: more than are ever in the graph */
	HANDOFF_SIZE = 4096,
	RESOLVE_WORDS = 3, /* of a next hop: port, address */
	RESOLVE_SIZE = 1024,
};

/* What a worker may have in flight in one run of the graph; sources stop when it is reached. */
enum { GRAPH_BUDGET = 3072 };
/* Buffers that are left for control frames and for what the kernel sends. */
enum { CONTROL_BUFFERS = 256 };

struct lines;

/* Pointers into the arena, resolved once at start. */
struct tables {
	struct arena_header *arena;
	struct worker_shared *worker; /* [worker] */
	struct port_shared *port;
	struct access_range *access; /* [port * MAX_ACCESS_RANGES] */
	uint32_t *directory;	     /* [port * 4096 + outer VID] */
	uint32_t *domain;	     /* [domain * DOMAIN_PAGES] */
	uint32_t *domain_page;	     /* [page * DOMAIN_PAGE_IDS] */
	struct session_in *in;
	struct session_out *out;
	struct session_cold *cold;
	struct session_ip6 *ip6;
	struct policer *policer; /* [session * 2 + enum direction] */
	uint64_t *acl;		 /* [MAX_ACLS] */
	uint8_t *acl_memory;
	uint32_t *fib4_root;
	uint32_t *fib4_page; /* [page * 256] */
	struct fib6_view fib6;
	struct adjacency *adjacency;
	const struct lines *lines;
	struct mirror_shared *mirror;
	struct nat_config *nat;
	struct nat_address *nat_address;
	struct nat_block *nat_block;
	struct nat_remote *nat_remote;	   /* [worker * remotes_per_worker] */
	struct nat_forward *nat_forward;   /* [worker * forwards_per_worker] */
	struct nat_protocol *nat_protocol; /* [worker * protocol_flows_per_worker] */
	struct nat_slot *nat_slot;
	struct ring *ring; /* [group * RINGS_PER_GROUP + kind] */
	uint8_t *base;	   /* of the arena */
	uint32_t max_sessions;
	uint32_t n_workers;
	uint32_t n_ports;
};

/* Rate of something a worker may do: tokens of 1/1000, refilled per coarse millisecond. */
struct bucket {
	uint32_t tokens;
	uint32_t stamp_ms;
};

/* How far a search for what has expired in a table of NAT is. */
struct nat_sweep {
	uint64_t credit; /* entries due, in 1/60000 */
	uint32_t position;
	uint32_t stamp_ms;
};

struct nat44_sent;

struct worker {
	const struct tables *t; /* read-mostly from here on */
	struct dataplane *dp;
	uint8_t id;
	bool measure;	  /* count clocks per node */
	bool tracing;	  /* run nodes by trace_process() */
	uint64_t now_tsc; /* set once per loop */
	uint32_t now_ms;  /* coarse, CLOCK_MONOTONIC, wraps after 49 days: compare by difference */
	uint32_t now_s;
	uint64_t now_ns; /* CLOCK_MONOTONIC */
	uint64_t random; /* state of worker_random() */
	struct worker_shared *shared;
	uint64_t *edge_counter;	      /* [node * MAX_EDGES + edge] */
	struct node_runtime *runtime; /* [node] */
	struct pkt *free_list;
	uint32_t n_free;
	uint32_t n_buffers;
	uint32_t in_graph;   /* packets in queues */
	struct port **ports; /* [n_ports] */
	struct bucket punt_policer[PUNT_CAUSES];
	struct bucket padt_policer;
	struct nat_sweep nat_sweep, protocol_sweep;
	struct nat44_sent *nat_sent; /* ids of fragments; nat44_in2out made it */
	void *node_state[MAX_NODES]; /* a node's own, made by it on first use at start: see
					node_init */
	/* the engine's: graph queues, transmit vectors, hand-off rings */
	struct engine *engine;
};

/* A buffer with data = PKT_HEADROOM, len = 0 and clean metadata, or NULL (counted). */
struct pkt *pkt_alloc(struct worker *w);
void pkt_free(struct worker *w, struct pkt *p);
/* The buffers of all workers, one piece of memory, for a driver that shares it with the kernel. */
struct pkt *worker_buffers(const struct worker *w, uint64_t *size, bool *hugepages);

/* Puts a packet that a node made (error, fragment, echo) in front of node `name_id`. Not counted
 * on an edge. Returns false, and frees it, when the graph is at its budget. */
bool graph_enqueue(struct worker *w, uint16_t node_id, struct pkt *p);
/* Id of a node by name, resolved at start; asserts that it exists. */
uint16_t node_id(const char *name);

/* Appends to the port's transmit vector, flushed at the vector boundary and when full: one of
 * control frames, which goes out first, or of data, as the first of them is. */
void worker_transmit(struct worker *w, uint8_t port, struct pkt **pkts, uint16_t n);
/* Hands p to worker `to`, to continue at node `node_id` there. False when the ring is full: the
 * caller drops. p->session and p->generation are checked on the other side. */
bool worker_handoff(struct worker *w, uint8_t to, uint16_t node_id, struct pkt *p);

/* Pushes a record to bngd; false when the ring is full (counted by the ring). Wakes it. */
bool worker_punt(
	struct worker *w, const struct punt_record *record, const uint8_t *bytes, uint16_t len);
bool worker_event(struct worker *w, uint32_t type, uint32_t session, uint32_t arg);
/* Stamps sequence and wall time itself, so that a refused record leaves no gap. */
bool worker_nat_log(struct worker *w, const struct nat_log_record *record);
/* Logs that something begins whose end will be logged, too: room for that is kept. False, and
 * nothing is logged: there is none. */
bool worker_nat_log_begin(struct worker *w, const struct nat_log_record *record);
/* Logs the end of something that began so. */
void worker_nat_log_end(struct worker *w, const struct nat_log_record *record);
/* Asks the control thread to have the kernel resolve an on-link next hop; drops duplicates. */
void worker_resolve(struct worker *w, uint8_t port, struct ip6_words address);

/* Not for keys: spreads, ids, first lines. xorshift64*. */
static inline uint32_t worker_random(struct worker *w)
{
	uint64_t x = w->random;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	w->random = x;
	return (uint32_t)(x * 0x2545f4914f6cdd1dull >> 32);
}

/* Takes one token; rate per second, burst in packets. */
static inline bool bucket_take(struct bucket *b, uint32_t now_ms, uint32_t rate, uint32_t burst)
{
	uint64_t tokens = b->tokens + (uint64_t)(now_ms - b->stamp_ms) * rate;
	b->stamp_ms = now_ms;
	if (tokens > (uint64_t)burst * 1000)
		tokens = (uint64_t)burst * 1000;
	bool take = tokens >= 1000;
	b->tokens = (uint32_t)(take ? tokens - 1000 : tokens);
	return take;
}

#endif
