/*
 * ip4_rewrite: TTL, MTU and the Ethernet header of the next hop on a routed port (RFC 1812 section
 * 5.2.1). Routed ports are untagged.
 */
#include "node/ip4_forward.h"
#include "node/rewrite.h"

static struct node node_ip4_rewrite;

static inline enum ip_verdict forward(struct pkt *p, uint16_t mtu)
{
	return ip4_forward(p, mtu, node_ip4_rewrite.id);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	rewrite_all(w, pkts, n, next, forward, ETHERTYPE_IP4);
}

NODE(ip4_rewrite) = {
	.name = "ip4_rewrite",
	.process = process,
	.edges =
		{
			REWRITE_EDGES_OF("icmp4_error"),
			[EDGE_IP4_FRAGMENT] = {.next = "ip4_fragment"},
		},
};
