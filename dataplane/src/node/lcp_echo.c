/*
 * lcp_echo: LCP Echo of live sessions (RFC 1661 section 5.8). Answers requests, takes replies, and
 * visits every session about once a second to originate requests, count misses and find idle
 * sessions. Whatever the client sends counts as alive; downstream traffic counts for nothing.
 *
 * The current header is the PPPoE header; its length has been checked.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph.h"
#include "hdr/pppoe.h"
#include "node/session_header.h"
#include "node/share.h"
#include "worker.h"

enum {
	EDGE_PORT_OUTPUT,
	EDGE_REPLY_TAKEN,
	EDGE_LENGTH_WRONG,
	EDGE_LOOP,
	EDGE_REPLY_MAGIC_WRONG,
	EDGE_SESSION_SHARE,
};

enum { LCP_ECHO_LEN = sizeof(struct lcp_echo_hdr), ROUND_MS = 1000 };

struct state {
	uint32_t stamp_ms;
	uint32_t cursor;
	uint64_t credit; /* sessions due, in 1/ROUND_MS */
	uint16_t port_output;
};

static struct node node_lcp_echo;

static int init(struct worker *w)
{
	struct state *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->port_output = node_id("port_output");
	w->node_state[node_lcp_echo.id] = s;
	return 0;
}

/* Told once; when there is no room in the ring, on the next visit. */
static void raise_once(struct worker *w, uint32_t session, uint8_t flag, uint32_t event)
{
	struct session_cold *cold = &w->t->cold[session];
	if (!(cold->flags & flag) && worker_event(w, event, session, 0))
		cold->flags |= flag;
}

/* The reply is the request with our magic; data beyond the peer's MRU is cut off. */
static uint16_t answer(struct worker *w, struct pkt *p, struct lcp_echo_hdr *lcp)
{
	struct session_in *in = &w->t->in[p->session];
	struct session_cold *cold = &w->t->cold[p->session];
	const struct session_out *out = &w->t->out[p->session];
	uint16_t length = ntoh16(lcp->length);
	if (lcp->magic && lcp->magic == hton32(cold->our_magic)) {
		raise_once(w, p->session, SESSION_FLAG_LOOP, EVENT_LOOP);
		return EDGE_LOOP;
	}
	if (!session_share_ready(in, w->now_ms))
		return EDGE_SESSION_SHARE;
	session_share_spend(in);
	if (length > out->mtu)
		length = out->mtu;
	lcp->code = LCP_ECHO_REPLY;
	lcp->length = hton16(length);
	lcp->magic = hton32(cold->our_magic);
	in->last_in_ms = w->now_ms;
	cold->echo_rx++;
	pkt_pull(p, PPPOE_LEN);
	p->len = (uint16_t)(PPP_PROTOCOL_LEN + length);
	session_control_push(p, out, w->t->port[out->port].control_pbit);
	return EDGE_PORT_OUTPUT;
}

/* RFC 1661 section 5.8 has the peer's magic in it. Some send none, or a stale one: only our own,
 * which is our request come back, says nothing about the peer. */
static uint16_t take_reply(struct worker *w, struct pkt *p, const struct lcp_echo_hdr *lcp)
{
	if (lcp->magic && lcp->magic == hton32(w->t->cold[p->session].our_magic))
		return EDGE_REPLY_MAGIC_WRONG;
	w->t->in[p->session].last_in_ms = w->now_ms;
	pkt_free(w, p);
	return EDGE_REPLY_TAKEN;
}

static uint16_t receive(struct worker *w, struct pkt *p)
{
	uint8_t *pppoe = pkt_header(p, PPPOE_LEN + PPP_PROTOCOL_LEN + LCP_ECHO_LEN);
	if (!pppoe)
		return EDGE_LENGTH_WRONG;
	struct lcp_echo_hdr *lcp = (struct lcp_echo_hdr *)(pppoe + PPPOE_LEN + PPP_PROTOCOL_LEN);
	uint16_t length = ntoh16(lcp->length);
	if (length < LCP_ECHO_LEN || length > p->len - PPPOE_LEN - PPP_PROTOCOL_LEN)
		return EDGE_LENGTH_WRONG;
	return lcp->code == LCP_ECHO_REQUEST ? answer(w, p, lcp) : take_reply(w, p, lcp);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = receive(w, pkts[i]);
}

