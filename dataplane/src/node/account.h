/*
 * What a session counts. A packet from the subscriber is charged at the end of the session-in arc:
 * what a feature drops is not (RFC 2866 section 5.3: octets received from the port). One to him is
 * charged by pppoe_output, behind the session-out arc. What is refused counts as a drop of the
 * session, by reason; red packets have counters of their own, in policer.c.
 */
#ifndef BNG_NODE_ACCOUNT_H
#define BNG_NODE_ACCOUNT_H

#include "dataplane.h"
#include "graph.h"
#include "worker.h"

static inline void charge_in(struct session_in *in, const struct pkt *p)
{
	in->packets++;
	in->bytes += p->len;
}

/* arc_start() of the session-in arc, for IPv4. */
static inline uint16_t arc_start_in(struct session_in *in, struct pkt *p)
{
	uint16_t edge = arc_start(p, in->features & (uint16_t)~FEATURES_IN_IP6_ONLY);
	if (__builtin_expect(!edge, 0))
		charge_in(in, p);
	return edge;
}

/* arc_next() of the session-in arc: how each of its nodes for IPv4 lets a packet pass. */
static inline uint16_t arc_next_in(struct session_in *in, struct pkt *p)
{
	uint16_t edge = arc_next(p);
	if (!p->arc)
		charge_in(in, p);
	return edge;
}

static inline void charge_in6(const struct tables *t, struct session_in *in, const struct pkt *p)
{
	struct session_ip6 *ip6 = &t->ip6[p->session];
	charge_in(in, p);
	ip6->in_packets++;
	ip6->in_bytes += p->len;
}

/* arc_start() of the session-in arc, for IPv6, which visits one node at least. */
static inline uint16_t arc_start_in6(const struct session_in *in, struct pkt *p)
{
	return arc_start(p, in->features & (uint16_t)~FEATURES_IN_IP4_ONLY);
}

/* arc_next_in() of a node that packets of both families visit. */
static inline uint16_t arc_next_in_both(
	const struct tables *t, struct session_in *in, struct pkt *p)
{
	uint16_t edge = arc_next(p);
	if (!p->arc)
		charge_in(in, p);
	else if (edge == ARC_IP6_END)
		charge_in6(t, in, p);
	return edge;
}

static inline void count_up_to_most(uint32_t *counter)
{
	*counter += *counter != UINT32_MAX;
}

static inline void drop_in(const struct tables *t, uint32_t session, enum session_in_drop why)
{
	count_up_to_most(&t->cold[session].in_drops[why]);
}

static inline void drop_out(const struct tables *t, uint32_t session, enum session_out_drop why)
{
	count_up_to_most(&t->cold[session].out_drops[why]);
}

/* The same, for a node that leaves by `edge`. */
static inline uint16_t refused_in(
	const struct tables *t, const struct pkt *p, enum session_in_drop why, uint16_t edge)
{
	drop_in(t, p->session, why);
	return edge;
}

static inline uint16_t refused_out(
	const struct tables *t, const struct pkt *p, enum session_out_drop why, uint16_t edge)
{
	drop_out(t, p->session, why);
	return edge;
}

#endif
