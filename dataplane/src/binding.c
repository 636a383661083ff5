/*
 * bngd's end of the arena. Nothing here trusts the other process further than ring.c does: lengths
 * are bounded by the buffer they are copied to.
 */
#include "binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "ring.h"

struct binding {
	uint8_t *base;
	uint64_t mapped; /* bytes, 0: not ours to unmap */
	uint32_t n_groups;
	int event_fds[MAX_WORKERS + 1];
};

uint64_t binding_arena_magic(void)
{
	return ARENA_MAGIC;
}

uint32_t binding_layout_hash(void)
{
	return arena_layout_hash();
}

static struct arena_header *header(const struct binding *b)
{
	return (struct arena_header *)(void *)b->base;
}

struct binding *binding_map(int arena_fd, uint64_t size, const int *event_fds, uint32_t n_groups)
{
	if (n_groups > MAX_WORKERS + 1) {
		errno = EINVAL;
		return NULL;
	}
	struct binding *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd, 0);
	if (base == MAP_FAILED) {
		free(b);
		return NULL;
	}
	b->base = base;
	b->mapped = size;
	b->n_groups = n_groups;
	memcpy(b->event_fds, event_fds, n_groups * sizeof(int));
	close(arena_fd);
	return b;
}

struct binding *binding_embedded(void *arena)
{
	struct binding *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->base = arena;
	b->n_groups = header(b)->n_workers + 1;
	for (uint32_t g = 0; g < b->n_groups; g++)
		b->event_fds[g] = -1;
	return b;
}

void binding_unmap(struct binding *b)
{
	for (uint32_t g = 0; g < b->n_groups; g++)
		if (b->event_fds[g] >= 0)
			close(b->event_fds[g]);
	if (b->mapped)
		munmap(b->base, b->mapped);
	free(b);
}

struct arena_header *binding_base(struct binding *b)
{
	return header(b);
}

void *binding_section(struct binding *b, uint32_t section)
{
	if (section >= N_SECTIONS || !header(b)->section[section].count)
		return NULL;
	return b->base + header(b)->section[section].offset;
}

static struct ring *ring_of(struct binding *b, uint32_t group, uint32_t kind)
{
	struct ring *rings = binding_section(b, SECTION_RING);
	return &rings[group * RINGS_PER_GROUP + kind];
}

uint32_t binding_push(struct binding *b, uint32_t group, uint32_t kind, const uint8_t *records,
	uint32_t len, uint32_t n)
{
	struct ring *ring = ring_of(b, group, kind);
	uint8_t *bytes = b->base + ring->offset;
	uint32_t i;

	for (i = 0; i < n; i++) {
		void *room = ring_reserve(ring, bytes, len);
		if (!room)
			break;
		memcpy(room, records + (size_t)i * len, len);
		ring_publish(ring, bytes, len);
	}
	return i;
}

uint32_t binding_push_framed(struct binding *b, uint32_t group, uint32_t kind,
	const uint8_t *framed, uint32_t size, uint32_t *used)
{
	struct ring *ring = ring_of(b, group, kind);
	uint8_t *bytes = b->base + ring->offset;
	uint32_t n = 0;

	for (*used = 0; size - *used >= 8; n++) {
		uint32_t len;
		memcpy(&len, framed + *used, sizeof(len));
		uint32_t room = 8 + (len + 7) / 8 * 8;
		void *record =
			len <= size && room <= size - *used ? ring_reserve(ring, bytes, len) : NULL;
		if (!record)
			break;
		memcpy(record, framed + *used + 8, len);
		ring_publish(ring, bytes, len);
		*used += room;
	}
	return n;
}

void binding_kick(struct binding *b, uint32_t group)
{
	const struct worker_shared *workers = binding_section(b, SECTION_WORKER);
	uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (group + 1 < b->n_groups && !__atomic_load_n(&workers[group].sleeping, __ATOMIC_RELAXED))
		return;
	if (b->event_fds[group] >= 0 && write(b->event_fds[group], &one, sizeof(one)) < 0)
		return; /* full counter: it is awake */
}

/* Copies records from a reader's own view of the ring, whose tail moves on. */
static uint32_t copy_records(struct ring *view, const uint8_t *bytes, uint8_t *out, uint32_t size)
{
	uint32_t used = 0;

	for (;;) {
		uint32_t len;
		const void *record = ring_peek(view, bytes, &len);
		if (!record)
			return used;
		uint32_t room = 8 + (len + 7) / 8 * 8;
		if (len > size || room > size - used)
			return used;
		uint32_t head[2] = {len, 0};
		memcpy(out + used, head, sizeof(head));
		memcpy(out + used + 8, record, len);
		used += room;
		ring_consume(view, len);
	}
}

uint32_t binding_pop(struct binding *b, uint32_t group, uint32_t kind, uint8_t *out, uint32_t size)
{
	struct ring *ring = ring_of(b, group, kind);
	return copy_records(ring, b->base + ring->offset, out, size);
}

uint32_t binding_peek(struct binding *b, uint32_t group, uint32_t kind, uint8_t *out, uint32_t size,
	uint64_t *position)
{
	struct ring *ring = ring_of(b, group, kind);
	struct ring view = *ring;
	view.head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	uint32_t used = copy_records(&view, b->base + ring->offset, out, size);
	*position = view.tail;
	return used;
}

void binding_consume(struct binding *b, uint32_t group, uint32_t kind, uint64_t position)
{
	__atomic_store_n(&ring_of(b, group, kind)->tail, position, __ATOMIC_RELEASE);
}

uint64_t binding_pending(struct binding *b, uint32_t group, uint32_t kind)
{
	const struct ring *ring = ring_of(b, group, kind);
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
}

int binding_sleep(struct binding *b)
{
	static const enum ring_kind kinds[] = {RING_COMPLETION, RING_PUNT, RING_EVENT};

	__atomic_store_n(&header(b)->consumer_sleeping, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t g = 0; g < b->n_groups; g++)
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			if (binding_pending(b, g, kinds[k]))
				return 1;
	return 0;
}

void binding_awake(struct binding *b)
{
	__atomic_store_n(&header(b)->consumer_sleeping, 0, __ATOMIC_RELAXED);
}

static struct control_record *control_of(struct binding *b, uint32_t session)
{
	struct control_record *records = binding_section(b, SECTION_CONTROL);
	return session < header(b)->max_sessions ? &records[session] : NULL;
}

int binding_control_write(struct binding *b, uint32_t session, uint32_t generation,
	const uint8_t *data, uint32_t len, uint32_t crc32)
{
	struct control_record *record = control_of(b, session);
	if (!record || len > CONTROL_RECORD_LEN)
		return -EINVAL;
	uint32_t sequence = record->sequence + 1;
	if (!sequence)
		sequence = 2; /* 0 says "no record"; parity is kept */
	struct control_slot *slot = &record->slot[sequence & 1];
	slot->sequence = sequence;
	slot->length = len;
	slot->generation = generation;
	slot->crc32 = crc32;
	memcpy(slot->data, data, len);
	__atomic_store_n(&record->sequence, sequence, __ATOMIC_RELEASE);
	return 0;
}

void binding_control_clear(struct binding *b, uint32_t session)
{
	struct control_record *record = control_of(b, session);
	if (record)
		__atomic_store_n(&record->sequence, 0, __ATOMIC_RELEASE);
}
