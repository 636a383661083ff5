/* Byte rings in the arena: one producer, one consumer, either of which may die and come back. */
#ifndef BNG_RING_H
#define BNG_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"

/* Room for a record of len bytes, or NULL (counted in ring->full). Publish before the next one. */
void *ring_reserve(struct ring *ring, uint8_t *bytes, uint32_t len);
/* Producer: whether `n` records of len bytes find room, wherever the ring's end falls. */
bool ring_has_room(const struct ring *ring, uint32_t len, uint64_t n);
void ring_publish(struct ring *ring, uint8_t *bytes, uint32_t len);
/* The oldest record, *len set, or NULL. It stays until ring_consume(). A ring whose positions or
 * lengths are impossible reads as empty. */
const void *ring_peek(struct ring *ring, const uint8_t *bytes, uint32_t *len);
void ring_consume(struct ring *ring, uint32_t len);
/* Consumer, after ring_peek() gave nothing: empties a ring that makes no sense, so that it works
 * again. True when it had to; what was in it is lost. */
bool ring_mend(struct ring *ring, const uint8_t *bytes);

#endif
