/*
 * NAT44 mappings inside a subscriber's blocks (RFC 4787, 5382, 5508): find, make, end, expire.
 *
 * A block is an open-addressed table of lines of four slots. Each line counts the live mappings
 * that probed past it, each block those that stand in later blocks of the same subscriber: a
 * search ends where the count is 0. Where a search starts, a filter of 32 bits tells of most ports
 * that none of them is theirs.
 */
#include "table/nat44.h"

#include <assert.h>

#include "table/nat44_log.h"
#include "table/nat44_map.h"
#include "table/nat44_protocol.h"
#include "table/nat44_remote.h"

enum {
	SWEEP_VISITS = 8, /* blocks per call at most */
	SWEEP_VISITS_IDLE = 64,
	TELL_S = 60, /* between two events of one subscriber */
};

/* The bit of a port in the filter of its home line: which of the two words, and its mask. */
static uint16_t *filter_word(struct nat_slot *home, uint32_t hash, uint16_t *mask)
{
	*mask = (uint16_t)(1u << (hash & 15));
	return &home[NAT_LINE_FILTER + (hash >> 4 & 1)].line_state;
}

/* The mapping in this one block, or NULL. */
static struct nat_slot *find_in_block(
	const struct tables *t, uint32_t block, uint32_t plane, be16 port)
{
	struct nat_slot *slots = nat44_slots(t, block, plane);
	uint32_t hash = nat44_hash(t->nat, block, port);
	uint32_t home = nat44_home_line(t->nat, hash);
	struct nat_slot *slot = nat44_line_match(&slots[home], port);
	uint16_t mask;
	if (slot || !(*filter_word(&slots[home], hash, &mask) & mask))
		return slot;
	for (uint32_t line = home; slots[line + NAT_LINE_PASSED].line_state;) {
		line = nat44_next_line(t->nat, line, hash);
		if (line == home)
			return NULL;
		slot = nat44_line_match(&slots[line], port);
		if (slot)
			return slot;
	}
	return NULL;
}

struct nat_slot *nat44_find(const struct tables *t, uint32_t first, uint32_t plane, be16 port)
{
	for (uint32_t block = first; block; block = t->nat_block[block - 1].next) {
		struct nat_slot *slot = find_in_block(t, block - 1, plane, port);
		if (slot)
			return slot;
		if (!t->nat_block[block - 1].overflow[plane])
			return NULL;
	}
	return NULL;
}

/* A free slot of this line, which one is left to chance (RFC 6056: hard to guess), or NULL. */
static struct nat_slot *free_slot(struct worker *w, struct nat_slot *line)
{
	uint32_t start = worker_random(w);
	for (uint32_t i = 0; i < NAT_LINE_SLOTS; i++) {
		struct nat_slot *slot = &line[(start + i) % NAT_LINE_SLOTS];
		if (!(slot->flags & NAT_LIVE))
			return slot;
	}
	return NULL;
}

/* Adds `step` to the overflow count of every block of the session before `block`. */
static void count_overflow(
	const struct tables *t, uint32_t session, uint32_t block, uint32_t plane, int step)
{
	for (uint32_t b = t->in[session].nat_block; b && b - 1 != block;) {
		struct nat_block *passed = &t->nat_block[b - 1];
		passed->overflow[plane] = (uint16_t)(passed->overflow[plane] + step);
		b = passed->next;
	}
}

/* A mapping stands in a later line than the one that its search starts in. */
static void count_away(struct nat_slot *home, uint32_t hash)
{
	uint16_t mask;
	uint16_t *word = filter_word(home, hash, &mask);
	*word |= mask;
	home[NAT_LINE_AWAY].line_state++;
}

/* The filter forgets only when nothing is left that it could speak of. */
static void uncount_away(struct nat_slot *home)
{
	if (--home[NAT_LINE_AWAY].line_state)
		return;
	home[NAT_LINE_FILTER].line_state = 0;
	home[NAT_LINE_FILTER + 1].line_state = 0;
}

/* Enters a mapping in a block that has a free slot. */
static struct nat_slot *place(
	struct worker *w, uint32_t session, uint32_t block, const struct nat44_flow *flow)
{
	const struct tables *t = w->t;
	struct nat_slot *slots = nat44_slots(t, block, flow->plane);
	uint32_t hash = nat44_hash(t->nat, block, flow->port);
	uint32_t home = nat44_home_line(t->nat, hash);
	uint32_t line = home;
	struct nat_slot *slot;
	assert(t->nat_block[block].live[flow->plane] < t->nat->block_size);
	while (!(slot = free_slot(w, &slots[line]))) {
		slots[line + NAT_LINE_PASSED].line_state++;
		line = nat44_next_line(t->nat, line, hash);
	}
	if (line != home)
		count_away(&slots[home], hash);
	slot->inner_port = flow->port;
	slot->flags = NAT_LIVE;
	slot->remote = flow->remote;
	slot->remote_port = flow->remote_port;
	slot->last_s = w->now_s;
	t->nat_block[block].live[flow->plane]++;
	t->nat_address[nat44_block_address(t, block)].live[flow->plane]++;
	count_overflow(t, session, block, flow->plane, 1);
	t->cold[session].nat_mappings++;
	return slot;
}

