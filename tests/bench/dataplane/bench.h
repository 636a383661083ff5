/* The dataplane benchmark: settings, results and how they are printed. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

enum { MAX_ROWS = 16 };

enum {
	FRAME_LEN = 60,
	ACC = 0,
	WAN = 1,
	BLOCKS_USABLE = 252, /* of an address: 65536 / 256 less those under port 1024 */
	MIN_PACKETS = 1 << 18,
	MAX_RUNS = 64,
	MAX_FLOWS = 200,       /* fit a block */
	SERVER = 0xc6336401,   /* 198.51.100.1 */
	CLIENTS = 0x64400000,  /* 100.64.0.0 */
	NAT_POOL = 0xcb007101, /* 203.0.113.1 on */
	SERVER_PORT = 53,
	CLIENT_PORT = 40000,
};

struct bench {
	struct dataplane *dp;
	struct worker *w;
	struct worker *owner; /* of all sessions: the same, or a second one */
	uint32_t sessions;
	uint32_t flows; /* of each session */
	bool nat;
	uint8_t (*frames)[64];
	const uint8_t **order;
	uint16_t *lens;
	uint64_t preempted; /* turns left out */
};

/* Subscribers, and UDP flows of each. */
struct row {
	uint32_t sessions, flows;
};

struct settings {
	bool json;
	uint32_t runs;
	enum hugepages_mode hugepages;
	bool firstpacket;
	uint32_t n_rows;
	struct row rows[MAX_ROWS];
	bool printed; /* a row is out: the next one needs a comma */
};

struct summary {
	double median, min, max;
};

struct result {
	const char *direction;
	bool nat;
	struct row row;
	struct summary clocks;
	uint64_t preempted; /* turns left out: the kernel took the CPU away */
	uint32_t n_nodes;
	const char *node[MAX_NODES];
	double node_clocks[MAX_NODES];
};

/* Frames in a set: one of each flow. */
static inline uint32_t frames_of(const struct bench *b)
{
	return b->sessions * b->flows;
}

/* A dataplane with the sessions installed; blocks: what NAT has for each of them. */
void bench_open(struct bench *b, const struct settings *s, struct row row, uint32_t blocks,
	uint32_t workers);
void bench_close(struct bench *b);
/* Sends at least `least` packets of the replayed set; clocks in the graph per packet. Exits when
 * not all of them come out on the other side. */
double bench_run(struct bench *b, uint8_t from, uint8_t to, uint64_t least);
/* One more command, carried out at once; group: a worker, or n_workers for the control thread. */
void bench_command(struct bench *b, uint32_t group, struct command *c);
void bench_policers(struct bench *b);
void bench_acls(struct bench *b);
/* Clocks of one turn of the graph over n packets; 0 when the kernel took the CPU away meanwhile. */
uint64_t bench_turn(struct bench *b, struct pkt **pkts, uint16_t n);
/* Involuntary switches of this thread so far. */
long preemptions(void);
/* Two workers, a thread each: one receives, the other owns all sessions. */
void bench_handoff(const struct settings *s, struct row row);
/* First packets of flows: mappings are made, and blocks. */
void bench_first_packets(struct settings *s);

void mac_of(uint32_t session, uint8_t mac[6]);
void make_upstream(struct bench *b);
/* The upstream frame of one flow. */
void make_upstream_frame(struct bench *b, uint32_t frame, uint32_t session, uint16_t port);
/* Sends each upstream frame once and makes the answers from what leaves. */
void make_downstream(struct bench *b);
/* Puts n frames from the first on into the replayed set, in random order. */
void shuffle(struct bench *b, uint32_t first, uint32_t n);

/* Sorts the values. */
void summarize(double *values, uint32_t n, struct summary *s);
void print_head(struct settings *s);
void print_result(const struct settings *s, const struct result *r, bool hugepages);
/* One figure of first packets. */
void print_first_packet(struct settings *s, const char *name, const struct summary *sum);
void print_tail(const struct settings *s);
void reserve_hugepages(void);
/* What the machine itself costs: dependent loads, copies. */
void calibrate(struct settings *s);

#endif
