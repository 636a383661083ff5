/*
 * IPv4 FIB: a 16-8-8 trie of 32-bit leaves in the arena, one writer (the control thread), readers
 * without locks. The writer's own list, of what each source offers, is in its memory.
 */
#ifndef BNG_FIB4_H
#define BNG_FIB4_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"

/* Sources of a route, best first (design: session, connected, netlink). */
enum fib_source { FIB_SESSION, FIB_LOCAL, FIB_CONNECTED, FIB_NEIGHBOUR, FIB_NETLINK, FIB_SOURCES };

enum { LEAF_PAGE = 0x80000000u };

static inline uint32_t leaf_make(enum fib_leaf_kind kind, uint32_t index)
{
	return (uint32_t)kind << 28 | index;
}

static inline uint32_t leaf_kind(uint32_t leaf)
{
	return leaf >> 28 & 7;
}

static inline uint32_t leaf_length(uint32_t leaf)
{
	return leaf >> 22 & 63;
}

static inline uint32_t leaf_index(uint32_t leaf)
{
	return leaf & 0x3fffff;
}

/* Leaf for address (host order); 0 is no route. */
static inline uint32_t fib4_lookup(const uint32_t *root, const uint32_t *pages, uint32_t address)
{
	uint32_t leaf = __atomic_load_n(&root[address >> 16], __ATOMIC_ACQUIRE);
	if (leaf & LEAF_PAGE)
		leaf = __atomic_load_n(
			&pages[(leaf & ~LEAF_PAGE) << 8 | (address >> 8 & 0xff)], __ATOMIC_ACQUIRE);
	if (leaf & LEAF_PAGE)
		leaf = __atomic_load_n(
			&pages[(leaf & ~LEAF_PAGE) << 8 | (address & 0xff)], __ATOMIC_ACQUIRE);
	return leaf;
}

struct fib4; /* the writer's state */

struct fib4 *fib4_create(uint32_t *root, uint32_t *pages, uint32_t max_pages);
void fib4_destroy(struct fib4 *fib);
/* Keeps that many pages for sessions and our own addresses: other routes are refused when no more
 * are free. */
void fib4_reserve(struct fib4 *fib, uint32_t pages);
/* prefix in host order, host bits ignored. One route per (prefix, source); adding again replaces.
 * Returns 0, -ENOMEM (pages or memory), -EINVAL. */
int fib4_add(struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source,
	enum fib_leaf_kind kind, uint32_t index);
/* Returns 0 or -ENOENT. */
int fib4_del(struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source);
/* The source's leaf for exactly this prefix, 0 when it offers none. */
uint32_t fib4_find(const struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source);
/* Call each time every worker has passed a vector boundary since the last call: pages unlinked
 * before that last call can be used again. */
void fib4_reclaim(struct fib4 *fib);
uint32_t fib4_routes(const struct fib4 *fib); /* of all sources */
uint32_t fib4_pages_free(const struct fib4 *fib);
uint64_t fib4_writes(const struct fib4 *fib); /* changes to the trie, since the start */

#endif
