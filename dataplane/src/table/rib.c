/* The list of offered routes: a slab of entries in chained hash buckets; see rib.h. */
#include "rib.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 1024 };
#define NO_ENTRY ((uint32_t)RIB_MAX)
#define ADJACENCY_MASK 0x3fffffu /* all that a leaf has */

/* Entries of one key stand in their chain in the order in which they are preferred. */
struct entry {
	uint32_t prefix; /* IPv4 */
	uint32_t priority;
	uint32_t adjacency : 22;
	uint32_t length : 8;
	uint32_t kernel : 1;
	uint32_t seen : 1;
	uint32_t next : 24;
	uint32_t source : 3;  /* FIB_SOURCES: a free entry */
	uint32_t waiting : 1; /* the FIB had no room for it */
	uint32_t reserved : 4;
};
_Static_assert(sizeof(struct entry) == 16, "a million of them");

struct rib {
	struct fib *fib;
	struct adjacencies *adjacencies;
	struct entry *entry;	   /* [size] */
	struct ip6_words *prefix6; /* [size], IPv6 */
	uint32_t *bucket;	   /* [size], a power of two */
	uint32_t size;
	uint32_t high; /* all ever used are below */
	uint32_t free;
	uint32_t routes;
	uint32_t waiting;
};

static struct rib_key key_of(const struct rib *r, uint32_t i)
{
	const struct entry *e = &r->entry[i];
	return (struct rib_key){
		.prefix = fib_is_ip4(r->fib) ? (struct ip6_words){.low = e->prefix} : r->prefix6[i],
		.length = (uint8_t)e->length,
		.source = e->source,
		.priority = e->priority};
}

static uint32_t *bucket_of(const struct rib *r, const struct rib_key *key)
{
	uint64_t hash = key->prefix.high * 0xd6e8feb86659fd93ull;
	hash = (hash ^ hash >> 32 ^ key->prefix.low) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ hash >> 32 ^ (uint64_t)key->length << 8 ^ key->source) *
	       0x9e3779b97f4a7c15ull;
	return &r->bucket[hash >> 32 & (r->size - 1)];
}

static uint32_t *entry_bucket(const struct rib *r, uint32_t i)
{
	struct rib_key key = key_of(r, i);
	return bucket_of(r, &key);
}

static bool same_prefix(const struct rib *r, uint32_t i, const struct rib_key *key)
{
	const struct entry *e = &r->entry[i];
	if (e->length != key->length || e->source != key->source)
		return false;
	return fib_is_ip4(r->fib) ? e->prefix == (uint32_t)key->prefix.low
				  : same_address(r->prefix6[i], key->prefix);
}

static void set_next(struct entry *e, uint32_t next)
{
	e->next = next & 0xffffff;
}
/* ---- the slab ---- */

static void link_first(struct rib *r, uint32_t i)
{
	uint32_t *bucket = entry_bucket(r, i);
	set_next(&r->entry[i], *bucket);
	*bucket = i;
}

static void link_last(struct rib *r, uint32_t i)
{
	uint32_t *bucket = entry_bucket(r, i);
	uint32_t at = *bucket;
	set_next(&r->entry[i], NO_ENTRY);
	if (at == NO_ENTRY) {
		*bucket = i;
		return;
	}
	while (r->entry[at].next != NO_ENTRY)
		at = r->entry[at].next;
	set_next(&r->entry[at], i);
}

static void unlink_entry(struct rib *r, uint32_t i)
{
	uint32_t *bucket = entry_bucket(r, i);
	uint32_t at = *bucket;
	if (at == i) {
		*bucket = r->entry[i].next;
		return;
	}
	while (r->entry[at].next != i)
		at = r->entry[at].next;
	set_next(&r->entry[at], r->entry[i].next);
}

/* Each chain in its old order. */
static int resize(struct rib *r, uint32_t size)
{
	uint32_t *old = r->bucket;
	uint32_t *bucket = malloc(size * sizeof(*bucket));
	struct entry *entry = realloc(r->entry, size * sizeof(*entry));
	struct ip6_words *prefix6 =
		realloc(r->prefix6, fib_is_ip4(r->fib) ? 1 : size * sizeof(*prefix6));
	uint32_t old_size = r->size;
	if (entry)
		r->entry = entry;
	if (prefix6)
		r->prefix6 = prefix6;
	if (!entry || !prefix6 || !bucket) {
		free(bucket);
		return -ENOMEM;
	}
	r->bucket = bucket;
	r->size = size;
	for (uint32_t i = 0; i < size; i++)
		bucket[i] = NO_ENTRY;
	for (uint32_t i = 0; i < old_size; i++)
		for (uint32_t at = old[i], next; at != NO_ENTRY; at = next) {
			next = r->entry[at].next;
			link_last(r, at);
		}
	free(old);
	return 0;
}

