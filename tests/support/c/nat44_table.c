/* The table of mappings and blocks: what is done to it, and its invariants counted anew. */
#include "nat44_table.h"

#include <stdlib.h>
#include <string.h>

bool worker_nat_log(struct worker *w, const struct nat_log_record *record)
{
	struct table_test *e = (struct table_test *)(void *)w->dp;
	if (e->log_full)
		return false;
	e->logged[record->type]++;
	return true;
}

bool worker_nat_log_begin(struct worker *w, const struct nat_log_record *record)
{
	return worker_nat_log(w, record);
}

void worker_nat_log_end(struct worker *w, const struct nat_log_record *record)
{
	(void)worker_nat_log(w, record);
}

bool worker_event(struct worker *w, uint32_t type, uint32_t session, uint32_t arg)
{
	(void)w, (void)session, (void)arg;
	return type == EVENT_NAT_REFUSED;
}

struct table_test *table_create(uint32_t block_size, uint32_t blocks_per_session,
	uint32_t n_addresses, uint32_t n_sessions, uint32_t port_min, uint32_t seed)
{
	struct table_test *e = calloc(1, sizeof(*e));
	struct tables *t = &e->tables;
	struct nat44_public addresses[64] = {0};
	for (uint32_t i = 0; i < n_addresses; i++)
		addresses[i].address = hton32(0xcb007100 + i);
	t->max_sessions = n_sessions;
	t->in = calloc(n_sessions, sizeof(*t->in));
	t->cold = calloc(n_sessions, sizeof(*t->cold));
	t->nat = calloc(1, sizeof(*t->nat));
	*t->nat = (struct nat_config){
		.n_addresses = n_addresses,
		.block_size = block_size,
		.block_shift = (uint32_t)__builtin_ctz(block_size),
		.blocks_per_address = 65536 / block_size,
		.blocks_per_session = blocks_per_session,
		.port_min = port_min,
		.udp_timeout_s = 300,
		.tcp_established_s = 7440,
		.tcp_transitory_s = 240,
		.tcp_closing_s = 250,
		.icmp_timeout_s = 60,
		.hash_key = {seed, seed * 2654435761u, seed ^ 0x9e3779b9, seed + 0x85ebca6b},
	};
	t->nat_address = calloc(n_addresses, sizeof(*t->nat_address));
	t->nat_block = calloc(n_addresses * t->nat->blocks_per_address, sizeof(*t->nat_block));
	t->nat_slot = aligned_alloc(64, sizeof(*t->nat_slot) * n_addresses * NAT_PLANES << 16);
	memset(t->nat_slot, 0, sizeof(*t->nat_slot) * n_addresses * NAT_PLANES << 16);
	nat44_init(t, addresses, n_addresses, 1);
	e->worker.t = t;
	e->worker.dp = (struct dataplane *)(void *)e;
	e->worker.random = seed + 1;
	return e;
}

void table_destroy(struct table_test *e)
{
	free(e->tables.in);
	free(e->tables.cold);
	free(e->tables.nat);
	free(e->tables.nat_address);
	free(e->tables.nat_block);
	free(e->tables.nat_slot);
	free(e->tables.nat_remote);
	free(e);
}

void table_time(struct table_test *e, uint32_t now_s)
{
	e->worker.now_s = now_s;
	e->worker.now_ms = now_s * 1000;
}

void table_log_full(struct table_test *e, bool full)
{
	e->log_full = full;
}

void table_log_mappings(struct table_test *e, bool all)
{
	e->tables.nat->log_mappings = all;
}

void table_limits(struct table_test *e, uint32_t mappings, uint32_t per_s, uint32_t quarantine_s,
	uint32_t quarantine_percent)
{
	struct nat_config *nat = e->tables.nat;
	nat->mappings_per_session = mappings;
	nat->mappings_per_s = per_s;
	nat->quarantine_s = quarantine_s;
	nat->quarantine_percent = quarantine_percent;
}

uint32_t table_logged(const struct table_test *e, uint32_t type)
{
	return e->logged[type];
}

uint32_t table_up(struct table_test *e, uint32_t session, uint32_t address)
{
	e->tables.in[session].ip4 = hton32(0x64400000 + session);
	const struct nat44_place place = {.address = address};
	if (!nat44_place_is_sane(&e->worker, &place) ||
		nat44_session_up(&e->worker, session, &place))
		return 0;
	return e->tables.in[session].nat_block;
}

void table_down(struct table_test *e, uint32_t session)
{
	nat44_session_down(&e->worker, session);
	e->tables.in[session].generation++;
}

int32_t table_map(struct table_test *e, uint32_t session, uint32_t plane, uint16_t port)
{
	return table_map_to(e, session, plane, port, 0, 0);
}

