/*
 * What a hand-off costs: the first worker receives, the second one owns all sessions, each in a
 * thread of its own. Clocks of both together for each packet, the sink of the second one included.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "io/gen.h"

enum { UNDER_WAY = 1024 }; /* packets handed over and not yet sent: no ring overflows */

struct owner {
	struct worker *w;
	bool finish; /* no more packets follow */
	bool stop;
	uint64_t clocks;
	uint64_t packets;
};

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		fprintf(stderr, "bench: not pinned to processor %u\n", cpu);
}

/* Whether a full vector waits, as in the other rows, or the last packets do. */
static bool is_due(struct owner *o)
{
	const struct spsc *ring = o->w->dp->handoff[0][o->w->id];
	uint64_t waiting = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - ring->tail;

	return waiting >= VECTOR_SIZE || __atomic_load_n(&o->finish, __ATOMIC_RELAXED);
}

static void *own(void *arg)
{
	struct owner *o = arg;

	pin(1);
	while (!__atomic_load_n(&o->stop, __ATOMIC_RELAXED)) {
		if (!is_due(o)) {
			_mm_pause();
			continue;
		}
		worker_clock(o->w, monotonic_ns());
		long switches = preemptions();
		uint64_t start = __rdtsc();
		uint32_t taken = worker_turn(o->w);
		uint64_t clocks = __rdtsc() - start;
		if (!taken || preemptions() != switches)
			continue;
		o->clocks += clocks;
		o->packets += taken;
	}
	return NULL;
}

/* Clocks of the receiving worker for each packet. */
static double receive(struct bench *b, struct owner *o, uint8_t from, uint8_t to, uint64_t least)
{
	const uint64_t *sent = &b->dp->tables.port[to].tx[b->owner->id].packets;
	struct port *port = &b->dp->port[from];
	uint64_t before = *sent;
	uint64_t clocks = 0, counted = 0, packets = 0;

	while (packets < least) {
		struct pkt *pkts[VECTOR_SIZE];
		worker_clock(b->w, monotonic_ns());
		worker_collect(b->w);
		uint16_t n = port->driver->rx(port, b->w, pkts, VECTOR_SIZE);
		for (uint16_t i = 0; i < n; i++)
			pkts[i]->rx_port = from;
		uint64_t taken = bench_turn(b, pkts, n);
		clocks += taken;
		counted += taken ? n : 0;
		packets += n;
		worker_wake(b->w);
		while (before + packets - __atomic_load_n(sent, __ATOMIC_RELAXED) > UNDER_WAY)
			_mm_pause();
	}
	__atomic_store_n(&o->finish, true, __ATOMIC_RELAXED);
	for (uint64_t tries = 0; __atomic_load_n(sent, __ATOMIC_RELAXED) != before + packets;
		tries++) {
		_mm_pause();
		if (tries < 1ull << 28)
			continue;
		fprintf(stderr, "bench: %lu packets handed over, %lu sent\n", packets,
			*sent - before);
		exit(1);
	}
	return (double)clocks / (double)(counted ? counted : 1);
}

static void measure(struct bench *b, const struct settings *s, const char *direction)
{
	bool up = direction[0] == 'u';
	uint8_t from = up ? ACC : WAN;
	uint8_t to = up ? WAN : ACC;
	double sum[MAX_RUNS], first[MAX_RUNS], second[MAX_RUNS];
	struct result r = {.direction = direction,
		.nat = b->nat,
		.row = {b->sessions, b->flows},
		.n_nodes = 2,
		.node = {"receiving-worker", "owner"}};
	struct summary of;

	shuffle(b, 0, frames_of(b));
	gen_replay(&b->dp->port[from], b->order, b->lens, frames_of(b));
	for (uint32_t run = 0; run <= s->runs; run++) {
		struct owner o = {.w = b->owner};
		pthread_t thread;
		uint32_t at = run ? run - 1 : 0; /* the first one warms up */
		if (pthread_create(&thread, NULL, own, &o))
			exit(1);
		first[at] = receive(b, &o, from, to, MIN_PACKETS);
		__atomic_store_n(&o.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		second[at] = (double)o.clocks / (double)(o.packets ? o.packets : 1);
		sum[at] = first[at] + second[at];
	}
	summarize(sum, s->runs, &r.clocks);
	summarize(first, s->runs, &of);
	r.node_clocks[0] = of.median;
	summarize(second, s->runs, &of);
	r.node_clocks[1] = of.median;
	print_result(s, &r, b->dp->arena.hugepages);
	gen_replay(&b->dp->port[from], NULL, NULL, 0);
}

void bench_handoff(const struct settings *s, struct row row)
{
	struct bench b;

	pin(0);
	bench_open(&b, s, row, 1, 2);
	make_upstream(&b);
	measure(&b, s, "up-handoff");
	make_downstream(&b);
	measure(&b, s, "down-handoff");
	bench_close(&b);
}
