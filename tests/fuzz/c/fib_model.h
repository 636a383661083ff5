/* A FIB against a plain list of routes, for the fuzzers of both families. */
#ifndef BNG_FIB_MODEL_H
#define BNG_FIB_MODEL_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "table/fib.h"

enum { MAX_ROUTES = 128 };

struct known {
	struct ip6_words prefix;
	uint8_t length;
	uint8_t source;
	uint32_t leaf;
};

struct model {
	struct fib *fib; /* each input leaves it empty */
	uint32_t parts;
	uint32_t (*lookup)(struct ip6_words address);
	struct known known[MAX_ROUTES];
	uint32_t n_known;
};

static struct ip6_words model_masked(
	const struct model *m, struct ip6_words prefix, uint32_t length)
{
	return ip6_masked(prefix, 128u - m->fib->trie->bits + length);
}

static struct known *model_find(
	struct model *m, struct ip6_words prefix, uint8_t length, uint8_t source)
{
	for (uint32_t i = 0; i < m->n_known; i++)
		if (same_address(m->known[i].prefix, prefix) && m->known[i].length == length &&
			m->known[i].source == source)
			return &m->known[i];
	return NULL;
}

static const struct known *model_expected(const struct model *m, struct ip6_words address)
{
	const struct known *best = NULL;
	for (uint32_t i = 0; i < m->n_known; i++) {
		const struct known *k = &m->known[i];
		if (same_address(model_masked(m, address, k->length), k->prefix) &&
			(!best || k->length > best->length ||
				(k->length == best->length && k->source < best->source)))
			best = k;
	}
	return best;
}

static void model_add(
	struct model *m, struct ip6_words prefix, uint8_t length, uint8_t source, uint8_t index)
{
	if (m->n_known == MAX_ROUTES ||
		fib_add(m->fib, prefix, length, source, LEAF_SESSION, index))
		return;
	struct ip6_words masked = model_masked(m, prefix, length);
	struct known *k = model_find(m, masked, length, source);
	if (!k)
		k = &m->known[m->n_known++];
	*k = (struct known){masked, length, source, leaf_make(LEAF_SESSION, index)};
	assert(fib_find(m->fib, prefix, length, source) == k->leaf);
}

static void model_del(struct model *m, struct ip6_words prefix, uint8_t length, uint8_t source)
{
	struct known *k = model_find(m, model_masked(m, prefix, length), length, source);
	int status = fib_del(m->fib, prefix, length, source);
	assert((status == 0) == (k != NULL));
	if (k)
		*k = m->known[--m->n_known];
}

/* Kind and index count, and the length in the leaves of IPv4. */
static void model_check(const struct model *m, struct ip6_words address)
{
	const struct known *k = model_expected(m, address);
	uint32_t leaf = m->lookup(address);
	assert((leaf & ~(63u << LEAF_LENGTH)) == (k ? k->leaf : 0));
	assert(!fib_is_ip4(m->fib) || leaf_length(leaf) == (k ? k->length : 0));
}

/* Does what four bytes say, operation, length, source, index, and looks the borders up. */
static void model_step(struct model *m, const uint8_t *data, struct ip6_words prefix)
{
	uint32_t bits = m->fib->trie->bits;
	struct ip6_words all = {
		.high = bits == 128 ? UINT64_MAX : 0, .low = bits == 128 ? UINT64_MAX : UINT32_MAX};
	uint8_t length = (uint8_t)(data[1] % (bits + 1)), source = data[2] % FIB_SOURCES;
	if (data[0] % 4 == 0)
		model_del(m, prefix, length, source);
	else if (data[0] % 4 == 1)
		fib_reclaim(m->fib);
	else
		model_add(m, prefix, length, source, data[3]);
	struct ip6_words begin = model_masked(m, prefix, length);
	struct ip6_words rest = model_masked(m, all, length);
	struct ip6_words end = {
		begin.high | (all.high ^ rest.high), begin.low | (all.low ^ rest.low)};
	model_check(m, prefix);
	model_check(m, begin);
	model_check(m, end);
	model_check(m, (struct ip6_words){
			       (begin.high - !begin.low) & all.high, (begin.low - 1) & all.low});
	model_check(
		m, (struct ip6_words){(end.high + !~end.low) & all.high, (end.low + 1) & all.low});
}

static void model_empty(struct model *m)
{
	assert(fib_routes(m->fib) == m->n_known);
	while (m->n_known)
		model_del(m, m->known[0].prefix, m->known[0].length, m->known[0].source);
	fib_reclaim(m->fib);
	fib_reclaim(m->fib);
	assert(fib_routes(m->fib) == 0 && fib_parts_free(m->fib) == m->parts);
}

#endif
