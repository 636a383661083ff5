/*
 * pppoe6_input: IPv6 of a live session that is served it (RFC 5072), checked as RFC 8200 section 3
 * demands. What stays on the link goes to ip6_control, all else starts the session-in arc.
 *
 * The current header is the PPPoE header; pppoe_input has found the session and checked the length.
 */
#include "graph.h"
#include "hdr/pppoe.h"
#include "node/account.h"
#include "node/ip6_validate.h"
#include "node/session_header.h"
#include "table/policer.h"
#include "worker.h"

enum {
	EDGE_IP6_CONTROL = ARC_EDGES,
	EDGE_PACKET_TOO_BIG,
	EDGE_IP6_FAULT, /* + enum ip6_fault, from 1 */
};

static inline uint16_t input(struct worker *w, struct pkt *p)
{
	struct session_in *in = &w->t->in[p->session];
	pkt_pull(p, PPPOE_LEN + PPP_PROTOCOL_LEN);
	enum ip6_fault fault = ip6_validate(p);
	if (unlikely(fault))
		return refused_in(w->t, p, IN_DROP_MALFORMED, (uint16_t)(EDGE_IP6_FAULT + fault));
	if (unlikely(p->len > in->mtu))
		return refused_in(w->t, p, IN_DROP_TOO_BIG, EDGE_PACKET_TOO_BIG);
	in->last_in_ms = w->now_ms;
	p->flags |= PKT_FROM_SESSION;
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	if (unlikely(ip6_is_of_a_link(ip->destination)))
		return EDGE_IP6_CONTROL;
	policer_prefetch(w->t, p->session, DIRECTION_IN, in->features & 1 << FEATURE_IN_POLICER);
	return arc_start_in6(in, p);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = input(w, pkts[i]);
}

NODE(pppoe6_input) = {
	.name = "pppoe6_input",
	.process = process,
	.arc = ARC_SESSION_IN,
	.never = IP6_NEVER_IN,
	.edges =
		{
			[EDGE_IP6_CONTROL] = {.next = "ip6_control"},
			[EDGE_PACKET_TOO_BIG] = DROP("packet-too-big"),
			IP6_FAULT_EDGES(EDGE_IP6_FAULT),
		},
};
