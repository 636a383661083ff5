/*
 * All routes of a family that anyone offers, above the FIB: for each (prefix, length, source) any
 * number of them, of which the one with the lowest priority, then the first in order, is in the
 * FIB. Holds a reference on the adjacency of each. 16 bytes a route and 4 of hash; IPv6: 16 more.
 * Control thread only. Neighbours on a link of IPv6 are no routes: they have no place in the FIB.
 *
 * A route of the kernel for which the FIB has no room waits, and is counted; rib_visit() tries it
 * again.
 */
#ifndef BNG_RIB_H
#define BNG_RIB_H

#include <stdbool.h>
#include <stdint.h>

#include "adjacency.h"
#include "fib.h"

enum { RIB_MAX = 0xffffff }; /* routes */

struct rib_key {
	struct ip6_words prefix; /* no host bits; IPv4: in the lower 32 bits */
	uint8_t length;
	enum fib_source source;
	uint32_t priority; /* the kernel's metric: less is better */
};

/* Where a route stands among those with the same key. */
enum rib_order { RIB_LAST, RIB_FIRST };

struct rib;

struct rib *rib_create(struct fib *fib, struct adjacencies *adjacencies);
void rib_destroy(struct rib *r);
/* A route of our own. Takes one reference on the adjacency over, also when it fails or knows the
 * route already. Returns 0, or -ENOMEM: there is no room for it. */
int rib_add_own(struct rib *r, const struct rib_key *key, uint32_t adjacency);
/* A route of the kernel, now seen. The same as to references; -ENOMEM: no memory, no adjacency. */
int rib_add(struct rib *r, const struct rib_key *key, uint32_t adjacency, enum rib_order order);
/* The first route of this key leads to this adjacency from now on; a new one when there is none. In
 * one step: no packet finds neither. As rib_add(). */
int rib_replace(struct rib *r, const struct rib_key *key, uint32_t adjacency);
/* False: no such route. A neighbour's adjacency becomes unresolved. */
bool rib_del(struct rib *r, const struct rib_key *key, uint32_t adjacency);
/* Where the first of this key leads, no reference added; or ADJACENCY_NONE. */
uint32_t rib_first(const struct rib *r, const struct rib_key *key);
/* The first of this key, whatever its adjacency. */
void rib_del_first(struct rib *r, const struct rib_key *key);
/* The only one of this key, or none. False: there are several, and they stay. */
bool rib_del_only(struct rib *r, const struct rib_key *key);
/* Starts a generation: no route of the kernel is seen. */
void rib_begin(struct rib *r);

/* True: this route of the kernel has to go. */
typedef bool rib_verdict(void *context, uint32_t adjacency, enum fib_source source, bool seen);
/* Asks for each of the next n entries from *at on, and gives those that wait another try. True:
 * that was the last. */
bool rib_visit(struct rib *r, uint32_t *at, uint32_t n, rib_verdict *goes, void *context);

uint32_t rib_routes(const struct rib *r);
uint32_t rib_waiting(const struct rib *r); /* for room in the FIB */

#endif
