/*
 * The FIB against a plain list of routes. Eight bytes are one step: operation, length, source,
 * index, prefix. After each step the borders of that prefix are looked up both ways.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "table/fib4.h"

enum { STEP = 8, MAX_PAGES = 32, MAX_ROUTES = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct known {
	uint32_t prefix;
	uint8_t length;
	uint8_t source;
	uint32_t leaf;
};

static struct known known[MAX_ROUTES];
static int n_known;
static uint32_t root[65536], pages[MAX_PAGES * 256];

static uint32_t mask(unsigned length)
{
	return length ? ~0u << (32 - length) : 0;
}

static struct known *find(uint32_t prefix, uint8_t length, uint8_t source)
{
	for (int i = 0; i < n_known; i++)
		if (known[i].prefix == prefix && known[i].length == length &&
			known[i].source == source)
			return &known[i];
	return NULL;
}

static uint32_t expected(uint32_t address)
{
	const struct known *best = NULL;
	for (int i = 0; i < n_known; i++) {
		const struct known *k = &known[i];
		if ((address & mask(k->length)) != k->prefix)
			continue;
		if (!best || k->length > best->length ||
			(k->length == best->length && k->source < best->source))
			best = k;
	}
	return best ? best->leaf : 0;
}

static void add(struct fib4 *fib, uint32_t prefix, uint8_t length, uint8_t source, uint8_t index)
{
	if (n_known == MAX_ROUTES || fib4_add(fib, prefix, length, source, LEAF_SESSION, index))
		return;
	struct known *k = find(prefix & mask(length), length, source);
	if (!k)
		k = &known[n_known++];
	*k = (struct known){prefix & mask(length), length, source,
		leaf_make(LEAF_SESSION, index) | (uint32_t)length << 22};
}

static void del(struct fib4 *fib, uint32_t prefix, uint8_t length, uint8_t source)
{
	struct known *k = find(prefix & mask(length), length, source);
	int status = fib4_del(fib, prefix, length, source);
	assert((status == 0) == (k != NULL));
	if (k)
		*k = known[--n_known];
}

static void check(uint32_t address)
{
	assert(fib4_lookup(root, pages, address) == expected(address));
}

static void step(struct fib4 *fib, const uint8_t *data)
{
	uint32_t prefix;
	memcpy(&prefix, data + 4, 4);
	uint8_t length = data[1] % 33, source = data[2] % FIB_SOURCES;
	if (data[0] % 4 == 0)
		del(fib, prefix, length, source);
	else if (data[0] % 4 == 1)
		fib4_reclaim(fib);
	else
		add(fib, prefix, length, source, data[3]);
	check(prefix);
	check(prefix & mask(length));
	check((prefix & mask(length)) - 1);
	check(prefix | ~mask(length));
	check((prefix | ~mask(length)) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fib4 *fib; /* each input leaves it empty */
	if (!fib)
		fib = fib4_create(root, pages, MAX_PAGES);
	for (; size >= STEP; data += STEP, size -= STEP)
		step(fib, data);
	assert(fib4_routes(fib) <= (uint32_t)n_known);
	while (n_known)
		del(fib, known[0].prefix, known[0].length, known[0].source);
	fib4_reclaim(fib);
	fib4_reclaim(fib);
	assert(fib4_routes(fib) == 0 && fib4_pages_free(fib) == MAX_PAGES);
	return 0;
}
