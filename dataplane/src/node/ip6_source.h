/*
 * Whether a subscriber may send from an address (RFC 3704 section 2.2): it lies in the /64 on the
 * link or in the delegated prefix, or is in a prefix routed to this very session.
 */
#ifndef BNG_NODE_IP6_SOURCE_H
#define BNG_NODE_IP6_SOURCE_H

#include "hdr/ip6.h"
#include "node/hints.h"
#include "table/fib6.h"
#include "worker.h"

static inline bool ip6_source_is_known(const struct session_ip6 *ip6, const struct ip6_hdr *ip)
{
	uint64_t prefix = ip6_prefix(ip->source);
	if (likely(prefix == ip6->link_prefix))
		return prefix;
	return ip6->delegated && (prefix & ip6->delegated_mask) == ip6->delegated;
}

static inline bool ip6_source_is_right(
	const struct tables *t, uint32_t session, const struct ip6_hdr *ip)
{
	return ip6_source_is_known(&t->ip6[session], ip) ||
	       leaf_is_session(fib6_lookup(&t->fib6, ip->source), session);
}

#endif
