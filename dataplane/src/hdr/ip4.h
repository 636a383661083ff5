/* IPv4 (RFC 791), TCP, UDP, ICMP (RFC 792) headers. */
#ifndef BNG_HDR_IP4_H
#define BNG_HDR_IP4_H

#include "byteorder.h"

enum {
	IP4_LEN = 20,
	IP4_DF = 0x4000,
	IP4_MF = 0x2000,
	IP4_OFFSET_MASK = 0x1fff,
	IPPROTO_ICMP4 = 1,
	IPPROTO_TCP4 = 6,
	IPPROTO_UDP4 = 17,
	IPPROTO_GRE4 = 47,
	IPPROTO_ESP4 = 50,
	TCP_LEN = 20,
	UDP_LEN = 8,
	ICMP4_LEN = 8,
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_REDIRECT = 5,
	ICMP4_ECHO_REQUEST = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER_PROBLEM = 12,
	ICMP4_CODE_NET = 0, /* of ICMP4_UNREACHABLE */
	ICMP4_CODE_HOST = 1,
	ICMP4_CODE_FRAG_NEEDED = 4,
	ICMP4_CODE_PROHIBITED = 13,
};

struct ip4_hdr {
	uint8_t version_ihl;
	uint8_t tos;
	be16 total_length;
	be16 id;
	be16 fragment; /* flags and offset */
	uint8_t ttl;
	uint8_t protocol;
	be16 checksum;
	be32 source;
	be32 destination;
} __attribute__((packed, aligned(2)));

struct tcp_hdr {
	be16 source;
	be16 destination;
	be32 sequence;
	be32 acknowledgment;
	uint8_t offset; /* high 4 bits, in 32-bit words */
	uint8_t flags;
	be16 window;
	be16 checksum;
	be16 urgent;
} __attribute__((packed, aligned(2)));

struct udp_hdr {
	be16 source;
	be16 destination;
	be16 length;
	be16 checksum;
} __attribute__((packed, aligned(2)));

struct icmp4_hdr {
	uint8_t type;
	uint8_t code;
	be16 checksum;
	be16 id;       /* echo */
	be16 sequence; /* echo; next-hop MTU of "fragmentation needed" (RFC 1191) */
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct ip4_hdr) == IP4_LEN, "wire");
_Static_assert(sizeof(struct tcp_hdr) == TCP_LEN, "wire");
_Static_assert(sizeof(struct udp_hdr) == UDP_LEN, "wire");
_Static_assert(sizeof(struct icmp4_hdr) == ICMP4_LEN, "wire");

static inline uint16_t ip4_header_len(const struct ip4_hdr *ip)
{
	return (uint16_t)((ip->version_ihl & 15) * 4);
}

#endif
