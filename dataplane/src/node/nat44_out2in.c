/*
 * Packets to a public address of the NAT pool: the port is the index of the mapping, the mapping
 * leads to the session (RFC 4787, 5382, 5508); filtering says who may use it.
 *
 * What would be too big for the session, or ends its time here, is answered before it is rewritten:
 * the error must quote the packet as its sender knows it.
 */
#include "graph.h"
#include "node/account.h"
#include "node/ip_verdict.h"
#include "node/nat44_packet.h"
#include "table/fib4.h"
#include "table/nat44_forward.h"
#include "table/nat44_remote.h"
#include "table/nat44_tcp.h"
#include "worker.h"

enum {
	EDGE_SESSION,
	EDGE_HANDOFF,
	EDGE_ICMP_ERROR,
	EDGE_NO_MAPPING,
	EDGE_NOT_LIVE,
	EDGE_FRAGMENT,
	EDGE_PROTOCOL,
	EDGE_ICMP_OTHER,
	EDGE_TRUNCATED,
	EDGE_BAD_CHECKSUM,
	EDGE_FILTERED,
	EDGE_NAT44_FRAGMENT,
	EDGE_OVERLAP,
};

static const uint16_t edge_of_kind[] = {
	[NAT44_FRAGMENT] = EDGE_FRAGMENT,
	[NAT44_OVERLAP] = EDGE_OVERLAP,
	[NAT44_PROTOCOL] = EDGE_PROTOCOL,
	[NAT44_ICMP_OTHER] = EDGE_ICMP_OTHER,
	[NAT44_TRUNCATED] = EDGE_TRUNCATED,
	[NAT44_NO_MAPPING] = EDGE_NO_MAPPING,
	[NAT44_BAD_CHECKSUM] = EDGE_BAD_CHECKSUM,
};

static struct node node_nat44_out2in;

static inline uint32_t packet_address(const struct tables *t, const struct pkt *p)
{
	return t->adjacency[leaf_index(p->leaf)].index;
}

static inline uint32_t block_of(const struct tables *t, uint32_t address, be16 port)
{
	return address << nat44_block_bits(t->nat) | (uint32_t)ntoh16(port) >> t->nat->block_shift;
}

static inline struct nat_slot *slot_of(
	const struct tables *t, uint32_t address, const struct nat44_flow *flow)
{
	return t->nat_slot + nat44_slot_index(address, flow->plane, ntoh16(flow->port));
}

static inline void parse(struct worker *w, struct pkt *p, struct nat44_packet *out)
{
	const struct tables *t = w->t;
	uint32_t address = packet_address(t, p);
	if (t->nat_address[address].owner != w->id) {
		out->kind = NAT44_BYPASS;
		return;
	}
	out->kind = (uint8_t)nat44_parse(p, false, out);
	if (out->kind != NAT44_FLOW)
		return;
	out->slot = slot_of(t, address, &out->flow);
	__builtin_prefetch(out->slot, 1);
	__builtin_prefetch(&t->nat_block[block_of(t, address, out->flow.port)]);
}

/* The session is the next node's business too. */
static inline void prefetch_session(const struct tables *t, const struct pkt *p, be16 port)
{
	uint32_t session = t->nat_block[block_of(t, packet_address(t, p), port)].session;
	if (session)
		__builtin_prefetch(&t->out[session - 1], 1);
}

/* The session that a mapping was made for must be there still. */
static inline uint16_t check_session(const struct tables *t, uint32_t session, uint32_t generation)
{
	const struct session_out *out = &t->out[session];
	bool live = out->generation == generation && out->state == SESSION_LIVE;
	return live ? EDGE_SESSION : EDGE_NOT_LIVE;
}

/* Checks that the mapping lives and so does the session that it was made for. */
static inline uint16_t check(const struct worker *w, const struct nat_slot *slot,
	const struct nat_block *block, uint32_t plane)
{
	const struct tables *t = w->t;
	if (!(slot->flags & NAT_LIVE) || nat44_expired(t->nat, plane, slot, w->now_s))
		return EDGE_NO_MAPPING;
	return check_session(t, block->session - 1, block->generation);
}

/* RFC 1191, RFC 792: errors that session_output would send, had it the packet as it came. */
static inline bool answered(const struct tables *t, struct pkt *p, uint32_t session)
{
	const struct session_out *out = &t->out[session];
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	if (p->len > out->mtu && ip->fragment & hton16(IP4_DF)) {
		icmp_error_set(p, ICMP4_UNREACHABLE, ICMP4_CODE_FRAG_NEEDED, out->mtu);
		drop_out(t, session, OUT_DROP_TOO_BIG);
		return true;
	}
	if (ip->ttl <= 1) {
		icmp_error_set(p, ICMP4_TIME_EXCEEDED, 0, 0);
		drop_out(t, session, OUT_DROP_TTL);
		return true;
	}
	return false;
}

