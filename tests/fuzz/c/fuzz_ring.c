/*
 * A byte ring whose memory somebody else may write. Steps: two bytes, an operation and a value;
 * the last operations break something. As long as nothing was broken, records come out as they
 * went in. At the end the consumer mends the ring, and it works again.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"

enum { SIZE = 256, MAX_RECORDS = SIZE / 8 };
enum { PUSH, PUSH_MORE, POP, PEEK, POKE, SET_HEAD, SET_TAIL, MEND, OPERATIONS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
	struct ring *ring; /* both in memory of exact size, for the sanitizer */
	uint8_t *bytes;
	bool broken;
	uint8_t lens[MAX_RECORDS]; /* of the records inside; each is full of its length */
	uint32_t n;
};

static void push(struct bench *b, uint8_t len)
{
	uint64_t full = b->ring->full;
	uint8_t *room = ring_reserve(b->ring, b->bytes, len);
	assert(b->ring->full == full + !room);
	if (!room)
		return;
	memset(room, len, len);
	ring_publish(b->ring, b->bytes, len);
	if (b->broken)
		return;
	assert(b->n < MAX_RECORDS);
	b->lens[b->n++] = len;
}

static bool peek(struct bench *b, bool consume)
{
	uint32_t len;
	const uint8_t *record = ring_peek(b->ring, b->bytes, &len);
	assert(b->broken || !record == !b->n);
	if (!record)
		return false;
	for (uint32_t i = 0; i < len; i++)
		assert(record[i] == b->lens[0] || b->broken);
	assert(b->broken || len == b->lens[0]);
	if (!consume)
		return true;
	ring_consume(b->ring, len);
	if (!b->broken)
		memmove(b->lens, b->lens + 1, --b->n);
	return true;
}

static void step(struct bench *b, uint8_t operation, uint8_t value, uint8_t next)
{
	operation %= OPERATIONS;
	b->broken |= operation >= POKE && operation <= SET_TAIL;
	switch (operation) {
	case PUSH:
	case PUSH_MORE:
		push(b, value);
		break;
	case POP:
	case PEEK:
		peek(b, operation == POP);
		break;
	case POKE:
		b->bytes[value] = next;
		break;
	case SET_HEAD:
		b->ring->head = b->ring->tail + (uint64_t)(int64_t)(int8_t)value;
		break;
	case SET_TAIL:
		b->ring->tail = b->ring->head - (uint64_t)(int64_t)(int8_t)value;
		break;
	default:
		assert(!ring_mend(b->ring, b->bytes) || b->broken);
	}
}

/* The producer's position is its own: with a crooked one nothing goes in ever again. */
static void recover(struct bench *b)
{
	b->ring->head &= ~UINT64_C(7);
	b->broken = true;
	for (uint32_t i = 0; peek(b, true); i++)
		assert(i < MAX_RECORDS);
	ring_mend(b->ring, b->bytes);
	assert(b->ring->head == b->ring->tail);
	b->broken = false;
	b->n = 0;
	push(b, 100);
	assert(peek(b, true));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bench b = {calloc(1, sizeof(struct ring)), malloc(SIZE), false, {0}, 0};
	memset(b.bytes, 0, SIZE);
	b.ring->size = SIZE;
	for (; size >= 2; data += 2, size -= 2)
		step(&b, data[0], data[1], size > 2 ? data[2] : 0);
	recover(&b);
	free(b.bytes);
	free(b.ring);
	return 0;
}
