/* The dataplane benchmark: settings, results and how they are printed. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

enum { MAX_ROWS = 16 };

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

/* Sorts the values. */
void summarize(double *values, uint32_t n, struct summary *s);
void print_head(struct settings *s);
void print_result(const struct settings *s, const struct result *r, bool hugepages);
void print_tail(const struct settings *s);
void reserve_hugepages(void);
/* What the machine itself costs: dependent loads, copies. */
void calibrate(struct settings *s);

#endif