/* False: it could not be sent. */
static bool originate(struct worker *w, uint32_t session, uint16_t node)
{
	struct session_cold *cold = &w->t->cold[session];
	const struct session_out *out = &w->t->out[session];
	struct pkt *p = pkt_alloc(w);
	if (!p)
		return false;
	const struct lcp_echo_hdr lcp = {
		.code = LCP_ECHO_REQUEST,
		.id = cold->echo_id++,
		.length = hton16(LCP_ECHO_LEN),
		.magic = hton32(cold->our_magic),
	};
	p->len = PPP_PROTOCOL_LEN + LCP_ECHO_LEN;
	memcpy(pkt_data(p), (const uint8_t[]){PPP_LCP >> 8, PPP_LCP & 0xff}, PPP_PROTOCOL_LEN);
	memcpy(pkt_data(p) + PPP_PROTOCOL_LEN, &lcp, LCP_ECHO_LEN);
	session_control_push(p, out, w->t->port[out->port].control_pbit);
	if (!graph_enqueue(w, node, p))
		return false;
	cold->echo_tx++;
	return true;
}

static void check_idle(struct worker *w, uint32_t session)
{
	struct session_cold *cold = &w->t->cold[session];
	uint64_t packets = w->t->in[session].packets;
	if (packets != cold->packets_seen) {
		cold->packets_seen = packets;
		cold->last_data_ms = w->now_ms;
		cold->flags = (uint8_t)(cold->flags & ~SESSION_FLAG_IDLE);
	} else if (cold->idle_timeout_ms &&
		   w->now_ms - cold->last_data_ms >= cold->idle_timeout_ms) {
		raise_once(w, session, SESSION_FLAG_IDLE, EVENT_IDLE);
	}
}

/* The last request left at echo_next_ms - echo_interval_ms. */
static void check_alive(struct worker *w, uint32_t session, uint16_t port_output)
{
	struct session_cold *cold = &w->t->cold[session];
	uint32_t heard_ms = w->t->in[session].last_in_ms;
	uint32_t asked_ms = cold->echo_next_ms - cold->echo_interval_ms;
	uint8_t flags = __atomic_load_n(&w->t->port[cold->port].flags, __ATOMIC_RELAXED);
	if (!(flags & PORT_UP)) { /* nobody can answer: misses freeze */
		cold->echo_next_ms = w->now_ms + cold->echo_interval_ms;
		return;
	}
	if ((int32_t)(heard_ms - asked_ms) >= 0) {
		cold->echo_missed = 0;
		cold->flags = (uint8_t)(cold->flags & ~SESSION_FLAG_ECHO_LOST);
		cold->echo_next_ms = heard_ms + cold->echo_interval_ms;
	}
	if ((int32_t)(w->now_ms - cold->echo_next_ms) < 0)
		return;
	if (cold->echo_missed >= cold->echo_failures) {
		raise_once(w, session, SESSION_FLAG_ECHO_LOST, EVENT_ECHO_LOST);
		return;
	}
	if (!originate(w, session, port_output))
		return; /* what was not asked is no miss: again on the next visit */
	cold->echo_missed++;
	cold->echo_next_ms = w->now_ms + cold->echo_interval_ms;
}

/* Other workers' sessions are looked at too: the state is read before the owner. */
static bool is_live_here(const struct worker *w, uint32_t session)
{
	const struct session_in *in = &w->t->in[session];
	return __atomic_load_n(&in->state, __ATOMIC_ACQUIRE) == SESSION_LIVE &&
	       __atomic_load_n(&in->owner, __ATOMIC_RELAXED) == w->id;
}

static void tick(struct worker *w)
{
	struct state *s = w->node_state[node_lcp_echo.id];
	uint32_t elapsed = w->now_ms - s->stamp_ms;
	s->stamp_ms = w->now_ms;
	s->credit += (uint64_t)(elapsed < ROUND_MS ? elapsed : ROUND_MS) * w->t->max_sessions;
	for (; s->credit >= ROUND_MS; s->credit -= ROUND_MS) {
		uint32_t session = s->cursor;
		s->cursor = session + 1 < w->t->max_sessions ? session + 1 : 0;
		if (!is_live_here(w, session))
			continue;
		check_idle(w, session);
		if (w->t->cold[session].echo_on && w->t->cold[session].echo_interval_ms)
			check_alive(w, session, s->port_output);
	}
}

NODE(lcp_echo) = {
	.name = "lcp_echo",
	.process = process,
	.init = init,
	.tick = tick,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_REPLY_TAKEN] = CONSUMED,
			[EDGE_LENGTH_WRONG] = DROP("length-wrong"),
			[EDGE_LOOP] = DROP("our-own-magic"),
			[EDGE_REPLY_MAGIC_WRONG] = DROP("reply-magic-wrong"),
			[EDGE_SESSION_SHARE] = DROP("session-share-used-up"),
		},
};
