/* The FIB of a family as a test calls it: with its arrays, and the inline lookup. Addresses are 16
 * bytes, those of IPv4 in the last four. */
#include <stdlib.h>

#include "table/fib4.h"
#include "table/fib6.h"

struct shim {
	struct fib *fib;
	uint32_t *root;
	uint32_t *pages;
	struct fib6_view view;
};

struct shim *shim_create(int bits, uint32_t parts);
void shim_destroy(struct shim *s);
int shim_add(struct shim *s, const uint8_t *address, uint8_t length, int source, int kind,
	uint32_t index);
int shim_del(struct shim *s, const uint8_t *address, uint8_t length, int source);
uint32_t shim_find(const struct shim *s, const uint8_t *address, uint8_t length, int source);
uint32_t shim_lookup(const struct shim *s, const uint8_t *address);
void shim_reclaim(struct shim *s);
void shim_reserve(struct shim *s, uint32_t parts);
uint32_t shim_routes(const struct shim *s);
uint32_t shim_parts_free(const struct shim *s);
uint32_t shim_root_used(const struct shim *s);

struct shim *shim_create(int bits, uint32_t parts)
{
	struct shim *s = calloc(1, sizeof(*s));
	s->root = calloc(65536, sizeof(uint32_t));
	s->view.root = s->root;
	s->pages = calloc(parts + 1, 1024);
	s->view.head = aligned_alloc(64, ((size_t)parts * 16 + 63) / 64 * 64 + 64);
	s->view.slot = aligned_alloc(64, (size_t)parts * 64 + 64);
	s->fib = bits == 32 ? fib4_create(s->root, s->pages, parts) : fib6_create(&s->view, parts);
	return s;
}

void shim_destroy(struct shim *s)
{
	fib_destroy(s->fib);
	free(s->root);
	free(s->pages);
	free(s->view.head);
	free(s->view.slot);
	free(s);
}

int shim_add(struct shim *s, const uint8_t *address, uint8_t length, int source, int kind,
	uint32_t index)
{
	return fib_add(s->fib, ip6_words(address), length, (enum fib_source)source,
		(enum fib_leaf_kind)kind, index);
}

int shim_del(struct shim *s, const uint8_t *address, uint8_t length, int source)
{
	return fib_del(s->fib, ip6_words(address), length, (enum fib_source)source);
}

uint32_t shim_find(const struct shim *s, const uint8_t *address, uint8_t length, int source)
{
	return fib_find(s->fib, ip6_words(address), length, (enum fib_source)source);
}

uint32_t shim_lookup(const struct shim *s, const uint8_t *address)
{
	if (fib_is_ip4(s->fib))
		return fib4_lookup(s->root, s->pages, (uint32_t)ip6_words(address).low);
	return fib6_lookup(&s->view, address);
}

void shim_reclaim(struct shim *s)
{
	fib_reclaim(s->fib);
}

void shim_reserve(struct shim *s, uint32_t parts)
{
	fib_reserve(s->fib, parts);
}

uint32_t shim_routes(const struct shim *s)
{
	return fib_routes(s->fib);
}

uint32_t shim_parts_free(const struct shim *s)
{
	return fib_parts_free(s->fib);
}

uint32_t shim_root_used(const struct shim *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < 65536; i++)
		n += s->root[i] != 0;
	return n;
}
