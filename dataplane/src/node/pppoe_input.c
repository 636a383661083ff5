/*
 * pppoe_input: PPPoE session frames (RFC 2516 section 6) to the session they belong to. The id
 * finds the entry, the entry must name this very line and client. IPv4 of a live session starts the
 * session-in arc, IPv6 goes on to pppoe6_input; LCP Echo stays in C; other control goes to bngd.
 *
 * The current header is the PPPoE header; it is stepped over for IPv4 only.
 */
#include "graph.h"
#include "hdr/pppoe.h"
#include "node/account.h"
#include "node/hints.h"
#include "node/ip4_validate.h"
#include "node/l2.h"
#include "node/session_header.h"
#include "table/policer.h"
#include "table/session.h"
#include "worker.h"

enum {
	EDGE_LCP_ECHO = ARC_EDGES,
	EDGE_PUNT,
	EDGE_PPPOE6_INPUT,
	EDGE_UNKNOWN,
	EDGE_HANDOFF,
	EDGE_TRUNCATED,
	EDGE_VERSION_WRONG,
	EDGE_CODE_WRONG,
	EDGE_LENGTH_WRONG,
	EDGE_BEYOND_FRAME,
	EDGE_PROTOCOL_COMPRESSED,
	EDGE_NEGOTIATING,
	EDGE_PAUSED,
	EDGE_IP6_NOT_SERVED,
	EDGE_PACKET_TOO_BIG,
	EDGE_IP4_FAULT, /* + enum ip4_fault, from 1 */
};

static struct node node_pppoe_input;

/* What the second pass goes on with. */
struct found {
	uint32_t session;
	uint16_t id, protocol;
};

/* RFC 2516 section 4: what is wrong with the header, 0 for nothing. Trims the frame's padding. */
static inline uint16_t header_fault(struct pkt *p, struct found *found)
{
	const uint8_t *header = pkt_header(p, PPPOE_LEN + PPP_PROTOCOL_LEN);
	if (unlikely(!header))
		return EDGE_TRUNCATED;
	uint64_t fields = pppoe_fields(header);
	uint16_t length = (uint16_t)(fields >> 16);
	if (unlikely(fields >> 48 != (PPPOE_VER_TYPE << 8 | PPPOE_CODE_SESSION)))
		return fields >> 56 != PPPOE_VER_TYPE ? EDGE_VERSION_WRONG : EDGE_CODE_WRONG;
	if (unlikely(length < PPP_PROTOCOL_LEN))
		return EDGE_LENGTH_WRONG;
	if (unlikely(length > p->len - PPPOE_LEN))
		return EDGE_BEYOND_FRAME;
	p->len = (uint16_t)(PPPOE_LEN + length);
	found->id = (uint16_t)(fields >> 32);
	found->protocol = (uint16_t)fields;
	return 0;
}

/* First pass: header and id tables; the entry is on its way while the next packets are looked up.
 * Returns an edge, 0 when there is an entry. */
static inline uint16_t find(const struct tables *t, struct pkt *p, struct found *found)
{
	uint16_t fault = header_fault(p, found);
	if (unlikely(fault))
		return fault;
	found->session = session_lookup(t, p->rx_port, p->outer_vid, found->id);
	if (unlikely(found->session >= t->max_sessions))
		return EDGE_UNKNOWN;
	prefetch_write(&t->in[found->session]);
	return 0;
}

/* The owner looks the session up again. */
static uint16_t to_owner(struct pkt *p, uint8_t owner)
{
	p->arg = owner;
	p->handoff_node = (uint8_t)node_pppoe_input.id;
	return EDGE_HANDOFF;
}

static uint16_t punt(struct worker *w, struct pkt *p, uint8_t cause)
{
	w->t->in[p->session].last_in_ms = w->now_ms;
	p->cause = cause;
	return EDGE_PUNT;
}

static bool is_live_echo(const struct tables *t, struct pkt *p)
{
	const uint8_t *lcp = pkt_header(p, PPPOE_LEN + PPP_PROTOCOL_LEN + 1);
	if (!lcp || t->in[p->session].state != SESSION_LIVE || !t->cold[p->session].echo_on)
		return false;
	uint8_t code = lcp[PPPOE_LEN + PPP_PROTOCOL_LEN];
	return code == LCP_ECHO_REQUEST || code == LCP_ECHO_REPLY;
}

