/*
 * Where packets go: adjacencies in the arena, shared by all routes that name the same place and
 * counted by the control thread, the one writer. Readers take no lock.
 */
#ifndef BNG_ADJACENCY_H
#define BNG_ADJACENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "dataplane.h"

enum { ADJACENCY_NONE = 0xffffffff, ADJACENCY_NO_PORT = 0xff };
enum adjacency_flags {
	ADJACENCY_STALE = 1,  /* neighbour to be confirmed while it is in use */
	ADJACENCY_OBJECT = 2, /* a nexthop object's own: shared by its routes alone */
	ADJACENCY_LOST = 4,   /* ... and the object is gone, or leads nowhere */
	ADJACENCY_HELD = 8,   /* neighbour that the kernel forgot; index: the tick of asking */
};

struct adjacencies; /* the writer's state */

struct adjacencies *adjacency_create(struct adjacency *table, uint32_t max);
void adjacency_destroy(struct adjacencies *a);
/*
 * The adjacency for (kind, port, address), made when there is none, with one reference more.
 * ADJ_GLEAN and ADJ_NEIGHBOUR are the same place, unresolved and resolved: asking for a known
 * neighbour as ADJ_GLEAN gives the neighbour. `index` and `mtu` count when it is made. Returns
 * ADJACENCY_NONE when the table is full.
 */
uint32_t adjacency_get(struct adjacencies *a, enum adjacency_kind kind, uint8_t port,
	struct ip6_words address, uint32_t index, uint16_t mtu);
/* The ADJ_GROUP of these next hops, in this order; takes a reference on each slot's over, also when
 * the table is full: ADJACENCY_NONE. */
uint32_t adjacency_get_group(struct adjacencies *a, const uint16_t member[GROUP_SLOTS]);
/*
 * A nexthop object's own entry: ADJ_NEXTHOP, whose slots are all one, or ADJ_GROUP. Takes a
 * reference on each slot's over. It is given new members in place: one store for each slot,
 * whatever hangs on it, and a worker finds the old one or the new.
 */
uint32_t adjacency_make_object(struct adjacencies *a, enum adjacency_kind kind, uint32_t number,
	const uint16_t member[GROUP_SLOTS]);
void adjacency_repoint(struct adjacencies *a, uint32_t id, const uint16_t member[GROUP_SLOTS]);
/* Groups that are no objects': members that leave by this port are replaced by others, if there
 * are, in place. */
void adjacency_port_lost(struct adjacencies *a, uint8_t port);
/* One reference more on an entry in use. */
void adjacency_hold(struct adjacencies *a, uint32_t id);
/* Gives the reference back. After the last one the entry can not be found any more, and is free
 * once adjacency_reclaim() came twice. */
void adjacency_put(struct adjacencies *a, uint32_t id);
/* A next hop becomes ADJ_NEIGHBOUR in place, or changes its MAC: one store for readers. */
void adjacency_resolve(
	struct adjacencies *a, uint32_t id, const uint8_t destination[6], const uint8_t source[6]);
/* ... and ADJ_GLEAN again. */
void adjacency_unresolve(struct adjacencies *a, uint32_t id);
/* The one for a next hop, or ADJACENCY_NONE. */
uint32_t adjacency_find(const struct adjacencies *a, uint8_t port, struct ip6_words address);
struct ip6_words adjacency_address(const struct adjacency *adj);
/* The one of this family with the least index, or ADJACENCY_NONE. */
uint32_t adjacency_first(
	const struct adjacencies *a, enum adjacency_kind kind, uint8_t port, bool ip4);
/* As fib4_reclaim(): freed entries may be used again. */
void adjacency_reclaim(struct adjacencies *a);
bool adjacency_is_used(const struct adjacencies *a, uint32_t id);
bool adjacency_is_shared(const struct adjacencies *a, uint32_t id); /* more than one reference */
uint32_t adjacency_in_use(const struct adjacencies *a);
uint64_t adjacency_repoints(const struct adjacencies *a); /* changes of groups in place */
uint32_t adjacency_high(const struct adjacencies *a);	  /* all ever used are below */

#endif
