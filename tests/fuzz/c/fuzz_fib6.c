/* The IPv6 FIB against a plain list of routes. Twelve bytes are one step: operation, length,
 * source, index, then the ends of the prefix: its first four bytes and its last four. */
#include "fib_model.h"
#include "table/fib6.h"

enum { STEP = 12, SOME_NODES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t root[65536], slots[SOME_NODES * FIB6_SLOTS];
static struct fib6_head heads[SOME_NODES];
static const struct fib6_view view = {.root = root, .head = heads, .slot = slots};

static uint32_t lookup(struct ip6_words address)
{
	return fib6_lookup_words(&view, address.high, address.low);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model model = {.lookup = lookup, .parts = SOME_NODES};
	if (!model.fib)
		model.fib = fib6_create(&view, SOME_NODES);
	for (; size >= STEP; data += STEP, size -= STEP) {
		uint32_t first, last;
		memcpy(&first, data + 4, 4);
		memcpy(&last, data + 8, 4);
		model_step(&model, data,
			(struct ip6_words){
				.high = (uint64_t)first << 32 | last >> 16, .low = last});
	}
	model_empty(&model);
	return 0;
}
