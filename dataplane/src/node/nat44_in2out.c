/*
 * Session-in arc: the subscriber's address and port become public ones (RFC 4787, 5382, 5508).
 *
 * Only the session's own address is translated; sources of framed routes pass as they are. Packets
 * to a public address of the pool need nothing else here: ip4_lookup leads them to nat44_out2in
 * (hairpin with the external source, RFC 4787 REQ-9).
 */
#include <errno.h>

#include "graph.h"
#include "node/account.h"
#include "node/ip_verdict.h"
#include "node/nat44_packet.h"
#include "table/nat44_fragment.h"
#include "table/nat44_remote.h"
#include "table/nat44_tcp.h"
#include "worker.h"

enum {
	EDGE_LIMIT = ARC_EDGES,
	EDGE_EXHAUSTED,
	EDGE_LOG_FULL,
	EDGE_NO_MAPPING,
	EDGE_FRAGMENT,
	EDGE_PROTOCOL,
	EDGE_ICMP_OTHER,
	EDGE_TRUNCATED,
	EDGE_BAD_CHECKSUM,
	EDGE_REMOTE_LIMIT,
	EDGE_MAPPING_LIMIT,
	EDGE_MAPPING_RATE,
	EDGE_REMOTE_TAKEN,
	EDGE_PROTOCOL_FLOWS_FULL,
	EDGE_OVERLAP,
};

enum { CREATE_LINES = 4 }; /* after the home line, that a new mapping may have to pass */

static struct node node_nat44_in2out;

static int init(struct worker *w)
{
	w->nat_sent = w->node_state[node_nat44_in2out.id] = nat44_sent_create(w);
	return w->nat_sent ? 0 : -ENOMEM;
}

static const uint16_t edge_of_kind[] = {
	[NAT44_FRAGMENT] = EDGE_FRAGMENT,
	[NAT44_OVERLAP] = EDGE_OVERLAP,
	[NAT44_PROTOCOL] = EDGE_PROTOCOL,
	[NAT44_ICMP_OTHER] = EDGE_ICMP_OTHER,
	[NAT44_TRUNCATED] = EDGE_TRUNCATED,
	[NAT44_NO_MAPPING] = EDGE_NO_MAPPING,
	[NAT44_BAD_CHECKSUM] = EDGE_BAD_CHECKSUM,
};

/* The public address of a session that has one. */
static inline be32 outer_address(const struct tables *t, uint32_t session)
{
	return t->nat_address[nat44_block_address(t, t->in[session].nat_block - 1)].address;
}

/* Where the search for a mapping starts. */
static inline struct nat_slot *home_of(
	const struct tables *t, const struct session_in *in, const struct nat44_flow *flow)
{
	uint32_t block = in->nat_block - 1;
	return nat44_slots(t, block, flow->plane) + nat44_home(t->nat, block, flow->port);
}

static inline void parse(struct worker *w, struct pkt *p, struct nat44_packet *out)
{
	const struct tables *t = w->t;
	const struct session_in *in = &t->in[p->session];
	const struct ip4_hdr *ip = pkt_header(p, IP4_LEN);
	if (ip && ip->source != in->ip4) {
		out->kind = NAT44_BYPASS;
		return;
	}
	/* who is to be translated and has no block sends nothing: never his inner address */
	out->kind = (uint8_t)(in->nat_block ? nat44_parse(p, true, out) : NAT44_NO_MAPPING);
	if (out->kind != NAT44_FLOW)
		return;
	out->slot = home_of(t, in, &out->flow);
	__builtin_prefetch(out->slot, 1);
}

static const uint16_t edge_of_refusal[NAT_REFUSALS] = {
	[NAT_LIMIT] = EDGE_LIMIT,
	[NAT_EXHAUSTED] = EDGE_EXHAUSTED,
	[NAT_LOG_FULL] = EDGE_LOG_FULL,
	[NAT_MAPPINGS] = EDGE_MAPPING_LIMIT,
	[NAT_RATE] = EDGE_MAPPING_RATE,
	[NAT_TAKEN] = EDGE_REMOTE_TAKEN,
	[NAT_NO_ROOM] = EDGE_PROTOCOL_FLOWS_FULL,
};

