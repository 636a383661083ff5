/*
 * Kinds of rows beside the plain ones: features on, and what makes tables or memory harder to walk.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "hdr/byteorder.h"
#include "hdr/ip4.h"
#include "io/gen.h"
#include "mirror_state.h"
#include "options_parse.h"
#include "table/fib4.h"
#include "table/nat44.h"

enum {
	BUFFERS = 65536,
	ROUTES = 1000000,
	REMOTES = 10,
	BLOCK_PORTS = 256,
	LIFE_S = 300, /* of a UDP mapping */
};

/* ---- 64 k buffers in random order ---- */

static void many_buffers(struct options *o)
{
	o->buffers = BUFFERS;
}

static void set_buffers(struct bench *b)
{
	b->adjust = many_buffers;
}

static void begin_buffers(struct bench *b)
{
	uint32_t n = b->w->n_free;
	struct pkt **all = calloc(n, sizeof(struct pkt *));

	assert(all);
	all[0] = b->w->free_list;
	for (uint32_t i = 1; i < n; i++)
		all[i] = all[i - 1]->link;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = bench_random(i);
		struct pkt *swap = all[i - 1];
		all[i - 1] = all[j];
		all[j] = swap;
	}
	for (uint32_t i = 0; i < n; i++)
		all[i]->link = i + 1 < n ? all[i + 1] : NULL;
	b->w->free_list = all[0];
	b->last = all[n - 1];
	free(all);
}

/* ---- a million routes, random destinations ---- */

static void many_pages(struct options *o)
{
	o->fib4_pages = 1 << 17;
}

/* Networks of 24 bits all over, but those of subscribers and of NAT. */
static uint32_t network(uint32_t number)
{
	uint32_t prefix = number * 2654435761u & 0xffffff00;
	uint32_t first = prefix >> 24;
	bool taken = first == 0 || first == 10 || first == 100 || first == 127 || first == 203 ||
		     first >= 224 || first == 169 || first == 172 || first == 192 || first == 198;

	return taken ? 0 : prefix;
}

static void set_routes(struct bench *b)
{
	uint32_t *server = calloc(frames_of(b), sizeof(*server));

	assert(server);
	for (uint32_t i = 0; i < frames_of(b); i++)
		while (!server[i])
			server[i] = network(bench_random(ROUTES)) & ~0xffu;
	for (uint32_t i = 0; i < frames_of(b); i++)
		server[i] |= 1;
	b->server = server;
	b->adjust = many_pages;
}

static void begin_routes(struct bench *b)
{
	uint32_t next_hop = b->dp->options.adjacencies - 1;

	for (uint32_t i = 0; i < ROUTES; i++) {
		uint32_t prefix = network(i);
		struct ip6_words words = {.low = prefix};
		int error = prefix ? fib_add(b->dp->mirror->fib, words, 24, FIB_NETLINK,
					     LEAF_ADJACENCY, next_hop)
				   : 0;
		assert(!error);
	}
}

/* ---- the network behind a VLAN tag ---- */

static void add_vlan(struct options *o)
{
	char port[] = "name=vlan,role=routed,parent=wan0,outer=300";

	if (parse_port(o, port))
		exit(2);
}

static void set_vlan(struct bench *b)
{
	b->vlan = true;
	b->adjust = add_vlan;
}

/* ---- subscribers whose addresses are anywhere: a /32 each ---- */

static void set_scattered(struct bench *b)
{
	b->scattered = true;
}

/* ---- blocks half and nearly full, after each mapping has come and gone twice ---- */

static void sweep_all(struct bench *b)
{
	uint64_t blocks =
		(uint64_t)b->dp->tables.nat->n_addresses * b->dp->tables.nat->blocks_per_address;

	b->w->nat_sweep.credit = blocks * 60000;
	for (uint64_t i = 0; i < blocks; i++)
		(void)nat44_sweep(b->w, true);
}

static void churn(struct bench *b, uint32_t percent)
{
	uint32_t live = BLOCK_PORTS * percent / 100;

	for (uint32_t step = 0; step < 3 * live; step++) {
		b->late_ns += UINT64_C(1000000000) * LIFE_S / live;
		worker_clock(b->w, bench_now(b));
		sweep_all(b);
		b->port = (uint16_t)(CLIENT_PORT + step);
		make_upstream(b);
		shuffle(b, 0, frames_of(b));
		gen_replay(&b->dp->port[ACC], b->order, b->lens, frames_of(b));
		bench_run(b, ACC, WAN, frames_of(b));
		gen_replay(&b->dp->port[ACC], NULL, NULL, 0);
	}
}

static void begin_half_full(struct bench *b)
{
	churn(b, 50);
}

static void begin_nearly_full(struct bench *b)
{
	churn(b, 90);
}

/* ---- TCP: every connection is opened ---- */

static void set_tcp(struct bench *b)
{
	b->tcp_flags = TCP_SYN;
}

static void begin_tcp(struct bench *b)
{
	make_upstream(b);
	make_downstream(b); /* the SYNs are out, these are the answers */
	for (uint32_t i = 0; i < frames_of(b); i++)
		gen_receive(&b->dp->port[WAN], b->frames[i], b->frame_len);
	while (gen_pending(&b->dp->port[WAN]))
		worker_turn(b->w);
	b->tcp_flags = TCP_ACK;
}

/* ---- filtering by address, ten remotes for each port ---- */

static void filter(struct options *o)
{
	o->nat.filtering = NAT_ADDRESS_DEPENDENT;
	o->nat.remotes_per_worker = 1 << 18;
}

static void set_remotes(struct bench *b)
{
	b->remotes = REMOTES;
	b->adjust = filter;
}

const struct kind bench_kinds[] = {
	{.up = "up-ip6",
		.down = "down-ip6",
		.no_nat = true,
		.set = bench_set_ip6,
		.begin = bench_begin_ip6},
	{.up = "up-policed", .down = "down-policed", .begin = bench_policers},
	{.up = "up-1000-rules", .down = "down-1000-rules", .begin = bench_acls},
	{.up = "up-vlan", .down = "down-vlan", .set = set_vlan},
	{.up = "up-trace-of-nobody", .down = "down-trace-of-nobody", .begin = bench_trace},
	{.up = "up-tcp", .down = "down-tcp", .set = set_tcp, .begin = begin_tcp, .row = {10000, 1}},
	{.up = "up-64k-buffers",
		.down = "down-64k-buffers",
		.set = set_buffers,
		.begin = begin_buffers,
		.row = {10000, 1}},
	{.up = "up-million-routes",
		.set = set_routes,
		.begin = begin_routes,
		.row = {10000, REMOTES}},
	{.down = "down-scattered", .no_nat = true, .set = set_scattered, .row = {10000, 1}},
	{.up = "up-half-full",
		.down = "down-half-full",
		.begin = begin_half_full,
		.row = {10000, 1}},
	{.up = "up-nearly-full",
		.down = "down-nearly-full",
		.begin = begin_nearly_full,
		.row = {10000, 1}},
	{.up = "up-10-remotes",
		.down = "down-10-remotes",
		.set = set_remotes,
		.row = {10000, REMOTES}},
	{0},
};
