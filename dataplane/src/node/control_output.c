/*
 * control_output: what the kernel sends of routing protocols, ARP and ND. As port_output, but by a
 * transmit vector of its own, which leaves first and through a queue that data cannot fill.
 */
#include "graph.h"
#include "node/port_send.h"

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	port_send(w, pkts, n, next);
}

NODE(control_output) = {
	.name = "control_output",
	.process = process,
	.edges = PORT_SEND_EDGES,
};
