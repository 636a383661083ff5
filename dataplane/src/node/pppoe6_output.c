/*
 * pppoe6_output: counts what the session gets (RFC 2866: IP bytes in the PPP payload), for both
 * families together and for IPv6, and puts its prebuilt header in front, as of IPv6 (RFC 5072
 * section 3).
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
		struct session_ip6 *ip6 = &w->t->ip6[p->session];
		ip6->out_packets++;
		ip6->out_bytes += p->len;
		session_send(out, p);
		pkt_data(p)[out->header_len - 1] = PPP_IP6; /* in place of PPP_IP4 */
		next[i] = EDGE_PORT_OUTPUT;
	}
}

_Static_assert(PPP_IP6 >> 8 == PPP_IP4 >> 8, "the last byte tells them apart");

NODE(pppoe6_output) = {
	.name = "pppoe6_output",
	.process = process,
	.edges = {[EDGE_PORT_OUTPUT] = {.next = "port_output"}},
};
