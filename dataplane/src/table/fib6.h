/*
 * IPv6 FIB: a trie of 4 bits a step in the arena, in which a node stands only where prefixes part
 * or end, for readers without locks; see fib.h. The first 16 bits are one table, as in FIB4. A node
 * is a cache line of 16 slots, and 16 bytes apart from it that say which part of the address it
 * stands for: a step is one load, what it steps over is checked beside it.
 *
 * A slot holds a leaf, a node (with the longest route over it in the node's head), or nothing.
 * Leaf: kind and index as in FIB4, bits 22-27 the prefix length less the bits above the node.
 */
#ifndef BNG_FIB6_H
#define BNG_FIB6_H

#include "fib.h"

/* A slot that leads to a node: LEAF_PAGE; bit 30: 64 bits or more are above it; bits 24-29: how far
 * its 4 bits are from the end of their half of the address; bits 0-23: its number. */
enum { FIB6_LOWER = 1 << 30, FIB6_SHIFT = 24, FIB6_NODE = (1 << 24) - 1, FIB6_SLOTS = 16 };

/* In the arena. */
struct fib6_view {
	uint32_t *root;		/* [65536] */
	struct fib6_head *head; /* [node] */
	uint32_t *slot;		/* [node * FIB6_SLOTS] */
};

/* Down the nodes of one half of the address, whose slots have `kind` in their upper two bits.
 * False: the address is not one of those below, and `*at` still leads to the node which says so. */
static inline bool fib6_descend(
	const struct fib6_view *v, uint32_t *at, uint32_t kind, uint64_t word)
{
	while (*at >> 30 == kind) {
		uint32_t node = *at & FIB6_NODE;
		uint64_t slot = (word ^ v->head[node].prefix) >> (*at >> FIB6_SHIFT & 63);
		if (slot >= FIB6_SLOTS)
			return false;
		*at = __atomic_load_n(&v->slot[node * FIB6_SLOTS + slot], __ATOMIC_ACQUIRE);
	}
	return true;
}

/* The last leaf on the way down. */
static inline uint32_t fib6_last_leaf(const struct fib6_view *v, uint64_t high, uint64_t low)
{
	uint32_t leaf = 0;
	uint32_t at = __atomic_load_n(&v->root[high >> 48], __ATOMIC_ACQUIRE);
	while (at & LEAF_PAGE) {
		const struct fib6_head *head = &v->head[at & FIB6_NODE];
		uint64_t word = at & FIB6_LOWER ? low : high;
		uint64_t slot = (word ^ head->prefix) >> (at >> FIB6_SHIFT & 63);
		uint32_t over = __atomic_load_n(&head->leaf, __ATOMIC_ACQUIRE);
		leaf = over ? over : leaf;
		if (slot >= FIB6_SLOTS)
			return leaf;
		at = __atomic_load_n(
			&v->slot[(at & FIB6_NODE) * FIB6_SLOTS + slot], __ATOMIC_ACQUIRE);
	}
	return at ? at : leaf;
}

/* Leaf for an address, of which kind and index count; 0 is no route. Most ways end at a leaf, those
 * that do not are gone once more. */
static inline uint32_t fib6_lookup_words(const struct fib6_view *v, uint64_t high, uint64_t low)
{
	uint32_t at = __atomic_load_n(&v->root[high >> 48], __ATOMIC_ACQUIRE);
	bool there = fib6_descend(v, &at, LEAF_PAGE >> 30, high) &&
		     fib6_descend(v, &at, (LEAF_PAGE | FIB6_LOWER) >> 30, low);
	return there && at ? at : fib6_last_leaf(v, high, low);
}

static inline uint32_t fib6_lookup(const struct fib6_view *v, const uint8_t address[16])
{
	struct ip6_words words = ip6_words(address);
	return fib6_lookup_words(v, words.high, words.low);
}

/* For max_nodes nodes, no more than FIB6_NODE. NULL: no memory. */
struct fib *fib6_create(const struct fib6_view *view, uint32_t max_nodes);

#endif