int32_t table_map_to(struct table_test *e, uint32_t session, uint32_t plane, uint16_t port,
	uint32_t remote, uint16_t remote_port)
{
	const struct tables *t = &e->tables;
	struct nat44_flow flow = {
		.plane = (uint8_t)plane,
		.port = hton16(port),
		.remote = remote,
		.remote_port = remote_port,
	};
	struct nat_slot *slot = nat44_find(t, t->in[session].nat_block, plane, flow.port);
	if (slot && nat44_expired(t->nat, plane, slot, e->worker.now_s)) {
		if (!nat44_delete(&e->worker, slot))
			return -NAT_LOG_FULL;
		slot = NULL;
	}
	if (!slot) {
		enum nat_refusal refusal = nat44_create(&e->worker, session, &flow, &slot);
		if (refusal != NAT_GRANTED)
			return -(int32_t)refusal;
	}
	slot->last_s = e->worker.now_s;
	return ntoh16(nat44_external_port(t, slot));
}

/* External port, or -1; whatever its timer says. */
int32_t table_find(struct table_test *e, uint32_t session, uint32_t plane, uint16_t port)
{
	const struct tables *t = &e->tables;
	const struct nat_slot *slot = nat44_find(t, t->in[session].nat_block, plane, hton16(port));
	return slot ? ntoh16(nat44_external_port(t, slot)) : -1;
}

/* session << 16 | inner port, or -1. */
int64_t table_inside(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external)
{
	const struct tables *t = &e->tables;
	const struct nat_slot *slot = &t->nat_slot[nat44_slot_index(address, plane, external)];
	uint32_t block = address << nat44_block_bits(t->nat) | external >> t->nat->block_shift;
	if (!(slot->flags & NAT_LIVE) || nat44_expired(t->nat, plane, slot, e->worker.now_s))
		return -1;
	return (int64_t)(t->nat_block[block].session - 1) << 16 | ntoh16(slot->inner_port);
}

bool table_delete(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external)
{
	return nat44_delete(
		&e->worker, &e->tables.nat_slot[nat44_slot_index(address, plane, external)]);
}

/* What a minute of calls does, without time passing. */
void table_sweep_all(struct table_test *e)
{
	const struct nat_config *nat = e->tables.nat;
	e->worker.nat_sweep.credit = (uint64_t)60000 * nat->n_addresses * nat->blocks_per_address;
	e->worker.nat_sweep.stamp_ms = e->worker.now_ms;
	while (e->worker.nat_sweep.credit)
		(void)nat44_sweep(&e->worker, true);
}

uint32_t table_free_blocks(const struct table_test *e, uint32_t address)
{
	return e->tables.nat_address[address].free_blocks;
}

uint32_t table_resting_blocks(const struct table_test *e, uint32_t address)
{
	return e->tables.nat_address[address].resting_blocks;
}

int64_t table_longest_rest(const struct table_test *e, uint32_t address)
{
	uint32_t first = e->tables.nat_address[address].resting_first;
	return first ? (int64_t)(e->worker.now_s - e->tables.nat_block[first - 1].freed_s) : -1;
}

uint32_t table_blocks(const struct table_test *e, uint32_t session)
{
	uint32_t n = 0;
	for (uint32_t b = e->tables.in[session].nat_block; b; b = e->tables.nat_block[b - 1].next)
		n++;
	return n;
}

uint64_t table_mappings(const struct table_test *e, uint32_t session)
{
	return e->tables.cold[session].nat_mappings;
}

/* Counts anew what the lines of a plane of a block hold of themselves. */
static int check_lines(const struct table_test *e, uint32_t block, const struct nat_slot *slots)
{
	const struct nat_config *nat = e->tables.nat;
	uint16_t passed[4096 / NAT_LINE_SLOTS] = {0}, away[4096 / NAT_LINE_SLOTS] = {0};
	uint32_t bits[4096 / NAT_LINE_SLOTS] = {0};
	for (uint32_t i = 0; i < nat->block_size; i++) {
		if (!(slots[i].flags & NAT_LIVE))
			continue;
		uint32_t hash = nat44_hash(nat, block, slots[i].inner_port);
		uint32_t home = nat44_home_line(nat, hash) / NAT_LINE_SLOTS;
		uint32_t own = i / NAT_LINE_SLOTS;
		for (uint32_t l = home; l != own;
			l = nat44_next_line(nat, l * NAT_LINE_SLOTS, hash) / NAT_LINE_SLOTS)
			passed[l]++;
		away[home] = (uint16_t)(away[home] + (home != own));
		bits[home] |= home != own ? 1u << (hash & 31) : 0;
	}
	for (uint32_t l = 0; l < nat->block_size / NAT_LINE_SLOTS; l++) {
		const struct nat_slot *line = &slots[l * NAT_LINE_SLOTS];
		uint32_t filter = line[NAT_LINE_FILTER].line_state |
				  (uint32_t)line[NAT_LINE_FILTER + 1].line_state << 16;
		if (line[NAT_LINE_PASSED].line_state != passed[l])
			return 2;
		if (line[NAT_LINE_AWAY].line_state != away[l])
			return 8;
		if (bits[l] & ~filter || (!away[l] && filter))
			return 9;
	}
	return 0;
}

