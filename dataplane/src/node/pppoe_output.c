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
		struct pkt *p = pkts[i];
		struct session_out *out = &w->t->out[p->session];
		out->packets++;
		out->bytes += p->len;
		session_header_push(p, out);
		p->tx_port = out->port;
		next[i] = EDGE_PORT_OUTPUT;
	}
}

NODE(pppoe_output) = {
	.name = "pppoe_output",
	.process = process,
	.edges = {[EDGE_PORT_OUTPUT] = {.next = "port_output"}},
};
