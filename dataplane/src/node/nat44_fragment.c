/*
 * nat44_fragment: fragments to a public address of the NAT pool, in any order (RFC 4787 REQ-14).
 * nat44_out2in has translated and filtered the first one of a datagram; the later ones, which have
 * no ports, follow it. Those that come before it are held, a bounded number for a bounded time;
 * they enter this node again, when the first has come or to be dropped.
 *
 * The table of what was let in and the fragments that wait are apart: no flood of fragments without
 * a first one makes a datagram that is in order lose anything (REQ-14 a).
 */
#include <errno.h>
#include <stdlib.h>

#include "graph.h"
#include "node/account.h"
#include "node/nat44_packet.h"
#include "table/fib4.h"
#include "table/nat44_held.h"

enum {
	EDGE_SESSION,
	EDGE_HELD,
	EDGE_NOT_LIVE,
	EDGE_TOO_LATE,
	EDGE_TOO_MANY,
};

/* Why a later fragment is here, in arg. */
enum { ARRIVED = NAT44_FRAGMENT_ARRIVED, TOO_LATE, TOO_MANY };

struct state {
	struct nat44_held held;
	struct nat44_datagrams let_in;
};

static struct node node_nat44_fragment;

static int init(struct worker *w)
{
	struct state *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	nat44_held_init(&s->held, w);
	w->node_state[node_nat44_fragment.id] = s;
	return 0;
}

static bool graph_has_room(const struct worker *w)
{
	return w->in_graph < QUEUE_SIZE;
}

static void enter_again(struct worker *w, struct pkt *p, uint32_t why)
{
	p->arg = why;
	graph_enqueue(w, node_nat44_fragment.id, p);
}

/* The first fragment, which is translated already: what comes after it goes where it went, and so
 * does what waits for it. Without room in the graph that waits in vain. */
static uint16_t lead(struct worker *w, struct state *s, struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	uint32_t address = w->t->adjacency[leaf_index(p->leaf)].index;
	const struct nat44_datagram_key key =
		nat44_datagram_key(ip, ip->source, w->t->nat_address[address].address);
	struct nat44_datagram *d = nat44_datagram_enter(w, &s->let_in, &key);
	struct pkt *held;
	d->session = p->session;
	d->generation = p->generation;
	while (graph_has_room(w) && (held = nat44_held_take(w, &s->held, &key)))
		enter_again(w, held, ARRIVED);
	return EDGE_SESSION;
}

/* The session of the first fragment must live still, and have the address. */
static uint16_t follow(const struct worker *w, struct pkt *p, const struct nat44_datagram *d)
{
	const struct tables *t = w->t;
	const struct session_in *in = &t->in[d->session];
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	uint32_t address = nat44_session_address(t, d->session); /* index + 1 */
	if (in->generation != d->generation || in->state != SESSION_LIVE || !address ||
		t->nat_address[address - 1].address != ip->destination)
		return EDGE_NOT_LIVE;
	nat44_set_address(ip, false, in->ip4);
	p->session = d->session;
	p->generation = d->generation;
	p->flags |= PKT_TO_SESSION | PKT_TRANSLATED;
	return EDGE_SESSION;
}

static uint16_t hold(
	struct worker *w, struct state *s, struct pkt *p, const struct nat44_datagram_key *key)
{
	struct nat44_held *held = &s->held;
	if (!held->size || nat44_held_of(w, held, key) >= NAT44_HELD_OF_ONE)
		return EDGE_TOO_MANY;
	if (nat44_held_is_full(held)) {
		if (!graph_has_room(w))
			return EDGE_TOO_MANY;
		enter_again(w, nat44_held_oldest(held), TOO_MANY);
	}
	p->trace = 0; /* its trace ends here: it is nobody's yet */
	nat44_held_append(w, held, key, p);
	return EDGE_HELD;
}

static uint16_t fragment(struct worker *w, struct state *s, struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	if (!(ip->fragment & hton16(IP4_OFFSET_MASK)))
		return lead(w, s, p);
	if (p->arg == TOO_LATE)
		return EDGE_TOO_LATE;
	if (p->arg == TOO_MANY)
		return EDGE_TOO_MANY;
	const struct nat44_datagram_key key = nat44_datagram_key(ip, ip->source, ip->destination);
	const struct nat44_datagram *d = nat44_datagram_find(w, &s->let_in, &key);
	return d ? follow(w, p, d) : hold(w, s, p, &key);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	struct state *s = w->node_state[node_nat44_fragment.id];
	for (uint16_t i = 0; i < n; i++)
		next[i] = fragment(w, s, pkts[i]);
}

static void tick(struct worker *w)
{
	struct state *s = w->node_state[node_nat44_fragment.id];
	struct pkt *p;
	while (graph_has_room(w) && (p = nat44_held_overdue(w, &s->held)))
		enter_again(w, p, TOO_LATE);
}

NODE(nat44_fragment) = {
	.name = "nat44_fragment",
	.process = process,
	.init = init,
	.tick = tick,
	.edges =
		{
			[EDGE_SESSION] = {.next = "session_output"},
			[EDGE_HELD] = CONSUMED,
			[EDGE_NOT_LIVE] = DROP("session-not-live"),
			[EDGE_TOO_LATE] = DROP("first-came-too-late"),
			[EDGE_TOO_MANY] = DROP("too-many-held"),
		},
};
