/*
 * Features that the plain rows are without: a policer both ways (RFC 2697, never short of tokens),
 * an ACL of 1,000 rules both ways, of which the default fits; and a trace that looks at every
 * packet and marks none. Without a trace there is one branch a node and vector, which the plain
 * rows have.
 */
#include <assert.h>
#include <string.h>

#include "bench.h"
#include "hdr/byteorder.h"

enum {
	RULES = 1001, /* the default included */
	WORDS = (RULES + 63) / 64,
	RANGES = RULES + 1,	     /* before, one for each rule, behind */
	FIRST_NETWORK = 0xc6330000u, /* 198.51.0.0: rule i is for network i, a /24, ... */
	FIRST_PORT = 1000,	     /* ... and port i */
};

typedef uint64_t bitmap[1 + WORDS];

struct acl {
	struct acl_head head;
	struct acl_address zero6[1];
	bitmap every[1];
	bitmap rule[RULES]; /* the default alone, then each rule with it */
	uint32_t zero[1], networks[RANGES], ports[RANGES];
	uint16_t first[1], class[RANGES];
	uint8_t actions[RULES];
	_Alignas(ACL_ALIGN) struct acl_counter counters[2 * RULES + 2]; /* whole lines */
};

_Static_assert(offsetof(struct acl, every) % 8 == 0, "aligned");

static void set(bitmap b, uint32_t rule)
{
	b[0] |= UINT64_C(1) << rule / 64;
	b[1 + rule / 64] |= UINT64_C(1) << rule % 64;
}

static void fill(struct acl *a)
{
	const uint32_t any[] = {1, offsetof(struct acl, zero), offsetof(struct acl, first), 1,
		offsetof(struct acl, every)};
	uint32_t part[] = {
		RANGES, 0, offsetof(struct acl, class), RULES, offsetof(struct acl, rule)};

	memset(a, 0, sizeof(*a));
	a->head = (struct acl_head){.n_rules = RULES,
		.n_words = WORDS,
		.actions = offsetof(struct acl, actions),
		.counters = offsetof(struct acl, counters)};
	for (int field = 0; field < ACL_FIELDS; field++)
		memcpy(&a->head.field[field], any, sizeof(any));
	a->head.field[ACL_SOURCE6].bounds = offsetof(struct acl, zero6);
	a->head.field[ACL_DESTINATION6].bounds = offsetof(struct acl, zero6);
	part[1] = offsetof(struct acl, networks);
	memcpy(&a->head.field[ACL_DESTINATION], part, sizeof(part));
	part[1] = offsetof(struct acl, ports);
	memcpy(&a->head.field[ACL_DESTINATION_PORT], part, sizeof(part));
	for (uint32_t i = 0; i < RULES; i++) {
		set(a->every[0], i);
		set(a->rule[i], RULES - 1);
		a->networks[i + 1] = FIRST_NETWORK + (i << 8);
		a->ports[i + 1] = FIRST_PORT + i;
		if (i == RULES - 1)
			break;
		set(a->rule[i + 1], i);
		a->class[i + 1] = (uint16_t)(i + 1);
	}
	a->actions[RULES - 1] = ACL_PERMIT;
}

void bench_acls(struct bench *b)
{
	struct command place = {.type = CMD_ACL_SET, .u.acl_set = {.size = sizeof(struct acl)}};

	fill((struct acl *)(void *)b->dp->tables.acl_memory);
	bench_command(b, b->dp->n_workers, &place);
	assert(b->dp->tables.acl[0]);
	for (uint32_t i = 0; i < b->sessions; i++) {
		struct command c = {.type = CMD_SESSION_ACL, .session = i, .generation = 1};
		c.u.acl = (struct session_acl){.in = 1, .out = 1};
		bench_command(b, b->owner->id, &c);
	}
}

void bench_policers(struct bench *b)
{
	for (uint32_t i = 0; i < 2 * b->sessions; i++) {
		struct command c = {.type = CMD_SESSION_POLICER, .session = i / 2, .generation = 1};
		c.arg = i % 2;
		c.u.policer = (struct session_policer){
			.cir_bps = UINT64_C(400000000000),
			.cbs_bytes = 1 << 30,
			.mode = POLICER_SRTCM,
		};
		bench_command(b, b->owner->id, &c);
	}
}

void bench_trace(struct bench *b)
{
	struct command c = {.type = CMD_TRACE, .session = NO_SESSION, .arg = 1};
	c.u.trace = (struct trace_filter){
		.address = hton32(0xcb0071c8), /* 203.0.113.200: nobody's */
		.mask = UINT32_MAX,
		.port = TRACE_ANY,
		.count = 1,
		.lease_ms = TRACE_MAX_LEASE,
	};
	bench_command(b, b->owner->id, &c);
	assert(b->owner->tracing);
}
