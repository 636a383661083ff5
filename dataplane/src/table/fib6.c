/*
 * The writer of the IPv6 FIB. A prefix lives in the node of its last bits, or in the root when it
 * has no more than 16: there it fills the slots that it covers, but for those of longer ones. What
 * stands below is not touched: a reader remembers the last leaf that it came by. So a change is at
 * most 16 stores (65536 in the root), whatever it covers.
 *
 * What readers can reach changes by single stores, each of which leaves every address with its old
 * or its new leaf; a node that is to stand elsewhere is copied.
 */
#include "fib6.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROOT_BITS = 16,
	ROOT_SLOTS = 1 << ROOT_BITS,
	STEP = 4,
	LAST_UPPER = 60,  /* bits above the last node of the upper half: all paths lead over it */
	MOST_DEPTHS = 29, /* nodes on a path */
	MOST_NEW_NODES =
		4, /* for a prefix: where paths part, what is below anew, LAST_UPPER, its own */
};

struct fib6 {
	struct fib fib;
	struct fib6_view view;
};

/* ---- nodes ---- */

static uint32_t *slots_of(const struct fib6 *fib, uint32_t node)
{
	return &fib->view.slot[(size_t)node * FIB6_SLOTS];
}

static struct fib6_head *head_of(const struct fib6 *fib, uint32_t at)
{
	return &fib->view.head[at & FIB6_NODE];
}

static uint64_t half(struct ip6_words address, uint32_t depth)
{
	return depth < 64 ? address.high : address.low;
}

/* The four bits behind the first `depth`. */
static uint32_t nibble(struct ip6_words address, uint32_t depth)
{
	return half(address, depth) >> (LAST_UPPER - depth % 64) & 15;
}

static uint32_t make_slot(uint32_t node, uint32_t depth)
{
	return LEAF_PAGE | (depth < 64 ? 0u : FIB6_LOWER) |
	       (LAST_UPPER - depth % 64) << FIB6_SHIFT | node;
}

/* Bits above the node that a slot leads to. */
static uint32_t depth_of(uint32_t at)
{
	return (at & FIB6_LOWER ? 64u : 0u) + LAST_UPPER - (at >> FIB6_SHIFT & 63);
}

/* An empty node for the addresses that have the first `depth` bits of this one, under `leaf`;
 * linked by the caller. There is one free: fib_add() has looked. */
static uint32_t node_make(struct fib6 *fib, struct ip6_words address, uint32_t depth, uint32_t leaf)
{
	uint32_t node = fib_take_part(&fib->fib);
	fib->view.head[node] =
		(struct fib6_head){.prefix = half(ip6_masked(address, depth), depth), .leaf = leaf};
	memset(slots_of(fib, node), 0, FIB6_SLOTS * sizeof(uint32_t));
	return node;
}

/* The node that `at` leads to once more, under nothing. */
static uint32_t copy_below(struct fib6 *fib, uint32_t at)
{
	uint32_t node = fib_take_part(&fib->fib);
	fib->view.head[node] = (struct fib6_head){.prefix = head_of(fib, at)->prefix};
	memcpy(slots_of(fib, node), slots_of(fib, at & FIB6_NODE), FIB6_SLOTS * sizeof(uint32_t));
	fib_drop_part(&fib->fib, at & FIB6_NODE);
	return make_slot(node, depth_of(at));
}

/* ---- paths ---- */

/* Bits above the node that prefixes of this length live in. */
static uint32_t home_depth(uint32_t length)
{
	return (length - 1) / STEP * STEP;
}

/* How many of the bits above the node of `at` this address has too, in steps; those of the upper
 * half are known to be its own when the node is of the lower half. */
static uint32_t common_depth(const struct fib6 *fib, uint32_t at, struct ip6_words address)
{
	uint32_t depth = depth_of(at);
	uint64_t other = half(address, depth) ^ head_of(fib, at)->prefix;
	uint32_t same = other ? (uint32_t)__builtin_clzll(other) / STEP * STEP : 64;
	same += depth / 64 * 64;
	return same < depth ? same : depth;
}

/*
 * Slots from the root's down to the node at `depth`, as far as it goes: the last one leads
 * elsewhere, or to that node. Returns how many.
 */
static uint32_t path_to(const struct fib6 *fib, struct ip6_words address, uint32_t depth,
	uint32_t *path[MOST_DEPTHS])
{
	uint32_t n = 0;
	path[n++] = &fib->view.root[address.high >> (64 - ROOT_BITS)];
	for (;;) {
		uint32_t at = *path[n - 1];
		if (!(at & LEAF_PAGE) || depth_of(at) >= depth ||
			common_depth(fib, at, address) < depth_of(at))
			return n;
		path[n++] = &slots_of(fib, at & FIB6_NODE)[nibble(address, depth_of(at))];
	}
}

static bool leads_to(const struct fib6 *fib, uint32_t at, struct ip6_words address, uint32_t depth)
{
	return at & LEAF_PAGE && depth_of(at) == depth && common_depth(fib, at, address) == depth;
}

/* Puts a node between a slot and what it holds, at `depth` or where the address parts from the
 * node that is there now. */
