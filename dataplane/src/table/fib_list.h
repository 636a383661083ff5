/*
 * The list of routes that the writer of a FIB keeps beside the trie: one open-addressed hash of
 * (prefix, length), a slot of 12 bytes, 24 for IPv6, for what each source offers, so that no route
 * costs an allocation.
 */
#ifndef BNG_FIB_LIST_H
#define BNG_FIB_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "leaf.h"

/* Sources of a route, best first (design: session, connected, netlink). */
enum fib_source { FIB_SESSION, FIB_LOCAL, FIB_CONNECTED, FIB_NEIGHBOUR, FIB_NETLINK, FIB_SOURCES };

/* A leaf of 0 is a free slot. */
struct fib_route {
	uint32_t leaf; /* kind and index */
	uint8_t length;
	uint8_t source;
	uint8_t reserved[2];
};

struct fib_list {
	struct fib_route *route; /* [slot] linear probing, no more than 3/4 full */
	uint32_t *prefix4;	 /* [slot], or */
	struct ip6_words *prefix6;
	bool is_ip4;
	uint32_t mask;
	uint32_t n_routes;
	uint32_t n_length[129]; /* routes of each length */
};

/* What is offered for one prefix. */
struct fib_offers {
	uint32_t own;	/* slot of the source asked for, or the free one where it would go */
	uint32_t leaf;	/* its leaf, or 0 */
	uint32_t best;	/* the leaf of the best source, or 0 */
	uint8_t source; /* that source, or FIB_SOURCES */
};

/* These return 0 or -ENOMEM. */
int fib_list_init(struct fib_list *list, bool is_ip4);
int fib_list_grow(struct fib_list *list); /* room for one more */
void fib_list_free(struct fib_list *list);
struct fib_offers fib_list_look(const struct fib_list *list, struct ip6_words prefix,
	uint32_t length, enum fib_source source);
/* Writes the route where fib_list_look() said. */
void fib_list_put(struct fib_list *list, const struct fib_offers *at, struct ip6_words prefix,
	const struct fib_route *route);
/* Removes the route that fib_list_look() found. */
void fib_list_remove(struct fib_list *list, const struct fib_offers *at);
/* The best leaf of the longest prefix that covers this one and has `least` bits or more, with its
 * length in `*length`; or 0. */
uint32_t fib_list_covering(
	const struct fib_list *list, struct ip6_words prefix, uint32_t *length, uint32_t least);

#endif
