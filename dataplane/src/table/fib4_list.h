/*
 * The list of IPv4 routes that the FIB's writer keeps beside the trie: one open-addressed hash of
 * (prefix, length), a slot of nine bytes for what each source offers, so that no route costs an
 * allocation.
 */
#ifndef BNG_FIB4_LIST_H
#define BNG_FIB4_LIST_H

#include <stdint.h>

#include "fib4.h"

/* A leaf of 0 is a free slot. The prefix's length is in the leaf. */
struct fib4_route {
	uint32_t prefix;
	uint32_t leaf;
};

struct fib4_list {
	struct fib4_route *route; /* linear probing, no more than 3/4 full */
	uint8_t *source;	  /* [slot] */
	uint32_t mask;
	uint32_t n_routes;
	uint32_t n_length[33]; /* routes of each length */
};

/* What is offered for one prefix. */
struct fib4_offers {
	uint32_t own;	/* slot of the source asked for, or the free one where it would go */
	uint32_t leaf;	/* its leaf, or 0 */
	uint32_t best;	/* the leaf of the best source, or 0 */
	uint8_t source; /* that source, or FIB_SOURCES */
};

static inline uint32_t prefix_mask(uint32_t length)
{
	return length ? ~0u << (32 - length) : 0;
}

/* These return 0 or -ENOMEM. */
int fib4_list_init(struct fib4_list *list);
int fib4_list_grow(struct fib4_list *list); /* room for one more */
void fib4_list_free(struct fib4_list *list);
struct fib4_offers fib4_list_look(
	const struct fib4_list *list, uint32_t prefix, uint32_t length, enum fib_source source);
/* Writes the source's route where fib4_list_look() said. */
void fib4_list_put(struct fib4_list *list, const struct fib4_offers *at, uint32_t prefix,
	uint32_t leaf, enum fib_source source);
/* Removes the route that fib4_list_look() found. */
void fib4_list_remove(struct fib4_list *list, const struct fib4_offers *at);
/* Best leaf of the longest prefix that covers this one, or 0. */
uint32_t fib4_list_covering(const struct fib4_list *list, uint32_t prefix, uint32_t length);

#endif