struct rib *rib_create(struct fib *fib, struct adjacencies *adjacencies)
{
	struct rib *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->fib = fib;
	r->adjacencies = adjacencies;
	r->free = NO_ENTRY;
	if (resize(r, FIRST_SIZE)) {
		rib_destroy(r);
		return NULL;
	}
	return r;
}

void rib_destroy(struct rib *r)
{
	if (!r)
		return;
	free(r->entry);
	free(r->prefix6);
	free(r->bucket);
	free(r);
}

static uint32_t allocate(struct rib *r)
{
	uint32_t i = r->free;
	if (i != NO_ENTRY) {
		r->free = r->entry[i].next;
		return i;
	}
	if (r->high == RIB_MAX || (r->high == r->size && resize(r, r->size * 2)))
		return NO_ENTRY;
	return r->high++;
}

/* ---- routes ---- */

static void set_waiting(struct rib *r, struct entry *e, bool waiting)
{
	r->waiting = r->waiting + waiting - e->waiting;
	e->waiting = waiting;
}

/* fe80::/10: a neighbour there is found by its link alone. */
static bool has_no_place(const struct rib *r, struct ip6_words prefix)
{
	return !fib_is_ip4(r->fib) && prefix.high >> 54 == 0x3fa;
}

/* Puts the best of what is offered for the prefix into the FIB. */
static int publish(struct rib *r, const struct rib_key *key)
{
	struct entry *best = NULL;
	for (uint32_t i = *bucket_of(r, key); i != NO_ENTRY; i = r->entry[i].next) {
		struct entry *e = &r->entry[i];
		if (same_prefix(r, i, key) && (!best || e->priority < best->priority))
			best = e;
	}
	if (!best) {
		(void)fib_del(r->fib, key->prefix, key->length, key->source); /* or it waited */
		return 0;
	}
	int status = has_no_place(r, key->prefix)
			     ? 0
			     : fib_add(r->fib, key->prefix, key->length, key->source,
				       LEAF_ADJACENCY, best->adjacency);
	set_waiting(r, best, status && best->kernel);
	return status;
}

/* The first of this key, with this adjacency unless ADJACENCY_NONE, from entry i of its chain on.
 */
static uint32_t find_from(
	const struct rib *r, uint32_t i, const struct rib_key *key, uint32_t adjacency)
{
	for (; i != NO_ENTRY; i = r->entry[i].next) {
		const struct entry *e = &r->entry[i];
		if (same_prefix(r, i, key) && e->priority == key->priority &&
			(adjacency == ADJACENCY_NONE || e->adjacency == adjacency))
			break;
	}
	return i;
}

static uint32_t find(const struct rib *r, const struct rib_key *key, uint32_t adjacency)
{
	return find_from(r, *bucket_of(r, key), key, adjacency);
}

/* The FIB lets go of the adjacency before its reference is given back. */
static void remove_entry(struct rib *r, uint32_t i)
{
	struct entry *e = &r->entry[i];
	struct rib_key key = key_of(r, i);
	uint32_t adjacency = e->adjacency;
	unlink_entry(r, i);
	set_waiting(r, e, false);
	e->source = FIB_SOURCES;
	set_next(e, r->free);
	r->free = i;
	r->routes--;
	(void)publish(r, &key);
	if (key.source == FIB_NEIGHBOUR)
		adjacency_unresolve(r->adjacencies, adjacency);
	adjacency_put(r->adjacencies, adjacency);
}

static uint32_t make_entry(
	struct rib *r, const struct rib_key *key, uint32_t adjacency, enum rib_order order)
{
	uint32_t i = allocate(r);
	if (i == NO_ENTRY)
		return i;
	assert(leaf_index(adjacency) == adjacency);
	if (!fib_is_ip4(r->fib))
		r->prefix6[i] = key->prefix;
	r->entry[i] = (struct entry){.prefix = (uint32_t)key->prefix.low,
		.priority = key->priority,
		.adjacency = adjacency & ADJACENCY_MASK,
		.length = key->length,
		.source = (uint32_t)key->source & 7,
		.seen = 1};
	r->routes++;
	if (order == RIB_FIRST)
		link_first(r, i);
	else
		link_last(r, i);
	return i;
}

