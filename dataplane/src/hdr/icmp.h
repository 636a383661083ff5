/* What messages of ICMP (RFC 792) and ICMPv6 (RFC 4443) begin with: type, code, checksum. */
#ifndef BNG_HDR_ICMP_H
#define BNG_HDR_ICMP_H

#include "checksum.h"

/* Makes another type of a message, and the checksum right again. */
static inline void icmp_set_type(void *icmp, uint8_t type)
{
	be16 was, is, sum;
	memcpy(&was, icmp, sizeof(was));
	memcpy(icmp, &type, sizeof(type));
	memcpy(&is, icmp, sizeof(is));
	memcpy(&sum, (uint8_t *)icmp + sizeof(is), sizeof(sum));
	sum = checksum_update16(sum, was, is);
	memcpy((uint8_t *)icmp + sizeof(is), &sum, sizeof(sum));
}

#endif
