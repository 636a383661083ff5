/* Whether a packet that is forwarded may go, for both families, and what icmp4_error or icmp6_error
 * is told about one that may not. */
#ifndef BNG_NODE_IP_VERDICT_H
#define BNG_NODE_IP_VERDICT_H

#include "pkt.h"

enum ip_verdict {
	IP_SEND,
	IP_ERROR,    /* about which icmp_error_set() has spoken */
	IP_FRAGMENT, /* IPv4 alone */
};

/* Type in cause, code and MTU in arg. */
static inline void icmp_error_set(struct pkt *p, uint8_t type, uint8_t code, uint16_t mtu)
{
	p->cause = type;
	p->arg = (uint32_t)mtu << 8 | code;
}

#endif