/* Takes a mapping out of the table. */
static void displace(struct worker *w, struct nat_slot *slot)
{
	const struct tables *t = w->t;
	uint32_t plane;
	uint32_t block = nat44_slot_block(t, slot, &plane);
	uint32_t session = t->nat_block[block].session - 1;
	struct nat_slot *slots = nat44_slots(t, block, plane);
	uint32_t own = (uint32_t)(slot - slots) & ~(uint32_t)(NAT_LINE_SLOTS - 1);
	assert(slot->flags & NAT_LIVE);
	nat44_remote_forget(w, slot);

	uint32_t hash = nat44_hash(t->nat, block, slot->inner_port);
	uint32_t home = nat44_home_line(t->nat, hash);
	for (uint32_t line = home; line != own; line = nat44_next_line(t->nat, line, hash))
		slots[line + NAT_LINE_PASSED].line_state--;
	if (home != own)
		uncount_away(&slots[home]);
	*slot = (struct nat_slot){.line_state = slot->line_state};
	t->nat_block[block].live[plane]--;
	t->nat_address[nat44_block_address(t, block)].live[plane]--;
	count_overflow(t, session, block, plane, -1);
	t->cold[session].nat_mappings--;
}

bool nat44_delete(struct worker *w, struct nat_slot *slot)
{
	if (w->t->nat->log_mappings && !nat44_log_mapping(w, NAT_LOG_MAPPING_DELETED, slot))
		return false;
	displace(w, slot);
	return true;
}

/* Ends what is over in one plane of a block, as far as the log has room. */
static void expire(struct worker *w, uint32_t block, uint32_t plane)
{
	const struct tables *t = w->t;
	struct nat_slot *slots = nat44_slots(t, block, plane);
	for (uint32_t i = 0; i < t->nat->block_size; i++)
		if (slots[i].flags & NAT_LIVE && nat44_expired(t->nat, plane, &slots[i], w->now_s))
			if (!nat44_delete(w, &slots[i]))
				return;
}

/*
 * A port is refused only when every block is full of mappings that still live. Once a second is
 * enough, for time is counted in seconds, and keeps a subscriber who asks on from costing more.
 */
static void expire_session(struct worker *w, uint32_t session, uint32_t plane)
{
	const struct tables *t = w->t;
	uint32_t *scanned_s = &t->cold[session].nat_scanned_s[plane];
	if (*scanned_s == w->now_s)
		return;
	*scanned_s = w->now_s;
	for (uint32_t block = t->in[session].nat_block; block; block = t->nat_block[block - 1].next)
		expire(w, block - 1, plane);
}

/* All that counts against the limit on mappings; flows without ports once a second, too. */
static void expire_all(struct worker *w, uint32_t session)
{
	uint32_t *scanned_s = &w->t->cold[session].nat_scanned_s[NAT_PLANES];
	if (*scanned_s != w->now_s)
		nat44_protocol_expire(w, session);
	*scanned_s = w->now_s;
	for (uint32_t plane = 0; plane < NAT_PLANES; plane++)
		expire_session(w, session, plane);
}

/* The session's first block with a free slot, as index + 1, or 0; counts its blocks. */
static uint32_t block_with_room(
	const struct tables *t, uint32_t session, uint32_t plane, uint32_t *n_blocks)
{
	uint32_t block = t->in[session].nat_block;
	*n_blocks = 0;
	while (block && t->nat_block[block - 1].live[plane] >= t->nat->block_size) {
		block = t->nat_block[block - 1].next;
		++*n_blocks;
	}
	return block;
}

/* One more block, on the same address; the flow's line there will be wanted next. */
static enum nat_refusal extend(
	struct worker *w, uint32_t session, uint32_t n_blocks, const struct nat44_flow *flow)
{
	const struct tables *t = w->t;
	uint32_t address = nat44_block_address(t, t->in[session].nat_block - 1);
	bool all = t->nat_address[address].mode == NAT_DETERMINISTIC;
	if (all || n_blocks >= t->nat->blocks_per_session)
		return NAT_LIMIT;
	uint32_t block = t->nat_address[address].free_first;
	if (block)
		__builtin_prefetch(nat44_slots(t, block - 1, flow->plane) +
					   nat44_home(t->nat, block - 1, flow->port),
			1);
	return nat44_block_take(w, session, address);
}

