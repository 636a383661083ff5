/*
 * Session entries: BIND makes one and publishes its id, UP lets it forward, PAUSE stops that for a
 * while, CLOSE for good, RELEASE frees it. Runs on the owner worker between vectors, so nothing of
 * its own is seen half done; other workers look only at the id tables, owner, generation and state.
 */
#include "table/session.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "hdr/pppoe.h"
#include "node/l2.h"
#include "node/session_header.h"
#include "table/acl.h"
#include "table/nat44.h"
#include "table/nat44_forward.h"
#include "table/nat44_static.h"
#include "table/policer.h"
#include "table/session_ip6.h"

enum {
	VID_MAX = 4094,
	SESSION_ID_MAX = 0xfffe, /* RFC 2516 section 4: 0xffff is reserved */
	IP4_MIN_MTU = 68,	 /* RFC 791 section 3.2 */
	MAX_MTU = 1912,		 /* what a buffer takes with all headers */
};

enum {
	FEATURES_IN = 1 << FEATURE_IN_ANTISPOOF4 | 1 << FEATURE_IN_IP4_OFF |
		      1 << FEATURE_IN_MSS_CLAMP | 1 << FEATURE_IN_NAT44,
	FEATURES_OUT = 1 << FEATURE_OUT_IP4_OFF | 1 << FEATURE_OUT_MSS_CLAMP,
	/* turned on and off by commands of their own, not by UP */
	OWN_COMMAND_IN = 1 << FEATURE_IN_ACL | 1 << FEATURE_IN_POLICER |
			 1 << FEATURE_IN_NAT44_BYPASS | 1 << FEATURE_IN_NAT44_FORWARD |
			 1 << FEATURE_IN_NAT44_STATIC | FEATURES_IN_IP6_ONLY,
	OWN_COMMAND_OUT = 1 << FEATURE_OUT_ACL | 1 << FEATURE_OUT_POLICER |
			  1 << FEATURE_OUT_NAT44_STATIC | FEATURES_OUT_IP6_ONLY,
};

static bool tag_is_sane(uint16_t tpid, uint16_t vid)
{
	return tpid ? is_tpid(tpid) && vid <= VID_MAX : vid == 0;
}

static uint64_t bind_line_key(const struct session_bind *b)
{
	return line_key(b->port, b->outer_tpid, b->outer_vid, b->inner_tpid, b->inner_vid);
}

static bool bind_is_sane(const struct worker *w, const struct session_bind *b)
{
	const struct arena_header *arena = w->t->arena;
	return b->port < w->t->n_ports && w->t->port[b->port].role == PORT_ACCESS &&
	       tag_is_sane(b->outer_tpid, b->outer_vid) &&
	       tag_is_sane(b->inner_tpid, b->inner_vid) && (b->outer_tpid || !b->inner_tpid) &&
	       (!b->line_key || b->line_key == bind_line_key(b)) &&
	       b->domain < arena->max_domains && b->domain_page < arena->max_domain_pages &&
	       b->session_id > 0 && b->session_id <= SESSION_ID_MAX && mac_word(b->mac) != 0 &&
	       !mac_is_multicast(b->mac);
}

