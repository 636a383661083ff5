/*
 * All routes that anyone offers, above the FIB: for each (prefix, length, source) any number of
 * them, of which the one with the lowest priority, then the oldest, is in the FIB. Holds a
 * reference on the adjacency of each. Control thread only.
 */
#ifndef BNG_RIB_H
#define BNG_RIB_H

#include <stdbool.h>
#include <stdint.h>

#include "adjacency.h"
#include "fib4.h"

struct rib_key {
	uint32_t prefix; /* host order, no host bits */
	uint8_t length;
	enum fib_source source;
	uint32_t priority; /* the kernel's metric: less is better */
};

struct rib;

struct rib *rib_create(struct fib4 *fib, struct adjacencies *adjacencies, struct adjacency *table);
void rib_destroy(struct rib *r);
/* Takes one reference on the adjacency over, also when it fails or knows the route already. Routes
 * of the kernel carry the generation in which they were last seen. Returns 0 or -ENOMEM. */
int rib_add(struct rib *r, const struct rib_key *key, uint32_t adjacency, bool kernel);
/* False: no such route. A neighbour's adjacency becomes unresolved. */
bool rib_del(struct rib *r, const struct rib_key *key, uint32_t adjacency);
/* All of this key, whatever their adjacency. */
void rib_del_all(struct rib *r, const struct rib_key *key);
/* What hangs on a link: all of the kernel's but our own addresses. Groups lose their members on it.
 */
void rib_del_port(struct rib *r, uint8_t port);
/* Starts a generation; after a dump of everything, rib_sweep() removes what it did not show. */
void rib_begin(struct rib *r);
void rib_sweep(struct rib *r);
/* Address of the oldest route of that kind and port with the lowest priority; 0: none. */
be32 rib_first(const struct rib *r, enum adjacency_kind kind, uint8_t port);

#endif
