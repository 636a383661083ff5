/*
 * pppoe_output: counts what the session gets (RFC 2866: IP bytes in the PPP payload) and puts its
 * prebuilt header in front.
 */
#include "graph.h"
#include "node/session_header.h"
#include "worker.h"

enum { EDGE_PORT_OUTPUT };

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		session_send(&w->t->out[pkts[i]->session], pkts[i]);
		next[i] = EDGE_PORT_OUTPUT;
	}
}

NODE(pppoe_output) = {
	.name = "pppoe_output",
	.process = process,
	.edges = {[EDGE_PORT_OUTPUT] = {.next = "port_output"}},
};
