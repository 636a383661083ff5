/*
 * The writer of the IPv6 FIB. A prefix lives in the node of its last bits, or in the root when it
 * has no more than 16: there it fills the slots that it covers, but for those of longer ones. What
 * stands below is not touched: a reader remembers the last leaf that it came by. So a change is at
 * most 16 stores (65536 in the root), whatever it covers.
 *
 * What readers can reach changes by single stores, each of which leaves every address with its old
 * or its new leaf; a node that is to stand elsewhere is copied.
 *
 * Does not know what a leaf means, nor who reads.
 */
#include "fib6.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fib6_list.h"

enum {
	ROOT_BITS = 16,
	ROOT_SLOTS = 1 << ROOT_BITS,
	STEP = 4,
	LAST_UPPER = 60,  /* bits above the last node of the upper half: all paths lead over it */
	MOST_DEPTHS = 29, /* nodes on a path */
	MOST_NEW_NODES =
		4, /* for a prefix: where paths part, what is below anew, LAST_UPPER, its own */
	LENGTH_AT = 22, /* in a leaf */
};

/* Nodes by number, linked through `next`. */
struct node_list {
	uint32_t head;
	uint32_t n;
};

struct fib6 {
	struct fib6_view view;
	uint32_t *next;		 /* [node] links of the lists */
	struct node_list free;	 /* free to use */
	struct node_list fresh;	 /* unlinked since the last fib6_reclaim() */
	struct node_list rested; /* unlinked before it */
	struct fib6_list list;
	uint32_t reserved; /* nodes for sessions alone */
	uint64_t writes;
};

/* ---- nodes ---- */

static void list_push(struct fib6 *fib, struct node_list *list, uint32_t node)
{
	fib->next[node] = list->head;
	list->head = node;
	list->n++;
}

static uint32_t list_pop(struct fib6 *fib, struct node_list *list)
{
	uint32_t node = list->head;
	list->head = fib->next[node];
	list->n--;
	return node;
}

static void store(uint32_t *slot, uint32_t leaf)
{
	__atomic_store_n(slot, leaf, __ATOMIC_RELEASE);
}

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
 * linked by the caller. There is one free: fib6_add() has looked. */
static uint32_t node_make(struct fib6 *fib, struct ip6_words address, uint32_t depth, uint32_t leaf)
{
	uint32_t node = list_pop(fib, &fib->free);
	fib->view.head[node] =
		(struct fib6_head){.prefix = half(ip6_masked(address, depth), depth), .leaf = leaf};
	memset(slots_of(fib, node), 0, FIB6_SLOTS * sizeof(uint32_t));
	return node;
}

/* The node that `at` leads to once more, under nothing. */
static uint32_t copy_below(struct fib6 *fib, uint32_t at)
{
	uint32_t node = list_pop(fib, &fib->free);
	fib->view.head[node] = (struct fib6_head){.prefix = head_of(fib, at)->prefix};
	memcpy(slots_of(fib, node), slots_of(fib, at & FIB6_NODE), FIB6_SLOTS * sizeof(uint32_t));
	list_push(fib, &fib->fresh, at & FIB6_NODE);
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
		store(slot, make_slot(node_make(fib, address, depth, old), depth));
		return;
	}
	uint32_t same = common_depth(fib, old, address);
	depth = same < depth ? same : depth;
	uint64_t prefix = head_of(fib, old)->prefix;
	struct ip6_words others = {.high = prefix, .low = prefix};
	uint32_t node = node_make(fib, address, depth, head_of(fib, old)->leaf);
	slots_of(fib, node)[nibble(others, depth)] = copy_below(fib, old);
	store(slot, make_slot(node, depth));
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
			store(path[n], head_of(fib, at)->leaf);
		} else if (used == 1 && only & LEAF_PAGE && !head_of(fib, only)->leaf &&
			   depth_of(at) / 64 == depth_of(only) / 64) {
			store(&head_of(fib, only)->leaf, head_of(fib, at)->leaf);
			store(path[n], only);
		} else {
			return;
		}
		list_push(fib, &fib->fresh, at & FIB6_NODE);
	}
}

/* ---- painting ---- */

/* n slots: leaves, those over nodes among them, that are not longer than this one give way to it.
 * `length` counts from the depth of the slots. */
static void paint(struct fib6 *fib, uint32_t *slot, uint32_t n, uint32_t length, uint32_t leaf)
{
	fib->writes++;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t *at = slot[i] & LEAF_PAGE ? &head_of(fib, slot[i])->leaf : &slot[i];
		if (leaf_length(*at) <= length)
			store(at, leaf);
	}
}

/* Puts leaf wherever this prefix is the longest one. */
static void paint_prefix(struct fib6 *fib, struct ip6_words prefix, uint32_t length, uint32_t leaf)
{
	if (length <= ROOT_BITS) {
		uint32_t *slot = &fib->view.root[prefix.high >> (64 - ROOT_BITS)];
		paint(fib, slot, 1u << (ROOT_BITS - length), length, leaf);
		return;
	}
	uint32_t depth = home_depth(length);
	uint32_t *slot = slots_of(fib, node_at(fib, prefix, depth)) + nibble(prefix, depth);
	paint(fib, slot, 1u << (depth + STEP - length), length - depth, leaf);
}

