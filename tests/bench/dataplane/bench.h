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
	SERVER = 0xc6336401,   /* 198.51.100.1 */
	CLIENTS = 0x64400000,  /* 100.64.0.0 */
	NAT_POOL = 0xcb007101, /* 203.0.113.1 on */
	SERVER_PORT = 53,
	CLIENT_PORT = 40000,
};

struct bench {
	struct dataplane *dp;
	struct worker *w;
	uint32_t sessions;
	bool nat;
	uint8_t (*frames)[64];
	const uint8_t **order;
	uint16_t *lens;
	uint64_t preempted; /* turns left out */
};

struct settings {
	bool json;
	uint32_t runs;
	enum hugepages_mode hugepages;
	uint32_t n_sessions;
	uint32_t sessions[MAX_ROWS];
	bool printed; /* a row is out: the next one needs a comma */
};

struct summary {
	double median, min, max;
};

struct result {
	const char *direction;
	bool nat;
	uint32_t sessions;
	struct summary clocks;
	uint64_t preempted; /* turns left out: the kernel took the CPU away */
	uint32_t n_nodes;
	const char *node[MAX_NODES];
	double node_clocks[MAX_NODES];
};

void mac_of(uint32_t session, uint8_t mac[6]);
void make_upstream(struct bench *b);
/* Sends each upstream frame once and makes the answers from what leaves. */
void make_downstream(struct bench *b);
void shuffle(struct bench *b);

/* Sorts the values. */
void summarize(double *values, uint32_t n, struct summary *s);
void print_head(struct settings *s);
void print_result(const struct settings *s, const struct result *r, bool hugepages);
void print_tail(const struct settings *s);
void reserve_hugepages(void);
/* What the machine itself costs: dependent loads, copies. */
void calibrate(struct settings *s);

#endif
