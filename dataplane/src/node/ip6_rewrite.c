/*
 * ip6_rewrite: hop limit, MTU (RFC 8200 sections 3 and 5) and the Ethernet header of the next hop
 * on a routed port.
 */
#include "node/ip6_forward.h"
#include "node/rewrite.h"

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	rewrite_all(w, pkts, n, next, ip6_forward, ETHERTYPE_IP6);
}

NODE(ip6_rewrite) = {
	.name = "ip6_rewrite",
	.process = process,
	.edges = {REWRITE_EDGES_OF("icmp6_error")},
};
