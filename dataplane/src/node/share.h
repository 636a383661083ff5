/*
 * Shares: token buckets in tables, so that one hostile client cannot starve the others. A packet
 * passes when every bucket it needs has a token, and only then takes one from each: what one bucket
 * refuses costs the others nothing.
 */
#ifndef BNG_NODE_SHARE_H
#define BNG_NODE_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "node/limits.h"
#include "worker.h"

/* A table of buckets addressed by a keyed hash; keys that collide share a bucket. */
struct share_table {
	uint64_t seed;
	uint32_t mask;
	struct bucket bucket[];
};

/* Zeroed memory for `head` bytes, a share_table at their end included, and its n buckets: a node's
 * state is one allocation. */
static inline void *share_state(size_t head, uint32_t n)
{
	return calloc(1, head + n * sizeof(struct bucket));
}

/* n is a power of two. A bucket is full at its first use. */
static inline void share_table_init(struct share_table *table, struct worker *w, uint32_t n)
{
	table->seed = (uint64_t)worker_random(w) << 32 | worker_random(w);
	table->mask = n - 1;
}

static inline struct bucket *share_find(struct share_table *table, uint64_t key)
{
	uint64_t hash = (key ^ table->seed) * 0x9e3779b97f4a7c15ull;
	hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
	return &table->bucket[hash >> 32 & table->mask];
}

/* Refills; says whether a token is there, and leaves it there. */
static inline bool bucket_ready(struct bucket *b, uint32_t now_ms, uint32_t rate, uint32_t burst)
{
	uint64_t tokens = b->tokens + (uint64_t)(now_ms - b->stamp_ms) * rate;
	b->stamp_ms = now_ms;
	b->tokens = tokens > (uint64_t)burst * 1000 ? burst * 1000 : (uint32_t)tokens;
	return b->tokens >= 1000;
}

static inline void bucket_spend(struct bucket *b)
{
	b->tokens -= 1000;
}

/* A session's share of what is punted or answered for it, in its own entry. */
static inline bool session_share_ready(struct session_in *in, uint32_t now_ms)
{
	uint64_t tokens =
		in->punt_tokens + (uint64_t)(now_ms - in->punt_stamp_ms) * SESSION_SHARE_RATE;
	in->punt_stamp_ms = now_ms;
	if (tokens > SESSION_SHARE_BURST * 1000)
		tokens = SESSION_SHARE_BURST * 1000;
	in->punt_tokens = (uint16_t)tokens;
	return tokens >= 1000;
}

static inline void session_share_spend(struct session_in *in)
{
	in->punt_tokens = (uint16_t)(in->punt_tokens - 1000);
}

_Static_assert(SESSION_SHARE_BURST * 1000 <= UINT16_MAX, "fits punt_tokens");

#endif
