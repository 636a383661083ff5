/*
 * What a NAT44 mapping learns of TCP connections, for its timer only (RFC 5382 REQ-5, RFC 7857
 * section 2): SYN from both sides and an ACK open, FIN from both or RST close.
 */
#ifndef BNG_NODE_NAT44_TCP_H
#define BNG_NODE_NAT44_TCP_H

#include "hdr/ip4.h"
#include "table/nat44_map.h"

enum { TCP_FLAGS = 13 }; /* offset in the header */

static inline bool nat44_same_remote(const struct nat_slot *slot, const struct nat44_flow *flow)
{
	return slot->remote == flow->remote && slot->remote_port == flow->remote_port;
}

/* A segment that cannot change the state of an established connection. */
static inline bool nat44_tcp_plain(uint8_t flags, uint8_t tcp)
{
	return flags & NAT_TCP_ESTABLISHED && !(flags & NAT_RST) &&
	       !(tcp & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* A second remote: in place of the first when that connection is over, else beside it. */
static inline void nat44_second_remote(
	struct nat_slot *slot, const struct nat44_flow *flow, uint8_t tcp)
{
	const uint8_t fins = NAT_FIN_OUT | NAT_FIN_IN;
	bool over = slot->flags & NAT_RST || (slot->flags & fins) == fins;
	if (slot->flags & NAT_MULTI)
		return;
	if (flow->plane == NAT_TCP && over && tcp & TCP_SYN) {
		slot->remote = flow->remote;
		slot->remote_port = flow->remote_port;
		slot->flags = NAT_LIVE;
	} else {
		slot->flags |= NAT_MULTI;
	}
}

/* RST may be forged: the next segment without it takes it back (RFC 7857 section 2.2). While MULTI
 * is set closing does not count: which connection closed is not known. */
static inline uint8_t nat44_tcp_close(uint8_t flags, uint8_t tcp, uint8_t fin)
{
	if (flags & NAT_MULTI)
		return flags;
	flags = (uint8_t)(tcp & TCP_RST ? flags | NAT_RST : flags & ~NAT_RST);
	return (uint8_t)(tcp & TCP_FIN ? flags | fin : flags);
}

static inline void nat44_tcp_out(struct nat_slot *slot, uint8_t tcp)
{
	const uint8_t fins = NAT_FIN_OUT | NAT_FIN_IN, syns = NAT_SYN_OUT | NAT_SYN_IN;
	uint8_t flags = nat44_tcp_close(slot->flags, tcp, NAT_FIN_OUT);
	if (tcp & TCP_SYN && !(tcp & TCP_RST)) {
		if (!(flags & NAT_MULTI) && (flags & fins) == fins)
			flags = NAT_LIVE; /* a new connection from the same port */
		flags |= tcp & TCP_ACK ? syns : NAT_SYN_OUT; /* SYN-ACK: the other came before */
	} else if (tcp & TCP_ACK && (flags & syns) == syns) {
		flags |= NAT_TCP_ESTABLISHED;
	}
	slot->flags = flags;
}

static inline void nat44_tcp_in(struct nat_slot *slot, uint8_t tcp)
{
	uint8_t flags = nat44_tcp_close(slot->flags, tcp, NAT_FIN_IN);
	if (tcp & TCP_SYN && !(tcp & TCP_RST))
		flags |= NAT_SYN_IN;
	slot->flags = flags;
}

#endif
