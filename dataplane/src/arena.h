/* The arena: laid out, backed by memory and filled in once, at start. */
#ifndef BNG_ARENA_H
#define BNG_ARENA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dataplane.h"
#include "options.h"
#include "worker.h"

struct arena {
	uint8_t *base;
	uint64_t size;
	int fd;
	bool hugepages;
};

/* Hash over the sizes and offsets of all shared structs. */
uint32_t arena_layout_hash(void);
/* Sections and size for these options; nothing is allocated. */
void arena_plan(const struct options *o, uint32_t n_nodes, struct arena_header *header);
/* One line per section, then the total. */
void arena_print(const struct arena_header *header, FILE *out);
/* Allocates and pre-faults all of it. 0 or -errno, with a line on stderr. */
int arena_create(struct arena *arena, const struct options *o, uint32_t n_nodes);
void arena_destroy(struct arena *arena);
void arena_tables(const struct arena *arena, struct tables *t);

/* Private memory, zeroed; NULL when there is none. *hugepages: whether to try them; whether it did
 * get them. The length that was mapped goes to *mapped, for munmap. */
void *memory_map(uint64_t size, bool *hugepages, uint64_t *mapped);

/* Bytes of a ring. */
static inline uint8_t *ring_bytes(const struct tables *t, const struct ring *ring)
{
	return t->base + ring->offset;
}

#endif
