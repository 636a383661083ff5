/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Sums are in wire order.
 */
#ifndef BNG_HDR_CHECKSUM_H
#define BNG_HDR_CHECKSUM_H

#include <stddef.h>

#include "byteorder.h"

static inline uint16_t checksum_fold(uint64_t sum)
{
	sum += sum << 32 | sum >> 32;
	uint32_t half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}

/* Adds `len` bytes to a running sum; only the last piece may have an odd length. */
static inline uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (; len >= 4; len -= 4, p += 4) {
		uint32_t v;
		memcpy(&v, p, 4);
		sum += v;
	}
	if (len & 2) {
		uint16_t v;
		memcpy(&v, p, 2);
		sum += v;
		p += 2;
	}
	if (len & 1)
		sum += *p;
	return sum;
}

/* The checksum field for these bytes, or 0 when they hold a correct one. */
static inline be16 checksum(const void *data, size_t len)
{
	return (be16)~checksum_fold(checksum_add(0, data, len));
}

/* RFC 1624 equation 3 for a 16-bit field. */
static inline be16 checksum_update16(be16 old_sum, be16 from, be16 to)
{
	uint32_t sum = (uint16_t)~old_sum + (uint32_t)(uint16_t)~from + to;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (be16)~sum;
}

#endif
