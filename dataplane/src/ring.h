/* Byte rings in the arena: one producer, one consumer, either of which may die and come back. */
#ifndef BNG_RING_H
#define BNG_RING_H

#include <stdint.h>

#include "dataplane.h"

/* Room for a record of len bytes, or NULL (counted in ring->full). Publish before the next one. */
void *ring_reserve(struct ring *ring, uint8_t *bytes, uint32_t len);
void ring_publish(struct ring *ring, uint8_t *bytes, uint32_t len);
/* The oldest record, *len set, or NULL. It stays until ring_consume(). A ring whose positions or
 * lengths are impossible reads as empty and is counted in ring->full by the caller. */
const void *ring_peek(struct ring *ring, const uint8_t *bytes, uint32_t *len);
void ring_consume(struct ring *ring, uint32_t len);

#endif
