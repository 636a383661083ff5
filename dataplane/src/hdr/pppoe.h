/* PPPoE session frames (RFC 2516 section 4), PPP protocol numbers (RFC 1661 section 2). */
#ifndef BNG_HDR_PPPOE_H
#define BNG_HDR_PPPOE_H

#include "byteorder.h"

enum {
	PPPOE_LEN = 6,
	PPPOE_VER_TYPE = 0x11,
	PPPOE_CODE_SESSION = 0x00,
	PPPOE_CODE_PADT = 0xa7,
	PPP_IP4 = 0x0021,
	PPP_IP6 = 0x0057,
	PPP_IPCP = 0x8021,
	PPP_IPV6CP = 0x8057,
	PPP_LCP = 0xc021,
	PPP_PAP = 0xc023,
	PPP_CHAP = 0xc223,
	LCP_ECHO_REQUEST = 9,
	LCP_ECHO_REPLY = 10,
};

struct pppoe_hdr {
	uint8_t ver_type;
	uint8_t code;
	be16 session_id;
	be16 length;
} __attribute__((packed));

/* Version, type and code, session id, length, and the PPP protocol behind them: 16 bits each. */
static inline uint64_t pppoe_fields(const uint8_t *header)
{
	uint64_t fields;
	memcpy(&fields, header, sizeof(fields));
	return __builtin_bswap64(fields);
}

struct lcp_echo_hdr { /* RFC 1661 section 5.8 */
	uint8_t code;
	uint8_t id;
	be16 length;
	be32 magic;
} __attribute__((packed));

_Static_assert(sizeof(struct pppoe_hdr) == PPPOE_LEN, "wire");
_Static_assert(sizeof(struct lcp_echo_hdr) == 8, "wire");

#endif
