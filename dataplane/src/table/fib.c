/* Adding to and deleting from the FIB of a family; see fib.h. Does not know what a leaf means, nor
 * who reads. */
#include "fib.h"

#include <errno.h>
#include <stdlib.h>

/* ---- parts ---- */

static void push(struct fib *fib, struct part_list *list, uint32_t part)
{
	fib->next[part] = list->head;
	list->head = part;
	list->n++;
}

static uint32_t pop(struct fib *fib, struct part_list *list)
{
	uint32_t part = list->head;
	list->head = fib->next[part];
	list->n--;
	return part;
}

uint32_t fib_take_part(struct fib *fib)
{
	return pop(fib, &fib->free);
}

void fib_drop_part(struct fib *fib, uint32_t part)
{
	push(fib, &fib->fresh, part);
}

void fib_reclaim(struct fib *fib)
{
	while (fib->rested.n)
		push(fib, &fib->free, pop(fib, &fib->rested));
	fib->rested = fib->fresh;
	fib->fresh = (struct part_list){0};
}

/* ---- interface ---- */

int fib_init(struct fib *fib, const struct fib_trie *trie, uint32_t parts)
{
	fib->trie = trie;
	fib->next = calloc((size_t)parts + 1, sizeof(*fib->next));
	if (fib_list_init(&fib->list, trie->bits == 32) || !fib->next)
		return -ENOMEM;
	for (uint32_t part = parts; part-- > 0;)
		push(fib, &fib->free, part);
	return 0;
}

void fib_destroy(struct fib *fib)
{
	if (!fib)
		return;
	fib_list_free(&fib->list);
	free(fib->next);
	free(fib);
}

void fib_reserve(struct fib *fib, uint32_t parts)
{
	fib->reserved = parts;
}

static struct ip6_words masked(const struct fib *fib, struct ip6_words prefix, uint32_t length)
{
	return ip6_masked(prefix, 128u - fib->trie->bits + length);
}

static bool has_room(
	const struct fib *fib, struct ip6_words prefix, uint32_t length, enum fib_source source)
{
	uint32_t needed = fib->trie->needed(fib, prefix, length);
	uint32_t kept = source > FIB_LOCAL ? fib->reserved : 0;
	return !needed || needed + kept <= fib->free.n;
}

int fib_add(struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source,
	enum fib_leaf_kind kind, uint32_t index)
{
	if (length > fib->trie->bits || source >= FIB_SOURCES || kind == LEAF_NONE ||
		leaf_index(index) != index)
		return -EINVAL;
	prefix = masked(fib, prefix, length);
	if (!has_room(fib, prefix, length, source) || fib_list_grow(&fib->list))
		return -ENOMEM;
	struct fib_offers found = fib_list_look(&fib->list, prefix, length, source);
	struct fib_route route = {
		.leaf = leaf_make(kind, index), .length = length, .source = (uint8_t)source};
	fib_list_put(&fib->list, &found, prefix, &route);
	if (source <= found.source && route.leaf != found.best) {
		fib->writes++;
		fib->trie->paint(fib, prefix, length, route.leaf);
	}
	return 0;
}

int fib_del(struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source)
{
	if (length > fib->trie->bits || source >= FIB_SOURCES)
		return -ENOENT;
	prefix = masked(fib, prefix, length);
	struct fib_offers found = fib_list_look(&fib->list, prefix, length, source);
	if (!found.leaf)
		return -ENOENT;
	fib_list_remove(&fib->list, &found);
	uint32_t after = fib_list_look(&fib->list, prefix, length, source).best;
	if (after != found.best) {
		fib->writes++;
		fib->trie->paint(fib, prefix, length, after);
	}
	return 0;
}

uint32_t fib_find(
	const struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source)
{
	if (length > fib->trie->bits || source >= FIB_SOURCES)
		return 0;
	return fib_list_look(&fib->list, masked(fib, prefix, length), length, source).leaf;
}

uint32_t fib_routes(const struct fib *fib)
{
	return fib->list.n_routes;
}

uint32_t fib_parts_free(const struct fib *fib)
{
	return fib->free.n;
}
