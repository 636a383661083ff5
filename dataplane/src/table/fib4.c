/*
 * The writer of the IPv4 FIB: the trie holds the best leaf of the longest prefix in every slot,
 * pushed down. A leaf carries its prefix length, so "every slot under this prefix whose leaf is not
 * longer than it" is all that adding and deleting must repaint; which route covers another comes
 * from the list, one probe per length in use.
 *
 * Does not know what a leaf means, nor who reads.
 */
#include "fib4.h"

#include <errno.h>
#include <stdlib.h>

#include "fib4_list.h"

enum { PAGE_SLOTS = 256, ROOT_SLOTS = 65536 };

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
	struct fib4_list list;
	uint32_t reserved; /* pages for sessions alone */
	uint64_t writes;
};

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
	fib->writes++;
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
	fib->next = calloc((size_t)max_pages + 1, sizeof(*fib->next));
	fib->used = calloc((size_t)max_pages + 1, sizeof(*fib->used));
	if (fib4_list_init(&fib->list) || !fib->next || !fib->used) {
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
	fib4_list_free(&fib->list);
	free(fib->next);
	free(fib->used);
	free(fib);
}

void fib4_reserve(struct fib4 *fib, uint32_t pages)
{
	fib->reserved = pages;
}

int fib4_add(struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source,
	enum fib_leaf_kind kind, uint32_t index)
{
	if (length > 32 || source >= FIB_SOURCES || kind == LEAF_NONE || leaf_index(index) != index)
		return -EINVAL;
	prefix &= prefix_mask(length);
	uint32_t pages = pages_needed(fib, prefix, length);
	uint32_t kept = pages && source > FIB_LOCAL ? fib->reserved : 0;
	if (pages + kept > fib->free.n || fib4_list_grow(&fib->list))
		return -ENOMEM;
	struct fib4_offers found = fib4_list_look(&fib->list, prefix, length, source);
	uint32_t leaf = leaf_make(kind, index) | (uint32_t)length << 22;
	fib4_list_put(&fib->list, &found, prefix, leaf, source);
	if (source <= found.source && leaf != found.best)
		paint(fib, prefix, length, leaf);
	return 0;
}

int fib4_del(struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source)
{
	if (length > 32 || source >= FIB_SOURCES)
		return -ENOENT;
	prefix &= prefix_mask(length);
	struct fib4_offers found = fib4_list_look(&fib->list, prefix, length, source);
	if (!found.leaf)
		return -ENOENT;
	fib4_list_remove(&fib->list, &found);
	if (source != found.source)
		return 0;
	uint32_t after = fib4_list_look(&fib->list, prefix, length, source).best;
	if (!after)
		after = fib4_list_covering(&fib->list, prefix, length);
	if (after != found.best)
		paint(fib, prefix, length, after);
	return 0;
}

uint32_t fib4_find(const struct fib4 *fib, uint32_t prefix, uint8_t length, enum fib_source source)
{
	if (length > 32 || source >= FIB_SOURCES)
		return 0;
	return fib4_list_look(&fib->list, prefix & prefix_mask(length), length, source).leaf;
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
	return fib->list.n_routes;
}

uint32_t fib4_pages_free(const struct fib4 *fib)
{
	return fib->free.n;
}

uint64_t fib4_writes(const struct fib4 *fib)
{
	return fib->writes;
}
