/* IPv6 (RFC 8200), its extension headers, ICMPv6 (RFC 4443) and what of ND (RFC 4861) is seen. */
#ifndef BNG_HDR_IP6_H
#define BNG_HDR_IP6_H

#include <stdbool.h>

#include "byteorder.h"

enum {
	IP6_LEN = 40,
	IP6_ADDRESS_LEN = 16,
	IP6_MIN_MTU = 1280,
	IP6_FRAGMENT_LEN = 8,
	IP6_FRAGMENT_OFFSET = 0xfff8, /* in bytes, as it stands */
	IPPROTO_HOP_BY_HOP = 0,
	IPPROTO_TCP6 = 6,
	IPPROTO_UDP6 = 17,
	IPPROTO_ROUTING6 = 43,
	IPPROTO_FRAGMENT6 = 44,
	IPPROTO_AH6 = 51,
	IPPROTO_ICMP6 = 58,
	IPPROTO_DESTINATION6 = 60,
	ICMP6_LEN = 8,
	ICMP6_UNREACHABLE = 1,
	ICMP6_PACKET_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_INFORMATIONAL = 128, /* types from here on are no errors */
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_MLD_QUERY = 130,
	ICMP6_MLD_DONE = 132,
	ICMP6_ROUTER_SOLICITATION = 133,
	ICMP6_NEIGHBOR_SOLICITATION = 135,
	ICMP6_NEIGHBOR_ADVERTISEMENT = 136,
	ICMP6_REDIRECT = 137,
	ICMP6_MLD2_REPORT = 143,
	/* of ICMP6_UNREACHABLE */
	ICMP6_CODE_NO_ROUTE = 0,
	ICMP6_CODE_PROHIBITED = 1,
	ICMP6_CODE_ADDRESS = 3,
	ICMP6_CODE_SOURCE_POLICY = 5,
};

struct ip6_hdr {
	be32 version_class_flow;
	be16 payload_length;
	uint8_t next_header;
	uint8_t hop_limit;
	uint8_t source[IP6_ADDRESS_LEN];
	uint8_t destination[IP6_ADDRESS_LEN];
} __attribute__((packed, aligned(2)));

struct ip6_extension_hdr {
	uint8_t next_header;
	uint8_t length; /* in units of 8 bytes, the first not counted; AH: of 4, less 2 */
} __attribute__((packed));

struct icmp6_hdr {
	uint8_t type;
	uint8_t code;
	be16 checksum;
	be32 body; /* MTU of "packet too big"; identifier and sequence of echo */
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct ip6_hdr) == IP6_LEN, "wire");
_Static_assert(sizeof(struct icmp6_hdr) == ICMP6_LEN, "wire");

/* Upper and lower half of an address, host order. */
static inline uint64_t ip6_half(const uint8_t *at)
{
	uint64_t half;
	memcpy(&half, at, sizeof(half));
	return __builtin_bswap64(half);
}

static inline uint64_t ip6_prefix(const uint8_t address[IP6_ADDRESS_LEN])
{
	return ip6_half(address);
}

static inline uint64_t ip6_interface_id(const uint8_t address[IP6_ADDRESS_LEN])
{
	return ip6_half(address + 8);
}

static inline void ip6_put(uint8_t address[IP6_ADDRESS_LEN], uint64_t prefix, uint64_t interface_id)
{
	prefix = __builtin_bswap64(prefix);
	interface_id = __builtin_bswap64(interface_id);
	memcpy(address, &prefix, sizeof(prefix));
	memcpy(address + 8, &interface_id, sizeof(interface_id));
}

#define IP6_LINK_LOCAL UINT64_C(0xfe80000000000000)

static inline bool ip6_is_multicast(const uint8_t address[IP6_ADDRESS_LEN])
{
	return address[0] == 0xff;
}

/* RFC 4291 section 2.5.6: fe80::/10. */
static inline bool ip6_is_link_local(const uint8_t address[IP6_ADDRESS_LEN])
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static inline bool ip6_is_unspecified(const uint8_t address[IP6_ADDRESS_LEN])
{
	return !ip6_prefix(address) && !ip6_interface_id(address);
}

/* 0::/64: unspecified, loopback, IPv4-mapped and IPv4-compatible: never on a wire, but the first
 * one for a while (RFC 4291 sections 2.5.2, 2.5.3, 2.5.5). */
static inline bool ip6_is_special(const uint8_t address[IP6_ADDRESS_LEN])
{
	return !ip6_prefix(address);
}

/* How far headers between IPv6 and the upper layer are read: who sends more has something to hide.
 */
enum { IP6_MOST_EXTENSIONS = 8, IP6_MOST_EXTENSION_BYTES = 512 };

enum ip6_upper_place {
	IP6_UPPER_HERE, /* the upper layer's header begins at `offset`, as far as it is there */
	IP6_UPPER_ELSEWHERE, /* in the first fragment: this is a later one */
	IP6_UPPER_BEYOND,    /* behind more headers than are read, or than there are */
};

struct ip6_upper {
	enum ip6_upper_place place;
	uint16_t offset;  /* from the IPv6 header on */
	uint8_t protocol; /* BEYOND: of the header that was not read */
	bool fragment;	  /* the first one or a later one */
};

static inline bool ip6_is_extension(uint8_t protocol)
{
	const uint64_t all = UINT64_C(1) << IPPROTO_HOP_BY_HOP | UINT64_C(1) << IPPROTO_ROUTING6 |
			     UINT64_C(1) << IPPROTO_FRAGMENT6 |
			     UINT64_C(1) << IPPROTO_DESTINATION6 | UINT64_C(1) << IPPROTO_AH6;
	return protocol < 64 && all >> protocol & 1;
}

/* Where the upper layer's header is (RFC 8200 section 4). `len` bytes are there, IP6_LEN at least.
 */
static inline struct ip6_upper ip6_find_upper(const struct ip6_hdr *ip, uint16_t len)
{
	const uint8_t *bytes = (const uint8_t *)ip;
	struct ip6_upper upper = {IP6_UPPER_HERE, IP6_LEN, ip->next_header, false};

	for (int n = 0; ip6_is_extension(upper.protocol); n++) {
		const struct ip6_extension_hdr *header = (const void *)(bytes + upper.offset);
		if (n == IP6_MOST_EXTENSIONS || len - upper.offset < 8 ||
			upper.offset > IP6_LEN + IP6_MOST_EXTENSION_BYTES) {
			upper.place = IP6_UPPER_BEYOND;
			return upper;
		}
		uint16_t size = (uint16_t)(header->length * 8 + 8);
		if (upper.protocol == IPPROTO_AH6)
			size = (uint16_t)(header->length * 4 + 8);
		if (upper.protocol == IPPROTO_FRAGMENT6) {
			uint16_t at =
				(uint16_t)(bytes[upper.offset + 2] << 8 | bytes[upper.offset + 3]);
			size = IP6_FRAGMENT_LEN;
			upper.fragment = true;
			if (at & IP6_FRAGMENT_OFFSET)
				upper.place = IP6_UPPER_ELSEWHERE;
		}
		upper.protocol = header->next_header;
		upper.offset = (uint16_t)(upper.offset + size);
		if (upper.place == IP6_UPPER_ELSEWHERE)
			return upper;
		if (upper.offset > len) {
			upper.place = IP6_UPPER_BEYOND;
			return upper;
		}
	}
	return upper;
}

#endif
