/*
 * What the state of a TCP connection learns of a segment (RFC 5382 REQ-5, RFC 7857 section 2): SYN
 * from both sides and an ACK open it, FIN from both or RST close it. All return the new flags.
 */
#ifndef BNG_NAT44_TCP_H
#define BNG_NAT44_TCP_H

#include "hdr/ip4.h"
#include "table/nat44_map.h"

enum { TCP_FLAGS = 13 }; /* offset in the header */

/* A segment that cannot change the state of an established connection. */
static inline bool nat44_tcp_plain(uint8_t flags, uint8_t tcp)
{
	return flags & NAT_TCP_ESTABLISHED && !(flags & NAT_RST) &&
	       !(tcp & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* A RST after a RST refreshes nothing: neither who refuses again and again, nor who makes him do
 * so, keeps a mapping (RFC 7857 section 7.1). */
static inline bool nat44_tcp_refreshes(uint8_t flags, uint8_t tcp)
{
	return !(flags & NAT_RST && tcp & TCP_RST);
}

/* RST may be forged: the next segment without it takes it back (RFC 7857 section 2.2). */
static inline uint8_t nat44_tcp_close(uint8_t flags, uint8_t tcp, uint8_t fin)
{
	flags = (uint8_t)(tcp & TCP_RST ? flags | NAT_RST : flags & ~NAT_RST);
	return (uint8_t)(tcp & TCP_FIN ? flags | fin : flags);
}

static inline uint8_t nat44_tcp_out(uint8_t flags, uint8_t tcp)
{
	const uint8_t fins = NAT_FIN_OUT | NAT_FIN_IN, syns = NAT_SYN_OUT | NAT_SYN_IN;
	flags = nat44_tcp_close(flags, tcp, NAT_FIN_OUT);
	if (tcp & TCP_SYN && !(tcp & TCP_RST)) {
		if ((flags & fins) == fins)
			flags = NAT_LIVE; /* a new connection from the same port */
		flags |= tcp & TCP_ACK ? syns : NAT_SYN_OUT; /* SYN-ACK: the other came before */
	} else if (tcp & TCP_ACK && !(tcp & TCP_RST) && (flags & syns) == syns) {
		flags |= NAT_TCP_ESTABLISHED;
	}
	return flags;
}

static inline uint8_t nat44_tcp_in(uint8_t flags, uint8_t tcp)
{
	flags = nat44_tcp_close(flags, tcp, NAT_FIN_IN);
	if (tcp & TCP_SYN && !(tcp & TCP_RST))
		flags |= NAT_SYN_IN;
	return flags;
}

#endif
