/* Sessions of the benchmark, installed by commands, and the neighbour that all traffic goes to. */
#include <assert.h>
#include <string.h>

#include "bench.h"
#include "hdr/ethernet.h"
#include "ring.h"
#include "table/fib4.h"

static void push(struct bench *b, uint32_t group, const struct command *c)
{
	struct ring *ring = &b->dp->tables.ring[group * RINGS_PER_GROUP + RING_COMMAND];
	uint8_t *bytes = ring_bytes(&b->dp->tables, ring);
	void *room = ring_reserve(ring, bytes, sizeof(*c));

	assert(room);
	memcpy(room, c, sizeof(*c));
	ring_publish(ring, bytes, sizeof(*c));
}

/* Addresses belong to the workers in turn. */
static uint32_t address_of(const struct bench *b, uint32_t number)
{
	return number * b->dp->n_workers + b->owner->id;
}

void bench_install(struct bench *b, uint32_t i, uint32_t per_address)
{
	struct command bind = {
		.type = CMD_SESSION_BIND,
		.flags = CMD_FLAG_QUIET,
		.session = i,
		.generation = 1,
		.u.bind = {.domain_page = (i + 1) >> 8,
			.session_id = (uint16_t)(i + 1),
			.port = ACC},
	};
	mac_of(i, bind.u.bind.mac);
	struct command up = {
		.type = CMD_SESSION_UP,
		.flags = CMD_FLAG_QUIET,
		.session = i,
		.generation = 1,
		.u.up = {.ip4 = hton32(client_of(b, i)),
			.nat_address = b->nat ? address_of(b, i / per_address) + 1 : 0,
			.features_in =
				(uint16_t)(1 << FEATURE_IN_ANTISPOOF4 | 1 << FEATURE_IN_MSS_CLAMP |
					   (b->nat ? 1 << FEATURE_IN_NAT44 : 0)),
			.features_out = 1 << FEATURE_OUT_MSS_CLAMP,
			.mtu_in = 1492,
			.mtu_out = 1492,
			.mss = 1452},
	};
	struct command route = {
		.type = CMD_ROUTE4_ADD,
		.flags = CMD_FLAG_QUIET,
		.session = i,
		.generation = 1,
		.u.route4 = {.prefix = hton32(client_of(b, i)), .length = 32},
	};
	push(b, b->owner->id, &bind);
	push(b, b->owner->id, &up);
	push(b, b->dp->n_workers, &route);
	if (i % 64 != 63 && i + 1 != b->sessions)
		return;
	worker_turn(b->owner);
	control_commands(b->dp);
	assert(b->owner->shared->command_errors == 0);
}

/* The server's /16 behind a neighbour on wan0, written as the mirror would. */
void bench_add_neighbour(struct bench *b)
{
	struct tables *t = &b->dp->tables;
	uint32_t index = b->dp->options.adjacencies - 1;
	struct adjacency *a = &t->adjacency[index];

	*a = (struct adjacency){.kind = ADJ_NEIGHBOUR, .port = b->vlan ? VLAN : WAN, .mtu = 1500};
	memcpy(a->rewrite, (uint8_t[]){2, 9, 9, 9, 9, 9}, 6);
	memcpy(a->rewrite + 6, t->port[WAN].mac, 6);
	a->rewrite[12] = ETHERTYPE_IP4 >> 8;
	t->fib4_root[(uint32_t)SERVER >> 16] = leaf_make(LEAF_ADJACENCY, index) | 16u << 22;
}

void bench_command(struct bench *b, uint32_t group, struct command *c)
{
	c->flags = CMD_FLAG_QUIET;
	push(b, group, c);
	worker_turn(b->owner);
	control_commands(b->dp);
	assert(b->owner->shared->command_errors == 0);
}
