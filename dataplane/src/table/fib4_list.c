/* The FIB's list of routes; see fib4_list.h. */
#include "fib4_list.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS_MIN = 4096 };

static uint32_t hash_of(uint32_t prefix, uint32_t length)
{
	uint64_t x = ((uint64_t)prefix << 8 | length) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(x >> 32);
}

static uint32_t home_of(const struct fib4_list *list, const struct fib4_route *r)
{
	return hash_of(r->prefix, leaf_length(r->leaf)) & list->mask;
}

struct fib4_offers fib4_list_look(
	const struct fib4_list *list, uint32_t prefix, uint32_t length, enum fib_source source)
{
	struct fib4_offers found = {.source = FIB_SOURCES};
	uint32_t i = hash_of(prefix, length) & list->mask;
	for (; list->route[i].leaf; i = (i + 1) & list->mask) {
		const struct fib4_route *r = &list->route[i];
		if (r->prefix != prefix || leaf_length(r->leaf) != length)
			continue;
		if (list->source[i] < found.source) {
			found.source = list->source[i];
			found.best = r->leaf;
		}
		if (list->source[i] == source) {
			found.own = i;
			found.leaf = r->leaf;
		}
	}
	if (!found.leaf)
		found.own = i;
	return found;
}

static void put_route(struct fib4_list *list, const struct fib4_route *r, uint8_t source)
{
	uint32_t i = home_of(list, r);
	while (list->route[i].leaf)
		i = (i + 1) & list->mask;
	list->route[i] = *r;
	list->source[i] = source;
}

/* An empty hash of that many slots. */
static int make_hash(struct fib4_list *list, uint32_t slots)
{
	struct fib4_route *route = calloc(slots, sizeof(*route));
	uint8_t *source = calloc(slots, sizeof(*source));
	if (!route || !source) {
		free(route);
		free(source);
		return -ENOMEM;
	}
	list->route = route;
	list->source = source;
	list->mask = slots - 1;
	return 0;
}

int fib4_list_grow(struct fib4_list *list)
{
	if ((uint64_t)(list->n_routes + 1) * 4 <= (uint64_t)(list->mask + 1) * 3)
		return 0;
	struct fib4_route *route = list->route;
	uint8_t *source = list->source;
	uint32_t slots = list->mask + 1;
	if (make_hash(list, slots * 2))
		return -ENOMEM;
	for (uint32_t i = 0; i < slots; i++)
		if (route[i].leaf)
			put_route(list, &route[i], source[i]);
	free(route);
	free(source);
	return 0;
}

void fib4_list_put(struct fib4_list *list, const struct fib4_offers *at, uint32_t prefix,
	uint32_t leaf, enum fib_source source)
{
	if (!at->leaf) {
		list->n_routes++;
		list->n_length[leaf_length(leaf)]++;
	}
	list->route[at->own] = (struct fib4_route){.prefix = prefix, .leaf = leaf};
	list->source[at->own] = (uint8_t)source;
}

/* Those that probed past the slot move up. */
void fib4_list_remove(struct fib4_list *list, const struct fib4_offers *at)
{
	uint32_t hole = at->own;
	list->n_routes--;
	list->n_length[leaf_length(at->leaf)]--;
	for (uint32_t i = (hole + 1) & list->mask; list->route[i].leaf; i = (i + 1) & list->mask) {
		uint32_t home = home_of(list, &list->route[i]);
		if (((i - home) & list->mask) < ((i - hole) & list->mask))
			continue;
		list->route[hole] = list->route[i];
		list->source[hole] = list->source[i];
		hole = i;
	}
	list->route[hole] = (struct fib4_route){0};
}

uint32_t fib4_list_covering(const struct fib4_list *list, uint32_t prefix, uint32_t length)
{
	while (length-- > 0) {
		if (!list->n_length[length])
			continue;
		struct fib4_offers by =
			fib4_list_look(list, prefix & prefix_mask(length), length, FIB_SOURCES);
		if (by.best)
			return by.best;
	}
	return 0;
}

int fib4_list_init(struct fib4_list *list)
{
	return make_hash(list, SLOTS_MIN);
}

void fib4_list_free(struct fib4_list *list)
{
	free(list->route);
	free(list->source);
}
