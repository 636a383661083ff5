/* Network order in and out of be16 / be32. */
#ifndef BNG_BYTEORDER_H
#define BNG_BYTEORDER_H

#include <stdint.h>
#include <string.h>

#include "dataplane.h"

static inline uint16_t ntoh16(be16 v)
{
	return __builtin_bswap16(v);
}

static inline be16 hton16(uint16_t v)
{
	return __builtin_bswap16(v);
}

static inline uint32_t ntoh32(be32 v)
{
	return __builtin_bswap32(v);
}

static inline be32 hton32(uint32_t v)
{
	return __builtin_bswap32(v);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the arena is little endian");

#endif
