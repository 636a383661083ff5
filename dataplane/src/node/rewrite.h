/* The last step to a neighbour on a routed port, for both families: see ip4_rewrite, ip6_rewrite.
 */
#ifndef BNG_NODE_REWRITE_H
#define BNG_NODE_REWRITE_H

#include "hdr/ethernet.h"
#include "node/hints.h"
#include "pkt.h"

enum { USED_GRAIN_MS = 1000 }; /* all workers write it: not for every packet */

/* So that the control thread keeps next hops in use resolved. */
static inline void mark_used(struct adjacency *adjacency, uint64_t now_ms)
{
	if (unlikely(now_ms - __atomic_load_n(&adjacency->used, __ATOMIC_RELAXED) > USED_GRAIN_MS))
		__atomic_store_n(&adjacency->used, now_ms, __ATOMIC_RELAXED);
}

/* A next hop may have been found by either family (RFC 8950): the type is that of the packet. */
static inline void rewrite_ethernet(
	struct pkt *p, const struct adjacency *adjacency, uint16_t ethertype)
{
	be16 type = hton16(ethertype);
	uint8_t *header = pkt_push(p, ETH_LEN);
	memcpy(header, adjacency->rewrite, ETH_LEN - sizeof(type));
	memcpy(header + ETH_LEN - sizeof(type), &type, sizeof(type));
	p->tx_port = adjacency->port;
}

#endif
