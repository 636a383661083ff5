/*
 * Memory of the arena: what a session takes, what NAT reserves for a subscriber, and for each live
 * mapping of a block that is partly full. Nothing is allocated later, so the plan says it all.
 */
#include <stdio.h>

#include "bench.h"

enum { BLOCK_PORTS = 256 };

static double section(const struct arena_header *h, enum arena_section_id id)
{
	return (double)(h->section[id].stride * h->section[id].count);
}

static void print_bytes(struct settings *s, const char *what, double bytes)
{
	struct summary sum;
	summarize(&bytes, 1, &sum);
	print_figure(s, "bytes", what, &sum);
}

/* What is divided among addresses, without the tables that each worker has once. */
static double per_address(const struct arena_header *h)
{
	double bytes = section(h, SECTION_NAT_ADDRESS) + section(h, SECTION_NAT_BLOCK) +
		       section(h, SECTION_NAT_SLOT);
	return bytes / h->n_nat_addresses;
}

static double of_a_session(const struct arena_header *h)
{
	const enum arena_section_id ids[] = {
		SECTION_SESSION_IN, SECTION_SESSION_OUT, SECTION_SESSION_COLD, SECTION_POLICER};
	double bytes = 0;
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		bytes += section(h, ids[i]);
	return bytes / h->max_sessions;
}

void bench_memory(struct settings *s)
{
	struct options *o = calloc(1, sizeof(*o));
	struct arena_header *h = calloc(1, sizeof(*h));
	char name[] = "bench", block[] = "--nat-block-size=256";
	char *argv[] = {name, block, NULL};
	if (!o || !h || options_parse(o, 2, argv) != OPTIONS_RUN)
		exit(2);
	o->sessions = s->sessions_most;
	o->nat.n_addresses = (o->sessions + BLOCKS_USABLE - 1) / BLOCKS_USABLE;
	arena_plan(o, 1, h);

	double tables = section(h, SECTION_NAT_REMOTE) + section(h, SECTION_NAT_PROTOCOL);
	double block_bytes = per_address(h) / BLOCKS_USABLE;
	print_bytes(s, "session", of_a_session(h));
	print_bytes(s, "control-record", section(h, SECTION_CONTROL) / h->max_sessions);
	print_bytes(s, "nat-per-subscriber",
		(per_address(h) * h->n_nat_addresses + tables) / h->max_sessions);
	for (int percent = 10; percent <= 80; percent += 70) {
		char what[40];
		double live = BLOCK_PORTS * percent / 100.0;
		snprintf(what, sizeof(what), "nat-per-mapping-%d-percent", percent);
		print_bytes(s, what, block_bytes / (NAT_PLANES * live));
		snprintf(what, sizeof(what), "nat-per-mapping-%d-percent-udp-only", percent);
		print_bytes(s, what, block_bytes / live);
	}
	free(o);
	free(h);
}
