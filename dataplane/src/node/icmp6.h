/* ICMPv6 checksums (RFC 4443 section 2.3) and Echo Replies (section 4.2). */
#ifndef BNG_NODE_ICMP6_H
#define BNG_NODE_ICMP6_H

#include "hdr/icmp.h"
#include "hdr/ip6.h"
#include "pkt.h"

enum { ICMP6_HOP_LIMIT = 64, ND_HOP_LIMIT = 255 /* RFC 4861 section 11.2 */ };

/* The checksum field for an ICMPv6 message of `len` bytes, or 0 when it holds the right one. */
static inline be16 icmp6_checksum(const struct ip6_hdr *ip, const void *icmp, uint16_t len)
{
	uint64_t sum = checksum_add(0, ip->source, 2 * IP6_ADDRESS_LEN);
	sum += hton16(len);
	sum += hton16(IPPROTO_ICMP6);
	return (be16)~checksum_fold(checksum_add(sum, icmp, len));
}

static inline void ip6_write(struct ip6_hdr *ip, uint16_t payload, uint8_t hop_limit)
{
	ip->version_class_flow = hton32(6u << 28);
	ip->payload_length = hton16(payload);
	ip->next_header = IPPROTO_ICMP6;
	ip->hop_limit = hop_limit;
}

/* Whether the packet, IP6_LEN and ICMP6_LEN bytes at least, is an Echo Request. */
static inline bool is_echo6_request(const struct ip6_hdr *ip)
{
	const struct icmp6_hdr *icmp = (const struct icmp6_hdr *)(ip + 1);
	return ip->next_header == IPPROTO_ICMP6 && icmp->type == ICMP6_ECHO_REQUEST && !icmp->code;
}

/* Makes of an Echo Request the reply. The addresses change places, which the sum does not see. */
static inline void echo6_reply(struct ip6_hdr *ip)
{
	struct icmp6_hdr *icmp = (struct icmp6_hdr *)(ip + 1);
	uint8_t client[IP6_ADDRESS_LEN];

	memcpy(client, ip->source, IP6_ADDRESS_LEN);
	memcpy(ip->source, ip->destination, IP6_ADDRESS_LEN);
	memcpy(ip->destination, client, IP6_ADDRESS_LEN);
	icmp_set_type(icmp, ICMP6_ECHO_REPLY);
	ip6_write(ip, ntoh16(ip->payload_length), ICMP6_HOP_LIMIT);
}

#endif