/* RFC 6888 REQ-11: an ICMP error tells the subscriber; whether it is he or the box that ran out. */
static uint16_t refuse(struct pkt *p, enum nat_refusal refusal)
{
	bool box = refusal == NAT_EXHAUSTED || refusal == NAT_LOG_FULL || refusal == NAT_NO_ROOM;
	icmp_error_set(p, ICMP4_UNREACHABLE, box ? ICMP4_CODE_HOST : ICMP4_CODE_PROHIBITED, 0);
	return edge_of_refusal[refusal];
}

/* Replies and RST belong to something that is there already; all else may begin a mapping. */
static bool begins_mapping(const struct nat44_packet *packet)
{
	if (packet->flow.plane == NAT_TCP)
		return !(packet->l4[TCP_FLAGS] & TCP_RST);
	return packet->flow.plane == NAT_UDP || icmp4_is_query(packet->l4[0]);
}

/* All that making a mapping will touch in the block that the subscriber has: the waits overlap. */
static void prefetch_creation(
	const struct tables *t, uint32_t session, const struct nat44_flow *flow)
{
	uint32_t block = t->in[session].nat_block - 1;
	uint32_t hash = nat44_hash(t->nat, block, flow->port);
	uint32_t line = nat44_home_line(t->nat, hash);
	__builtin_prefetch(&t->nat_block[block], 1);
	__builtin_prefetch(&t->nat_address[nat44_block_address(t, block)], 1);
	__builtin_prefetch(&t->cold[session].nat_mappings, 1);
	for (uint32_t i = 0; i < CREATE_LINES; i++) {
		line = nat44_next_line(t->nat, line, hash);
		__builtin_prefetch(nat44_slots(t, block, flow->plane) + line, 1);
	}
}

/* When that block is full, the next one that he has, or will get if nobody else does before. */
static void prefetch_next_block(
	const struct tables *t, uint32_t session, const struct nat44_flow *flow)
{
	uint32_t first = t->in[session].nat_block - 1;
	const struct nat_block *full = &t->nat_block[first];
	if (full->live[flow->plane] < t->nat->block_size)
		return;
	uint32_t next = full->next;
	if (!next)
		next = t->nat_address[nat44_block_address(t, first)].free_first;
	if (!next)
		return;
	__builtin_prefetch(&t->nat_block[next - 1], 1);
	__builtin_prefetch(
		nat44_slots(t, next - 1, flow->plane) + nat44_home(t->nat, next - 1, flow->port),
		1);
}

/* Looks into the home lines of a group, and has what the packets that find nothing there will need
 * on its way before the first of them is translated. */
static inline void look_up(
	const struct tables *t, struct pkt **pkts, struct nat44_packet *packets, uint16_t n)
{
	uint32_t missing = 0;
	for (uint16_t i = 0; i < n; i++) {
		struct nat44_packet *packet = &packets[i];
		if (packet->kind != NAT44_FLOW)
			continue;
		packet->found = nat44_line_match(packet->slot, packet->flow.port);
		missing |= (uint32_t)!packet->found << i;
	}
	for (uint32_t left = missing; left; left &= left - 1) {
		int i = __builtin_ctz(left);
		prefetch_creation(t, pkts[i]->session, &packets[i].flow);
	}
	for (uint32_t left = missing; left; left &= left - 1) {
		int i = __builtin_ctz(left);
		prefetch_next_block(t, pkts[i]->session, &packets[i].flow);
	}
}

_Static_assert(NAT44_GROUP <= 32, "a bit for each packet of a group");

/* The mapping is not in its home line, or its time is over. */
static struct nat_slot *find_or_create(
	struct worker *w, struct pkt *p, const struct nat44_packet *packet, uint16_t *edge)
{
	const struct tables *t = w->t;
	const struct nat44_flow *flow = &packet->flow;
	struct nat_slot *slot = nat44_find(t, t->in[p->session].nat_block, flow->plane, flow->port);
	if (slot && !nat44_expired(t->nat, flow->plane, slot, w->now_s))
		return slot;
	if (slot && !nat44_delete(w, slot)) {
		*edge = refuse(p, nat44_refused(w, p->session, NAT_LOG_FULL));
		return NULL;
	}
	*edge = EDGE_NO_MAPPING;
	if (!begins_mapping(packet))
		return NULL;
	enum nat_refusal refusal = nat44_create(w, p->session, flow, &slot);
	if (refusal != NAT_GRANTED)
		*edge = refuse(p, refusal);
	return slot;
}