static void split(struct fib6 *fib, uint32_t *slot, struct ip6_words address, uint32_t depth)
{
	uint32_t old = *slot;
	if (!(old & LEAF_PAGE)) {
		fib_store(slot, make_slot(node_make(fib, address, depth, old), depth));
		return;
	}
	uint32_t same = common_depth(fib, old, address);
	depth = same < depth ? same : depth;
	uint64_t prefix = head_of(fib, old)->prefix;
	struct ip6_words others = {.high = prefix, .low = prefix};
	uint32_t node = node_make(fib, address, depth, head_of(fib, old)->leaf);
	slots_of(fib, node)[nibble(others, depth)] = copy_below(fib, old);
	fib_store(slot, make_slot(node, depth));
}

/* The node at `depth` for this address, made when there is none. */
static uint32_t node_at(struct fib6 *fib, struct ip6_words address, uint32_t depth)
{
	uint32_t *path[MOST_DEPTHS];
	for (;;) {
		uint32_t n = path_to(fib, address, depth, path);
		uint32_t *slot = path[n - 1];
		if (leads_to(fib, *slot, address, depth))
			return *slot & FIB6_NODE;
		bool in_upper = n == 1 || depth_of(*path[n - 2]) < LAST_UPPER;
		split(fib, slot, address, depth > LAST_UPPER && in_upper ? LAST_UPPER : depth);
	}
}

/* Takes out nodes that nothing needs any more, from the end of a path upwards. */
static void prune(struct fib6 *fib, struct ip6_words address, uint32_t depth)
{
	uint32_t *path[MOST_DEPTHS];
	for (uint32_t n = path_to(fib, address, depth, path); n-- > 0;) {
		uint32_t at = *path[n];
		if (!(at & LEAF_PAGE))
			continue;
		uint32_t only = 0, used = 0;
		for (uint32_t i = 0; i < FIB6_SLOTS; i++) {
			uint32_t slot = slots_of(fib, at & FIB6_NODE)[i];
			used += slot != 0;
			only = slot ? slot : only;
		}
		if (used == 0) {
			fib_store(path[n], head_of(fib, at)->leaf);
		} else if (used == 1 && only & LEAF_PAGE && !head_of(fib, only)->leaf &&
			   depth_of(at) / 64 == depth_of(only) / 64) {
			fib_store(&head_of(fib, only)->leaf, head_of(fib, at)->leaf);
			fib_store(path[n], only);
		} else {
			return;
		}
		fib_drop_part(&fib->fib, at & FIB6_NODE);
	}
}

/* ---- painting ---- */

/* n slots: leaves, those over nodes among them, that are not longer than this one give way to it.
 * `length` counts from the depth of the slots. */
static void paint_slots(
	struct fib6 *fib, uint32_t *slot, uint32_t n, uint32_t length, uint32_t leaf)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t *at = slot[i] & LEAF_PAGE ? &head_of(fib, slot[i])->leaf : &slot[i];
		if (leaf_length(*at) <= length)
			fib_store(at, leaf);
	}
}

/* Puts leaf wherever this prefix is the longest one. */
static void paint_prefix(struct fib6 *fib, struct ip6_words prefix, uint32_t length, uint32_t leaf)
{
	if (length <= ROOT_BITS) {
		uint32_t *slot = &fib->view.root[prefix.high >> (64 - ROOT_BITS)];
		paint_slots(fib, slot, 1u << (ROOT_BITS - length), length, leaf);
		return;
	}
	uint32_t depth = home_depth(length);
	uint32_t *slot = slots_of(fib, node_at(fib, prefix, depth)) + nibble(prefix, depth);
	paint_slots(fib, slot, 1u << (depth + STEP - length), length - depth, leaf);
}

/* ---- what fib.c asks for ---- */

/* All that it takes to make a node for such a prefix, unless there is one. */
static uint32_t needed(const struct fib *f, struct ip6_words prefix, uint32_t length)
{
	const struct fib6 *fib = (const struct fib6 *)f;
	uint32_t *path[MOST_DEPTHS];
	if (length <= ROOT_BITS)
		return 0;
	uint32_t depth = home_depth(length);
	uint32_t n = path_to(fib, prefix, depth, path);
	return leads_to(fib, *path[n - 1], prefix, depth) ? 0 : MOST_NEW_NODES;
}

static void paint(struct fib *f, struct ip6_words prefix, uint32_t length, uint32_t leaf)
{
	struct fib6 *fib = (struct fib6 *)f;
	bool in_root = length <= ROOT_BITS;
	uint32_t above = in_root ? 0 : home_depth(length);
	uint32_t of = length;
	if (!leaf) /* in the same node: a reader remembers what is above */
		leaf = fib_list_covering(&f->list, prefix, &of, in_root ? 0 : above + 1);
	paint_prefix(fib, prefix, length, leaf ? leaf | (of - above) << LEAF_LENGTH : 0);
	if (!leaf && !in_root)
		prune(fib, prefix, above);
}

static const struct fib_trie trie6 = {.bits = 128, .needed = needed, .paint = paint};

struct fib *fib6_create(const struct fib6_view *view, uint32_t max_nodes)
{
	struct fib6 *fib = calloc(1, sizeof(*fib));
	if (!fib)
		return NULL;
	assert(max_nodes <= FIB6_NODE);
	fib->view = *view;
	if (fib_init(&fib->fib, &trie6, max_nodes)) {
		fib_destroy(&fib->fib);
		return NULL;
	}
	for (uint32_t i = 0; i < ROOT_SLOTS; i++)
		fib_store(&fib->view.root[i], 0);
	return &fib->fib;
}
