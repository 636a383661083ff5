/* The FIB's list of IPv6 routes; see fib6_list.h. */
#include "fib6_list.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS_MIN = 1024 };

static uint32_t hash_of(struct ip6_words prefix, uint32_t length)
{
	uint64_t x = (prefix.high ^ length) * 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 32 ^ prefix.low) * 0xd6e8feb86659fd93ull;
	return (uint32_t)(x >> 32);
}

static uint32_t home_of(const struct fib6_list *list, const struct fib6_route *r)
{
	return hash_of(r->prefix, r->length) & list->mask;
}

struct fib6_offers fib6_list_look(const struct fib6_list *list, struct ip6_words prefix,
	uint32_t length, enum fib_source source)
{
	struct fib6_offers found = {.source = FIB_SOURCES};
	uint32_t i = hash_of(prefix, length) & list->mask;
	for (; list->route[i].leaf; i = (i + 1) & list->mask) {
		const struct fib6_route *r = &list->route[i];
		if (r->prefix.high != prefix.high || r->prefix.low != prefix.low ||
			r->length != length)
			continue;
		if (r->source < found.source) {
			found.source = r->source;
			found.best = r->leaf;
		}
		if (r->source == source) {
			found.own = i;
			found.leaf = r->leaf;
		}
	}
	if (!found.leaf)
		found.own = i;
	return found;
}

static int make_hash(struct fib6_list *list, uint32_t slots)
{
	struct fib6_route *route = calloc(slots, sizeof(*route));
	if (!route)
		return -ENOMEM;
	list->route = route;
	list->mask = slots - 1;
	return 0;
}

static void put_route(struct fib6_list *list, const struct fib6_route *r)
{
	uint32_t i = home_of(list, r);
	while (list->route[i].leaf)
		i = (i + 1) & list->mask;
	list->route[i] = *r;
}

int fib6_list_grow(struct fib6_list *list)
{
	if ((uint64_t)(list->n_routes + 1) * 4 <= (uint64_t)(list->mask + 1) * 3)
		return 0;
	struct fib6_route *route = list->route;
	uint32_t slots = list->mask + 1;
	if (make_hash(list, slots * 2))
		return -ENOMEM;
	for (uint32_t i = 0; i < slots; i++)
		if (route[i].leaf)
			put_route(list, &route[i]);
	free(route);
	return 0;
}

void fib6_list_put(
	struct fib6_list *list, const struct fib6_offers *at, const struct fib6_route *route)
{
	if (!at->leaf) {
		list->n_routes++;
		list->n_length[route->length]++;
	}
	list->route[at->own] = *route;
}

/* Those that probed past the slot move up. */
void fib6_list_remove(struct fib6_list *list, const struct fib6_offers *at)
{
	uint32_t hole = at->own;
	list->n_routes--;
	list->n_length[list->route[hole].length]--;
	for (uint32_t i = (hole + 1) & list->mask; list->route[i].leaf; i = (i + 1) & list->mask) {
		uint32_t home = home_of(list, &list->route[i]);
		if (((i - home) & list->mask) < ((i - hole) & list->mask))
			continue;
		list->route[hole] = list->route[i];
		hole = i;
	}
	list->route[hole] = (struct fib6_route){0};
}

int fib6_list_init(struct fib6_list *list)
{
	return make_hash(list, SLOTS_MIN);
}

void fib6_list_free(struct fib6_list *list)
{
	free(list->route);
}
