/*
 * NAT44 port blocks: which are free, whose they are. All blocks of a subscriber are on one address
 * (RFC 4787 REQ-2, paired pooling); a block given back rests until all others were used.
 */
#include "table/nat44.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "table/nat44_forward.h"
#include "table/nat44_log.h"
#include "table/nat44_map.h"
#include "table/nat44_protocol.h"
#include "table/nat44_remote.h"

static void append(const struct tables *t, uint32_t index, uint32_t *first, uint32_t *last)
{
	if (*last)
		t->nat_block[*last - 1].next = index + 1;
	else
		*first = index + 1;
	*last = index + 1;
}

void nat44_block_free(const struct tables *t, uint32_t index)
{
	struct nat_address *a = &t->nat_address[nat44_block_address(t, index)];
	t->nat_block[index] = (struct nat_block){0};
	append(t, index, &a->free_first, &a->free_last);
	a->free_blocks++;
}

/* RFC 6888 REQ-8: what was somebody's rests before it is another's. */
static void append_resting(const struct worker *w, uint32_t index)
{
	const struct tables *t = w->t;
	struct nat_address *a = &t->nat_address[nat44_block_address(t, index)];
	t->nat_block[index] = (struct nat_block){.freed_s = w->now_s};
	append(t, index, &a->resting_first, &a->resting_last);
	a->resting_blocks++;
}

void nat44_rested(const struct worker *w, uint32_t address)
{
	const struct tables *t = w->t;
	struct nat_address *a = &t->nat_address[address];
	uint32_t most = t->nat->blocks_per_address * t->nat->quarantine_percent / 100;
	while (a->resting_first) {
		uint32_t index = a->resting_first - 1;
		uint32_t rested_s = w->now_s - t->nat_block[index].freed_s;
		if (rested_s < t->nat->quarantine_s && a->resting_blocks <= most)
			return;
		a->resting_first = t->nat_block[index].next;
		if (!a->resting_first)
			a->resting_last = 0;
		a->resting_blocks--;
		nat44_block_free(t, index);
	}
}

enum nat_refusal nat44_block_take(struct worker *w, uint32_t session, uint32_t address)
{
	const struct tables *t = w->t;
	struct nat_address *a = &t->nat_address[address];
	struct session_in *in = &t->in[session];
	nat44_rested(w, address);
	if (!a->free_first)
		return NAT_EXHAUSTED;

	uint32_t index = a->free_first - 1;
	uint32_t next_free = t->nat_block[index].next;
	t->nat_block[index] = (struct nat_block){
		.session = session + 1,
		.generation = in->generation,
		.inner = in->ip4,
	};
	if (!nat44_log_block(w, NAT_LOG_BLOCK_ALLOCATED, index)) {
		t->nat_block[index] = (struct nat_block){.next = next_free};
		return NAT_LOG_FULL;
	}
	a->free_first = next_free;
	if (next_free)
		__builtin_prefetch(&t->nat_block[next_free - 1], 1);
	else
		a->free_last = 0;
	a->free_blocks--;
	a->used_blocks++;

	uint32_t *link = &in->nat_block;
	while (*link)
		link = &t->nat_block[*link - 1].next;
	*link = index + 1;
	return NAT_GRANTED;
}

static void give_place_back(const struct tables *t, uint32_t index)
{
	struct nat_address *a = &t->nat_address[nat44_block_address(t, index)];
	t->nat_block[index] = (struct nat_block){0};
	a->used_blocks--;
	a->free_blocks++;
}

void nat44_block_release(struct worker *w, uint32_t index)
{
	const struct tables *t = w->t;
	struct nat_block *block = &t->nat_block[index];
	struct nat_address *a = &t->nat_address[nat44_block_address(t, index)];
	nat44_remote_forget_block(w, index);
	for (uint32_t plane = 0; plane < NAT_PLANES; plane++) {
		/* without a live mapping a plane is all zero, overflow counts too */
		if (block->live[plane])
			memset(nat44_slots(t, index, plane), 0,
				t->nat->block_size * sizeof(struct nat_slot));
		a->live[plane] -= block->live[plane];
		block->live[plane] = 0;
		block->overflow[plane] = 0;
	}
	if (a->mode == NAT_DETERMINISTIC && !block->freed_s) {
		give_place_back(t, index);
		return;
	}
	block->next = (uint32_t)NAT_BLOCK_UNLOGGED;
	nat44_block_retry(w, index);
}

