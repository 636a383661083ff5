/*
 * Rings of words between two threads of this process: buffers on their way to another worker or
 * home, next hops to resolve. One producer, one consumer.
 */
#ifndef BNG_SPSC_H
#define BNG_SPSC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct spsc {
	_Alignas(64) uint64_t head; /* producer's line */
	uint64_t tail_seen;
	_Alignas(64) uint64_t tail; /* consumer's line */
	_Alignas(64) uint64_t mask;
	uint64_t slot[];
};

/* size: a power of two. NULL when there is no memory; free() it. */
static inline struct spsc *spsc_create(uint64_t size)
{
	struct spsc *r = aligned_alloc(64, sizeof(*r) + (size * sizeof(uint64_t) + 63) / 64 * 64);
	if (r) {
		r->head = r->tail_seen = r->tail = 0;
		r->mask = size - 1;
	}
	return r;
}

/* All n words, or none. */
static inline bool spsc_push_all(struct spsc *r, const uint64_t *words, uint32_t n)
{
	if (r->head + n - r->tail_seen > r->mask + 1) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		if (r->head + n - r->tail_seen > r->mask + 1)
			return false;
	}
	for (uint32_t i = 0; i < n; i++)
		r->slot[(r->head + i) & r->mask] = words[i];
	__atomic_store_n(&r->head, r->head + n, __ATOMIC_RELEASE);
	return true;
}

static inline bool spsc_push(struct spsc *r, uint64_t word)
{
	return spsc_push_all(r, &word, 1);
}

/* Takes up to max words; returns how many. */
static inline uint32_t spsc_pop(struct spsc *r, uint64_t *words, uint32_t max)
{
	uint64_t tail = r->tail;
	uint64_t n = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - tail;
	if (n > max)
		n = max;
	for (uint64_t i = 0; i < n; i++)
		words[i] = r->slot[(tail + i) & r->mask];
	if (n)
		__atomic_store_n(&r->tail, tail + n, __ATOMIC_RELEASE);
	return (uint32_t)n;
}

static inline bool spsc_empty(const struct spsc *r)
{
	return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(&r->tail, __ATOMIC_RELAXED);
}

#endif
