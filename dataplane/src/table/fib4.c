/*
 * The writer of the IPv4 FIB. Its own list of prefixes is one open-addressed hash of (prefix,
 * length) with a leaf per source, so that no route costs an allocation; the trie holds the best
 * leaf of the longest prefix in every slot, pushed down. A leaf carries its prefix length, so
 * "every slot under this prefix whose leaf is not longer than it" is all that adding and deleting
 * must repaint; the covering route comes from the hash, one probe per length in use.
 *
 * Does not know what a leaf means, nor who reads.
 */
#include "fib4.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_SLOTS = 256, ROOT_SLOTS = 65536, HASH_MIN = 4096 };

/* What every source offers for one prefix; a leaf of 0 is no offer, all zero is a free slot. */
struct route {
	uint32_t prefix;
	uint32_t length;
	uint32_t leaf[FIB_SOURCES];
};

/* Pages by number, linked through `next`. */
struct page_list {
	uint32_t head;
	uint32_t n;
};

struct fib4 {
	uint32_t *root;
	uint32_t *pages;
	uint32_t *next;		 /* [page] links of the lists */
	uint16_t *used;		 /* [page] slots that keep the page: deeper leaves or pages */
	struct page_list free;	 /* free to use */
	struct page_list fresh;	 /* unlinked since the last fib4_reclaim() */
	struct page_list rested; /* unlinked before it */
	struct route *route;	 /* hash table, linear probing */
	uint32_t mask;
	uint32_t n_routes;
	uint32_t n_length[33]; /* prefixes of each length */
};

static uint32_t prefix_mask(uint32_t length)
{
	return length ? ~0u << (32 - length) : 0;
}

/* ---- the prefix list ---- */

static uint32_t hash_of(uint32_t prefix, uint32_t length)
{
	uint64_t x = ((uint64_t)prefix << 8 | length) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(x >> 32);
}

static bool route_is_free(const struct route *r)
{
	for (int i = 0; i < FIB_SOURCES; i++)
		if (r->leaf[i])
			return false;
	return true;
}

/* The prefix's slot, or the free slot where it would go. */
static struct route *route_slot(const struct fib4 *fib, uint32_t prefix, uint32_t length)
{
	uint32_t i = hash_of(prefix, length) & fib->mask;
	for (;; i = (i + 1) & fib->mask) {
		struct route *r = &fib->route[i];
		if (route_is_free(r) || (r->prefix == prefix && r->length == length))
			return r;
	}
}