/* As it stands in the trie. */
static uint32_t trie_leaf(uint32_t leaf, uint32_t length)
{
	uint32_t above = length <= ROOT_BITS ? 0 : home_depth(length);
	return leaf ? leaf | (length - above) << LENGTH_AT : 0;
}

/* The best leaf of the longest prefix that covers this one in the same node, or 0. */
static uint32_t covering(const struct fib6 *fib, struct ip6_words prefix, uint32_t length)
{
	uint32_t least = length <= ROOT_BITS ? 0 : home_depth(length) + 1;
	while (length-- > least) {
		if (!fib->list.n_length[length])
			continue;
		struct fib6_offers by =
			fib6_list_look(&fib->list, ip6_masked(prefix, length), length, FIB_SOURCES);
		if (by.best)
			return trie_leaf(by.best, length);
	}
	return 0;
}

/* ---- interface ---- */

struct fib6 *fib6_create(const struct fib6_view *view, uint32_t max_nodes)
{
	struct fib6 *fib = calloc(1, sizeof(*fib));
	if (!fib)
		return NULL;
	assert(max_nodes <= FIB6_NODE);
	fib->view = *view;
	fib->next = calloc((size_t)max_nodes + 1, sizeof(*fib->next));
	if (fib6_list_init(&fib->list) || !fib->next) {
		fib6_destroy(fib);
		return NULL;
	}
	for (uint32_t node = max_nodes; node-- > 0;)
		list_push(fib, &fib->free, node);
	for (uint32_t i = 0; i < ROOT_SLOTS; i++)
		store(&fib->view.root[i], 0);
	return fib;
}

void fib6_destroy(struct fib6 *fib)
{
	if (!fib)
		return;
	fib6_list_free(&fib->list);
	free(fib->next);
	free(fib);
}

void fib6_reserve(struct fib6 *fib, uint32_t nodes)
{
	fib->reserved = nodes;
}

/* There is a node for such a prefix, or room for all that it takes to make one. */
static bool has_room(
	const struct fib6 *fib, struct ip6_words prefix, uint32_t length, enum fib_source source)
{
	uint32_t *path[MOST_DEPTHS];
	if (length <= ROOT_BITS)
		return true;
	uint32_t depth = home_depth(length);
	uint32_t n = path_to(fib, prefix, depth, path);
	if (leads_to(fib, *path[n - 1], prefix, depth))
		return true;
	return fib->free.n >= MOST_NEW_NODES + (source > FIB_LOCAL ? fib->reserved : 0);
}

int fib6_add(struct fib6 *fib, struct ip6_words prefix, uint8_t length, enum fib_source source,
	enum fib_leaf_kind kind, uint32_t index)
{
	if (length > 128 || source >= FIB_SOURCES || kind == LEAF_NONE ||
		leaf_index(index) != index)
		return -EINVAL;
	prefix = ip6_masked(prefix, length);
	if (!has_room(fib, prefix, length, source) || fib6_list_grow(&fib->list))
		return -ENOMEM;
	struct fib6_offers found = fib6_list_look(&fib->list, prefix, length, source);
	uint32_t leaf = leaf_make(kind, index);
	fib6_list_put(&fib->list, &found,
		&(struct fib6_route){.prefix = prefix,
			.leaf = leaf,
			.length = length,
			.source = (uint8_t)source});
	if (source <= found.source && leaf != found.best)
		paint_prefix(fib, prefix, length, trie_leaf(leaf, length));
	return 0;
}

int fib6_del(struct fib6 *fib, struct ip6_words prefix, uint8_t length, enum fib_source source)
{
	if (length > 128 || source >= FIB_SOURCES)
		return -ENOENT;
	prefix = ip6_masked(prefix, length);
	struct fib6_offers found = fib6_list_look(&fib->list, prefix, length, source);
	if (!found.leaf)
		return -ENOENT;
	fib6_list_remove(&fib->list, &found);
	if (source != found.source)
		return 0;
	uint32_t other = fib6_list_look(&fib->list, prefix, length, source).best;
	if (other == found.best)
		return 0;
	uint32_t after = other ? trie_leaf(other, length) : covering(fib, prefix, length);
	paint_prefix(fib, prefix, length, after);
	if (!after && length > ROOT_BITS)
		prune(fib, prefix, home_depth(length));
	return 0;
}

uint32_t fib6_find(
	const struct fib6 *fib, struct ip6_words prefix, uint8_t length, enum fib_source source)
{
	if (length > 128 || source >= FIB_SOURCES)
		return 0;
	return fib6_list_look(&fib->list, ip6_masked(prefix, length), length, source).leaf;
}

void fib6_reclaim(struct fib6 *fib)
{
	while (fib->rested.n)
		list_push(fib, &fib->free, list_pop(fib, &fib->rested));
	fib->rested = fib->fresh;
	fib->fresh = (struct node_list){0};
}

uint32_t fib6_routes(const struct fib6 *fib)
{
	return fib->list.n_routes;
}

uint32_t fib6_nodes_free(const struct fib6 *fib)
{
	return fib->free.n;
}

uint64_t fib6_writes(const struct fib6 *fib)
{
	return fib->writes;
}
