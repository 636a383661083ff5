/*
 * NAT44 port forwards: public ports that always lead to the same port of a subscriber, whoever asks
 * (RFC 6887 would have him ask for it; here bngd says). Kept apart from mappings: the ports are of
 * a range that no block is given of.
 */
#ifndef BNG_NAT44_FORWARD_H
#define BNG_NAT44_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "table/nat44_map.h"

/* CMD_SESSION_FORWARD. -EINVAL; -EEXIST: one of the ports is forwarded otherwise; -ENOSPC: no room
 * for one more, or for its record in the log. */
int nat44_forward_command(struct worker *w, const struct command *c);
/* The session has none any more. */
void nat44_forward_clear(struct worker *w, uint32_t session);
/* What leads in from a public port of this worker's address (index), or NULL. */
const struct nat_forward *nat44_forward_in(
	const struct worker *w, uint32_t address, uint32_t plane, be16 external);
/* What leads out from a port of the session, or NULL. */
const struct nat_forward *nat44_forward_out(
	const struct worker *w, uint32_t session, uint32_t plane, be16 inner);

static inline bool nat44_is_forward_port(const struct nat_config *nat, be16 external)
{
	uint32_t port = ntoh16(external);
	return port >= nat->forward_low && port <= nat->forward_high;
}

#endif