/* Room for one more at a load of 3/4. */
static int routes_grow(struct fib4 *fib)
{
	if ((uint64_t)(fib->n_routes + 1) * 4 <= (uint64_t)(fib->mask + 1) * 3)
		return 0;
	struct route *old = fib->route;
	uint32_t size = fib->mask + 1;
	struct route *grown = calloc((size_t)size * 2, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	fib->route = grown;
	fib->mask = size * 2 - 1;
	for (uint32_t i = 0; i < size; i++)
		if (!route_is_free(&old[i]))
			*route_slot(fib, old[i].prefix, old[i].length) = old[i];
	free(old);
	return 0;
}

/* Empties the slot; those that probed past it move up. */
static void route_remove(struct fib4 *fib, struct route *r)
{
	uint32_t hole = (uint32_t)(r - fib->route);
	for (uint32_t i = (hole + 1) & fib->mask; !route_is_free(&fib->route[i]);
		i = (i + 1) & fib->mask) {
		uint32_t home = hash_of(fib->route[i].prefix, fib->route[i].length) & fib->mask;
		if (((i - home) & fib->mask) < ((i - hole) & fib->mask))
			continue;
		fib->route[hole] = fib->route[i];
		hole = i;
	}
	memset(&fib->route[hole], 0, sizeof(fib->route[hole]));
}

static uint32_t best_leaf(const struct route *r)
{
	for (int i = 0; i < FIB_SOURCES; i++)
		if (r->leaf[i])
			return r->leaf[i];
	return 0;
}

/* Best leaf of the longest prefix that covers this one. */
static uint32_t covering_leaf(const struct fib4 *fib, uint32_t prefix, uint32_t length)
{
	while (length-- > 0) {
		if (!fib->n_length[length])
			continue;
		uint32_t leaf = best_leaf(route_slot(fib, prefix & prefix_mask(length), length));
		if (leaf)
			return leaf;
	}
	return 0;
}

/* ---- pages ---- */

static void list_push(struct fib4 *fib, struct page_list *list, uint32_t page)
{
	fib->next[page] = list->head;
	list->head = page;
	list->n++;
}

static uint32_t list_pop(struct fib4 *fib, struct page_list *list)
{
	uint32_t page = list->head;
	list->head = fib->next[page];
	list->n--;
	return page;
}

static void store(uint32_t *slot, uint32_t leaf)
{
	__atomic_store_n(slot, leaf, __ATOMIC_RELEASE);
}

/* A slot that keeps its page in being: what it holds does not cover the whole page. */
static bool keeps_page(uint32_t leaf, uint32_t page_length)
{
	return leaf & LEAF_PAGE || leaf_length(leaf) > page_length;
}

/* Writes a slot of a page whose own prefix has page_length bits. */
static void page_store(
	struct fib4 *fib, uint32_t page, uint32_t slot, uint32_t page_length, uint32_t leaf)
{
	uint32_t *at = &fib->pages[page * PAGE_SLOTS + slot];
	fib->used[page] = (uint16_t)(fib->used[page] + keeps_page(leaf, page_length) -
				     keeps_page(*at, page_length));
	store(at, leaf);
}

/* A page filled with `leaf`; linked by the caller. There is one free: fib4_add() has looked. */
static uint32_t page_make(struct fib4 *fib, uint32_t leaf, uint32_t page_length)
{
	uint32_t page = list_pop(fib, &fib->free);
	for (uint32_t i = 0; i < PAGE_SLOTS; i++)
		store(&fib->pages[page * PAGE_SLOTS + i], leaf);
	fib->used[page] = keeps_page(leaf, page_length) ? PAGE_SLOTS : 0;
	return page;
}

/* ---- painting ---- */

/* Slots [first, first + n) of a /24 page: leaves not longer than `length` become `leaf`. */
static void paint24(
	struct fib4 *fib, uint32_t page, uint32_t first, uint32_t n, uint32_t length, uint32_t leaf)
{
	for (uint32_t i = first; i < first + n; i++)
		if (leaf_length(fib->pages[page * PAGE_SLOTS + i]) <= length)
			page_store(fib, page, i, 24, leaf);
}

/* The same for a /16 page and the pages under it. */
static void paint16(
	struct fib4 *fib, uint32_t page, uint32_t first, uint32_t n, uint32_t length, uint32_t leaf)
{
	for (uint32_t i = first; i < first + n; i++) {
		uint32_t old = fib->pages[page * PAGE_SLOTS + i];
		if (old & LEAF_PAGE)
			paint24(fib, old & ~LEAF_PAGE, 0, PAGE_SLOTS, length, leaf);
		else if (leaf_length(old) <= length)
			page_store(fib, page, i, 16, leaf);
	}
}

static void paint_root(struct fib4 *fib, uint32_t first, uint32_t n, uint32_t length, uint32_t leaf)
{
	for (uint32_t i = first; i < first + n; i++) {
		uint32_t old = fib->root[i];
		if (old & LEAF_PAGE)
			paint16(fib, old & ~LEAF_PAGE, 0, PAGE_SLOTS, length, leaf);
		else if (leaf_length(old) <= length)
			store(&fib->root[i], leaf);
	}
}

/* Pages that adding this prefix would need. */
static uint32_t pages_needed(const struct fib4 *fib, uint32_t prefix, uint32_t length)
{
	if (length <= 16)
		return 0;
	uint32_t leaf = fib->root[prefix >> 16];
	if (!(leaf & LEAF_PAGE))
		return length > 24 ? 2 : 1;
	leaf = fib->pages[(leaf & ~LEAF_PAGE) * PAGE_SLOTS + (prefix >> 8 & 0xff)];
	return length > 24 && !(leaf & LEAF_PAGE);
}

/* The /16 page over prefix, made when there is none. */
static uint32_t page16_of(struct fib4 *fib, uint32_t prefix)
{
	uint32_t leaf = fib->root[prefix >> 16];
	if (leaf & LEAF_PAGE)
		return leaf & ~LEAF_PAGE;
	uint32_t page = page_make(fib, leaf, 16);
	store(&fib->root[prefix >> 16], LEAF_PAGE | page);
	return page;
}

static uint32_t page24_of(struct fib4 *fib, uint32_t page16, uint32_t prefix)
{
	uint32_t slot = prefix >> 8 & 0xff;
	uint32_t leaf = fib->pages[page16 * PAGE_SLOTS + slot];
	if (leaf & LEAF_PAGE)
		return leaf & ~LEAF_PAGE;
	uint32_t page = page_make(fib, leaf, 24);
	page_store(fib, page16, slot, 16, LEAF_PAGE | page);
	return page;
}

/* Puts leaf wherever this prefix is the longest one; unlinks pages that nothing needs any more. */
static void paint(struct fib4 *fib, uint32_t prefix, uint32_t length, uint32_t leaf)
{
	if (length <= 16) {
		paint_root(fib, prefix >> 16, 1u << (16 - length), length, leaf);
		return;
	}
	uint32_t page16 = page16_of(fib, prefix);
	uint32_t slot = prefix >> 8 & 0xff;
	if (length <= 24) {
		paint16(fib, page16, slot, 1u << (24 - length), length, leaf);
	} else {
		uint32_t page24 = page24_of(fib, page16, prefix);
		paint24(fib, page24, prefix & 0xff, 1u << (32 - length), length, leaf);
		if (!fib->used[page24]) {
			page_store(fib, page16, slot, 16, fib->pages[page24 * PAGE_SLOTS]);
			list_push(fib, &fib->fresh, page24);
		}
	}
	if (!fib->used[page16]) {
		store(&fib->root[prefix >> 16], fib->pages[page16 * PAGE_SLOTS]);
		list_push(fib, &fib->fresh, page16);
	}
}

/* ---- interface ---- */

struct fib4 *fib4_create(uint32_t *root, uint32_t *pages, uint32_t max_pages)
{
	struct fib4 *fib = calloc(1, sizeof(*fib));
	if (!fib)
		return NULL;
	fib->root = root;
	fib->pages = pages;
	fib->mask = HASH_MIN - 1;
	fib->route = calloc(HASH_MIN, sizeof(*fib->route));
	fib->next = calloc((size_t)max_pages + 1, sizeof(*fib->next));
	fib->used = calloc((size_t)max_pages + 1, sizeof(*fib->used));
	if (!fib->route || !fib->next || !fib->used) {
		fib4_destroy(fib);
		return NULL;
	}
	for (uint32_t page = max_pages; page-- > 0;)
		list_push(fib, &fib->free, page);
	for (uint32_t i = 0; i < ROOT_SLOTS; i++)
		store(&root[i], 0);
	return fib;
}

void fib4_destroy(struct fib4 *fib)
{
	if (!fib)
		return;
	free(fib->route);
	free(fib->next);
	free(fib->used);
	free(fib);
}

int fib4_add(struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source,
	enum fib_leaf_kind kind, uint32_t index)
{
	if (length > 32 || source >= FIB_SOURCES || kind == LEAF_NONE || leaf_index(index) != index)
		return -EINVAL;
	prefix &= prefix_mask(length);
	if (pages_needed(fib, prefix, length) > fib->free.n || routes_grow(fib))
		return -ENOMEM;
	struct route *r = route_slot(fib, prefix, length);
	if (route_is_free(r)) {
		r->prefix = prefix;
		r->length = length;
		fib->n_routes++;
		fib->n_length[length]++;
	}
	uint32_t before = best_leaf(r);
	r->leaf[source] = leaf_make(kind, index) | (uint32_t)length << 22;
	if (best_leaf(r) != before)
		paint(fib, prefix, length, best_leaf(r));
	return 0;
}

int fib4_del(struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source)
{
	if (!fib4_find(fib, prefix, length, source))
		return -ENOENT;
	prefix &= prefix_mask(length);
	struct route *r = route_slot(fib, prefix, length);
	uint32_t before = best_leaf(r);
	r->leaf[source] = 0;
	uint32_t after = best_leaf(r);
	if (!after) {
		route_remove(fib, r);
		fib->n_routes--;
		fib->n_length[length]--;
		after = covering_leaf(fib, prefix, length);
	}
	if (after != before)
		paint(fib, prefix, length, after);
	return 0;
}

uint32_t fib4_find(const struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source)
{
	if (length > 32 || source >= FIB_SOURCES)
		return 0;
	return route_slot(fib, prefix & prefix_mask(length), length)->leaf[source];
}

void fib4_reclaim(struct fib4 *fib)
{
	while (fib->rested.n)
		list_push(fib, &fib->free, list_pop(fib, &fib->rested));
	fib->rested = fib->fresh;
	fib->fresh = (struct page_list){0};
}

uint32_t fib4_routes(const struct fib4 *fib)
{
	return fib->n_routes;
}

uint32_t fib4_pages_free(const struct fib4 *fib)
{
	return fib->free.n;
}