int rib_add_own(struct rib *r, const struct rib_key *key, uint32_t adjacency)
{
	if (adjacency == ADJACENCY_NONE)
		return -ENOMEM;
	uint32_t i = find(r, key, adjacency);
	if (i == NO_ENTRY)
		i = make_entry(r, key, adjacency, RIB_LAST);
	else
		adjacency_put(r->adjacencies, adjacency);
	if (i == NO_ENTRY) {
		adjacency_put(r->adjacencies, adjacency);
		return -ENOMEM;
	}
	int status = publish(r, key);
	if (status)
		remove_entry(r, i);
	return status;
}

int rib_add(struct rib *r, const struct rib_key *key, uint32_t adjacency, enum rib_order order)
{
	if (adjacency == ADJACENCY_NONE)
		return -ENOMEM;
	uint32_t i = find(r, key, adjacency);
	if (i != NO_ENTRY) {
		r->entry[i].seen = 1;
		adjacency_put(r->adjacencies, adjacency);
		return 0; /* it is in the FIB, or waits */
	}
	i = make_entry(r, key, adjacency, order);
	if (i == NO_ENTRY) {
		adjacency_put(r->adjacencies, adjacency);
		return -ENOMEM;
	}
	r->entry[i].kernel = 1;
	(void)publish(r, key);
	return 0;
}

int rib_replace(struct rib *r, const struct rib_key *key, uint32_t adjacency)
{
	uint32_t i = find(r, key, ADJACENCY_NONE);
	if (i == NO_ENTRY || adjacency == ADJACENCY_NONE)
		return rib_add(r, key, adjacency, RIB_FIRST);
	uint32_t old = r->entry[i].adjacency;
	r->entry[i].seen = 1;
	if (old != adjacency) {
		uint32_t other = find_from(r, r->entry[i].next, key, adjacency);
		if (other != NO_ENTRY) /* told twice: it was known before the other one went */
			remove_entry(r, other);
		r->entry[i].adjacency = adjacency & ADJACENCY_MASK;
		(void)publish(r, key);
	}
	adjacency_put(r->adjacencies, old);
	return 0;
}

bool rib_del(struct rib *r, const struct rib_key *key, uint32_t adjacency)
{
	uint32_t i = find(r, key, adjacency);
	if (i == NO_ENTRY)
		return false;
	remove_entry(r, i);
	return true;
}

uint32_t rib_first(const struct rib *r, const struct rib_key *key)
{
	uint32_t i = find(r, key, ADJACENCY_NONE);
	return i == NO_ENTRY ? ADJACENCY_NONE : r->entry[i].adjacency;
}

void rib_del_first(struct rib *r, const struct rib_key *key)
{
	(void)rib_del(r, key, ADJACENCY_NONE);
}

bool rib_del_only(struct rib *r, const struct rib_key *key)
{
	uint32_t i = find(r, key, ADJACENCY_NONE);
	if (i == NO_ENTRY)
		return true;
	if (find_from(r, r->entry[i].next, key, ADJACENCY_NONE) != NO_ENTRY)
		return false;
	remove_entry(r, i);
	return true;
}

/* ---- all of them ---- */

void rib_begin(struct rib *r)
{
	for (uint32_t i = 0; i < r->high; i++)
		r->entry[i].seen = 0;
}

bool rib_visit(struct rib *r, uint32_t *at, uint32_t n, rib_verdict *goes, void *context)
{
	for (; n > 0 && *at < r->high; n--, ++*at) {
		struct entry *e = &r->entry[*at];
		if (e->source == FIB_SOURCES || !e->kernel)
			continue;
		if (goes(context, e->adjacency, e->source, e->seen)) {
			remove_entry(r, *at);
		} else if (e->waiting) {
			struct rib_key key = key_of(r, *at);
			set_waiting(r, e, false);
			(void)publish(r, &key);
		}
	}
	return *at >= r->high;
}

uint32_t rib_routes(const struct rib *r)
{
	return r->routes;
}

uint32_t rib_waiting(const struct rib *r)
{
	return r->waiting;
}
