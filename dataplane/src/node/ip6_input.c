/*
 * ip6_input: IPv6 from a routed port, checked as RFC 8200 section 3 demands. What stays on the link
 * is the kernel's: Neighbor Discovery, routing protocols.
 */
#include "graph.h"
#include "hdr/ethernet.h"
#include "node/ip6_validate.h"
#include "worker.h"

enum {
	EDGE_IP6_LOOKUP,
	EDGE_IP6_FAULT = 0 /* + enum ip6_fault, from 1 */,
	EDGE_TWIN_OUTPUT = IP6_FAULTS
};

static inline uint16_t input(struct pkt *p)
{
	enum ip6_fault fault = ip6_validate(p);
	if (unlikely(fault))
		return (uint16_t)(EDGE_IP6_FAULT + fault);
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	if (likely(!ip6_is_of_a_link(ip->destination) && !ip6_is_of_a_link(ip->source)))
		return EDGE_IP6_LOOKUP;
	pkt_push(p, ETH_LEN); /* still there, without tags */
	return EDGE_TWIN_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	(void)w;
	for (uint16_t i = 0; i < n; i++)
		next[i] = input(pkts[i]);
}

NODE(ip6_input) = {
	.name = "ip6_input",
	.process = process,
	.edges =
		{
			[EDGE_IP6_LOOKUP] = {.next = "ip6_lookup"},
			[EDGE_TWIN_OUTPUT] = {.next = "twin_output"},
			IP6_FAULT_EDGES(EDGE_IP6_FAULT),
		},
};
