/*
 * What every IPv6 packet must pass before it is forwarded: RFC 8200 section 3 (header), RFC 4291
 * sections 2.5 and 2.7 (addresses). Shared by ip6_input and pppoe6_input.
 */
#ifndef BNG_NODE_IP6_VALIDATE_H
#define BNG_NODE_IP6_VALIDATE_H

#include "hdr/ip6.h"
#include "node/hints.h"
#include "pkt.h"

enum ip6_fault {
	IP6_FINE,
	IP6_TRUNCATED,
	IP6_VERSION_WRONG,
	IP6_PAYLOAD_LENGTH_WRONG, /* a jumbogram (RFC 2675) among them */
	IP6_BEYOND_FRAME,
	IP6_SOURCE_MARTIAN,
	IP6_DESTINATION_MARTIAN,
	IP6_SOURCE_MULTICAST,
	IP6_FAULTS
};

/* Edges of a node whose fault edges start at `first`: edge first + fault. */
#define IP6_FAULT_EDGES(first)                                                                     \
	[(first) + IP6_TRUNCATED] = DROP("ip6-truncated"),                                         \
		   [(first) + IP6_VERSION_WRONG] = DROP("ip6-version-wrong"),                      \
		   [(first) + IP6_PAYLOAD_LENGTH_WRONG] = DROP("ip6-payload-length-wrong"),        \
		   [(first) + IP6_BEYOND_FRAME] = DROP("ip6-length-beyond-frame"),                 \
		   [(first) + IP6_SOURCE_MARTIAN] = DROP("ip6-source-martian"),                    \
		   [(first) + IP6_DESTINATION_MARTIAN] = DROP("ip6-destination-martian"),          \
		   [(first) + IP6_SOURCE_MULTICAST] = DROP("ip6-source-multicast")

/* fe80::/10 and ff00::/8, and fec0::/10, which is no more than what is left (RFC 3879). */
static inline bool ip6_is_of_a_link(const uint8_t address[IP6_ADDRESS_LEN])
{
	return address[0] >= 0xfe;
}

/* Only for a group: who looks for an address of his own (RFC 4862 section 5.4.2, RFC 4861 section
 * 4.1, RFC 3810 section 5.2.13). */
static inline bool ip6_may_be_unspecified(const struct ip6_hdr *ip)
{
	return ip6_is_multicast(ip->destination) && ip6_is_unspecified(ip->source);
}

/* Checks the IPv6 packet at the current header, marks it, and trims what follows the payload:
 * Ethernet pads short frames. */
static inline enum ip6_fault ip6_validate(struct pkt *p)
{
	const struct ip6_hdr *ip = pkt_header(p, IP6_LEN);
	if (unlikely(!ip))
		return IP6_TRUNCATED;
	uint16_t payload = ntoh16(ip->payload_length);
	if (unlikely(*(const uint8_t *)ip >> 4 != 6))
		return IP6_VERSION_WRONG;
	if (unlikely(!payload && ip->next_header == IPPROTO_HOP_BY_HOP))
		return IP6_PAYLOAD_LENGTH_WRONG;
	if (unlikely(payload > p->len - IP6_LEN))
		return IP6_BEYOND_FRAME;
	if (unlikely(ip6_is_multicast(ip->source)))
		return IP6_SOURCE_MULTICAST;
	if (unlikely(ip6_is_special(ip->source) && !ip6_may_be_unspecified(ip)))
		return IP6_SOURCE_MARTIAN;
	if (unlikely(ip6_is_special(ip->destination)))
		return IP6_DESTINATION_MARTIAN;
	p->len = (uint16_t)(IP6_LEN + payload);
	p->flags |= PKT_IP6;
	return IP6_FINE;
}

#endif
