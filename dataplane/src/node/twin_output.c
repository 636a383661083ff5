/*
 * twin_output: whole frames between a routed port and its TAP in the kernel, either way. The
 * current header is the Ethernet header.
 *
 * What comes for the kernel is policed by class, so that none starves another: routing protocols
 * with those that the box talks with; the same with strangers; ARP and ND; everything else. Whom
 * the box talks with is seen by what the kernel sends. In each class every source has a share.
 *
 * What the kernel sends of routing protocols, ARP and ND leaves the port before all data.
 */
#include <errno.h>

#include "graph.h"
#include "node/control_class.h"
#include "node/share.h"
#include "worker.h"

enum {
	EDGE_PORT_OUTPUT,
	EDGE_CONTROL_OUTPUT,
	EDGE_NO_TWIN,
	EDGE_POLICED,			       /* + class */
	EDGE_SHARE_USED_UP = EDGE_POLICED + 4, /* + class */
};

enum class { CLASS_OTHER, CLASS_NEIGHBOUR, CLASS_STRANGER, CLASS_ROUTING, CLASSES };

static const struct limit {
	uint32_t rate, burst, share_rate, share_burst;
} limits[CLASSES] = {
	[CLASS_OTHER] = {TWIN_OTHER_RATE, TWIN_OTHER_RATE, TWIN_OTHER_SHARE, TWIN_OTHER_SHARE},
	[CLASS_NEIGHBOUR] = {TWIN_NEIGHBOUR_RATE, TWIN_NEIGHBOUR_RATE, TWIN_NEIGHBOUR_SHARE,
		TWIN_NEIGHBOUR_SHARE},
	[CLASS_STRANGER] = {TWIN_STRANGER_RATE, TWIN_STRANGER_RATE, TWIN_STRANGER_SHARE,
		TWIN_STRANGER_SHARE},
	[CLASS_ROUTING] = {TWIN_ROUTING_RATE, TWIN_ROUTING_RATE, TWIN_ROUTING_SHARE,
		TWIN_ROUTING_SHARE},
};

struct peer {
	uint64_t address;
	uint32_t seen_s;
};

struct state {
	struct bucket all[CLASSES];
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

static void learn(const struct worker *w, struct pkt *p)
{
	struct control c = control_classify(p);
	if (c.kind != CONTROL_OTHER)
		p->flags |= PKT_CONTROL;
	if (c.kind == CONTROL_ROUTING && !c.handshake)
		*peer_of(w->node_state[node_twin_output.id], c.destination) =
			(struct peer){.address = c.destination, .seen_s = w->now_s};
}

static bool is_peer(const struct worker *w, struct state *s, uint64_t address)
{
	const struct peer *peer = peer_of(s, address);
	return peer->address == address && peer->seen_s &&
	       w->now_s - peer->seen_s < TWIN_PEER_LASTS_S;
}

static enum class class_of(const struct worker *w, struct state *s, const struct control *c) {
	switch (c->kind){
		case CONTROL_NEIGHBOUR : return CLASS_NEIGHBOUR;
		case CONTROL_ROUTING : return c->on_link || is_peer(w, s, c->source)
			? CLASS_ROUTING
			: CLASS_STRANGER;
		default : return CLASS_OTHER;
	}
}

static uint16_t police(struct worker *w, struct pkt *p)
{
	struct state *s = w->node_state[node_twin_output.id];
	struct control c = control_classify(p);
	enum class class = class_of(w, s, &c);
	const struct limit *limit = &limits[class];
	struct bucket *share = share_find(&s->sources, c.source ^ (uint64_t) class << 62);
	if (!bucket_ready(share, w->now_ms, limit->share_rate, limit->share_burst))
		return (uint16_t)(EDGE_SHARE_USED_UP + class);
	if (!bucket_take(&s->all[class], w->now_ms, limit->rate, limit->burst))
		return (uint16_t)(EDGE_POLICED + class);
	bucket_spend(share);
	return EDGE_PORT_OUTPUT;
}

static uint16_t output(struct worker *w, struct pkt *p)
{
	const struct port_shared *port = &w->t->port[p->rx_port];
	p->tx_port = (uint8_t)port->twin;
	if (port->twin == NO_PORT)
		return EDGE_NO_TWIN;
	if (port->role != PORT_TAP_TWIN)
		return police(w, p);
	learn(w, p);
	return p->flags & PKT_CONTROL ? EDGE_CONTROL_OUTPUT : EDGE_PORT_OUTPUT;
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
			[EDGE_POLICED + CLASS_OTHER] = DROP("other-policed"),
			[EDGE_POLICED + CLASS_NEIGHBOUR] = DROP("neighbour-policed"),
			[EDGE_POLICED + CLASS_STRANGER] = DROP("stranger-policed"),
			[EDGE_POLICED + CLASS_ROUTING] = DROP("routing-policed"),
			[EDGE_SHARE_USED_UP + CLASS_OTHER] = DROP("other-share-used-up"),
			[EDGE_SHARE_USED_UP + CLASS_NEIGHBOUR] = DROP("neighbour-share-used-up"),
			[EDGE_SHARE_USED_UP + CLASS_STRANGER] = DROP("stranger-share-used-up"),
			[EDGE_SHARE_USED_UP + CLASS_ROUTING] = DROP("routing-share-used-up"),
		},
};