/* The limits of a subscriber on mappings, beside his ports (RFC 6888 REQ-4). */
enum nat_refusal nat44_within_limits(struct worker *w, uint32_t session)
{
	const struct nat_config *nat = w->t->nat;
	struct session_cold *cold = &w->t->cold[session];
	if (nat->mappings_per_session && cold->nat_mappings >= nat->mappings_per_session)
		expire_all(w, session);
	if (nat->mappings_per_session && cold->nat_mappings >= nat->mappings_per_session)
		return NAT_MAPPINGS;
	if (!nat->mappings_per_s)
		return NAT_GRANTED;
	struct bucket bucket = {cold->nat_tokens, cold->nat_stamp_ms};
	bool granted = bucket_take(&bucket, w->now_ms, nat->mappings_per_s, nat->mappings_per_s);
	cold->nat_tokens = bucket.tokens;
	cold->nat_stamp_ms = bucket.stamp_ms;
	return granted ? NAT_GRANTED : NAT_RATE;
}

enum nat_refusal nat44_refused(struct worker *w, uint32_t session, enum nat_refusal why)
{
	struct session_cold *cold = &w->t->cold[session];
	cold->nat_refused++;
	if ((!cold->nat_told_s || w->now_s + 1 - cold->nat_told_s >= TELL_S) &&
		worker_event(w, EVENT_NAT_REFUSED, session, (uint32_t)why))
		cold->nat_told_s = w->now_s + 1;
	return why;
}

enum nat_refusal nat44_create(
	struct worker *w, uint32_t session, const struct nat44_flow *flow, struct nat_slot **slot)
{
	const struct tables *t = w->t;
	enum nat_refusal refusal = nat44_within_limits(w, session);
	uint32_t n_blocks;
	*slot = NULL;
	if (refusal != NAT_GRANTED)
		return nat44_refused(w, session, refusal);
	uint32_t block = block_with_room(t, session, flow->plane, &n_blocks);
	if (!block) {
		refusal = extend(w, session, n_blocks, flow);
		if (refusal != NAT_GRANTED)
			expire_session(w, session, flow->plane);
		block = block_with_room(t, session, flow->plane, &n_blocks);
	}
	if (!block)
		return nat44_refused(w, session, refusal);
	struct nat_slot *placed = place(w, session, block - 1, flow);
	if (t->nat->log_mappings && !nat44_log_mapping(w, NAT_LOG_MAPPING_CREATED, placed)) {
		displace(w, placed);
		return nat44_refused(w, session, NAT_LOG_FULL);
	}
	*slot = placed;
	return NAT_GRANTED;
}

/* Gives a block that is empty back, unless it is the subscriber's first. */
static void release_empty(struct worker *w, uint32_t index)
{
	const struct tables *t = w->t;
	const struct nat_block *block = &t->nat_block[index];
	if (block->live[NAT_TCP] || block->live[NAT_UDP] || block->live[NAT_ICMP])
		return;
	uint32_t before = t->in[block->session - 1].nat_block;
	uint32_t address = nat44_block_address(t, index);
	if (before - 1 == index || t->nat_address[address].mode == NAT_DETERMINISTIC)
		return;
	while (t->nat_block[before - 1].next - 1 != index)
		before = t->nat_block[before - 1].next;
	t->nat_block[before - 1].next = block->next;
	nat44_block_release(w, index);
}

static void sweep_block(struct worker *w, uint32_t index)
{
	const struct tables *t = w->t;
	struct nat_block *block = &t->nat_block[index];
	uint32_t address = nat44_block_address(t, index);
	if (t->nat_address[address].resting_first == index + 1)
		nat44_rested(w, address);
	if (!block->session)
		return;
	if (block->next == (uint32_t)NAT_BLOCK_UNLOGGED) {
		nat44_block_retry(w, index);
		return;
	}
	for (uint32_t plane = 0; plane < NAT_PLANES; plane++)
		if (block->live[plane])
			expire(w, index, plane);
	release_empty(w, index);
}

/* The next block that is due, of an address of this worker; those of others are due all at once,
 * and not visited. False: none is. */
static bool next_due(const struct worker *w, struct nat_sweep *sweep)
{
	const struct nat_config *nat = w->t->nat;
	uint32_t n = nat->n_addresses * nat->blocks_per_address;
	while (sweep->credit >= NAT_SWEEP_MS) {
		uint32_t next = sweep->position + 1 < n ? sweep->position + 1 : 0;
		const struct nat_address *a = &w->t->nat_address[nat44_block_address(w->t, next)];
		uint64_t cost = NAT_SWEEP_MS;
		bool mine = a->address && a->owner == w->id;
		if (!mine) {
			cost *= nat->blocks_per_address;
			next |= nat->blocks_per_address - 1;
		}
		if (sweep->credit < cost)
			return false;
		sweep->credit -= cost;
		sweep->position = next;
		if (mine)
			return true;
	}
	return false;
}

bool nat44_sweep(struct worker *w, bool idle)
{
	const struct nat_config *nat = w->t->nat;
	struct nat_sweep *sweep = &w->nat_sweep;
	int visits = idle ? SWEEP_VISITS_IDLE : SWEEP_VISITS;
	nat44_sweep_time(sweep, w->now_ms, (uint64_t)nat->n_addresses * nat->blocks_per_address);
	while (visits && next_due(w, sweep)) {
		sweep_block(w, sweep->position);
		visits--;
	}
	nat44_protocol_sweep(w);
	return !visits;
}
