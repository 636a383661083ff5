/*
 * The writer of the IPv4 FIB: the trie holds the best leaf of the longest prefix in every slot,
 * pushed down. A leaf carries its prefix length, so "every slot under this prefix whose leaf is not
 * longer than it" is all that adding and deleting must repaint; which route covers another comes
 * from the list, one probe per length in use.
 */
#include "fib4.h"

#include <stdlib.h>

enum { PAGE_SLOTS = 256, ROOT_SLOTS = 65536 };

struct fib4 {
	struct fib fib;
	uint32_t *root;
	uint32_t *pages;
	uint16_t used[]; /* [page] slots that keep the page: deeper leaves or pages */
};

/* ---- pages ---- */

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
	fib_store(at, leaf);
}

/* A page filled with `leaf`; linked by the caller. There is one free: fib_add() has looked. */
static uint32_t page_make(struct fib4 *fib, uint32_t leaf, uint32_t page_length)
{
	uint32_t page = fib_take_part(&fib->fib);
	for (uint32_t i = 0; i < PAGE_SLOTS; i++)
		fib_store(&fib->pages[page * PAGE_SLOTS + i], leaf);
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
			fib_store(&fib->root[i], leaf);
	}
}

/* The /16 page over prefix, made when there is none. */
static uint32_t page16_of(struct fib4 *fib, uint32_t prefix)
{
	uint32_t leaf = fib->root[prefix >> 16];
	if (leaf & LEAF_PAGE)
		return leaf & ~LEAF_PAGE;
	uint32_t page = page_make(fib, leaf, 16);
	fib_store(&fib->root[prefix >> 16], LEAF_PAGE | page);
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
static void paint_prefix(struct fib4 *fib, uint32_t prefix, uint32_t length, uint32_t leaf)
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
			fib_drop_part(&fib->fib, page24);
		}
	}
	if (!fib->used[page16]) {
		fib_store(&fib->root[prefix >> 16], fib->pages[page16 * PAGE_SLOTS]);
		fib_drop_part(&fib->fib, page16);
	}
}

/* ---- what fib.c asks for ---- */

static uint32_t needed(const struct fib *f, struct ip6_words prefix, uint32_t length)
{
	const struct fib4 *fib = (const struct fib4 *)f;
	uint32_t address = (uint32_t)prefix.low;
	if (length <= 16)
		return 0;
	uint32_t leaf = fib->root[address >> 16];
	if (!(leaf & LEAF_PAGE))
		return length > 24 ? 2 : 1;
	leaf = fib->pages[(leaf & ~LEAF_PAGE) * PAGE_SLOTS + (address >> 8 & 0xff)];
	return length > 24 && !(leaf & LEAF_PAGE);
}

static void paint(struct fib *f, struct ip6_words prefix, uint32_t length, uint32_t leaf)
{
	uint32_t of = length;
	if (!leaf)
		leaf = fib_list_covering(&f->list, prefix, &of, 0);
	leaf |= leaf ? of << LEAF_LENGTH : 0;
	paint_prefix((struct fib4 *)f, (uint32_t)prefix.low, length, leaf);
}

static const struct fib_trie trie4 = {.bits = 32, .needed = needed, .paint = paint};

struct fib *fib4_create(uint32_t *root, uint32_t *pages, uint32_t max_pages)
{
	struct fib4 *fib = calloc(1, sizeof(*fib) + max_pages * sizeof(fib->used[0]));
	if (!fib)
		return NULL;
	fib->root = root;
	fib->pages = pages;
	if (fib_init(&fib->fib, &trie4, max_pages)) {
		fib_destroy(&fib->fib);
		return NULL;
	}
	for (uint32_t i = 0; i < ROOT_SLOTS; i++)
		fib_store(&root[i], 0);
	return &fib->fib;
}
