/* The IPv4 FIB against a plain list of routes. Eight bytes are one step: operation, length, source,
 * index, prefix. */
#include "fib_model.h"
#include "table/fib4.h"

enum { STEP = 8, MAX_PAGES = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t root[65536], pages[MAX_PAGES * 256];

static uint32_t lookup(struct ip6_words address)
{
	return fib4_lookup(root, pages, (uint32_t)address.low);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model model = {.lookup = lookup, .parts = MAX_PAGES};
	if (!model.fib)
		model.fib = fib4_create(root, pages, MAX_PAGES);
	for (; size >= STEP; data += STEP, size -= STEP) {
		uint32_t prefix;
		memcpy(&prefix, data + 4, 4);
		model_step(&model, data, (struct ip6_words){.low = prefix});
	}
	model_empty(&model);
	return 0;
}
