/* What a test needs of fib6 beyond its interface: the inline lookup, and speed measurements. */
#include <stdlib.h>
#include <x86intrin.h>

#include "table/fib6.h"

struct shim {
	struct fib6_view view;
	struct fib6 *fib;
	uint32_t max_nodes;
};

struct shim *shim_create(uint32_t max_nodes);
void shim_destroy(struct shim *s);
int shim_add(struct shim *s, const uint8_t *address, uint8_t length, int source, int kind,
	uint32_t index);
int shim_del(struct shim *s, const uint8_t *address, uint8_t length, int source);
uint32_t shim_find(const struct shim *s, const uint8_t *address, uint8_t length, int source);
uint32_t shim_lookup(const struct shim *s, const uint8_t *address);
void shim_reclaim(struct shim *s);
void shim_reserve(struct shim *s, uint32_t nodes);
uint32_t shim_routes(const struct shim *s);
uint32_t shim_nodes_free(const struct shim *s);
uint32_t shim_root_used(const struct shim *s);
double shim_clocks(const struct shim *s, const uint8_t *addresses, uint32_t n, uint32_t rounds);

struct shim *shim_create(uint32_t max_nodes)
{
	struct shim *s = calloc(1, sizeof(*s));
	s->max_nodes = max_nodes;
	s->view.root = calloc(65536, sizeof(uint32_t));
	s->view.head = aligned_alloc(64, ((size_t)max_nodes * 16 + 63) / 64 * 64 + 64);
	s->view.slot = aligned_alloc(64, (size_t)max_nodes * 64 + 64);
	s->fib = fib6_create(&s->view, max_nodes);
	return s;
}

void shim_destroy(struct shim *s)
{
	fib6_destroy(s->fib);
	free(s->view.root);
	free(s->view.head);
	free(s->view.slot);
	free(s);
}

int shim_add(struct shim *s, const uint8_t *address, uint8_t length, int source, int kind,
	uint32_t index)
{
	return fib6_add(s->fib, ip6_words(address), length, (enum fib_source)source,
		(enum fib_leaf_kind)kind, index);
}

int shim_del(struct shim *s, const uint8_t *address, uint8_t length, int source)
{
	return fib6_del(s->fib, ip6_words(address), length, (enum fib_source)source);
}

uint32_t shim_find(const struct shim *s, const uint8_t *address, uint8_t length, int source)
{
	return fib6_find(s->fib, ip6_words(address), length, (enum fib_source)source);
}

uint32_t shim_lookup(const struct shim *s, const uint8_t *address)
{
	return fib6_lookup(&s->view, address);
}

void shim_reclaim(struct shim *s)
{
	fib6_reclaim(s->fib);
}

void shim_reserve(struct shim *s, uint32_t nodes)
{
	fib6_reserve(s->fib, nodes);
}

uint32_t shim_routes(const struct shim *s)
{
	return fib6_routes(s->fib);
}

uint32_t shim_nodes_free(const struct shim *s)
{
	return fib6_nodes_free(s->fib);
}

uint32_t shim_root_used(const struct shim *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < 65536; i++)
		n += s->view.root[i] != 0;
	return n;
}

/* Clocks a lookup takes, the least of all rounds over these addresses. */
double shim_clocks(const struct shim *s, const uint8_t *addresses, uint32_t n, uint32_t rounds)
{
	uint64_t least = UINT64_MAX;
	volatile uint32_t sum = 0;
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t found = 0;
		uint64_t start = __rdtsc();
		for (uint32_t i = 0; i < n; i++)
			found += fib6_lookup(&s->view, &addresses[i * 16]);
		uint64_t took = __rdtsc() - start;
		least = took < least ? took : least;
		sum = found;
	}
	(void)sum;
	return (double)least / n;
}
