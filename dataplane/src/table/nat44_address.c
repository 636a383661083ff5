/*
 * NAT44: the public addresses, those of the start and those that come and go, and what of the
 * configuration changes live.
 */
#include <assert.h>
#include <errno.h>

#include "table/nat44.h"
#include "table/nat44_map.h"

enum { MAX_BLOCKS_PER_ADDRESS = 65536 / 64 };

/* splitmix64: only the order of first use hangs on it. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Whether ports of the block (of its address) are kept for forwards. */
static bool is_kept(const struct nat_config *nat, uint32_t block)
{
	return block >= nat->forward_low >> nat->block_shift &&
	       block <= nat->forward_high >> nat->block_shift && nat->forward_high;
}

/* All blocks of an address from port_min on become free, in an order that nobody can foresee. */
static void free_all(const struct tables *t, uint32_t address, uint64_t *random)
{
	const struct nat_config *nat = t->nat;
	uint16_t order[MAX_BLOCKS_PER_ADDRESS];
	uint32_t n = 0;

	for (uint32_t block = nat44_first_block(nat); block < nat->blocks_per_address; block++) {
		if (is_kept(nat, block))
			continue;
		uint32_t place = (uint32_t)(next_random(random) % (n + 1));
		order[n] = order[place]; /* Fisher-Yates, inside out */
		order[place] = (uint16_t)block;
		n++;
	}
	for (uint32_t i = 0; i < n; i++)
		nat44_block_free(t, address << nat44_block_bits(nat) | order[i]);
}

/* The address comes last: who sees it sees all of the entry. */
static void fill(const struct tables *t, uint32_t index, const struct nat44_public *public,
	uint32_t owner, uint64_t *random)
{
	const struct nat_config *nat = t->nat;
	struct nat_address *a = &t->nat_address[index];
	*a = (struct nat_address){.owner = owner, .mode = public->mode};
	if (public->mode == NAT_PORT_BLOCKS)
		free_all(t, index, random);
	else if (public->mode == NAT_DETERMINISTIC)
		a->free_blocks = nat->blocks_per_address - nat44_first_block(nat);
	__atomic_store_n(&a->address, public->address, __ATOMIC_RELEASE);
}

static int add(struct worker *w, const struct nat_address_set *set)
{
	const struct nat_address *a = &w->t->nat_address[set->index];
	const struct nat44_public public = {set->address, (enum nat_mode)set->mode};
	if (a->address == set->address && a->owner == w->id && a->mode == set->mode)
		return 0;
	if (a->address)
		return -EEXIST;
	uint64_t random = (uint64_t)worker_random(w) << 32 | worker_random(w);
	fill(w->t, set->index, &public, w->id, &random);
	return 0;
}

/* What rested in it rests no longer. */
static int empty(const struct worker *w, const struct nat_address_set *set)
{
	const struct tables *t = w->t;
	struct nat_address *a = &t->nat_address[set->index];
	if (a->address != set->address)
		return 0; /* it is gone already */
	if (a->owner != w->id)
		return -EINVAL;
	if (a->used_blocks || a->protocol_flows)
		return -EBUSY;
	for (uint32_t block = 0; block < t->nat->blocks_per_address; block++)
		t->nat_block[set->index << nat44_block_bits(t->nat) | block] =
			(struct nat_block){0};
	*a = (struct nat_address){.owner = a->owner};
	return 0;
}

int nat44_address_command(struct worker *w, const struct nat_address_set *set)
{
	if (!set->address || set->index >= w->t->nat->n_addresses ||
		set->mode > NAT_DETERMINISTIC || set->on > 1)
		return -EINVAL;
	return set->on ? add(w, set) : empty(w, set);
}

int nat44_set(const struct tables *t, const struct nat_set *set)
{
	struct nat_config *nat = t->nat;
	if (set->filtering > NAT_ADDRESS_DEPENDENT || set->remotes_per_session > UINT16_MAX ||
		set->mappings_per_s > NAT_MAPPINGS_PER_S_MOST || set->quarantine_percent > 100 ||
		set->log_mappings > 1)
		return -EINVAL;
	__atomic_store_n(&nat->filtering, set->filtering, __ATOMIC_RELAXED);
	__atomic_store_n(&nat->remotes_per_session, set->remotes_per_session, __ATOMIC_RELAXED);
	__atomic_store_n(&nat->mappings_per_session, set->mappings_per_session, __ATOMIC_RELAXED);
	__atomic_store_n(&nat->mappings_per_s, set->mappings_per_s, __ATOMIC_RELAXED);
	__atomic_store_n(&nat->quarantine_s, set->quarantine_s, __ATOMIC_RELAXED);
	__atomic_store_n(&nat->quarantine_percent, set->quarantine_percent, __ATOMIC_RELAXED);
	__atomic_store_n(&nat->log_mappings, set->log_mappings, __ATOMIC_RELAXED);
	return 0;
}

void nat44_init(
	struct tables *t, const struct nat44_public *addresses, uint32_t n, uint32_t n_workers)
{
	const struct nat_config *nat = t->nat;
	uint64_t random = (uint64_t)nat->hash_key[1] << 32 | nat->hash_key[0];
	assert(n <= nat->n_addresses && n_workers > 0);
	assert(!n || nat->block_size == 1u << nat->block_shift);
	assert(nat->blocks_per_address <= MAX_BLOCKS_PER_ADDRESS);
	for (uint32_t i = 0; i < n; i++)
		fill(t, i, &addresses[i], i % n_workers, &random);
}
