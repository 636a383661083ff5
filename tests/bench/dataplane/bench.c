/*
 * TSC clocks per packet through the graph, one worker, from ethernet_input to port_output: without
 * the generator that fills the vectors and the sink that takes them. Sessions are installed by
 * commands, as bngd does, with every check that a subscriber has by default; each has its UDP
 * flows; frames of 60 bytes, in shuffled order. Other kinds of rows: see kinds.c and features.c;
 * rows named handoff are two workers, see handoff.c.
 *
 * Usage: bench-dataplane [--first-packet] [--plain] [--only NAME] [--json] [--runs N]
 *        [--sessions N[xFLOWS],...] [--hugepages auto|on|off]
 */
#include "bench.h"

#include <arpa/inet.h>
#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <x86intrin.h>

#include "hdr/ethernet.h"
#include "io/gen.h"

long preemptions(void)
{
	struct rusage usage;
	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

uint64_t bench_turn(struct bench *b, struct pkt **pkts, uint16_t n)
{
	struct node_runtime before[MAX_NODES];
	struct worker *w = b->w;
	size_t size = b->dp->graph->n_nodes * sizeof(before[0]);

	uint64_t clocks = 0;

	memcpy(before, w->runtime, size);
	long switches = preemptions();
	for (uint16_t done = 0; done < n; done += VECTOR_SIZE) {
		uint16_t left = (uint16_t)(n - done);
		graph_enter(
			w, w->engine->entry, pkts + done, left < VECTOR_SIZE ? left : VECTOR_SIZE);
		uint64_t start = __rdtsc();
		graph_run(w);
		clocks += __rdtsc() - start;
	}
	if (preemptions() == switches)
		return clocks;
	memcpy(w->runtime, before, size);
	b->preempted++;
	return 0;
}

uint64_t bench_now(const struct bench *b)
{
	return monotonic_ns() + b->late_ns;
}

/* The n buffers that came back last go to the end. */
static void rotate(struct bench *b, uint32_t n)
{
	struct pkt *first = b->w->free_list;
	struct pkt *last = first;

	for (uint32_t i = 1; i < n; i++)
		last = last->link;
	b->w->free_list = last->link;
	last->link = NULL;
	b->last->link = first;
	b->last = last;
}

double bench_run(struct bench *b, uint8_t from, uint8_t to, uint64_t least)
{
	struct worker *w = b->w;
	struct port *port = &b->dp->port[from];
	uint64_t clocks = 0;
	uint64_t counted = 0;
	uint64_t packets = 0;
	uint64_t sent = b->dp->tables.port[to].tx[0].packets;

	while (packets < least) {
		struct pkt *pkts[BURST_SIZE];
		worker_clock(w, bench_now(b));
		uint16_t n = port->driver->rx(port, w, pkts,
			(uint16_t)(least - packets < BURST_SIZE ? least - packets : BURST_SIZE));
		for (uint16_t i = 0; i < n; i++)
			pkts[i]->rx_port = from;
		uint64_t taken = bench_turn(b, pkts, n);
		clocks += taken;
		counted += taken ? n : 0;
		worker_flush(w);
		if (b->last)
			rotate(b, n);
		packets += n;
	}
	/* Every one of them must have come out on the other side. */
	if (b->dp->tables.port[to].tx[0].packets - sent != packets) {
		fprintf(stderr, "bench: %lu packets in, %lu out\n", packets,
			b->dp->tables.port[to].tx[0].packets - sent);
		exit(1);
	}
	return counted ? (double)clocks / (double)counted : 0;
}

static double run_once(struct bench *b, uint8_t from, uint8_t to)
{
	uint64_t total = frames_of(b) * 4ull;
	return bench_run(b, from, to, total > MIN_PACKETS ? total : MIN_PACKETS);
}

static void measure_nodes(
	struct bench *b, struct result *r, uint8_t from, uint8_t to, uint32_t runs)
{
	const struct graph *g = b->dp->graph;
	double clocks[MAX_NODES][MAX_RUNS];
	struct summary sum;

	b->w->measure = true;
	for (uint32_t run = 0; run < runs; run++) {
		memset(b->w->runtime, 0, g->n_nodes * sizeof(struct node_runtime));
		run_once(b, from, to);
		for (uint16_t id = 0; id < g->n_nodes; id++) {
			const struct node_runtime *n = &b->w->runtime[id];
			clocks[id][run] = n->packets ? (double)n->clocks / (double)n->packets : 0;
		}
	}
	b->w->measure = false;
	for (uint16_t id = 0; id < g->n_nodes; id++) {
		summarize(clocks[id], runs, &sum);
		if (sum.max == 0)
			continue;
		r->node[r->n_nodes] = g->node[id]->name;
		r->node_clocks[r->n_nodes++] = sum.median;
	}
}

static struct result measure(struct bench *b, const char *direction, uint32_t runs)
{
	bool up = direction[0] == 'u';
	uint8_t from = up ? ACC : WAN;
	uint8_t to = up ? WAN : ACC;
	struct result r = {.direction = direction, .nat = b->nat, .row = {b->sessions, b->flows}};
	double clocks[MAX_RUNS];

	shuffle(b, 0, frames_of(b));
	gen_replay(&b->dp->port[from], b->order, b->lens, frames_of(b));
	run_once(b, from, to); /* warm */
	for (uint32_t i = 0; i < runs; i++)
		clocks[i] = run_once(b, from, to);
	summarize(clocks, runs, &r.clocks);
	measure_nodes(b, &r, from, to, runs);
	r.preempted = b->preempted;
	b->preempted = 0;
	gen_replay(&b->dp->port[from], NULL, NULL, 0);
	return r;
}

static void start(struct bench *b, const struct settings *s, uint32_t blocks, uint32_t workers)
{
	uint32_t per_address = BLOCKS_USABLE / (blocks ? blocks : 1);
	struct options *o;

	uint32_t n = frames_of(b);
	b->dp = aligned_alloc(64, (sizeof(*b->dp) + 63) / 64 * 64);
	b->frames = aligned_alloc(64, (size_t)n * 64);
	b->order = calloc(n, sizeof(*b->order));
	b->lens = calloc(n, sizeof(*b->lens));
	assert(b->dp && b->frames && b->order && b->lens);
	memset(b->dp, 0, sizeof(*b->dp));
	memset(b->frames, 0, (size_t)n * 64);
	o = &b->dp->options;
	char name[] = "bench";
	char access[] = "--port=name=acc0,driver=gen,role=access,mtu=1508";
	char routed[] = "--port=name=wan0,driver=gen,role=routed";
	char *argv[] = {name, access, routed, NULL};
	if (options_parse(o, 3, argv) != OPTIONS_RUN)
		exit(2);
	o->hugepages = s->hugepages;
	o->sessions = 65536;
	o->n_workers = workers;
	for (uint32_t i = 0; b->nat && i / workers * per_address < b->sessions; i++)
		o->nat_address[o->n_nat_addresses++].address = hton32(NAT_POOL + i);
	o->nat.n_addresses = o->n_nat_addresses;
	if (b->adjust)
		b->adjust(o);
	if (dataplane_start(b->dp, false))
		exit(1);
	b->w = b->dp->worker[0];
	b->owner = b->dp->worker[workers - 1];
	worker_clock(b->w, monotonic_ns());
	worker_clock(b->owner, monotonic_ns());
	for (uint32_t i = 0; i < b->sessions; i++)
		bench_install(b, i, per_address);
	bench_add_neighbour(b);
}

void bench_open(struct bench *b, const struct settings *s, struct row row, uint32_t blocks,
	uint32_t workers)
{
	*b = (struct bench){.sessions = row.sessions, .flows = row.flows, .nat = blocks};
	start(b, s, blocks, workers);
}

void bench_open_kind(
	struct bench *b, const struct settings *s, struct row row, const struct kind *kind)
{
	*b = (struct bench){.sessions = row.sessions, .flows = row.flows, .nat = !kind->no_nat};
	if (kind->set)
		kind->set(b);
	start(b, s, b->nat, 1);
	if (kind->begin)
		kind->begin(b);
}

void bench_close(struct bench *b)
{
	dataplane_stop(b->dp);
	free(b->dp);
	free(b->frames);
	free(b->order);
	free(b->lens);
	free(b->server);
}

static bool is_asked_for(const struct settings *s, const char *direction)
{
	return direction && (!s->only || !strcmp(s->only, direction));
}

static void bench_row(const struct settings *s, struct row row, const struct kind *kind)
{
	struct bench b;

	bool up = is_asked_for(s, kind->up);
	bool down = is_asked_for(s, kind->down);

	if (!up && !down)
		return;
	bench_open_kind(&b, s, row, kind);
	make_upstream(&b);
	if (up) {
		struct result r = measure(&b, kind->up, s->runs);
		print_result(s, &r, b.dp->arena.hugepages);
	}
	if (down) {
		make_downstream(&b);
		struct result r = measure(&b, kind->down, s->runs);
		print_result(s, &r, b.dp->arena.hugepages);
	}
	bench_close(&b);
}

/* "N" or "NxFLOWS", separated by commas. */
static int parse_rows(struct settings *s, char *text)
{
	s->n_rows = 0;
	s->sessions_most = 0;
	for (char *item = strtok(text, ","); item && s->n_rows < MAX_ROWS;
		item = strtok(NULL, ",")) {
		struct row *row = &s->rows[s->n_rows++];
		char *end;
		row->sessions = (uint32_t)strtoul(item, &end, 10);
		row->flows = *end == 'x' ? (uint32_t)strtoul(end + 1, &end, 10) : 1;
		if (*end || row->sessions < 1 || row->sessions > 60000 || row->flows < 1 ||
			row->flows > MAX_FLOWS)
			return -1;
		if (row->sessions > s->sessions_most)
			s->sessions_most = row->sessions;
	}
	return 0;
}

static int parse(struct settings *s, int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"runs", required_argument, NULL, 'r'}, {"sessions", required_argument, NULL, 's'},
		{"hugepages", required_argument, NULL, 'h'},
		{"first-packet", no_argument, NULL, 'f'}, {"plain", no_argument, NULL, 'p'},
		{"only", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (opt == 'j')
			s->json = true;
		else if (opt == 'r')
			s->runs = (uint32_t)strtoul(optarg, NULL, 10);
		else if (opt == 'h')
			s->hugepages = !strcmp(optarg, "on")	? HUGEPAGES_ON
				       : !strcmp(optarg, "off") ? HUGEPAGES_OFF
								: HUGEPAGES_AUTO;
		else if (opt == 'f')
			s->firstpacket = true;
		else if (opt == 'p')
			s->plain = true;
		else if (opt == 'o')
			s->only = optarg;
		else if (opt != 's' || parse_rows(s, optarg))
			return -1;
	}
	return s->runs >= 1 && s->runs <= MAX_RUNS ? 0 : -1;
}

