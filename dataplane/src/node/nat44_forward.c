/*
 * Session-in arc: what leaves a forwarded port of a subscriber leaves with the public port that
 * leads there, and what ICMP errors quote of it says so; then it is done with NAT. All else goes on
 * to nat44_in2out. Inbound the same is done by nat44_out2in, where no mapping is.
 */
#include "graph.h"
#include "node/account.h"
#include "node/nat44_packet.h"
#include "table/nat44_forward.h"
#include "table/nat44_fragment.h"
#include "worker.h"

static bool translate(struct worker *w, struct pkt *p, const struct nat44_packet *packet)
{
	const struct nat_forward *f =
		nat44_forward_out(w, p->session, packet->flow.plane, packet->flow.port);
	if (!f)
		return false;
	nat44_rewrite((struct ip4_hdr *)pkt_data(p), packet->l4, UINT16_MAX, packet->flow.plane,
		true, w->t->nat_address[f->address].address, f->external);
	if (packet->kind == NAT44_FIRST) /* the later ones are nat44_in2out's */
		nat44_sent_rename(
			w, w->nat_sent, (struct ip4_hdr *)pkt_data(p), w->t->in[p->session].ip4);
	return true;
}

static bool translate_error(struct worker *w, struct pkt *p, const struct nat44_packet *packet)
{
	struct nat44_quote quote;
	if (nat44_quote_parse(p, packet->l4, true, &quote) != NAT44_ICMP_ERROR ||
		quote.local != w->t->in[p->session].ip4)
		return false;
	const struct nat_forward *f =
		nat44_forward_out(w, p->session, quote.flow.plane, quote.flow.port);
	if (!f)
		return false;
	nat44_quote_rewrite(
		p, packet->l4, true, &quote, w->t->nat_address[f->address].address, f->external);
	return true;
}

static inline uint16_t forward(struct worker *w, struct pkt *p)
{
	struct session_in *in = &w->t->in[p->session];
	struct nat44_packet packet;
	bool done = false;
	if (((const struct ip4_hdr *)pkt_data(p))->source == in->ip4) {
		uint8_t kind = packet.kind = (uint8_t)nat44_parse(p, true, &packet);
		if (kind == NAT44_FLOW || kind == NAT44_FIRST)
			done = translate(w, p, &packet);
		else if (kind == NAT44_ICMP_ERROR)
			done = translate_error(w, p, &packet);
	}
	if (done)
		p->arc &= (uint16_t) ~(1 << FEATURE_IN_NAT44);
	return arc_next_in(in, p);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = forward(w, pkts[i]);
}

NODE(nat44_forward) = {
	.name = "nat44_forward",
	.process = process,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_NAT44_FORWARD,
};
