/*
 * The remotes of mappings that have several: who may send to them (RFC 4787 REQ-8), and which of
 * their TCP connections are open (RFC 5382 REQ-5). A table of fixed size per worker; a mapping's
 * first remote needs no entry as long as it is the only one.
 */
#ifndef BNG_NAT44_REMOTE_H
#define BNG_NAT44_REMOTE_H

#include "table/nat44_map.h"

/* The remote that the slot itself knows is the flow's; for TCP its port too. */
static inline bool nat44_remote_is_first(const struct nat_slot *slot, const struct nat44_flow *flow)
{
	return !(slot->flags & NAT_MULTI) && slot->remote == flow->remote &&
	       (flow->plane != NAT_TCP || slot->remote_port == flow->remote_port);
}

/* A packet from the subscriber to another remote than the first; tcp: flags of the segment. False:
 * the remote cannot be remembered, and filtering would refuse its answers. */
bool nat44_remote_out(
	struct worker *w, struct nat_slot *slot, const struct nat44_flow *flow, uint8_t tcp);
/* A packet to the subscriber, let in, from another remote than the first. */
void nat44_remote_in(
	struct worker *w, struct nat_slot *slot, const struct nat44_flow *flow, uint8_t tcp);
/* Whether filtering lets packets of the flow's remote in. */
bool nat44_remote_admits(
	const struct worker *w, const struct nat_slot *slot, const struct nat44_flow *flow);

/* The mapping, or all of a block, ends. */
void nat44_remote_forget(struct worker *w, struct nat_slot *slot);
void nat44_remote_forget_block(struct worker *w, uint32_t block);

#endif
