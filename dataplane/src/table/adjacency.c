/* Adjacencies: allocation, reference counts, and a hash to find them; see adjacency.h. */
#include "adjacency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The writer's half of an entry; linked in its hash chain, or in a list of free ones. */
struct owned {
	uint32_t references;
	uint32_t next;
};

struct adjacencies {
	struct adjacency *table;
	struct owned *owned;
	uint32_t *bucket;
	uint32_t mask;
	uint32_t max;
	uint32_t high;
	uint32_t in_use;
	uint32_t free, fresh, rested; /* heads; as the page lists of fib4 */
	uint64_t repoints;
};

struct adjacencies *adjacency_create(struct adjacency *table, uint32_t max)
{
	uint32_t buckets = 64;
	while (buckets < max && buckets < 1u << 20)
		buckets *= 2;
	struct adjacencies *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->table = table;
	a->max = max;
	a->mask = buckets - 1;
	a->free = a->fresh = a->rested = ADJACENCY_NONE;
	a->owned = calloc((size_t)max + 1, sizeof(*a->owned));
	a->bucket = malloc(buckets * sizeof(*a->bucket));
	if (!a->owned || !a->bucket) {
		adjacency_destroy(a);
		return NULL;
	}
	memset(a->bucket, 0xff, buckets * sizeof(*a->bucket));
	return a;
}

void adjacency_destroy(struct adjacencies *a)
{
	if (!a)
		return;
	free(a->owned);
	free(a->bucket);
	free(a);
}

/* Unresolved and resolved next hops are one class. */
static unsigned class_of(unsigned kind)
{
	return kind == ADJ_NEIGHBOUR ? ADJ_GLEAN : kind;
}

static uint32_t *bucket_of(
	const struct adjacencies *a, unsigned kind, uint8_t port, struct ip6_words key)
{
	uint64_t hash = (key.high ^ (uint64_t)port << 8 ^ class_of(kind)) * 0xd6e8feb86659fd93ull;
	hash = (hash ^ hash >> 32 ^ key.low) * 0x9e3779b97f4a7c15ull;
	return &a->bucket[hash >> 32 & a->mask];
}

struct ip6_words adjacency_address(const struct adjacency *adj)
{
	return adj->address ? ip4_words(adj->address) : ip6_words(adj->ip6);
}

static bool has_members(const struct adjacency *adj)
{
	return adj->kind == ADJ_GROUP || adj->kind == ADJ_NEXTHOP;
}

static uint32_t find(
	const struct adjacencies *a, unsigned kind, uint8_t port, struct ip6_words address)
{
	uint32_t id = *bucket_of(a, kind, port, address);
	for (; id != ADJACENCY_NONE; id = a->owned[id].next) {
		const struct adjacency *adj = &a->table[id];
		if (class_of(adj->kind) == class_of(kind) && adj->port == port &&
			same_address(adjacency_address(adj), address))
			return id;
	}
	return ADJACENCY_NONE;
}

/* An object is found by its number, a group by its members. */
static struct ip6_words index_key(uint32_t index)
{
	return (struct ip6_words){.low = index};
}

static uint32_t *own_bucket(const struct adjacencies *a, const struct adjacency *adj)
{
	struct ip6_words key = has_members(adj) ? index_key(adj->index) : adjacency_address(adj);
	return bucket_of(a, adj->kind, adj->port, key);
}

uint32_t adjacency_find(const struct adjacencies *a, uint8_t port, struct ip6_words address)
{
	return find(a, ADJ_GLEAN, port, address);
}

static uint32_t allocate(struct adjacencies *a)
{
	uint32_t id = a->free;
	if (id != ADJACENCY_NONE)
		a->free = a->owned[id].next;
	else if (a->high < a->max)
		id = a->high++;
	return id;
}

static void link_in(struct adjacencies *a, uint32_t id)
{
	uint32_t *bucket = own_bucket(a, &a->table[id]);
	a->owned[id].next = *bucket;
	*bucket = id;
}

static void link_out(struct adjacencies *a, uint32_t id)
{
	uint32_t *link = own_bucket(a, &a->table[id]);
	while (*link != id)
		link = &a->owned[*link].next;
	*link = a->owned[id].next;
}

