/*
 * acl: ordered rules over addresses, protocol and ports, both ways and for both families: acl_in
 * and acl_out. What is refused is dropped; upstream a rule may also have the subscriber told (ICMP
 * 3/13, RFC 1812 section 5.2.7.1; ICMPv6 1/1, RFC 4443 section 3.1). Downstream nobody is told: the
 * error would quote an address from inside. IPv6 that hides its upper layer is refused.
 */
#include "table/acl.h"

#include "graph.h"
#include "node/account.h"
#include "node/hints.h"
#include "node/ip_verdict.h"

enum { EDGE_DENIED = ARC_EDGES, EDGE_IP6_HIDDEN, EDGE_ICMP4_ERROR, EDGE_ICMP6_ERROR };

static uint16_t refuse_in(const struct worker *w, struct pkt *p, enum acl_action action)
{
	bool ip6 = p->flags & PKT_IP6;
	drop_in(w->t, p->session, IN_DROP_ACL);
	if (action != ACL_REJECT)
		return EDGE_DENIED;
	if (ip6)
		icmp_error_set(p, ICMP6_UNREACHABLE, ICMP6_CODE_PROHIBITED, 0);
	else
		icmp_error_set(p, ICMP4_UNREACHABLE, ICMP4_CODE_PROHIBITED, 0);
	return ip6 ? EDGE_ICMP6_ERROR : EDGE_ICMP4_ERROR;
}

static inline uint16_t check_in(const struct worker *w, struct pkt *p)
{
	struct session_in *in = &w->t->in[p->session];
	enum acl_action action = acl_lookup(w, in->acl, DIRECTION_IN, p);
	if (unlikely(action != ACL_PERMIT))
		return refuse_in(w, p, action);
	return arc_next_in_both(w->t, in, p);
}

static inline uint16_t check6_in(const struct worker *w, struct pkt *p)
{
	struct session_in *in = &w->t->in[p->session];
	struct acl_key6 key;
	if (unlikely(!acl_key6((const struct ip6_hdr *)pkt_data(p), p->len, &key)))
		return refused_in(w->t, p, IN_DROP_ACL, EDGE_IP6_HIDDEN);
	enum acl_action action = acl_judge6(w, in->acl, DIRECTION_IN, &key, p->len);
	if (unlikely(action != ACL_PERMIT))
		return refuse_in(w, p, action);
	return arc_next_in_both(w->t, in, p);
}

static inline uint16_t check_out(const struct worker *w, struct pkt *p)
{
	uint16_t acl = w->t->out[p->session].acl;
	if (likely(acl_lookup(w, acl, DIRECTION_OUT, p) == ACL_PERMIT))
		return arc_next(p);
	return refused_out(w->t, p, OUT_DROP_ACL, EDGE_DENIED);
}

static inline uint16_t check6_out(const struct worker *w, struct pkt *p)
{
	uint16_t acl = w->t->out[p->session].acl, edge = EDGE_DENIED;
	struct acl_key6 key;
	if (unlikely(!acl_key6((const struct ip6_hdr *)pkt_data(p), p->len, &key)))
		edge = EDGE_IP6_HIDDEN;
	else if (likely(acl_judge6(w, acl, DIRECTION_OUT, &key, p->len) == ACL_PERMIT))
		return arc_next(p);
	return refused_out(w->t, p, OUT_DROP_ACL, edge);
}

static void process_in(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = pkts[i]->flags & PKT_IP6 ? check6_in(w, pkts[i]) : check_in(w, pkts[i]);
}

static void process_out(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = pkts[i]->flags & PKT_IP6 ? check6_out(w, pkts[i]) : check_out(w, pkts[i]);
}

NODE(acl_in) = {
	.name = "acl_in",
	.process = process_in,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_ACL,
	.edges =
		{
			[EDGE_DENIED] = DROP("acl-denied"),
			[EDGE_IP6_HIDDEN] = DROP("ip6-upper-layer-hidden"),
			[EDGE_ICMP4_ERROR] = {.next = "icmp4_error"},
			[EDGE_ICMP6_ERROR] = {.next = "icmp6_error"},
		},
};

NODE(acl_out) = {
	.name = "acl_out",
	.process = process_out,
	.arc = ARC_SESSION_OUT,
	.feature = FEATURE_OUT_ACL,
	.edges =
		{
			[EDGE_DENIED] = DROP("acl-denied"),
			[EDGE_IP6_HIDDEN] = DROP("ip6-upper-layer-hidden"),
		},
};
