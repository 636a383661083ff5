/* ip4_input: IPv4 from a routed port, checked as RFC 1812 section 5.2.2 demands. */
#include "graph.h"
#include "node/ip4_validate.h"
#include "worker.h"

enum { EDGE_IP4_LOOKUP, EDGE_IP4_FAULT = 0 /* + enum ip4_fault, from 1 */ };

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	(void)w;
	for (uint16_t i = 0; i < n; i++)
		next[i] = (uint16_t)(EDGE_IP4_FAULT + ip4_validate(pkts[i]));
}

NODE(ip4_input) = {
	.name = "ip4_input",
	.process = process,
	.edges =
		{
			[EDGE_IP4_LOOKUP] = {.next = "ip4_lookup"},
			IP4_FAULT_EDGES(EDGE_IP4_FAULT),
		},
};
