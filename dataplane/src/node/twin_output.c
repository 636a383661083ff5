/*
 * twin_output: whole frames between a routed port and its TAP in the kernel, either way. The
 * current header is the Ethernet header.
 */
#include "graph.h"
#include "worker.h"

enum { EDGE_PORT_OUTPUT, EDGE_NO_TWIN };

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		uint16_t twin = w->t->port[pkts[i]->rx_port].twin;
		pkts[i]->tx_port = (uint8_t)twin;
		next[i] = twin == NO_PORT ? EDGE_NO_TWIN : EDGE_PORT_OUTPUT;
	}
}

NODE(twin_output) = {
	.name = "twin_output",
	.process = process,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_NO_TWIN] = DROP("no-twin"),
		},
};
