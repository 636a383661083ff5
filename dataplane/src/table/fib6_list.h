/*
 * The list of IPv6 routes that the FIB's writer keeps beside the trie, as fib4_list.h does: one
 * open-addressed hash of (prefix, length), a slot of 24 bytes for what each source offers.
 */
#ifndef BNG_FIB6_LIST_H
#define BNG_FIB6_LIST_H

#include <stdint.h>

#include "fib6.h"

/* A leaf of 0 is a free slot. */
struct fib6_route {
	struct ip6_words prefix;
	uint32_t leaf; /* kind and index */
	uint8_t length;
	uint8_t source;
	uint8_t reserved[2];
};

struct fib6_list {
	struct fib6_route *route; /* linear probing, no more than 3/4 full */
	uint32_t mask;
	uint32_t n_routes;
	uint32_t n_length[129]; /* routes of each length */
};

/* What is offered for one prefix. */
struct fib6_offers {
	uint32_t own;	/* slot of the source asked for, or the free one where it would go */
	uint32_t leaf;	/* its leaf, or 0 */
	uint32_t best;	/* the leaf of the best source, or 0 */
	uint8_t source; /* that source, or FIB_SOURCES */
};

/* These return 0 or -ENOMEM. */
int fib6_list_init(struct fib6_list *list);
int fib6_list_grow(struct fib6_list *list); /* room for one more */
void fib6_list_free(struct fib6_list *list);
struct fib6_offers fib6_list_look(const struct fib6_list *list, struct ip6_words prefix,
	uint32_t length, enum fib_source source);
/* Writes the route where fib6_list_look() said. */
void fib6_list_put(
	struct fib6_list *list, const struct fib6_offers *at, const struct fib6_route *route);
/* Removes the route that fib6_list_look() found. */
void fib6_list_remove(struct fib6_list *list, const struct fib6_offers *at);

#endif
