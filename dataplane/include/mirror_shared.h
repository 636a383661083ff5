/*
 * The mirror's part of the arena: what the control thread counts of FIB, next hops and the kernel's
 * messages. Written every 100 ms, read by bngd. Part of dataplane.h, which says how it is read.
 */
#ifndef BNG_MIRROR_SHARED_H
#define BNG_MIRROR_SHARED_H

#include <stdint.h>

/* cdef begin */

struct mirror_shared {
	uint64_t routes;	 /* in the IPv4 FIB, of all sources */
	uint64_t pages;		 /* of that FIB */
	uint64_t pages_free;	 /* ... sessions' reserve included */
	uint64_t waiting;	 /* routes of the kernel that wait for room in a FIB */
	uint64_t unsupported;	 /* routes left out; counted anew by a dump of their family */
	uint64_t nexthops;	 /* nexthop objects */
	uint64_t adjacencies;	 /* in use */
	uint64_t fib_writes;	 /* changes to the tries */
	uint64_t repoints;	 /* changes of a group or nexthop object in place */
	uint64_t dumps;		 /* of all that the kernel has, or of the routes of a family */
	uint64_t dump_ms;	 /* how long the last one took, from request to sweep */
	uint64_t dump_kernel_us; /* CPU time of it: the kernel's */
	uint64_t dump_own_us;	 /* ... and our own */
	uint64_t dump_messages;	 /* messages of it */
	uint64_t events_lost;	 /* times that the kernel had no room for its messages */
	uint64_t resolves;	 /* next hops that the kernel was asked for on behalf of packets */
	uint64_t resolves_cut;	 /* not asked: over the rate */
	uint64_t no_memory;   /* routes and next hops left out for want of memory or adjacencies */
	uint64_t routes6;     /* in the IPv6 FIB, of all sources */
	uint64_t nodes6;      /* of that FIB */
	uint64_t nodes6_free; /* ... sessions' reserve included */
	uint64_t held;	      /* times that the kernel forgot a neighbour in use */
	uint64_t reserved[2];
};

/* cdef end */

_Static_assert(sizeof(struct mirror_shared) == 192, "fixed");

#endif
