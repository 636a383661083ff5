/* IPv4 FIB: a 16-8-8 trie of 32-bit leaves in the arena, for readers without locks; see fib.h. */
#ifndef BNG_FIB4_H
#define BNG_FIB4_H

#include "fib.h"

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

/* For max_pages pages. NULL: no memory. */
struct fib *fib4_create(uint32_t *root, uint32_t *pages, uint32_t max_pages);

#endif