/* Sets an entry of the id tables once and for all; several workers may do it at a time. */
static int set_once(uint32_t *entry, uint32_t value)
{
	uint32_t expected = 0;
	if (__atomic_compare_exchange_n(
		    entry, &expected, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return 0;
	return expected == value ? 0 : -EEXIST;
}

static uint32_t *id_entry(const struct tables *t, uint32_t page, uint16_t session_id)
{
	return &t->domain_page[page * DOMAIN_PAGE_IDS + session_id % DOMAIN_PAGE_IDS];
}

static void fill_in(struct worker *w, const struct command *c)
{
	const struct session_bind *b = &c->u.bind;
	struct session_in *in = &w->t->in[c->session];
	*in = (struct session_in){
		.line_key = bind_line_key(b),
		.client_key = client_key(b->mac, b->session_id),
		.generation = c->generation,
		.state = SESSION_NEGOTIATING,
		.owner = w->id,
		.last_in_ms = w->now_ms,
		.punt_stamp_ms = w->now_ms - 1000, /* a full share */
	};
}

static void fill_out(struct worker *w, const struct command *c)
{
	const struct session_bind *b = &c->u.bind;
	struct session_out *out = &w->t->out[c->session];
	const struct l2_tags tags = {
		.outer_tpid = b->outer_tpid,
		.outer_vid = b->outer_vid,
		.inner_tpid = b->inner_tpid,
		.inner_vid = b->inner_vid,
	};
	*out = (struct session_out){
		.port = b->port,
		.generation = c->generation,
		.state = SESSION_NEGOTIATING,
		.owner = w->id,
	};
	uint8_t *at = l2_build(
		out->header, b->mac, w->t->port[b->port].mac, &tags, ETHERTYPE_PPPOE_SESSION);
	*at++ = PPPOE_VER_TYPE;
	*at++ = PPPOE_CODE_SESSION;
	at = l2_put16(at, b->session_id);
	at = l2_put16(at, 0); /* length: pppoe_output's */
	at = l2_put16(at, PPP_IP4);
	out->header_len = (uint8_t)(at - out->header);
}

static void fill_cold(struct worker *w, const struct command *c)
{
	const struct session_bind *b = &c->u.bind;
	struct session_cold *cold = &w->t->cold[c->session];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	*cold = (struct session_cold){
		.last_data_ms = w->now_ms,
		.outer_tpid = b->outer_tpid,
		.outer_vid = b->outer_vid,
		.inner_tpid = b->inner_tpid,
		.inner_vid = b->inner_vid,
		.session_id = b->session_id,
		.port = b->port,
		.domain_page = b->domain_page,
		.bound_wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
	};
	memcpy(cold->mac, b->mac, MAC_LEN);
}

/* A second BIND of the same handle; generations only grow, so an old BIND revives nothing. */
static int bind_again(const struct worker *w, const struct command *c)
{
	const struct session_in *in = &w->t->in[c->session];
	const struct session_bind *b = &c->u.bind;
	if (in->state == SESSION_FREE)
		return -ESTALE;
	if (in->generation != c->generation || in->owner != w->id ||
		in->line_key != bind_line_key(b) ||
		in->client_key != client_key(b->mac, b->session_id))
		return -EEXIST;
	return 0;
}

static int session_bind(struct worker *w, const struct command *c)
{
	const struct session_bind *b = &c->u.bind;
	const struct tables *t = w->t;
	const struct session_in *in = &t->in[c->session];
	if (!bind_is_sane(w, b))
		return -EINVAL;
	if (in->state != SESSION_FREE || (int32_t)(c->generation - in->generation) <= 0)
		return bind_again(w, c);
	uint32_t *id = id_entry(t, b->domain_page, b->session_id);
	if (__atomic_load_n(id, __ATOMIC_ACQUIRE))
		return -EEXIST;
	int error = set_once(
		&t->domain[b->domain * DOMAIN_PAGES + (b->session_id >> 8)], b->domain_page + 1);
	if (!error)
		error = set_once(
			&t->directory[(uint32_t)b->port << 12 | b->outer_vid], b->domain + 1);
	if (error)
		return error;
	fill_in(w, c);
	fill_out(w, c);
	fill_cold(w, c);
	__atomic_store_n(id, c->session + 1, __ATOMIC_RELEASE);
	__atomic_fetch_add(&w->shared->sessions, 1, __ATOMIC_RELAXED);
	return 0;
}

static struct nat44_place place_of(const struct session_up *up)
{
	return (struct nat44_place){up->nat_address - 1, up->nat_block, up->nat_blocks};
}

static bool up_is_sane(const struct worker *w, const struct session_up *up)
{
	const struct nat44_place place = place_of(up);
	return up->mtu_in >= IP4_MIN_MTU && up->mtu_in <= MAX_MTU && up->mtu_out >= IP4_MIN_MTU &&
	       up->mtu_out <= MAX_MTU && !(up->features_in & ~FEATURES_IN) &&
	       !(up->features_out & ~FEATURES_OUT) &&
	       (!up->nat_address || (up->ip4 && nat44_place_is_sane(w, &place)));
}

/* Blocks belong to a pair of public and inner address; when either changes they are given back. */
static int set_addresses(struct worker *w, uint32_t session, const struct session_up *up)
{
	struct session_in *in = &w->t->in[session];
	const struct nat44_place place = place_of(up);
	be32 old = in->ip4;
	if (w->t->cold[session].nat_public && up->ip4 != old)
		return -EINVAL;
	uint32_t held = nat44_session_address(w->t, session);
	if (held) {
		if (old == up->ip4 && nat44_session_is_at(w->t, session, &place))
			return 0;
		if (up->nat_address && up->nat_address != held &&
			!w->t->nat_address[place.address].free_blocks)
			return -ENOSPC;
		nat44_session_down(w, session);
	}
	in->ip4 = up->ip4;
	int error = up->nat_address ? nat44_session_up(w, session, &place) : 0;
	if (error)
		in->ip4 = old;
	return error;
}

static void set_state(struct worker *w, uint32_t session, uint8_t state)
{
	__atomic_store_n(&w->t->in[session].state, state, __ATOMIC_RELEASE);
	__atomic_store_n(&w->t->out[session].state, state, __ATOMIC_RELEASE);
}

/* Whom NAT speaks for is not to be reached past it: see node/nat44_bypass.c. */
static void set_guard(const struct tables *t, uint32_t session)
{
	const int translated = 1 << FEATURE_IN_NAT44 | 1 << FEATURE_IN_NAT44_STATIC;
	const int guard = 1 << FEATURE_OUT_NAT44_GUARD;
	uint16_t *features = &t->out[session].features;
	bool on = t->in[session].features & translated;
	*features = (uint16_t)(on ? *features | guard : *features & ~guard);
}

static int one_to_one(struct worker *w, const struct command *c)
{
	int error = nat44_static_command(w, c);
	set_guard(w->t, c->session);
	return error;
}

static int session_up(struct worker *w, const struct command *c)
{
	const struct session_up *up = &c->u.up;
	struct session_in *in = &w->t->in[c->session];
	struct session_out *out = &w->t->out[c->session];
	struct session_cold *cold = &w->t->cold[c->session];
	if (in->state == SESSION_CLOSED || !up_is_sane(w, up))
		return -EINVAL;
	int error = set_addresses(w, c->session, up);
	if (error)
		return error;
	uint16_t features_in = up->features_in | 1 << FEATURE_IN_ANTISPOOF4;
	uint16_t features_out = up->features_out;
	if (!up->mss) {
		features_in &= (uint16_t) ~(1 << FEATURE_IN_MSS_CLAMP);
		features_out &= (uint16_t) ~(1 << FEATURE_OUT_MSS_CLAMP);
	}
	if (!up->nat_address)
		features_in &= (uint16_t) ~(1 << FEATURE_IN_NAT44);
	in->features = features_in | (in->features & OWN_COMMAND_IN);
	in->mtu = up->mtu_in;
	in->mss = out->mss = up->mss;
	out->features = features_out | (out->features & OWN_COMMAND_OUT);
	set_guard(w->t, c->session);
	out->mtu = up->mtu_out;
	cold->idle_timeout_ms = up->idle_timeout_ms;
	if (in->state != SESSION_LIVE) {
		in->last_in_ms = w->now_ms;
		cold->last_data_ms = w->now_ms;
		cold->echo_next_ms = w->now_ms + cold->echo_interval_ms;
		set_state(w, c->session, SESSION_LIVE);
	}
	return 0;
}

static int session_echo(struct worker *w, const struct command *c)
{
	const struct session_echo *e = &c->u.echo;
	struct session_cold *cold = &w->t->cold[c->session];
	if (w->t->in[c->session].state == SESSION_CLOSED || e->failures > UINT8_MAX ||
		(e->interval_ms && !e->failures) || e->interval_ms > INT32_MAX)
		return -EINVAL;
	if (!cold->echo_on || cold->echo_interval_ms != e->interval_ms) {
		cold->echo_missed = 0;
		cold->echo_next_ms = w->now_ms + e->interval_ms;
	}
	cold->our_magic = e->our_magic;
	cold->peer_magic = e->peer_magic;
	cold->echo_interval_ms = e->interval_ms;
	cold->echo_failures = (uint8_t)e->failures;
	cold->echo_on = 1;
	return 0;
}

/*
 * Gives a session that nothing is forwarded for, and that has no NAT block, to another worker. From
 * the completion on that one is its owner; what others still send here is handed on.
 */
static int session_move(struct worker *w, const struct command *c)
{
	const struct tables *t = w->t;
	struct session_in *in = &t->in[c->session];
	if (c->arg >= t->n_workers || in->state != SESSION_NEGOTIATING || in->nat_block)
		return -EINVAL;
	if (c->arg == in->owner)
		return 0;
	__atomic_fetch_sub(&w->shared->sessions, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&t->worker[c->arg].sessions, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&t->out[c->session].owner, (uint8_t)c->arg, __ATOMIC_RELEASE);
	__atomic_store_n(&in->owner, (uint8_t)c->arg, __ATOMIC_RELEASE);
	return 0;
}

/* The magic numbers go with LCP: the next ECHO brings new ones. */
static int session_pause(struct worker *w, const struct command *c)
{
	struct session_cold *cold = &w->t->cold[c->session];
	uint8_t state = w->t->in[c->session].state;
	if (state == SESSION_CLOSED)
		return -EINVAL;
	cold->echo_on = 0;
	cold->echo_missed = 0;
	if (state == SESSION_LIVE)
		set_state(w, c->session, SESSION_PAUSED);
	return 0;
}

static int session_release(struct worker *w, const struct command *c)
{
	const struct tables *t = w->t;
	struct session_in *in = &t->in[c->session];
	const struct session_cold *cold = &t->cold[c->session];
	uint32_t expected = c->session + 1;
	__atomic_compare_exchange_n(id_entry(t, cold->domain_page, cold->session_id), &expected, 0,
		false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (in->nat_block)
		nat44_session_down(w, c->session);
	nat44_static_clear(w, c->session);
	in->ip4 = 0;
	session_ip6_clear(w, c->session);
	in->features = 0;
	set_guard(t, c->session);
	policer_clear(w, c->session);
	acl_bind(w, c->session, 0, 0);
	bypass_bind(w, c->session, 0);
	set_state(w, c->session, SESSION_FREE);
	__atomic_fetch_sub(&w->shared->sessions, 1, __ATOMIC_RELAXED);
	return 0;
}

int session_command(struct worker *w, const struct command *c)
{
	if (c->session >= w->t->max_sessions)
		return -EINVAL;
	if (c->type == CMD_SESSION_BIND)
		return session_bind(w, c);

	const struct session_in *in = &w->t->in[c->session];
	if (in->generation != c->generation)
		return -ESTALE;
	if (in->state == SESSION_FREE)
		return c->type == CMD_SESSION_RELEASE ? 0 : -ESTALE;
	if (in->owner != w->id) /* a MOVE that is repeated is done */
		return c->type == CMD_SESSION_MOVE && c->arg == in->owner ? 0 : -EINVAL;
	switch (c->type) {
	case CMD_SESSION_UP:
		return session_up(w, c);
	case CMD_SESSION_ECHO:
		return session_echo(w, c);
	case CMD_SESSION_POLICER:
		return policer_command(w, c);
	case CMD_SESSION_ACL:
		return acl_command(w, c);
	case CMD_SESSION_MOVE:
		return session_move(w, c);
	case CMD_SESSION_FORWARD:
		return nat44_forward_command(w, c);
	case CMD_SESSION_BYPASS:
		return bypass_command(w, c);
	case CMD_SESSION_STATIC:
		return one_to_one(w, c);
	case CMD_SESSION_IP6:
		return session_ip6_command(w, c);
	case CMD_SESSION_PAUSE:
		return session_pause(w, c);
	case CMD_SESSION_CLOSE:
		set_state(w, c->session, SESSION_CLOSED);
		return 0;
	case CMD_SESSION_RELEASE:
		return session_release(w, c);
	default:
		return -EINVAL;
	}
}
