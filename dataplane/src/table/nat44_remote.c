/*
 * Remotes of NAT44 mappings beside the first (RFC 4787 REQ-8, RFC 5382 REQ-5, RFC 7857 section 2).
 *
 * Sets of four entries; mapping and remote address choose two sets by a keyed hash. When both are
 * full of entries that live, the remote is not known: the mapping then keeps its long timer, and
 * address-dependent filtering refuses. The entries of a mapping are chained, for its end.
 */
#include "table/nat44_remote.h"

#include <string.h>

#include "table/nat44_tcp.h"

enum { SET = 4, SETS = 2 };

static uint32_t slot_name(const struct worker *w, const struct nat_slot *slot)
{
	return (uint32_t)(slot - w->t->nat_slot) + 1;
}

static struct nat_remote *table_of(const struct worker *w)
{
	return w->t->nat_remote + (size_t)w->id * w->t->nat->remotes_per_worker;
}

/* The sets where a remote of this mapping may stand. */
static void sets_of(
	const struct worker *w, uint32_t slot, be32 address, struct nat_remote *sets[SETS])
{
	const struct nat_config *nat = w->t->nat;
	uint64_t multiplier = ((uint64_t)nat->hash_key[1] << 32 | nat->hash_key[0]) | 1;
	uint64_t x = ((uint64_t)slot << 32 | address) ^
		     ((uint64_t)nat->hash_key[3] << 32 | nat->hash_key[2]);
	uint32_t mask = nat->remotes_per_worker - SET;
	x *= multiplier;
	x ^= x >> 32;
	x *= multiplier;
	sets[0] = table_of(w) + ((uint32_t)(x >> 40) & mask);
	sets[1] = table_of(w) + ((uint32_t)(x >> 20) & mask);
}

/* The entry of a remote, or NULL; any_port: of any of its connections. */
static struct nat_remote *find(
	const struct worker *w, uint32_t slot, be32 address, be16 port, bool any_port)
{
	struct nat_remote *sets[SETS];
	sets_of(w, slot, address, sets);
	for (int i = 0; i < SETS; i++)
		for (struct nat_remote *r = sets[i]; r < sets[i] + SET; r++)
			if (r->slot == slot && r->address == address &&
				(any_port || r->port == port))
				return r;
	return NULL;
}

/* The port that an entry has: only TCP's connections are told apart. */
static be16 port_of(const struct nat44_flow *flow)
{
	return flow->plane == NAT_TCP ? flow->remote_port : 0;
}

/* A mapping that was established once is so until the last of its connections is closed. */
static void count_open(struct nat_slot *slot, int step)
{
	slot->remote_port = (be16)(slot->remote_port + step);
	bool closed = !slot->remote_port && !slot->lost;
	slot->flags = (uint8_t)(closed ? (slot->flags & ~NAT_TCP_ESTABLISHED) | NAT_RST
				       : slot->flags & ~NAT_RST);
}

static void set_flags(struct nat_slot *slot, struct nat_remote *r, uint8_t flags)
{
	int step = nat44_tcp_closed(r->flags) - nat44_tcp_closed(flags);
	r->flags = flags;
	if (nat44_tcp_established(flags))
		slot->flags |= NAT_TCP_ESTABLISHED;
	if (step)
		count_open(slot, step);
}

static struct session_cold *cold_of(const struct worker *w, const struct nat_slot *slot)
{
	uint32_t plane;
	uint32_t block = nat44_slot_block(w->t, slot, &plane);
	return &w->t->cold[w->t->nat_block[block].session - 1];
}

static void drop_entry(struct worker *w, struct nat_remote *r)
{
	struct nat_remote *table = table_of(w);
	struct nat_slot *slot = w->t->nat_slot + r->slot - 1;
	set_flags(slot, r, NAT_RST);
	if (r->previous)
		table[r->previous - 1].next = r->next;
	else
		slot->remote = r->next;
	if (r->next)
		table[r->next - 1].previous = r->previous;
	cold_of(w, slot)->nat_remotes--;
	memset(r, 0, sizeof(*r));
}

static bool entry_expired(const struct worker *w, const struct nat_remote *r)
{
	uint32_t plane;
	nat44_slot_block(w->t, w->t->nat_slot + r->slot - 1, &plane);
	return w->now_s - r->last_s >= nat44_timeout_s(w->t->nat, plane, r->flags);
}

/* A free entry, or one whose time is over, freed; NULL: neither. */
static struct nat_remote *make_room(struct worker *w, struct nat_remote *sets[SETS])
{
	struct nat_remote *room[SETS] = {NULL, NULL};
	uint32_t n_room[SETS] = {0, 0};
	for (int i = 0; i < SETS; i++)
		for (struct nat_remote *r = sets[i]; r < sets[i] + SET; r++)
			if (!r->slot) {
				room[i] = r;
				n_room[i]++;
			}
	if (n_room[0] || n_room[1]) /* the emptier set: so both fill up late */
		return n_room[1] > n_room[0] ? room[1] : room[0];
	for (int i = 0; i < SETS; i++)
		for (struct nat_remote *r = sets[i]; r < sets[i] + SET; r++)
			if (entry_expired(w, r)) {
				drop_entry(w, r);
				return r;
			}
	return NULL;
}