/* Everything but data of a live session that is served it. */
static uint16_t off_the_fast_path(struct worker *w, struct pkt *p, uint16_t protocol)
{
	const struct session_in *in = &w->t->in[p->session];
	if (protocol >> 8 & 1) /* RFC 1661 section 6.5: we never negotiate it */
		return refused_in(w->t, p, IN_DROP_MALFORMED, EDGE_PROTOCOL_COMPRESSED);
	switch (protocol) {
	case PPP_IP4:
	case PPP_IP6:
		if (in->state == SESSION_LIVE)
			return refused_in(w->t, p, IN_DROP_NOT_SERVED, EDGE_IP6_NOT_SERVED);
		return refused_in(w->t, p, IN_DROP_NOT_LIVE,
			in->state == SESSION_PAUSED ? EDGE_PAUSED : EDGE_NEGOTIATING);
	case PPP_LCP:
		return is_live_echo(w->t, p) ? EDGE_LCP_ECHO : punt(w, p, PUNT_LCP);
	case PPP_PAP:
	case PPP_CHAP:
		return punt(w, p, PUNT_AUTH);
	case PPP_IPCP:
	case PPP_IPV6CP:
		return punt(w, p, PUNT_NCP);
	default:
		return punt(w, p, PUNT_PPP_UNKNOWN);
	}
}

static inline uint16_t ip4(struct worker *w, struct session_in *in, struct pkt *p)
{
	pkt_pull(p, PPPOE_LEN + PPP_PROTOCOL_LEN);
	enum ip4_fault fault = ip4_validate(p);
	if (unlikely(fault))
		return refused_in(w->t, p, IN_DROP_MALFORMED, (uint16_t)(EDGE_IP4_FAULT + fault));
	if (unlikely(p->len > in->mtu))
		return refused_in(w->t, p, IN_DROP_TOO_BIG, EDGE_PACKET_TOO_BIG);
	in->last_in_ms = w->now_ms;
	p->flags |= PKT_FROM_SESSION;
	policer_prefetch(w->t, p->session, DIRECTION_IN, in->features & 1 << FEATURE_IN_POLICER);
	return arc_start_in(in, p);
}

static inline uint16_t input(struct worker *w, struct pkt *p, const struct found *found)
{
	struct session_in *in = &w->t->in[found->session];
	uint8_t owner = __atomic_load_n(&in->owner, __ATOMIC_RELAXED);
	if (unlikely(owner != w->id))
		return to_owner(p, owner);

	if (unlikely(in->line_key != pkt_line_key(p) ||
		     in->client_key != l2_client_key(l2_header(p), found->id) ||
		     in->state == SESSION_FREE || in->state == SESSION_CLOSED))
		return EDGE_UNKNOWN;
	p->session = found->session;
	p->generation = in->generation;
	if (likely(found->protocol == PPP_IP4 && in->state == SESSION_LIVE))
		return ip4(w, in, p);
	if (likely(found->protocol == PPP_IP6 && in->state == SESSION_LIVE &&
		    in->features & 1 << FEATURE_IN_ANTISPOOF6)) {
		prefetch_write(&w->t->ip6[found->session]);
		return EDGE_PPPOE6_INPUT;
	}
	return off_the_fast_path(w, p, found->protocol);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	struct found found[VECTOR_SIZE];
	for (uint16_t i = 0; i < n; i++)
		next[i] = find(w->t, pkts[i], &found[i]);
	for (uint16_t i = 0; i < n; i++)
		if (likely(!next[i]))
			next[i] = input(w, pkts[i], &found[i]);
}

NODE(pppoe_input) = {
	.name = "pppoe_input",
	.process = process,
	.arc = ARC_SESSION_IN,
	.never = IP4_NEVER_IN,
	.edges =
		{
			[EDGE_LCP_ECHO] = {.next = "lcp_echo"},
			[EDGE_PUNT] = {.next = "punt"},
			[EDGE_PPPOE6_INPUT] = {.next = "pppoe6_input"},
			[EDGE_UNKNOWN] = {.next = "pppoe_padt"},
			[EDGE_HANDOFF] = {.next = "handoff"},

			[EDGE_TRUNCATED] = DROP("truncated"),
			[EDGE_VERSION_WRONG] = DROP("version-wrong"),
			[EDGE_CODE_WRONG] = DROP("code-wrong"),
			[EDGE_LENGTH_WRONG] = DROP("length-wrong"),
			[EDGE_BEYOND_FRAME] = DROP("length-beyond-frame"),
			[EDGE_PROTOCOL_COMPRESSED] = DROP("protocol-compressed"),
			[EDGE_NEGOTIATING] = DROP("session-negotiating"),
			[EDGE_PAUSED] = DROP("session-paused"),
			[EDGE_IP6_NOT_SERVED] = DROP("ip6-not-served"),
			[EDGE_PACKET_TOO_BIG] = DROP("packet-too-big"),
			IP4_FAULT_EDGES(EDGE_IP4_FAULT),
		},
};
