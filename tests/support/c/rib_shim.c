/* The RIB with its FIB and adjacencies, as a test calls it; places are blackholes by number. */
#include <stdlib.h>

#include "table/fib4.h"
#include "table/rib.h"

struct shim {
	struct fib *fib;
	struct adjacencies *adjacencies;
	struct rib *rib;
	struct adjacency *table;
	uint32_t root[65536];
	uint32_t *pages;
};

struct shim *shim_create(uint32_t pages, uint32_t adjacencies);
void shim_destroy(struct shim *s);
int shim_offer(struct shim *s, uint32_t prefix, uint8_t length, uint32_t priority, uint32_t place,
	int how);
int shim_take(struct shim *s, uint32_t prefix, uint8_t length, uint32_t priority, uint32_t place,
	int how);
void shim_keep_seen(struct shim *s);
uint32_t shim_place(const struct shim *s, uint32_t address);
uint32_t shim_number(const struct shim *s, int what);

enum { REPLACE = 2 };

struct shim *shim_create(uint32_t pages, uint32_t adjacencies)
{
	struct shim *s = calloc(1, sizeof(*s));
	s->pages = calloc(pages, 1024);
	s->table = calloc(adjacencies, sizeof(*s->table));
	s->fib = fib4_create(s->root, s->pages, pages);
	s->adjacencies = adjacency_create(s->table, adjacencies);
	s->rib = rib_create(s->fib, s->adjacencies);
	return s;
}

void shim_destroy(struct shim *s)
{
	rib_destroy(s->rib);
	adjacency_destroy(s->adjacencies);
	fib_destroy(s->fib);
	free(s->pages);
	free(s->table);
	free(s);
}

static struct rib_key make_key(uint32_t prefix, uint8_t length, uint32_t priority)
{
	return (struct rib_key){.prefix = {.low = prefix},
		.length = length,
		.source = FIB_NETLINK,
		.priority = priority};
}

static uint32_t get(struct shim *s, uint32_t place)
{
	return adjacency_get(
		s->adjacencies, ADJ_BLACKHOLE, ADJACENCY_NO_PORT, ip4_words(place), 0, 0);
}

int shim_offer(
	struct shim *s, uint32_t prefix, uint8_t length, uint32_t priority, uint32_t place, int how)
{
	struct rib_key key = make_key(prefix, length, priority);
	uint32_t id = get(s, place);
	if (how == REPLACE)
		return rib_replace(s->rib, &key, id);
	return rib_add(s->rib, &key, id, how ? RIB_FIRST : RIB_LAST);
}

/* how 0: that route; 1: the first of its key; 2: the only one of its key. */
int shim_take(
	struct shim *s, uint32_t prefix, uint8_t length, uint32_t priority, uint32_t place, int how)
{
	struct rib_key key = make_key(prefix, length, priority);
	if (how == 1) {
		rib_del_first(s->rib, &key);
		return 1;
	}
	if (how == 2)
		return rib_del_only(s->rib, &key);
	uint32_t id = get(s, place);
	int found = rib_del(s->rib, &key, id);
	adjacency_put(s->adjacencies, id);
	return found;
}

static bool unseen(void *context, uint32_t adjacency, enum fib_source source, bool seen)
{
	(void)source;
	(void)context;
	(void)adjacency;
	return !seen;
}

void shim_keep_seen(struct shim *s)
{
	uint32_t at = 0;
	while (!rib_visit(s->rib, &at, 3, unseen, NULL))
		;
	rib_begin(s->rib);
	fib_reclaim(s->fib);
	adjacency_reclaim(s->adjacencies);
}

/* 0: no route. */
uint32_t shim_place(const struct shim *s, uint32_t address)
{
	uint32_t leaf = fib4_lookup(s->root, s->pages, address);
	return leaf ? s->table[leaf_index(leaf)].address : 0;
}

uint32_t shim_number(const struct shim *s, int what)
{
	switch (what) {
	case 0:
		return rib_routes(s->rib);
	case 1:
		return rib_waiting(s->rib);
	case 2:
		return adjacency_in_use(s->adjacencies);
	default:
		return fib_routes(s->fib);
	}
}