/* Counts one plane of a block anew and compares: live mappings, and what its lines hold. */
static int check_plane(const struct table_test *e, uint32_t block, uint32_t plane)
{
	const struct tables *t = &e->tables;
	const struct nat_slot *slots = nat44_slots(t, block, plane);
	uint32_t live = 0;
	for (uint32_t i = 0; i < t->nat->block_size; i++)
		live += slots[i].flags & NAT_LIVE;
	if (live != t->nat_block[block].live[plane])
		return 1;
	return check_lines(e, block, slots);
}

/* A block counts the live mappings in those after it. */
static int check_session(const struct table_test *e, uint32_t session)
{
	const struct tables *t = &e->tables;
	uint64_t live = 0;
	for (uint32_t b = t->in[session].nat_block; b; b = t->nat_block[b - 1].next) {
		const struct nat_block *block = &t->nat_block[b - 1];
		if (block->session != session + 1)
			return 3;
		for (uint32_t plane = 0; plane < NAT_PLANES; plane++) {
			uint32_t later = 0;
			live += block->live[plane];
			for (uint32_t l = block->next; l; l = t->nat_block[l - 1].next)
				later += t->nat_block[l - 1].live[plane];
			if (later != block->overflow[plane])
				return 4;
		}
	}
	return live == t->cold[session].nat_mappings ? 0 : 5;
}

/* A chain of blocks that are nobody's is as long as it says, and ends where it says. */
static int check_chain(
	const struct table_test *e, uint32_t first, uint32_t last, uint32_t length, int broken)
{
	const struct tables *t = &e->tables;
	uint32_t n = 0, end = 0;
	for (uint32_t b = first; b; b = t->nat_block[b - 1].next) {
		if (t->nat_block[b - 1].session || n++ > t->nat->blocks_per_address)
			return broken;
		end = b;
	}
	return n == length && end == last ? 0 : broken;
}

static int check_free(const struct table_test *e, uint32_t address)
{
	const struct nat_address *a = &e->tables.nat_address[address];
	int broken = check_chain(e, a->free_first, a->free_last, a->free_blocks, 6);
	return broken ? broken
		      : check_chain(e, a->resting_first, a->resting_last, a->resting_blocks, 7);
}

/* An address counts the blocks in use, and the live mappings in them; every block that may be given
 * is free, rests or is in use. */
static int check_used(const struct table_test *e, uint32_t address)
{
	const struct tables *t = &e->tables;
	const struct nat_address *a = &t->nat_address[address];
	uint32_t used = 0, live[NAT_PLANES] = {0};
	for (uint32_t b = 0; b < t->nat->blocks_per_address; b++) {
		const struct nat_block *block =
			&t->nat_block[address * t->nat->blocks_per_address + b];
		used += block->session != 0;
		for (uint32_t plane = 0; plane < NAT_PLANES; plane++)
			live[plane] += block->live[plane];
	}
	uint32_t size = t->nat->block_size, first = (t->nat->port_min + size - 1) / size;
	uint32_t usable = t->nat->blocks_per_address - first;
	if (a->free_blocks + a->resting_blocks + used != usable)
		return 10;
	return used == a->used_blocks && !memcmp(live, a->live, sizeof(live)) ? 0 : 8;
}

static int check_address(const struct table_test *e, uint32_t address)
{
	int broken = check_free(e, address);
	return broken ? broken : check_used(e, address);
}

/* 0, or which of the invariants does not hold. */
int table_check(const struct table_test *e)
{
	const struct nat_config *nat = e->tables.nat;
	int broken = 0;
	for (uint32_t b = 0; !broken && b < nat->n_addresses * nat->blocks_per_address; b++)
		for (uint32_t plane = 0; !broken && plane < NAT_PLANES; plane++)
			broken = check_plane(e, b, plane);
	for (uint32_t s = 0; !broken && s < e->tables.max_sessions; s++)
		broken = check_session(e, s);
	for (uint32_t a = 0; !broken && a < nat->n_addresses; a++)
		broken = check_address(e, a);
	return broken;
}

/* Every slot as it was at the start. */
bool table_is_zero(const struct table_test *e)
{
	const uint8_t *bytes = (const uint8_t *)e->tables.nat_slot;
	size_t size = sizeof(struct nat_slot) * e->tables.nat->n_addresses * NAT_PLANES << 16;
	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}
