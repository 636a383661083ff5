/* The list of routes of a FIB; see fib_list.h. */
#include "fib_list.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS_MIN = 1024 };

static uint32_t hash_of(struct ip6_words prefix, uint32_t length)
{
	uint64_t x = (prefix.high ^ length) * 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 32 ^ prefix.low) * 0xd6e8feb86659fd93ull;
	return (uint32_t)(x >> 32);
}

static struct ip6_words prefix_of(const struct fib_list *list, uint32_t slot)
{
	return list->is_ip4 ? (struct ip6_words){.low = list->prefix4[slot]} : list->prefix6[slot];
}

static void write_slot(struct fib_list *list, uint32_t slot, struct ip6_words prefix,
	const struct fib_route *route)
{
	list->route[slot] = *route;
	if (list->is_ip4)
		list->prefix4[slot] = (uint32_t)prefix.low;
	else
		list->prefix6[slot] = prefix;
}

struct fib_offers fib_list_look(const struct fib_list *list, struct ip6_words prefix,
	uint32_t length, enum fib_source source)
{
	struct fib_offers found = {.source = FIB_SOURCES};
	uint32_t i = hash_of(prefix, length) & list->mask;
	for (; list->route[i].leaf; i = (i + 1) & list->mask) {
		const struct fib_route *r = &list->route[i];
		if (r->length != length || !same_address(prefix_of(list, i), prefix))
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

/* An empty hash of that many slots. */
static int make_hash(struct fib_list *list, uint32_t slots)
{
	struct fib_list made = *list;
	made.mask = slots - 1;
	made.route = calloc(slots, sizeof(*made.route));
	made.prefix4 = list->is_ip4 ? malloc(slots * sizeof(*made.prefix4)) : NULL;
	made.prefix6 = list->is_ip4 ? NULL : malloc(slots * sizeof(*made.prefix6));
	if (!made.route || !(list->is_ip4 ? (void *)made.prefix4 : made.prefix6)) {
		fib_list_free(&made);
		return -ENOMEM;
	}
	*list = made;
	return 0;
}

int fib_list_grow(struct fib_list *list)
{
	if ((uint64_t)(list->n_routes + 1) * 4 <= (uint64_t)(list->mask + 1) * 3)
		return 0;
	struct fib_list old = *list;
	if (make_hash(list, (old.mask + 1) * 2))
		return -ENOMEM;
	for (uint32_t i = 0; i <= old.mask; i++) {
		if (!old.route[i].leaf)
			continue;
		struct ip6_words prefix = prefix_of(&old, i);
		uint32_t slot = hash_of(prefix, old.route[i].length) & list->mask;
		while (list->route[slot].leaf)
			slot = (slot + 1) & list->mask;
		write_slot(list, slot, prefix, &old.route[i]);
	}
	fib_list_free(&old);
	return 0;
}

void fib_list_put(struct fib_list *list, const struct fib_offers *at, struct ip6_words prefix,
	const struct fib_route *route)
{
	if (!at->leaf) {
		list->n_routes++;
		list->n_length[route->length]++;
	}
	write_slot(list, at->own, prefix, route);
}

/* Those that probed past the slot move up. */
void fib_list_remove(struct fib_list *list, const struct fib_offers *at)
{
	uint32_t hole = at->own;
	list->n_routes--;
	list->n_length[list->route[hole].length]--;
	for (uint32_t i = (hole + 1) & list->mask; list->route[i].leaf; i = (i + 1) & list->mask) {
		struct ip6_words prefix = prefix_of(list, i);
		uint32_t home = hash_of(prefix, list->route[i].length) & list->mask;
		if (((i - home) & list->mask) < ((i - hole) & list->mask))
			continue;
		write_slot(list, hole, prefix, &list->route[i]);
		hole = i;
	}
	list->route[hole] = (struct fib_route){0};
}

uint32_t fib_list_covering(
	const struct fib_list *list, struct ip6_words prefix, uint32_t *length, uint32_t least)
{
	uint32_t host_bits = list->is_ip4 ? 96 : 0;
	while ((*length)-- > least) {
		if (!list->n_length[*length])
			continue;
		prefix = ip6_masked(prefix, host_bits + *length);
		uint32_t best = fib_list_look(list, prefix, *length, FIB_SOURCES).best;
		if (best)
			return best;
	}
	return 0;
}

int fib_list_init(struct fib_list *list, bool is_ip4)
{
	list->is_ip4 = is_ip4;
	return make_hash(list, SLOTS_MIN);
}

void fib_list_free(struct fib_list *list)
{
	free(list->route);
	free(list->prefix4);
	free(list->prefix6);
}
