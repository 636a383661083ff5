/* The list of offered routes: a slab of entries in chained hash buckets; see rib.h. */
#include "rib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 1024 };
#define NO_ENTRY 0xffffffffu

struct entry {
	uint32_t prefix;
	uint8_t length;
	uint8_t source; /* FIB_SOURCES: a free entry */
	bool kernel;
	uint32_t priority;
	uint32_t adjacency;
	uint32_t generation;
	uint32_t serial; /* order of arrival */
	uint32_t next;
};

struct rib {
	struct fib4 *fib;
	struct adjacencies *adjacencies;
	struct adjacency *table;
	struct entry *entry; /* [size] */
	uint32_t *bucket;    /* [size], a power of two */
	uint32_t size;
	uint32_t high; /* all ever used are below */
	uint32_t free;
	uint32_t generation;
	uint32_t serial;
};

static uint32_t *bucket_of(const struct rib *r, uint32_t prefix, uint8_t length, uint8_t source)
{
	uint64_t key = (uint64_t)prefix << 16 | (uint64_t)length << 8 | source;
	return &r->bucket[(key * 0x9e3779b97f4a7c15ull >> 32) & (r->size - 1)];
}

static uint32_t *entry_bucket(const struct rib *r, const struct entry *e)
{
	return bucket_of(r, e->prefix, e->length, e->source);
}

static bool same_prefix(const struct entry *e, const struct rib_key *key)
{
	return e->prefix == key->prefix && e->length == key->length && e->source == key->source;
}

/* ---- the slab ---- */

static int resize(struct rib *r, uint32_t size)
{
	uint32_t *bucket = malloc(size * sizeof(*bucket));
	struct entry *entry = realloc(r->entry, size * sizeof(*entry));
	if (entry)
		r->entry = entry;
	if (!entry || !bucket) {
		free(bucket);
		return -ENOMEM;
	}
	free(r->bucket);
	r->bucket = bucket;
	r->size = size;
	memset(bucket, 0xff, size * sizeof(*bucket));
	for (uint32_t i = 0; i < r->high; i++) {
		struct entry *e = &r->entry[i];
		if (e->source == FIB_SOURCES)
			continue;
		uint32_t *at = entry_bucket(r, e);
		e->next = *at;
		*at = i;
	}
	return 0;
}

struct rib *rib_create(struct fib4 *fib, struct adjacencies *adjacencies, struct adjacency *table)
{
	struct rib *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->fib = fib;
	r->adjacencies = adjacencies;
	r->table = table;
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
	if (r->high == r->size && resize(r, r->size * 2))
		return NO_ENTRY;
	return r->high++;
}

/* ---- routes ---- */

/* Puts the best of what is offered for the prefix into the FIB. */
static int publish(struct rib *r, const struct rib_key *key)
{
	const struct entry *best = NULL;
	uint32_t i = *bucket_of(r, key->prefix, key->length, (uint8_t)key->source);
	for (; i != NO_ENTRY; i = r->entry[i].next) {
		const struct entry *e = &r->entry[i];
		if (!same_prefix(e, key))
			continue;
		if (!best || e->priority < best->priority ||
			(e->priority == best->priority && e->serial < best->serial))
			best = e;
	}
	if (best)
		return fib4_add(r->fib, key->prefix, key->length, key->source, LEAF_ADJACENCY,
			best->adjacency);
	(void)fib4_del(r->fib, key->prefix, key->length, key->source); /* may have had no room */
	return 0;
}

static uint32_t find(const struct rib *r, const struct rib_key *key, uint32_t adjacency)
{
	uint32_t i = *bucket_of(r, key->prefix, key->length, (uint8_t)key->source);
	for (; i != NO_ENTRY; i = r->entry[i].next) {
		const struct entry *e = &r->entry[i];
		if (same_prefix(e, key) && e->priority == key->priority &&
			(adjacency == ADJACENCY_NONE || e->adjacency == adjacency))
			break;
	}
	return i;
}

/* The FIB lets go of the adjacency before its reference is given back. */
static void remove_entry(struct rib *r, uint32_t i)
{
	struct entry *e = &r->entry[i];
	struct rib_key key = {.prefix = e->prefix, .length = e->length, .source = e->source};
	uint32_t *link = entry_bucket(r, e);
	while (*link != i)
		link = &r->entry[*link].next;
	*link = e->next;
	e->source = FIB_SOURCES;
	e->next = r->free;
	r->free = i;
	(void)publish(r, &key);
	if (key.source == FIB_NEIGHBOUR)
		adjacency_unresolve(r->adjacencies, e->adjacency);
	adjacency_put(r->adjacencies, e->adjacency);
}

int rib_add(struct rib *r, const struct rib_key *key, uint32_t adjacency, bool kernel)
{
	if (adjacency == ADJACENCY_NONE)
		return -ENOMEM;
	uint32_t i = find(r, key, adjacency);
	if (i != NO_ENTRY) {
		r->entry[i].generation = r->generation;
		adjacency_put(r->adjacencies, adjacency);
		return publish(r, key);
	}
	i = allocate(r);
	if (i == NO_ENTRY) {
		adjacency_put(r->adjacencies, adjacency);
		return -ENOMEM;
	}
	struct entry *e = &r->entry[i];
	*e = (struct entry){.prefix = key->prefix,
		.length = key->length,
		.source = (uint8_t)key->source,
		.kernel = kernel,
		.priority = key->priority,
		.adjacency = adjacency,
		.generation = r->generation,
		.serial = r->serial++};
	uint32_t *bucket = entry_bucket(r, e);
	e->next = *bucket;
	*bucket = i;
	int status = publish(r, key);
	if (status)
		remove_entry(r, i);
	return status;
}

bool rib_del(struct rib *r, const struct rib_key *key, uint32_t adjacency)
{
	uint32_t i = find(r, key, adjacency);
	if (i == NO_ENTRY)
		return false;
	remove_entry(r, i);
	return true;
}

void rib_del_all(struct rib *r, const struct rib_key *key)
{
	while (rib_del(r, key, ADJACENCY_NONE))
		;
}

/* Nothing is left of what this entry leads to without the port. */
static bool hangs_on(const struct rib *r, const struct entry *e, uint8_t port)
{
	if (r->table[e->adjacency].kind == ADJ_GROUP)
		return !adjacency_group_leave(r->adjacencies, e->adjacency, port);
	return r->table[e->adjacency].port == port;
}

void rib_del_port(struct rib *r, uint8_t port)
{
	for (uint32_t i = 0; i < r->high; i++) {
		const struct entry *e = &r->entry[i];
		if (e->source != FIB_SOURCES && e->kernel && e->source != FIB_LOCAL &&
			hangs_on(r, e, port))
			remove_entry(r, i);
	}
}

void rib_begin(struct rib *r)
{
	r->generation++;
}

void rib_sweep(struct rib *r)
{
	for (uint32_t i = 0; i < r->high; i++) {
		const struct entry *e = &r->entry[i];
		if (e->source != FIB_SOURCES && e->kernel && e->generation != r->generation)
			remove_entry(r, i);
	}
}

be32 rib_first(const struct rib *r, enum adjacency_kind kind, uint8_t port)
{
	const struct entry *best = NULL;
	for (uint32_t i = 0; i < r->high; i++) {
		const struct entry *e = &r->entry[i];
		if (e->source != FIB_LOCAL || r->table[e->adjacency].kind != kind ||
			r->table[e->adjacency].port != port)
			continue;
		if (!best || e->priority < best->priority ||
			(e->priority == best->priority && e->serial < best->serial))
			best = e;
	}
	return best ? r->table[best->adjacency].address : 0;
}
