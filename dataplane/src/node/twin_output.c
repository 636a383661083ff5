/*
 * twin_output: whole frames between a routed port and its TAP in the kernel, either way. The
 * current header is the Ethernet header.
 *
 * What comes for the kernel is policed by class, so that none starves another: each routing
 * protocol with those on the link and those that the box talks with; all of them with strangers;
 * ARP and ND; everything else. Whom the box talks with is seen by what the kernel sends. In each
 * class every source has a share. What comes, what is dropped and what the kernel sends is counted
 * by class.
 *
 * A Redirect is nothing to a router (RFC 1812 section 5.2.7.2, RFC 4861 section 8.2), but the
 * kernel of a host that does not forward itself may believe it.
 *
 * What the kernel sends of routing protocols, ARP and ND leaves the port before all data.
 */
#include <errno.h>

#include "graph.h"
#include "node/address_claim.h"
#include "node/control_class.h"
#include "node/share.h"
#include "worker.h"

enum {
	EDGE_PORT_OUTPUT,
	EDGE_CONTROL_OUTPUT,
	EDGE_NO_TWIN,
	EDGE_ADDRESS_CLAIM,
	EDGE_REDIRECT,
	EDGE_POLICED,					     /* + class */
	EDGE_SHARE_USED_UP = EDGE_POLICED + CONTROL_CLASSES, /* + class */
};

/* Of all of a class, of one source. Bursts are a second. */
static const struct limit {
	uint32_t all, share;
} limits[CONTROL_CLASSES] = {
	[CONTROL_OTHER] = {TWIN_OTHER_RATE, TWIN_OTHER_SHARE},
	[CONTROL_NEIGHBOUR] = {TWIN_NEIGHBOUR_RATE, TWIN_NEIGHBOUR_SHARE},
	[CONTROL_STRANGER] = {TWIN_STRANGER_RATE, TWIN_STRANGER_SHARE},
	[CONTROL_BGP] = {TWIN_BGP_RATE, TWIN_BGP_SHARE},
	[CONTROL_BFD] = {TWIN_ROUTING_RATE, TWIN_ROUTING_SHARE},
	[CONTROL_OSPF] = {TWIN_ROUTING_RATE, TWIN_ROUTING_SHARE},
	[CONTROL_ISIS] = {TWIN_ROUTING_RATE, TWIN_ROUTING_SHARE},
	[CONTROL_ROUTING] = {TWIN_ROUTING_RATE, TWIN_ROUTING_SHARE},
};

struct peer {
	uint64_t address;
	uint32_t seen_s;
};

struct state {
	struct bucket all[CONTROL_CLASSES];
	struct peer peer[TWIN_PEERS];
	struct share_table sources;
};

static struct node node_twin_output;

static int init(struct worker *w)
{
	struct state *s = share_state(sizeof(*s), TWIN_SOURCES);
	if (!s)
		return -ENOMEM;
	share_table_init(&s->sources, w, TWIN_SOURCES);
	w->node_state[node_twin_output.id] = s;
	return 0;
}

static struct peer *peer_of(struct state *s, uint64_t address)
{
	return &s->peer[(address * 0x9e3779b97f4a7c15ull >> 32) % TWIN_PEERS];
}

static struct port_control *counts_of(const struct worker *w, uint32_t routed)
{
	return &w->t->port[routed].control[w->id];
}

/* What the kernel sends. */
static uint16_t learn(const struct worker *w, struct pkt *p)
{
	struct control c = control_classify(p);
	counts_of(w, p->tx_port)->sent[c.class]++;
	if (control_is_routing(c.class) && !c.handshake)
		*peer_of(w->node_state[node_twin_output.id], c.destination) =
			(struct peer){.address = c.destination, .seen_s = w->now_s};
	if (c.class == CONTROL_OTHER)
		return EDGE_PORT_OUTPUT;
	p->flags |= PKT_CONTROL;
	return EDGE_CONTROL_OUTPUT;
}

static bool is_peer(const struct worker *w, struct state *s, uint64_t address)
{
	const struct peer *peer = peer_of(s, address);
	return peer->address == address && peer->seen_s &&
	       w->now_s - peer->seen_s < TWIN_PEER_LASTS_S;
}

static enum control_class class_of(const struct worker *w, struct state *s, const struct control *c)
{
	if (!control_is_routing(c->class) || c->on_link || is_peer(w, s, c->source))
		return c->class;
	return CONTROL_STRANGER;
}

static uint16_t refused(struct port_control *counts, enum control_class class, uint32_t edge)
{
	counts->dropped[class]++;
	return (uint16_t)edge;
}

/* What comes for the kernel. A source has a share of each class. */
static uint16_t police(struct worker *w, struct pkt *p)
{
	struct state *s = w->node_state[node_twin_output.id];
	struct control c = control_classify(p);
	enum control_class class = class_of(w, s, &c);
	struct port_control *counts = counts_of(w, p->rx_port);
	const struct limit *limit = &limits[class];
	struct bucket *share = share_find(&s->sources, c.source ^ (uint64_t) class << 61);
	counts->received[class]++;
	if (c.redirect)
		return refused(counts, class, EDGE_REDIRECT);
	if (c.class == CONTROL_NEIGHBOUR) {
		if (claims_ours(w->t, p))
			return EDGE_ADDRESS_CLAIM;
		note_advertisement(counts, p);
	}
	if (!bucket_ready(share, w->now_ms, limit->share, limit->share))
		return refused(counts, class, EDGE_SHARE_USED_UP + class);
	if (!bucket_take(&s->all[class], w->now_ms, limit->all, limit->all))
		return refused(counts, class, EDGE_POLICED + class);
	bucket_spend(share);
	return EDGE_PORT_OUTPUT;
}

static uint16_t output(struct worker *w, struct pkt *p)
{
	const struct port_shared *port = &w->t->port[p->rx_port];
	p->tx_port = (uint8_t)port->twin;
	if (port->twin == NO_PORT)
		return EDGE_NO_TWIN;
	return port->role == PORT_TAP_TWIN ? learn(w, p) : police(w, p);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = output(w, pkts[i]);
}

NODE(twin_output) = {
	.name = "twin_output",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_CONTROL_OUTPUT] = {.next = "control_output"},
			[EDGE_NO_TWIN] = DROP("no-twin"),
			[EDGE_ADDRESS_CLAIM] = {.next = "address_claim"},
			[EDGE_REDIRECT] = DROP("redirect"),
			[EDGE_POLICED + CONTROL_OTHER] = DROP("other-policed"),
			[EDGE_POLICED + CONTROL_NEIGHBOUR] = DROP("neighbour-policed"),
			[EDGE_POLICED + CONTROL_STRANGER] = DROP("stranger-policed"),
			[EDGE_POLICED + CONTROL_BGP] = DROP("bgp-policed"),
			[EDGE_POLICED + CONTROL_BFD] = DROP("bfd-policed"),
			[EDGE_POLICED + CONTROL_OSPF] = DROP("ospf-policed"),
			[EDGE_POLICED + CONTROL_ISIS] = DROP("isis-policed"),
			[EDGE_POLICED + CONTROL_ROUTING] = DROP("routing-policed"),
			[EDGE_SHARE_USED_UP + CONTROL_OTHER] = DROP("other-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_NEIGHBOUR] = DROP("neighbour-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_STRANGER] = DROP("stranger-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_BGP] = DROP("bgp-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_BFD] = DROP("bfd-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_OSPF] = DROP("ospf-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_ISIS] = DROP("isis-share-used-up"),
			[EDGE_SHARE_USED_UP + CONTROL_ROUTING] = DROP("routing-share-used-up"),
		},
};