static void publish(struct adjacency *adj, enum adjacency_kind kind)
{
	__atomic_store_n(&adj->kind, (uint8_t)kind, __ATOMIC_RELEASE);
}

uint32_t adjacency_get(struct adjacencies *a, enum adjacency_kind kind, uint8_t port,
	struct ip6_words address, uint32_t index, uint16_t mtu)
{
	assert(kind != ADJ_FREE && kind != ADJ_NEIGHBOUR && kind != ADJ_GROUP);
	uint32_t id = find(a, kind, port, address);
	if (id == ADJACENCY_NONE) {
		id = allocate(a);
		if (id == ADJACENCY_NONE)
			return id;
		struct adjacency *adj = &a->table[id];
		memset(adj, 0, sizeof(*adj));
		adj->port = port;
		adj->mtu = mtu;
		adj->index = index;
		adj->address = ip4_of(address);
		if (!adj->address)
			ip6_bytes(address, adj->ip6);
		publish(adj, kind);
		link_in(a, id);
		a->in_use++;
	}
	a->owned[id].references++;
	return id;
}

/* True: that was the last one. The entry stands until no worker can be on its way to it; what it
 * names keeps its references. */
static bool put_one(struct adjacencies *a, uint32_t id)
{
	assert(id < a->high && a->owned[id].references);
	if (--a->owned[id].references)
		return false;
	link_out(a, id);
	a->owned[id].next = a->fresh;
	a->fresh = id;
	a->in_use--;
	return true;
}

static void put_members(struct adjacencies *a, const uint16_t member[GROUP_SLOTS])
{
	for (int i = 0; i < GROUP_SLOTS; i++)
		(void)put_one(a, member[i]);
}

void adjacency_put(struct adjacencies *a, uint32_t id)
{
	if (put_one(a, id) && has_members(&a->table[id]))
		put_members(a, a->table[id].member);
}

void adjacency_hold(struct adjacencies *a, uint32_t id)
{
	a->owned[id].references++;
}

/* ---- groups ---- */

static uint32_t hash_members(const uint16_t member[GROUP_SLOTS])
{
	uint64_t hash = 0;
	for (int i = 0; i < GROUP_SLOTS; i++)
		hash = (hash + member[i] + 1) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(hash >> 32);
}

static uint32_t find_group(
	const struct adjacencies *a, const uint16_t member[GROUP_SLOTS], uint32_t hash)
{
	uint32_t id = *bucket_of(a, ADJ_GROUP, ADJACENCY_NO_PORT, index_key(hash));
	for (; id != ADJACENCY_NONE; id = a->owned[id].next) {
		const struct adjacency *adj = &a->table[id];
		if (adj->kind == ADJ_GROUP && !(adj->flags & ADJACENCY_OBJECT) &&
			!memcmp(adj->member, member, sizeof(adj->member)))
			return id;
	}
	return ADJACENCY_NONE;
}

/* An entry with these members, whose references it takes over. */
static uint32_t make_group(struct adjacencies *a, enum adjacency_kind kind, uint8_t flags,
	uint32_t index, const uint16_t member[GROUP_SLOTS])
{
	uint32_t id = allocate(a);
	if (id == ADJACENCY_NONE) {
		put_members(a, member);
		return id;
	}
	struct adjacency *adj = &a->table[id];
	memset(adj, 0, sizeof(*adj));
	adj->port = ADJACENCY_NO_PORT;
	adj->flags = flags;
	adj->index = index;
	memcpy(adj->member, member, sizeof(adj->member));
	publish(adj, kind);
	link_in(a, id);
	a->in_use++;
	a->owned[id].references = 1;
	return id;
}

uint32_t adjacency_get_group(struct adjacencies *a, const uint16_t member[GROUP_SLOTS])
{
	uint32_t hash = hash_members(member);
	uint32_t id = find_group(a, member, hash);
	if (id == ADJACENCY_NONE)
		return make_group(a, ADJ_GROUP, 0, hash, member);
	a->owned[id].references++;
	put_members(a, member); /* the group has its own */
	return id;
}

uint32_t adjacency_make_object(struct adjacencies *a, enum adjacency_kind kind, uint32_t number,
	const uint16_t member[GROUP_SLOTS])
{
	return make_group(a, kind, ADJACENCY_OBJECT, number, member);
}

