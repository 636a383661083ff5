/*
 * What a subscriber is charged for (RFC 2866 section 5.3: octets received from the port): upstream
 * packets that no feature drops. The last feature on the packet's way that may drop it counts it.
 */
#ifndef BNG_NODE_CHARGE_H
#define BNG_NODE_CHARGE_H

#include "dataplane.h"
#include "pkt.h"

enum { MAY_DROP_IN = 1 << FEATURE_IN_ACL | 1 << FEATURE_IN_POLICER };

/* To be called by a feature, antispoof4 included, for a packet that it lets pass. */
static inline void charge_in(struct session_in *in, const struct pkt *p)
{
	uint16_t later = (uint16_t)(p->arc & (p->arc - 1));
	if (later & MAY_DROP_IN)
		return;
	in->packets++;
	in->bytes += p->len;
}

#endif