void nat44_block_retry(struct worker *w, uint32_t index)
{
	if (!nat44_log_block(w, NAT_LOG_BLOCK_RELEASED, index))
		return;
	uint32_t address = nat44_block_address(w->t, index);
	if (w->t->nat_address[address].mode == NAT_DETERMINISTIC) {
		give_place_back(w->t, index);
		return;
	}
	append_resting(w, index);
	w->t->nat_address[address].used_blocks--;
	nat44_rested(w, address);
}

/* RFC 7422: nothing is searched and nothing logged, unless mappings are; the configuration is the
 * log. */
static int take_place(struct worker *w, uint32_t session, const struct nat44_place *place)
{
	const struct tables *t = w->t;
	struct nat_address *a = &t->nat_address[place->address];
	uint32_t first = (place->address << nat44_block_bits(t->nat)) + place->first - 1;
	for (uint32_t i = 0; i < place->n_blocks; i++)
		if (t->nat_block[first + i].session)
			return -EEXIST;
	for (uint32_t i = 0; i < place->n_blocks; i++)
		t->nat_block[first + i] = (struct nat_block){
			.session = session + 1,
			.generation = t->in[session].generation,
			.inner = t->in[session].ip4,
			.next = i + 1 < place->n_blocks ? first + i + 2 : 0,
		};
	a->used_blocks += place->n_blocks;
	a->free_blocks -= place->n_blocks;
	t->in[session].nat_block = first + 1;
	return 0;
}

bool nat44_place_is_sane(const struct worker *w, const struct nat44_place *place)
{
	const struct nat_config *nat = w->t->nat;
	if (place->address >= nat->n_addresses)
		return false;
	const struct nat_address *a = &w->t->nat_address[place->address];
	if (!a->address || a->owner != w->id)
		return false;
	if (a->mode != NAT_DETERMINISTIC)
		return !place->first && !place->n_blocks;
	return place->first > nat44_first_block(nat) && place->n_blocks &&
	       place->first - 1 + place->n_blocks <= nat->blocks_per_address;
}

bool nat44_session_is_at(const struct tables *t, uint32_t session, const struct nat44_place *place)
{
	uint32_t block = t->in[session].nat_block;
	if (!block || nat44_block_address(t, block - 1) != place->address)
		return false;
	uint32_t in_address = (1u << nat44_block_bits(t->nat)) - 1;
	return !place->first || ((block - 1) & in_address) == place->first - 1;
}

int nat44_session_up(struct worker *w, uint32_t session, const struct nat44_place *place)
{
	const struct tables *t = w->t;
	struct session_cold *cold = &t->cold[session];
	assert(!t->in[session].nat_block);
	cold->nat_tokens = nat44_bucket_most(t->nat);
	cold->nat_stamp_ms = w->now_ms;
	if (place->first)
		return take_place(w, session, place);
	return nat44_block_take(w, session, place->address) == NAT_GRANTED ? 0 : -ENOSPC;
}

uint32_t nat44_session_address(const struct tables *t, uint32_t session)
{
	uint32_t block = t->in[session].nat_block;
	return block ? nat44_block_address(t, block - 1) + 1 : 0;
}

void nat44_session_down(struct worker *w, uint32_t session)
{
	const struct tables *t = w->t;
	uint32_t block = t->in[session].nat_block;
	nat44_protocol_forget(w, session);
	nat44_forward_clear(w, session);
	t->in[session].nat_block = 0;
	t->cold[session].nat_mappings = 0;
	while (block) {
		uint32_t next = t->nat_block[block - 1].next;
		nat44_block_release(w, block - 1);
		block = next;
	}
}