static void bench_rows(const struct settings *s)
{
	static const struct kind plain[] = {
		{.up = "up", .down = "down"}, {.up = "up", .down = "down", .no_nat = true}};

	for (int i = 0; i < 2; i++)
		for (uint32_t r = 0; r < s->n_rows; r++)
			if (!plain[i].no_nat || s->rows[r].flows == 1) /* then flows are nothing */
				bench_row(s, s->rows[r], &plain[i]);
	if (s->plain)
		return;
	for (const struct kind *kind = bench_kinds; kind->up || kind->down; kind++) {
		if (kind->row.sessions) {
			struct row row = kind->row;
			if (row.sessions > s->sessions_most)
				row.sessions = s->sessions_most;
			bench_row(s, row, kind);
			continue;
		}
		for (uint32_t r = 0; r < s->n_rows; r++)
			if (s->rows[r].flows == 1)
				bench_row(s, s->rows[r], kind);
	}
	for (uint32_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].flows == 1 && !s->only)
			bench_handoff(s, s->rows[i]);
}

int main(int argc, char **argv)
{
	struct settings s = {.runs = 9,
		.hugepages = HUGEPAGES_AUTO,
		.n_rows = 6,
		.sessions_most = 60000,
		.rows = {{1, 1}, {1000, 1}, {10000, 1}, {60000, 1}, {10000, 10}, {60000, 5}}};

	if (parse(&s, argc, argv)) {
		fprintf(stderr, "usage: bench-dataplane [--first-packet] [--plain] [--only NAME] "
				"[--json] [--runs N]\n"
				"       [--sessions N[xFLOWS],...] [--hugepages auto|on|off]\n");
		return 2;
	}
	if (s.hugepages != HUGEPAGES_OFF)
		reserve_hugepages();
	print_head(&s);
	calibrate(&s);
	if (s.firstpacket) {
		bench_first_packets(&s);
		bench_memory(&s);
	} else {
		bench_rows(&s);
	}
	print_tail(&s);
	return 0;
}
