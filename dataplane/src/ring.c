/*
 * Byte rings: records of 8 bytes of header (uint32_t length, uint32_t 0) and the bytes, padded to
 * 8. The other end may be a process that died in the middle of anything, so whatever is read from
 * the ring is checked before it is used.
 */
#include "ring.h"

#include <string.h>

enum { HEADER_LEN = 8 };

static uint64_t record_size(uint32_t len)
{
	return HEADER_LEN + (((uint64_t)len + 7) & ~UINT64_C(7));
}

static bool sane(const struct ring *ring, uint64_t head, uint64_t tail)
{
	return head - tail <= ring->size && !((head | tail) & 7);
}

/* Where a record of `size` bytes starts when the producer stands at `head`. */
static uint64_t place(const struct ring *ring, uint64_t head, uint64_t size)
{
	uint64_t to_end = ring->size - (head & (ring->size - 1));
	return to_end < size ? head + to_end : head;
}

void *ring_reserve(struct ring *ring, uint8_t *bytes, uint32_t len)
{
	uint64_t head = ring->head;
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	uint64_t size = record_size(len);
	uint64_t start = place(ring, head, size);

	if (size > ring->size / 2 || !sane(ring, head, tail) || start + size - tail > ring->size) {
		__atomic_store_n(&ring->full, ring->full + 1, __ATOMIC_RELAXED);
		return NULL;
	}
	return bytes + (start & (ring->size - 1)) + HEADER_LEN;
}

bool ring_has_room(const struct ring *ring, uint32_t len, uint64_t n)
{
	uint64_t used = ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	/* one of them may have to go round the end, which costs less than one more */
	return used <= ring->size && (n + 1) * record_size(len) <= ring->size - used;
}

void ring_publish(struct ring *ring, uint8_t *bytes, uint32_t len)
{
	uint64_t head = ring->head;
	uint64_t start = place(ring, head, record_size(len));
	uint32_t header[2] = {RING_WRAP, 0};

	if (start != head)
		memcpy(bytes + (head & (ring->size - 1)), header, sizeof(header));
	header[0] = len;
	memcpy(bytes + (start & (ring->size - 1)), header, sizeof(header));
	__atomic_store_n(&ring->head, start + record_size(len), __ATOMIC_RELEASE);
}

const void *ring_peek(struct ring *ring, const uint8_t *bytes, uint32_t *len)
{
	uint64_t tail = ring->tail;
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);

	for (int wraps = 0; wraps < 2; wraps++) {
		if (head == tail || !sane(ring, head, tail))
			return NULL;
		uint64_t offset = tail & (ring->size - 1);
		uint64_t to_end = ring->size - offset;
		memcpy(len, bytes + offset, sizeof(*len));
		if (*len != RING_WRAP) {
			uint64_t size = record_size(*len);
			if (size > head - tail || size > to_end)
				return NULL;
			return bytes + offset + HEADER_LEN;
		}
		if (to_end > head - tail)
			return NULL;
		tail += to_end;
		__atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
	}
	return NULL;
}

void ring_consume(struct ring *ring, uint32_t len)
{
	__atomic_store_n(&ring->tail, ring->tail + record_size(len), __ATOMIC_RELEASE);
}

bool ring_mend(struct ring *ring, const uint8_t *bytes)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	uint32_t len;

	/* What was there before this peek and is no record to it never will be one. */
	if (head == ring->tail || ring_peek(ring, bytes, &len))
		return false;
	__atomic_store_n(&ring->tail, head & ~UINT64_C(7), __ATOMIC_RELEASE);
	return true;
}