/* Outbound packets refresh (RFC 4787 REQ-6). False: the remote is one too many. */
static inline bool track(struct worker *w, struct nat_slot *slot, const struct nat44_packet *packet)
{
	const struct nat44_flow *flow = &packet->flow;
	uint8_t tcp = flow->plane == NAT_TCP ? packet->l4[TCP_FLAGS] : 0;
	if (!nat44_remote_is_first(slot, flow))
		return nat44_remote_out(w, slot, flow, tcp);
	if (flow->plane != NAT_TCP || nat44_tcp_plain(slot->flags, tcp)) {
		slot->last_s = w->now_s;
		return true;
	}
	if (nat44_tcp_refreshes(slot->flags, tcp))
		slot->last_s = w->now_s;
	slot->flags = nat44_tcp_out(slot->flags, tcp);
	return true;
}

static inline __attribute__((always_inline)) uint16_t translate(
	struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	const struct tables *t = w->t;
	const struct nat44_flow *flow = &packet->flow;
	struct nat_slot *slot = packet->found; /* unless a packet before this one ended it */
	if (!slot || !nat44_is_mapping_of(slot, flow->port) ||
		nat44_expired(t->nat, flow->plane, slot, w->now_s)) {
		uint16_t edge;
		slot = find_or_create(w, p, packet, &edge);
		if (!slot)
			return edge;
	}
	if (!track(w, slot, packet)) {
		icmp_error_set(p, ICMP4_UNREACHABLE, ICMP4_CODE_PROHIBITED, 0);
		return EDGE_REMOTE_LIMIT;
	}
	nat44_rewrite((struct ip4_hdr *)pkt_data(p), packet->l4, UINT16_MAX, flow->plane, true,
		outer_address(t, p->session), nat44_external_port(t, slot));
	return arc_next_in(&t->in[p->session], p);
}

/* GRE and ESP: only the address changes. A packet to his own public address is for nobody: without
 * ports no other subscriber on it can be meant. */
static uint16_t translate_portless(struct worker *w, struct pkt *p)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	be32 outer = outer_address(w->t, p->session);
	if (ip->destination == outer)
		return EDGE_NO_MAPPING;
	enum nat_refusal refusal = nat44_protocol_out(w, p->session, ip->destination, ip->protocol);
	if (refusal != NAT_GRANTED)
		return refuse(p, refusal);
	nat44_set_address(ip, true, outer);
	return arc_next_in(&w->t->in[p->session], p);
}

/* Whether the packet that an error speaks of came through a mapping of the session that lives; the
 * port it came to. */
static bool has_mapping(
	const struct worker *w, uint32_t session, const struct nat44_quote *quote, be16 *port)
{
	const struct tables *t = w->t;
	uint32_t first = t->in[session].nat_block;
	if (quote->flow.plane == NAT_PLANES) {
		const struct nat_protocol *flow = nat44_protocol_find(w,
			nat44_block_address(t, first - 1), quote->flow.remote, quote->ip->protocol);
		return flow && flow->session == session + 1;
	}
	const struct nat_slot *slot = nat44_find(t, first, quote->flow.plane, quote->flow.port);
	if (!slot || nat44_expired(t->nat, quote->flow.plane, slot, w->now_s))
		return false;
	*port = nat44_external_port(t, slot);
	return true;
}

/* An error about a packet that the subscriber got: only with its mapping (RFC 5508 REQ-4), which
 * it does not refresh (REQ-6). */
static uint16_t translate_error(struct worker *w, struct pkt *p, const struct nat44_packet *packet)
{
	const struct tables *t = w->t;
	struct nat44_quote quote;
	be16 port = 0;
	enum nat44_kind kind = nat44_quote_parse(p, packet->l4, true, &quote);
	if (kind != NAT44_ICMP_ERROR && kind != NAT44_PORTLESS)
		return edge_of_kind[kind];
	if (quote.local != t->in[p->session].ip4 || !has_mapping(w, p->session, &quote, &port))
		return EDGE_NO_MAPPING;
	nat44_quote_rewrite(p, packet->l4, true, &quote, outer_address(t, p->session), port);
	return arc_next_in(&t->in[p->session], p);
}

