/* Addresses of both families as one kind of value: IPv4 as IPv4-mapped (RFC 4291 section 2.5.5.2),
 * in host order. */
#ifndef BNG_ADDRESS_H
#define BNG_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "hdr/byteorder.h"

struct ip6_words {
	uint64_t high, low;
};

#define NO_ADDRESS ((struct ip6_words){0})

enum { IP4_MAPPED = 0xffff }; /* the 32 bits above the IPv4 address */

static inline struct ip6_words ip6_words(const uint8_t address[16])
{
	struct ip6_words words;
	memcpy(&words, address, sizeof(words));
	words.high = __builtin_bswap64(words.high);
	words.low = __builtin_bswap64(words.low);
	return words;
}

static inline void ip6_bytes(struct ip6_words words, uint8_t address[16])
{
	words.high = __builtin_bswap64(words.high);
	words.low = __builtin_bswap64(words.low);
	memcpy(address, &words, sizeof(words));
}

/* All 0, as IPv6 has it, for 0.0.0.0. */
static inline struct ip6_words ip4_words(be32 address)
{
	return (struct ip6_words){
		.low = address ? (uint64_t)IP4_MAPPED << 32 | ntoh32(address) : 0};
}

/* The IPv4 address; 0: it is none. */
static inline be32 ip4_of(struct ip6_words words)
{
	return !words.high && words.low >> 32 == IP4_MAPPED ? hton32((uint32_t)words.low) : 0;
}

static inline bool is_address(struct ip6_words words)
{
	return words.high || words.low;
}

static inline bool same_address(struct ip6_words a, struct ip6_words b)
{
	return a.high == b.high && a.low == b.low;
}

static inline uint64_t mask64(uint32_t length)
{
	return length ? ~UINT64_C(0) << (64 - length) : 0;
}

/* Without the bits behind the first `length`. */
static inline struct ip6_words ip6_masked(struct ip6_words address, uint32_t length)
{
	address.high &= mask64(length < 64 ? length : 64);
	address.low &= mask64(length < 64 ? 0 : length - 64);
	return address;
}

#endif
