/*
 * The IPv6 FIB against a plain list of routes. Twelve bytes are one step: operation, length,
 * source, index, then the ends of the prefix: its first four bytes and its last four. After each
 * step the borders of that prefix are looked up.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "table/fib6.h"

enum { STEP = 12, SOME_NODES = 64, MAX_ROUTES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct known {
	struct ip6_words prefix;
	uint8_t length;
	uint8_t source;
	uint32_t leaf;
};

static struct known known[MAX_ROUTES];
static int n_known;
static uint32_t root[65536], slots[SOME_NODES * FIB6_SLOTS];
static struct fib6_head heads[SOME_NODES];
static const struct fib6_view view = {.root = root, .head = heads, .slot = slots};

static bool covers(const struct known *k, struct ip6_words address)
{
	return same_address(ip6_masked(address, k->length), k->prefix);
}

static struct known *find(struct ip6_words prefix, uint8_t length, uint8_t source)
{
	for (int i = 0; i < n_known; i++)
		if (same_address(known[i].prefix, prefix) && known[i].length == length &&
			known[i].source == source)
			return &known[i];
	return NULL;
}

static uint32_t expected(struct ip6_words address)
{
	const struct known *best = NULL;
	for (int i = 0; i < n_known; i++) {
		const struct known *k = &known[i];
		if (covers(k, address) &&
			(!best || k->length > best->length ||
				(k->length == best->length && k->source < best->source)))
			best = k;
	}
	return best ? best->leaf : 0;
}

static void add(
	struct fib6 *fib, struct ip6_words prefix, uint8_t length, uint8_t source, uint8_t index)
{
	if (n_known == MAX_ROUTES || fib6_add(fib, prefix, length, source, LEAF_SESSION, index))
		return;
	struct ip6_words masked = ip6_masked(prefix, length);
	struct known *k = find(masked, length, source);
	if (!k)
		k = &known[n_known++];
	*k = (struct known){masked, length, source, leaf_make(LEAF_SESSION, index)};
	assert(fib6_find(fib, prefix, length, source) == k->leaf);
}

static void del(struct fib6 *fib, struct ip6_words prefix, uint8_t length, uint8_t source)
{
	struct known *k = find(ip6_masked(prefix, length), length, source);
	int status = fib6_del(fib, prefix, length, source);
	assert((status == 0) == (k != NULL));
	if (k)
		*k = known[--n_known];
}

/* Kind and index count. */
static void check(struct ip6_words address)
{
	uint32_t leaf = fib6_lookup_words(&view, address.high, address.low);
	assert((leaf & ~(63u << 22)) == expected(address));
}

static void step(struct fib6 *fib, const uint8_t *data)
{
	uint32_t first, last;
	memcpy(&first, data + 4, 4);
	memcpy(&last, data + 8, 4);
	struct ip6_words prefix = {.high = (uint64_t)first << 32 | last >> 16, .low = last};
	uint8_t length = data[1] % 129, source = data[2] % FIB_SOURCES;
	if (data[0] % 4 == 0)
		del(fib, prefix, length, source);
	else if (data[0] % 4 == 1)
		fib6_reclaim(fib);
	else
		add(fib, prefix, length, source, data[3]);
	struct ip6_words begin = ip6_masked(prefix, length);
	struct ip6_words end = {.high = begin.high | ~mask64(length < 64 ? length : 64),
		.low = begin.low | ~mask64(length < 64 ? 0 : length - 64u)};
	check(prefix);
	check(begin);
	check(end);
	check((struct ip6_words){begin.high - !begin.low, begin.low - 1});
	check((struct ip6_words){end.high + !~end.low, end.low + 1});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fib6 *fib; /* each input leaves it empty */
	if (!fib)
		fib = fib6_create(&view, SOME_NODES);
	for (; size >= STEP; data += STEP, size -= STEP)
		step(fib, data);
	assert(fib6_routes(fib) <= (uint32_t)n_known);
	while (n_known)
		del(fib, known[0].prefix, known[0].length, known[0].source);
	fib6_reclaim(fib);
	fib6_reclaim(fib);
	assert(fib6_routes(fib) == 0 && fib6_nodes_free(fib) == SOME_NODES);
	return 0;
}
