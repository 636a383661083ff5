/*
 * ip6_lookup: the destination's leaf in the FIB, and with it the next node. Errors are those of RFC
 * 4443 section 3.1. The current header is the IPv6 header.
 */
#include "hdr/ip6.h"
#include "node/next_hop.h"
#include "table/fib6.h"

#define FLOW_LABEL UINT32_C(0x000fffff)

/* RFC 6438 section 3: addresses and flow label, which fragments have, too. Ports only of a flow
 * without a label, when they are at hand. */
static uint32_t flow_slot(const struct pkt *p, const void *header)
{
	const struct ip6_hdr *ip = header;
	uint64_t word[IP6_ADDRESS_LEN / 4]; /* of both addresses */
	uint32_t flow = ip->version_class_flow & hton32(FLOW_LABEL);
	bool has_ports = ip->next_header == IPPROTO_TCP6 || ip->next_header == IPPROTO_UDP6;
	if (!flow && has_ports && p->len >= IP6_LEN + sizeof(flow))
		memcpy(&flow, ip + 1, sizeof(flow));
	memcpy(word, ip->source, sizeof(word));
	uint64_t hash = flow;
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		hash = (hash ^ word[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	return (uint32_t)(hash * 0x94d049bb133111ebull >> 60);
}

static struct ip6_words destination(const void *ip)
{
	return ip6_words(((const struct ip6_hdr *)ip)->destination);
}

static const struct next_hop_family ip6 = {
	.flow_slot = flow_slot,
	.destination = destination,
	.unreachable = ICMP6_UNREACHABLE,
	.no_route = ICMP6_CODE_NO_ROUTE,
	.host = ICMP6_CODE_ADDRESS,
	.prohibited = ICMP6_CODE_PROHIBITED,
};

static inline uint16_t lookup(struct worker *w, struct pkt *p)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	return next_hop(&ip6, w, p, fib6_lookup(&w->t->fib6, ip->destination));
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = lookup(w, pkts[i]);
}

NODE(ip6_lookup) = {
	.name = "ip6_lookup",
	.process = process,
	.edges =
		{
			NEXT_HOP_EDGES,
			[EDGE_REWRITE] = {.next = "ip6_rewrite"},
			[EDGE_SESSION_OUTPUT] = {.next = "session6_output"},
			[EDGE_LOCAL] = {.next = "ip6_local"},
			[EDGE_ICMP_ERROR] = {.next = "icmp6_error"},
		},
};