/* Enters a remote of a mapping; NULL: no room, or too many of this subscriber. */
static struct nat_remote *add(struct worker *w, struct nat_slot *slot, be32 address, be16 port)
{
	struct nat_remote *sets[SETS], *table = table_of(w);
	struct session_cold *cold = cold_of(w, slot);
	if (cold->nat_remotes >= w->t->nat->remotes_per_session)
		return NULL;
	sets_of(w, slot_name(w, slot), address, sets);
	struct nat_remote *r = make_room(w, sets);
	if (!r)
		return NULL;
	*r = (struct nat_remote){
		.slot = slot_name(w, slot),
		.address = address,
		.port = port,
		.flags = NAT_RST, /* not counted yet */
		.last_s = w->now_s,
		.next = slot->remote,
	};
	slot->remote = (uint32_t)(r - table) + 1;
	if (r->next)
		table[r->next - 1].previous = slot->remote;
	cold->nat_remotes++;
	set_flags(slot, r, NAT_LIVE);
	return r;
}

/* Not every remote is known: the timer is the long one from now on. */
static void lose(struct nat_slot *slot)
{
	slot->lost = 1;
	slot->flags = (uint8_t)((slot->flags & ~NAT_RST) | NAT_TCP_ESTABLISHED);
}

/* The first remote becomes one of several. False: it cannot, and filtering needs it. */
static bool share(struct worker *w, struct nat_slot *slot, uint32_t plane)
{
	const struct nat_slot single = *slot;
	slot->flags = NAT_LIVE | NAT_MULTI;
	slot->lost = 0;
	slot->remote = 0;
	slot->remote_port = 0;
	struct nat_remote *r =
		add(w, slot, single.remote, plane == NAT_TCP ? single.remote_port : 0);
	if (r) {
		r->last_s = single.last_s;
		set_flags(slot, r, single.flags);
	} else if (w->t->nat->filtering == NAT_ADDRESS_DEPENDENT) {
		*slot = single;
		return false;
	} else {
		lose(slot);
	}
	return true;
}

static bool track_connection(
	struct worker *w, struct nat_slot *slot, const struct nat44_flow *flow, uint8_t tcp)
{
	struct nat_remote *r = find(w, slot_name(w, slot), flow->remote, port_of(flow), false);
	if (flow->plane == NAT_TCP && !(r ? nat44_tcp_refreshes(r->flags, tcp) : !(tcp & TCP_RST)))
		return true; /* refuses a stranger, or again: begins nothing, keeps nothing open */
	if (!r)
		r = add(w, slot, flow->remote, port_of(flow));
	if (!r && !nat44_remote_admits(w, slot, flow))
		return false;
	slot->last_s = w->now_s;
	if (!r) {
		lose(slot);
		return true;
	}
	r->last_s = w->now_s;
	if (flow->plane == NAT_TCP)
		set_flags(slot, r, nat44_tcp_out(r->flags, tcp));
	return true;
}

bool nat44_remote_out(
	struct worker *w, struct nat_slot *slot, const struct nat44_flow *flow, uint8_t tcp)
{
	bool is_tcp = flow->plane == NAT_TCP;
	if (!is_tcp && w->t->nat->filtering == NAT_ENDPOINT_INDEPENDENT) {
		slot->last_s = w->now_s;
		return true;
	}
	if (slot->flags & NAT_MULTI)
		return track_connection(w, slot, flow, tcp);
	if (is_tcp && tcp & TCP_RST)
		return true;
	if (is_tcp && tcp & TCP_SYN && nat44_tcp_closed(slot->flags)) {
		/* the only connection is over: the new one takes its place */
		slot->remote = flow->remote;
		slot->remote_port = flow->remote_port;
		slot->flags = nat44_tcp_out(NAT_LIVE, tcp);
		slot->last_s = w->now_s;
		return true;
	}
	return share(w, slot, flow->plane) && track_connection(w, slot, flow, tcp);
}

bool nat44_remote_admits(
	const struct worker *w, const struct nat_slot *slot, const struct nat44_flow *flow)
{
	if (w->t->nat->filtering == NAT_ENDPOINT_INDEPENDENT)
		return true;
	if (!(slot->flags & NAT_MULTI))
		return slot->remote == flow->remote;
	return find(w, slot_name(w, slot), flow->remote, 0, true);
}

/* Strangers keep no mapping open: what a host takes it acknowledges, and that refreshes. */
void nat44_remote_in(
	struct worker *w, struct nat_slot *slot, const struct nat44_flow *flow, uint8_t tcp)
{
	if (flow->plane != NAT_TCP || !(slot->flags & NAT_MULTI))
		return;
	struct nat_remote *r = find(w, slot_name(w, slot), flow->remote, flow->remote_port, false);
	if (!r)
		return;
	if (nat44_tcp_refreshes(r->flags, tcp))
		r->last_s = slot->last_s = w->now_s;
	set_flags(slot, r, nat44_tcp_in(r->flags, tcp));
}

void nat44_remote_forget(struct worker *w, struct nat_slot *slot)
{
	if (!(slot->flags & NAT_MULTI))
		return;
	while (slot->remote)
		drop_entry(w, table_of(w) + slot->remote - 1);
}

void nat44_remote_forget_block(struct worker *w, uint32_t block)
{
	const struct tables *t = w->t;
	if (!t->cold[t->nat_block[block].session - 1].nat_remotes)
		return;
	for (uint32_t plane = 0; plane < NAT_PLANES; plane++) {
		struct nat_slot *slots = nat44_slots(t, block, plane);
		for (uint32_t i = 0; i < t->nat->block_size; i++)
			if (slots[i].flags & NAT_LIVE)
				nat44_remote_forget(w, &slots[i]);
	}
}
