/*
 * The first packet of a flow: clocks through the whole graph where every packet makes a mapping,
 * at several fills of the block, and where every packet finds its block full and takes a new one.
 */
#include <stdio.h>

#include "bench.h"
#include "io/gen.h"

enum { SUBSCRIBERS = 10000, BLOCK_PORTS = 256, WARM = 2 };

static uint32_t subscribers(const struct settings *s)
{
	return s->sessions_most < SUBSCRIBERS ? s->sessions_most : SUBSCRIBERS;
}

static double send_flow(struct bench *b, uint32_t first, uint32_t n, uint16_t port)
{
	for (uint32_t i = first; i < first + n; i++)
		make_upstream_frame(b, i, i, port);
	shuffle(b, first, n);
	gen_replay(&b->dp->port[ACC], b->order + first, b->lens + first, n);
	double clocks = bench_run(b, ACC, WAN, n);
	gen_replay(&b->dp->port[ACC], NULL, NULL, 0);
	return clocks;
}

/* Every subscriber has `flows` mappings. */
static void fill(struct bench *b, uint32_t flows)
{
	for (uint32_t flow = 0; flow < flows; flow++)
		send_flow(b, 0, b->sessions, (uint16_t)(CLIENT_PORT + flow));
}

static void at_fill(struct settings *s, uint32_t percent)
{
	struct bench b;
	double clocks[MAX_RUNS];
	struct summary sum;
	char name[32];
	uint32_t flows = BLOCK_PORTS * percent / 100;

	bench_open(&b, s, (struct row){subscribers(s), 1}, 1, 1);
	fill(&b, flows);
	for (uint32_t run = 0; run < s->runs; run++)
		clocks[run] = send_flow(&b, 0, b.sessions, (uint16_t)(CLIENT_PORT + flows + run));
	bench_close(&b);
	summarize(clocks, s->runs, &sum);
	snprintf(name, sizeof(name), "fill-%u-percent", percent);
	print_first_packet(s, name, &sum);
}

/* Runs take a part of the subscribers each: a block is taken once. */
static void at_new_block(struct settings *s)
{
	struct bench b;
	double clocks[MAX_RUNS];
	struct summary sum;
	uint32_t part = subscribers(s) / (s->runs + WARM);

	bench_open(&b, s, (struct row){subscribers(s), 1}, 2, 1);
	fill(&b, BLOCK_PORTS);
	for (uint32_t run = 0; run < s->runs + WARM; run++)
		clocks[run < WARM ? 0 : run - WARM] =
			send_flow(&b, run * part, part, (uint16_t)(CLIENT_PORT + BLOCK_PORTS));
	bench_close(&b);
	summarize(clocks, s->runs, &sum);
	print_first_packet(s, "new-block", &sum);
}

void bench_first_packets(struct settings *s)
{
	at_fill(s, 10);
	at_fill(s, 50);
	at_fill(s, 90);
	at_new_block(s);
}