/* Inbound packets do not refresh, but for those of a TCP connection that the subscriber is part of
 * (RFC 4787 REQ-6, RFC 5382 REQ-5). */
static inline void track_tcp(
	struct worker *w, struct nat_slot *slot, const struct nat44_packet *packet)
{
	uint8_t tcp = packet->l4[TCP_FLAGS];
	if (!nat44_remote_is_first(slot, &packet->flow)) {
		nat44_remote_in(w, slot, &packet->flow, tcp);
		return;
	}
	if (nat44_tcp_refreshes(slot->flags, tcp))
		slot->last_s = w->now_s;
	if (!nat44_tcp_plain(slot->flags, tcp))
		slot->flags = nat44_tcp_in(slot->flags, tcp);
}

static inline uint16_t deliver(struct pkt *p, uint32_t session, uint32_t generation)
{
	p->session = session;
	p->generation = generation;
	p->flags |= PKT_TO_SESSION | PKT_TRANSLATED;
	return EDGE_SESSION;
}

/* A port that is kept for forwards has no mapping. */
static __attribute__((noinline)) uint16_t translate_forward(
	struct worker *w, struct pkt *p, const struct nat44_packet *packet)
{
	const struct tables *t = w->t;
	const struct nat44_flow *flow = &packet->flow;
	const struct nat_forward *f =
		nat44_forward_in(w, packet_address(t, p), flow->plane, flow->port);
	if (!f)
		return EDGE_NO_MAPPING;
	uint32_t session = f->session - 1;
	if (t->out[session].state != SESSION_LIVE)
		return EDGE_NOT_LIVE;
	if (answered(t, p, session))
		return EDGE_ICMP_ERROR;
	nat44_rewrite((struct ip4_hdr *)pkt_data(p), packet->l4, UINT16_MAX, flow->plane, false,
		t->in[session].ip4, f->inner);
	return deliver(p, session, t->out[session].generation);
}

/* The same of a packet that an error speaks of. */
static uint16_t translate_forward_error(
	struct worker *w, struct pkt *p, uint8_t *icmp, const struct nat44_quote *quote)
{
	const struct tables *t = w->t;
	const struct nat_forward *f =
		nat44_forward_in(w, packet_address(t, p), quote->flow.plane, quote->flow.port);
	if (!f)
		return EDGE_NO_MAPPING;
	uint32_t session = f->session - 1;
	if (t->out[session].state != SESSION_LIVE)
		return EDGE_NOT_LIVE;
	nat44_quote_rewrite(p, icmp, false, quote, t->in[session].ip4, f->inner);
	return deliver(p, session, t->out[session].generation);
}

static inline __attribute__((always_inline)) uint16_t translate(
	struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	const struct tables *t = w->t;
	const struct nat44_flow *flow = &packet->flow;
	const struct nat_block *block =
		&t->nat_block[block_of(t, packet_address(t, p), flow->port)];
	uint16_t edge = check(w, packet->slot, block, flow->plane);
	if (edge != EDGE_SESSION)
		return nat44_is_forward_port(t->nat, flow->port) ? translate_forward(w, p, packet)
								 : edge;
	if (!nat44_remote_is_first(packet->slot, flow) &&
		!nat44_remote_admits(w, packet->slot, flow))
		return EDGE_FILTERED;
	if (answered(t, p, block->session - 1))
		return EDGE_ICMP_ERROR;
	if (flow->plane == NAT_TCP)
		track_tcp(w, packet->slot, packet);
	nat44_rewrite((struct ip4_hdr *)pkt_data(p), packet->l4, UINT16_MAX, flow->plane, false,
		block->inner, packet->slot->inner_port);
	return deliver(p, block->session - 1, block->generation);
}

/* GRE and ESP: whom the subscriber talks to may answer, nobody else. */
static uint16_t translate_portless(struct worker *w, struct pkt *p)
{
	const struct tables *t = w->t;
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	const struct nat_protocol *flow =
		nat44_protocol_find(w, packet_address(t, p), ip->source, ip->protocol);
	if (!flow)
		return EDGE_NO_MAPPING;
	uint16_t edge = check_session(t, flow->session - 1, flow->generation);
	if (edge != EDGE_SESSION)
		return edge;
	if (answered(t, p, flow->session - 1))
		return EDGE_ICMP_ERROR;
	nat44_set_address(ip, false, t->in[flow->session - 1].ip4);
	return deliver(p, flow->session - 1, flow->generation);
}

/* The same of a packet of theirs that an error speaks of. */
static uint16_t translate_portless_error(
	struct worker *w, struct pkt *p, uint8_t *icmp, const struct nat44_quote *quote)
{
	const struct tables *t = w->t;
	const struct nat_protocol *flow = nat44_protocol_find(
		w, packet_address(t, p), quote->flow.remote, quote->ip->protocol);
	if (!flow)
		return EDGE_NO_MAPPING;
	uint16_t edge = check_session(t, flow->session - 1, flow->generation);
	if (edge != EDGE_SESSION)
		return edge;
	nat44_quote_rewrite(p, icmp, false, quote, t->in[flow->session - 1].ip4, 0);
	return deliver(p, flow->session - 1, flow->generation);
}

