/* port_output: frames of data, into the transmit vector of their port; see port_send.h. */
#include "graph.h"
#include "node/port_send.h"

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	port_send(w, pkts, n, next);
}

NODE(port_output) = {
	.name = "port_output",
	.process = process,
	.edges = PORT_SEND_EDGES,
};