void adjacency_repoint(struct adjacencies *a, uint32_t id, const uint16_t member[GROUP_SLOTS])
{
	struct adjacency *object = &a->table[id];
	for (int i = 0; i < GROUP_SLOTS; i++) {
		uint16_t old = object->member[i];
		__atomic_store_n(&object->member[i], member[i], __ATOMIC_RELEASE);
		(void)put_one(a, old);
	}
	a->repoints++;
}

/* The group's members on this port are replaced by others, in place, when there are any. */
static void group_leave(struct adjacencies *a, uint32_t id, uint8_t port)
{
	struct adjacency *group = &a->table[id];
	uint16_t left[GROUP_SLOTS];
	uint32_t n = 0;
	for (int i = 0; i < GROUP_SLOTS; i++)
		if (a->table[group->member[i]].port != port)
			left[n++] = group->member[i];
	if (n == 0 || n == GROUP_SLOTS)
		return;
	link_out(a, id);
	for (uint32_t i = 0; i < GROUP_SLOTS; i++) {
		uint16_t old = group->member[i];
		if (a->table[old].port != port)
			continue;
		uint16_t other = left[i % n];
		a->owned[other].references++;
		__atomic_store_n(&group->member[i], other, __ATOMIC_RELEASE);
		(void)put_one(a, old);
	}
	group->index = hash_members(group->member);
	link_in(a, id);
	a->repoints++;
}

void adjacency_port_lost(struct adjacencies *a, uint8_t port)
{
	for (uint32_t id = 0; id < a->high; id++)
		if (a->owned[id].references && a->table[id].kind == ADJ_GROUP &&
			!(a->table[id].flags & ADJACENCY_OBJECT))
			group_leave(a, id, port);
}

uint32_t adjacency_first(
	const struct adjacencies *a, enum adjacency_kind kind, uint8_t port, bool ip4)
{
	uint32_t first = ADJACENCY_NONE;
	for (uint32_t id = 0; id < a->high; id++) {
		const struct adjacency *adj = &a->table[id];
		if (a->owned[id].references && adj->kind == kind && adj->port == port &&
			!adj->address == !ip4 &&
			(first == ADJACENCY_NONE || adj->index < a->table[first].index))
			first = id;
	}
	return first;
}

void adjacency_resolve(
	struct adjacencies *a, uint32_t id, const uint8_t destination[6], const uint8_t source[6])
{
	struct adjacency *adj = &a->table[id];
	uint64_t first; /* all of the destination and two bytes that do not change */
	memcpy(&first, destination, 6);
	memcpy((uint8_t *)&first + 6, source, 2);
	__atomic_store_n((uint64_t *)(void *)adj->rewrite, first, __ATOMIC_RELAXED);
	memcpy(adj->rewrite + 8, source + 2, 4);
	publish(adj, ADJ_NEIGHBOUR);
}

void adjacency_unresolve(struct adjacencies *a, uint32_t id)
{
	a->table[id].flags = 0;
	publish(&a->table[id], ADJ_GLEAN);
}

void adjacency_reclaim(struct adjacencies *a)
{
	while (a->rested != ADJACENCY_NONE) {
		uint32_t id = a->rested;
		a->rested = a->owned[id].next;
		publish(&a->table[id], ADJ_FREE);
		a->owned[id].next = a->free;
		a->free = id;
	}
	a->rested = a->fresh;
	a->fresh = ADJACENCY_NONE;
}

uint32_t adjacency_in_use(const struct adjacencies *a)
{
	return a->in_use;
}

bool adjacency_is_used(const struct adjacencies *a, uint32_t id)
{
	return id < a->high && a->owned[id].references;
}

bool adjacency_is_shared(const struct adjacencies *a, uint32_t id)
{
	return a->owned[id].references > 1;
}

uint64_t adjacency_repoints(const struct adjacencies *a)
{
	return a->repoints;
}

uint32_t adjacency_high(const struct adjacencies *a)
{
	return a->high;
}

_Static_assert(offsetof(struct adjacency, rewrite) % 8 == 0, "MAC changes in one store");