/* An error about a packet of a subscriber (RFC 5508 REQ-5). */
static uint16_t translate_error(struct worker *w, struct pkt *p, const struct nat44_packet *packet)
{
	const struct tables *t = w->t;
	uint32_t address = packet_address(t, p);
	struct nat44_quote quote;
	enum nat44_kind kind = nat44_quote_parse(p, packet->l4, false, &quote);
	if (kind != NAT44_ICMP_ERROR && kind != NAT44_PORTLESS)
		return edge_of_kind[kind];
	if (quote.local != t->nat_address[address].address)
		return EDGE_NO_MAPPING;
	if (kind == NAT44_PORTLESS)
		return translate_portless_error(w, p, packet->l4, &quote);
	const struct nat_block *block = &t->nat_block[block_of(t, address, quote.flow.port)];
	const struct nat_slot *slot = slot_of(t, address, &quote.flow);
	uint16_t edge = check(w, slot, block, quote.flow.plane);
	if (edge != EDGE_SESSION && nat44_is_forward_port(t->nat, quote.flow.port))
		return translate_forward_error(w, p, packet->l4, &quote);
	if (edge != EDGE_SESSION)
		return edge;
	if (!nat44_remote_admits(w, slot, &quote.flow))
		return EDGE_FILTERED;
	nat44_quote_rewrite(p, packet->l4, false, &quote, block->inner, slot->inner_port);
	return deliver(p, block->session - 1, block->generation);
}

/* The owner of the address translates. */
static uint16_t hand_off(const struct worker *w, struct pkt *p)
{
	p->arg = w->t->nat_address[packet_address(w->t, p)].owner;
	p->handoff_node = (uint8_t)node_nat44_out2in.id;
	return EDGE_HANDOFF;
}

/* The first fragment is let in as a whole packet is; nat44_fragment lets the others follow it. */
static uint16_t translate_first(struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	packet->slot = slot_of(w->t, packet_address(w->t, p), &packet->flow);
	uint16_t edge = translate(w, p, packet);
	return edge == EDGE_SESSION ? EDGE_NAT44_FRAGMENT : edge;
}

/* What is no whole packet of a flow. */
static __attribute__((noinline)) uint16_t rare(
	struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	switch (packet->kind) {
	case NAT44_BYPASS:
		return hand_off(w, p);
	case NAT44_ICMP_ERROR:
		return translate_error(w, p, packet);
	case NAT44_PORTLESS:
		return translate_portless(w, p);
	case NAT44_FIRST:
		return translate_first(w, p, packet);
	case NAT44_LATER:
		p->arg = NAT44_FRAGMENT_ARRIVED;
		return EDGE_NAT44_FRAGMENT;
	default:
		return edge_of_kind[packet->kind];
	}
}

static inline uint16_t dispatch(struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	return likely(packet->kind == NAT44_FLOW) ? translate(w, p, packet) : rare(w, p, packet);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	struct nat44_packet packets[NAT44_GROUP];
	for (uint16_t done = 0; done < n; done = (uint16_t)(done + NAT44_GROUP)) {
		uint16_t group = nat44_group(n, done);
		for (uint16_t i = 0; i < group; i++)
			parse(w, pkts[done + i], &packets[i]);
		for (uint16_t i = 0; i < group; i++)
			if (packets[i].kind == NAT44_FLOW)
				prefetch_session(w->t, pkts[done + i], packets[i].flow.port);
		for (uint16_t i = 0; i < group; i++)
			next[done + i] = dispatch(w, pkts[done + i], &packets[i]);
	}
}

NODE(nat44_out2in) = {
	.name = "nat44_out2in",
	.process = process,
	.edges =
		{
			[EDGE_SESSION] = {.next = "session_output"},
			[EDGE_HANDOFF] = {.next = "handoff"},
			[EDGE_ICMP_ERROR] = {.next = "icmp4_error"},
			[EDGE_NO_MAPPING] = DROP("no-mapping"),
			[EDGE_NOT_LIVE] = DROP("session-not-live"),
			[EDGE_FRAGMENT] = DROP("fragment-without-ports"),
			[EDGE_PROTOCOL] = DROP("protocol-not-translated"),
			[EDGE_ICMP_OTHER] = DROP("icmp-not-translated"),
			[EDGE_TRUNCATED] = DROP("truncated-header"),
			[EDGE_BAD_CHECKSUM] = DROP("bad-checksum"),
			[EDGE_FILTERED] = DROP("filtered"),
			[EDGE_NAT44_FRAGMENT] = {.next = "nat44_fragment"},
			[EDGE_OVERLAP] = DROP("fragment-overlaps-header"),
		},
};
