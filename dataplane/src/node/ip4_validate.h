/*
 * What every IPv4 packet must pass before it is forwarded: RFC 1812 section 5.2.2 (header), 5.3.7
 * (martians) and 4.2.2.11 (addresses). Shared by ip4_input and pppoe_input.
 */
#ifndef BNG_NODE_IP4_VALIDATE_H
#define BNG_NODE_IP4_VALIDATE_H

#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "node/hints.h"
#include "pkt.h"

enum ip4_fault {
	IP4_FINE,
	IP4_TRUNCATED,
	IP4_VERSION_WRONG,
	IP4_HEADER_LENGTH_WRONG,
	IP4_TOTAL_LENGTH_WRONG,
	IP4_BEYOND_FRAME,
	IP4_CHECKSUM_WRONG,
	IP4_SOURCE_MARTIAN,
	IP4_DESTINATION_MARTIAN,
	IP4_DESTINATION_MULTICAST,
	IP4_FAULTS
};

/* Edges of a node whose fault edges start at `first`: edge first + fault. */
#define IP4_FAULT_EDGES(first)                                                                     \
	[(first) + IP4_TRUNCATED] = DROP("ip4-truncated"),                                         \
		   [(first) + IP4_VERSION_WRONG] = DROP("ip4-version-wrong"),                      \
		   [(first) + IP4_HEADER_LENGTH_WRONG] = DROP("ip4-header-length-wrong"),          \
		   [(first) + IP4_TOTAL_LENGTH_WRONG] = DROP("ip4-total-length-wrong"),            \
		   [(first) + IP4_BEYOND_FRAME] = DROP("ip4-length-beyond-frame"),                 \
		   [(first) + IP4_CHECKSUM_WRONG] = DROP("ip4-checksum-wrong"),                    \
		   [(first) + IP4_SOURCE_MARTIAN] = DROP("ip4-source-martian"),                    \
		   [(first) + IP4_DESTINATION_MARTIAN] = DROP("ip4-destination-martian"),          \
		   [(first) + IP4_DESTINATION_MULTICAST] = DROP("ip4-destination-multicast")

/* 0/8, 127/8, 224/4 and 240/4, the limited broadcast among them; by the first octet. */
static inline int ip4_is_special(be32 address)
{
	uint8_t first = (uint8_t)address;
	return first == 0 || first == 127 || first >= 224;
}

/* Which header rule a packet broke; off the fast path. */
static inline enum ip4_fault ip4_header_fault(const struct ip4_hdr *ip, uint16_t len)
{
	if (ip->version_ihl >> 4 != 4)
		return IP4_VERSION_WRONG;
	if (ip4_header_len(ip) < IP4_LEN)
		return IP4_HEADER_LENGTH_WRONG;
	if (ip4_header_len(ip) > len)
		return IP4_TRUNCATED;
	if (ntoh16(ip->total_length) < ip4_header_len(ip))
		return IP4_TOTAL_LENGTH_WRONG;
	if (ntoh16(ip->total_length) > len)
		return IP4_BEYOND_FRAME;
	return checksum(ip, ip4_header_len(ip)) ? IP4_CHECKSUM_WRONG : IP4_FINE;
}

static inline enum ip4_fault ip4_address_fault(const struct ip4_hdr *ip)
{
	uint8_t first = (uint8_t)ip->destination;
	if (ip4_is_special(ip->source))
		return IP4_SOURCE_MARTIAN;
	return first >= 224 && first < 240 ? IP4_DESTINATION_MULTICAST : IP4_DESTINATION_MARTIAN;
}

/* Checks the IPv4 packet at the current header and trims what follows the total length: Ethernet
 * pads short frames. */
static inline enum ip4_fault ip4_validate(struct pkt *p)
{
	const struct ip4_hdr *ip = pkt_header(p, IP4_LEN);
	if (unlikely(!ip))
		return IP4_TRUNCATED;
	uint16_t total = ntoh16(ip->total_length);
	if (unlikely(ip->version_ihl != 0x45 || total < IP4_LEN || total > p->len ||
		     checksum(ip, IP4_LEN))) {
		enum ip4_fault fault = ip4_header_fault(ip, p->len);
		if (fault)
			return fault;
	}
	if (unlikely(ip4_is_special(ip->source) || ip4_is_special(ip->destination)))
		return ip4_address_fault(ip);
	p->len = total;
	return IP4_FINE;
}

#endif
