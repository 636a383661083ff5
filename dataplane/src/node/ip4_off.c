/*
 * ip4_off: IPv4 of a session that is LIVE for IPv6 alone, because IPCP is not open or nobody may
 * have IPv4 here; both ways: ip4_off_in and ip4_off_out. Addresses and NAT blocks stay as they are.
 */
#include "graph.h"
#include "node/account.h"
#include "worker.h"

enum { EDGE_NOT_SERVED = ARC_EDGES };

static void process_in(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = refused_in(w->t, pkts[i], IN_DROP_NOT_SERVED, EDGE_NOT_SERVED);
}

static void process_out(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = refused_out(w->t, pkts[i], OUT_DROP_NOT_LIVE, EDGE_NOT_SERVED);
}

NODE(ip4_off_in) = {
	.name = "ip4_off_in",
	.process = process_in,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_IP4_OFF,
	.never = UINT16_MAX,
	.edges = {[EDGE_NOT_SERVED] = DROP("ip4-not-served")},
};

NODE(ip4_off_out) = {
	.name = "ip4_off_out",
	.process = process_out,
	.arc = ARC_SESSION_OUT,
	.feature = FEATURE_OUT_IP4_OFF,
	.never = UINT16_MAX,
	.edges = {[EDGE_NOT_SERVED] = DROP("ip4-not-served")},
};
