/* What a FIB says of an address: a 32-bit leaf, of which 0 is no route; see enum fib_leaf_kind. */
#ifndef BNG_LEAF_H
#define BNG_LEAF_H

#include <stdbool.h>

#include "dataplane.h"

enum {
	LEAF_PAGE = 0x80000000u, /* not a leaf: leads further down the trie */
	LEAF_LENGTH = 22,	 /* where the prefix length is, in the tries */
};

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
	return leaf >> LEAF_LENGTH & 63;
}

static inline uint32_t leaf_index(uint32_t leaf)
{
	return leaf & 0x3fffff;
}

/* Whether it leads to this very session. */
static inline bool leaf_is_session(uint32_t leaf, uint32_t session)
{
	return leaf_kind(leaf) == LEAF_SESSION && leaf_index(leaf) == session;
}

#endif
