/* Next hops that are not known yet, for the lookups of both families. */
#ifndef BNG_NODE_NEXT_HOP_H
#define BNG_NODE_NEXT_HOP_H

#include "table/adjacency.h"
#include "worker.h"

/* Asks for an ADJ_GLEAN's own next hop, or for the destination on a connected prefix. */
static inline void resolve_next_hop(
	struct worker *w, const struct adjacency *adjacency, struct ip6_words destination)
{
	struct ip6_words address = adjacency_address(adjacency);
	worker_resolve(w, adjacency->port, is_address(address) ? address : destination);
}

#endif