/*
 * A later fragment needs no mapping: all that the session sends has the one address. It passes
 * whatever became of its first one, in whatever order, and harms nobody: without the first nothing
 * can be made of it, it opens nothing, and its id, which is that of no other datagram, keeps it out
 * of those of other subscribers.
 */
static uint16_t translate_later(const struct worker *w, struct pkt *p)
{
	nat44_set_address((struct ip4_hdr *)pkt_data(p), true, outer_address(w->t, p->session));
	return arc_next_in(&w->t->in[p->session], p);
}

static uint16_t translate_rare(struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	switch (packet->kind) {
	case NAT44_ICMP_ERROR:
		return translate_error(w, p, packet);
	case NAT44_PORTLESS:
		return translate_portless(w, p);
	case NAT44_FIRST:
		packet->slot = home_of(w->t, &w->t->in[p->session], &packet->flow);
		packet->found = nat44_line_match(packet->slot, packet->flow.port);
		return translate(w, p, packet);
	case NAT44_LATER:
		return translate_later(w, p);
	default:
		return edge_of_kind[packet->kind];
	}
}

/* What is no whole packet of a flow. */
static __attribute__((noinline)) uint16_t rare(
	struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	uint16_t edge = translate_rare(w, p, packet);
	if (edge < ARC_EDGES && ip->fragment & hton16(IP4_MF | IP4_OFFSET_MASK))
		nat44_sent_rename(w, w->nat_sent, ip, w->t->in[p->session].ip4);
	return edge;
}

static inline uint16_t dispatch(struct worker *w, struct pkt *p, struct nat44_packet *packet)
{
	uint16_t edge;
	if (packet->kind == NAT44_BYPASS)
		return arc_next_in(&w->t->in[p->session], p);
	if (packet->kind == NAT44_FLOW)
		edge = translate(w, p, packet);
	else
		edge = rare(w, p, packet);
	if (edge >= ARC_EDGES)
		drop_in(w->t, p->session, IN_DROP_NAT);
	return edge;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	struct nat44_packet packets[NAT44_GROUP];
	for (uint16_t done = 0; done < n; done = (uint16_t)(done + NAT44_GROUP)) {
		uint16_t group = nat44_group(n, done);
		for (uint16_t i = 0; i < group; i++)
			parse(w, pkts[done + i], &packets[i]);
		look_up(w->t, pkts + done, packets, group);
		for (uint16_t i = 0; i < group; i++)
			next[done + i] = dispatch(w, pkts[done + i], &packets[i]);
	}
}

NODE(nat44_in2out) = {
	.name = "nat44_in2out",
	.process = process,
	.init = init,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_NAT44,
	.edges =
		{
			[EDGE_LIMIT] = {.next = "icmp4_error", .reason = "port-limit"},
			[EDGE_EXHAUSTED] = {.next = "icmp4_error", .reason = "no-free-block"},
			[EDGE_LOG_FULL] = {.next = "icmp4_error", .reason = "log-full"},
			[EDGE_NO_MAPPING] = DROP("no-mapping"),
			[EDGE_FRAGMENT] = DROP("fragment-without-ports"),
			[EDGE_PROTOCOL] = DROP("protocol-not-translated"),
			[EDGE_ICMP_OTHER] = DROP("icmp-not-translated"),
			[EDGE_TRUNCATED] = DROP("truncated-header"),
			[EDGE_BAD_CHECKSUM] = DROP("bad-checksum"),
			[EDGE_REMOTE_LIMIT] = {.next = "icmp4_error", .reason = "remote-limit"},
			[EDGE_MAPPING_LIMIT] = {.next = "icmp4_error", .reason = "mapping-limit"},
			[EDGE_MAPPING_RATE] = {.next = "icmp4_error", .reason = "mapping-rate"},
			[EDGE_REMOTE_TAKEN] = {.next = "icmp4_error", .reason = "remote-taken"},
			[EDGE_OVERLAP] = DROP("fragment-overlaps-header"),
			[EDGE_PROTOCOL_FLOWS_FULL] = {.next = "icmp4_error",
				.reason = "protocol-flows-full"},
		},
};
