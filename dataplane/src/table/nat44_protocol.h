/*
 * NAT44 of protocols without ports, GRE (RFC 2784) and ESP (RFC 4303): only the address changes, so
 * a public address and a remote have one subscriber for each protocol at a time. A table of fixed
 * size per worker; what is in it is never evicted.
 */
#ifndef BNG_NAT44_PROTOCOL_H
#define BNG_NAT44_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "hdr/ip4.h"
#include "table/nat44_map.h"

static inline bool nat44_has_no_ports(uint8_t protocol)
{
	return protocol == IPPROTO_GRE4 || protocol == IPPROTO_ESP4;
}

/* A packet of the session, which has a block, to a remote: makes the flow or refreshes it (RFC 4787
 * REQ-6). NAT_GRANTED, or why it may not pass. */
enum nat_refusal nat44_protocol_out(
	struct worker *w, uint32_t session, be32 remote, uint8_t protocol);
/* The flow that lives between a public address (index) of this worker and a remote, or NULL. */
const struct nat_protocol *nat44_protocol_find(
	const struct worker *w, uint32_t address, be32 remote, uint8_t protocol);

/* Ends what is over of a session, or all it has. */
void nat44_protocol_expire(struct worker *w, uint32_t session);
void nat44_protocol_forget(struct worker *w, uint32_t session);
/* Ends what is over, each entry is visited once a minute; bounded work. */
void nat44_protocol_sweep(struct worker *w);

#endif
