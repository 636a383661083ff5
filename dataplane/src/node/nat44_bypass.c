/*
 * What passes NAT untranslated (RFC 6888 REQ-6), by an ACL over destinations: nat44_bypass takes
 * the features of NAT off the way of packets that it permits; nat44_guard lets in to the inner
 * address of a session that is translated what answers them, and what the box itself sends.
 *
 * Without the guard, whoever can route an inner address past the box's public ones would reach
 * every port of a subscriber. Packets that NAT translated never come to it.
 *
 * An ICMP error belongs to the packet that it quotes. Where a rule says a port, the first fragment
 * of a datagram decides for those that come after it, in either direction; before it none passes.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph.h"
#include "node/account.h"
#include "node/hints.h"
#include "node/nat44_packet.h"
#include "table/acl.h"
#include "table/nat44_fragment.h"
#include "worker.h"

enum { EDGE_FROM_OUTSIDE = ARC_EDGES, EDGE_FROM_SUBSCRIBER };

enum {
	FEATURES_OF_NAT =
		1 << FEATURE_IN_NAT44_FORWARD | 1 << FEATURE_IN_NAT44 | 1 << FEATURE_IN_NAT44_STATIC
};

/* What an ICMP error quotes, and how much of it is there; NULL: it is none. */
static const struct ip4_hdr *quoted(const struct ip4_hdr *ip, uint16_t *len)
{
	uint16_t header = ip4_header_len(ip);
	if (ip->protocol != IPPROTO_ICMP4 || *len < header + ICMP4_LEN + IP4_LEN ||
		ip->fragment & hton16(IP4_OFFSET_MASK))
		return NULL;
	const uint8_t *icmp = (const uint8_t *)ip + header;
	const struct ip4_hdr *quote = (const struct ip4_hdr *)(icmp + ICMP4_LEN);
	uint16_t room = (uint16_t)(*len - header - ICMP4_LEN);
	if (!icmp4_is_error(icmp[0]) || quote->version_ihl >> 4 != 4 ||
		ip4_header_len(quote) < IP4_LEN || ip4_header_len(quote) > room)
		return NULL;
	*len = room;
	return quote;
}

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t was = *a;
	*a = *b;
	*b = was;
}

static struct node node_nat44_bypass, node_nat44_guard;

/* The datagrams in fragments that the list permits. */
static int init(struct worker *w, const struct node *node)
{
	w->node_state[node->id] = calloc(1, sizeof(struct nat44_datagrams));
	return w->node_state[node->id] ? 0 : -ENOMEM;
}

static int init_bypass(struct worker *w)
{
	return init(w, &node_nat44_bypass);
}

static int init_guard(struct worker *w)
{
	return init(w, &node_nat44_guard);
}

/* What the list says of a fragment: a later one has no ports, but may follow its first one. */
static __attribute__((noinline)) bool fragment_is_bypassed(
	const struct worker *w, struct pkt *p, enum direction direction, bool permitted)
{
	const struct node *node =
		direction == DIRECTION_IN ? &node_nat44_bypass : &node_nat44_guard;
	struct nat44_datagrams *table = w->node_state[node->id];
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	const struct nat44_datagram_key key = nat44_datagram_key(ip, ip->source, ip->destination);
	uint32_t generation = w->t->in[p->session].generation;
	struct nat44_datagram *d = nat44_datagram_find(w, table, &key);
	if (ip->fragment & hton16(IP4_OFFSET_MASK))
		return permitted || (d && d->session == p->session && d->generation == generation);
	if (permitted) {
		d = nat44_datagram_enter(w, table, &key);
		d->session = p->session;
		d->generation = generation;
	} else if (d) {
		d->used = 0;
	}
	return permitted;
}

/* The list names the far ends: destinations of what the subscriber sends. */
static bool is_bypassed(const struct worker *w, struct pkt *p, enum direction direction)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	uint16_t len = p->len;
	const struct ip4_hdr *quote = quoted(ip, &len);
	struct acl_key key = acl_key(quote ? quote : ip, len);
	if ((direction == DIRECTION_IN) == (quote != NULL)) {
		swap(&key.value[ACL_SOURCE], &key.value[ACL_DESTINATION]);
		swap(&key.value[ACL_SOURCE_PORT], &key.value[ACL_DESTINATION_PORT]);
	}
	uint16_t acl = w->t->out[p->session].bypass;
	bool permitted = acl && acl_judge(w, acl, direction, &key, p->len) == ACL_PERMIT;
	if (likely(!(ip->fragment & hton16(IP4_MF | IP4_OFFSET_MASK))))
		return permitted;
	return fragment_is_bypassed(w, p, direction, permitted);
}

static inline uint16_t bypass(const struct worker *w, struct pkt *p)
{
	if (is_bypassed(w, p, DIRECTION_IN))
		p->arc &= (uint16_t)~FEATURES_OF_NAT;
	return arc_next_in(&w->t->in[p->session], p);
}

static inline uint16_t guard(const struct worker *w, struct pkt *p)
{
	const struct tables *t = w->t;
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	bool subscriber = p->flags & PKT_FROM_SESSION;
	bool own = !subscriber && t->port[p->rx_port].role != PORT_ROUTED;
	if (own || ip->destination != t->in[p->session].ip4 || is_bypassed(w, p, DIRECTION_OUT))
		return arc_next(p);
	drop_out(t, p->session, OUT_DROP_NAT);
	return subscriber ? EDGE_FROM_SUBSCRIBER : EDGE_FROM_OUTSIDE;
}

static void process_bypass(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_read(&w->t->out[pkts[i + PREFETCH_AHEAD]->session].bypass);
		next[i] = bypass(w, pkts[i]);
	}
}

static void process_guard(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = guard(w, pkts[i]);
}

NODE(nat44_bypass) = {
	.name = "nat44_bypass",
	.process = process_bypass,
	.init = init_bypass,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_NAT44_BYPASS,
};

NODE(nat44_guard) = {
	.name = "nat44_guard",
	.process = process_guard,
	.init = init_guard,
	.arc = ARC_SESSION_OUT,
	.feature = FEATURE_OUT_NAT44_GUARD,
	.edges =
		{
			[EDGE_FROM_OUTSIDE] = DROP("inner-address-from-outside"),
			[EDGE_FROM_SUBSCRIBER] = DROP("inner-address-from-subscriber"),
		},
};
