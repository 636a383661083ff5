/*
 * bngd's end of the arena: mapping it, and moving records in and out of its rings in batches, so
 * that Python makes one call for many records.
 */
#ifndef BNG_BINDING_H
#define BNG_BINDING_H

#include <stdint.h>

#include "dataplane.h"

/* cdef begin */

struct binding;

uint64_t binding_arena_magic(void);
uint32_t binding_layout_hash(void);

/* Maps the arena and keeps the descriptors: eventfds, one per ring group. Takes them over. NULL and
 * errno when it cannot be mapped. */
struct binding *binding_map(int arena_fd, uint64_t size, const int *event_fds, uint32_t n_groups);
/* A binding to an arena of this process (embedded mode): nothing to wake. */
struct binding *binding_embedded(void *arena);
void binding_unmap(struct binding *b);

/* Start of the arena: its header. */
struct arena_header *binding_base(struct binding *b);
/* Start of a section, NULL when it is empty. */
void *binding_section(struct binding *b, uint32_t section);

/* Pushes up to n records of len bytes each, one after another in `records`; returns how many found
 * room. */
uint32_t binding_push(struct binding *b, uint32_t group, uint32_t kind, const uint8_t *records,
	uint32_t len, uint32_t n);
/* The same for records of any length, each as binding_pop gives them. Sets *used to the bytes of
 * those that found room. */
uint32_t binding_push_framed(struct binding *b, uint32_t group, uint32_t kind,
	const uint8_t *framed, uint32_t size, uint32_t *used);
/* Wakes a worker if it sleeps; the control thread always. */
void binding_kick(struct binding *b, uint32_t group);

/* Moves records to out as uint32_t length, uint32_t 0, bytes, padding to 8; returns the bytes used.
 */
uint32_t binding_pop(struct binding *b, uint32_t group, uint32_t kind, uint8_t *out, uint32_t size);
/* The same, but the records stay; *position is where the ring is read on from once they are safe.
 */
uint32_t binding_peek(struct binding *b, uint32_t group, uint32_t kind, uint8_t *out, uint32_t size,
	uint64_t *position);
void binding_consume(struct binding *b, uint32_t group, uint32_t kind, uint64_t position);
/* A place in a worker's NAT log; its records stay until binding_consume(). */
struct nat_log_batch {
	uint64_t position; /* in the ring, where to read on */
	uint64_t next;	   /* sequence that comes next; what is before it is passed over */
	uint64_t lost;	   /* sequences that were missing so far */
	uint32_t text;	   /* bytes of text */
	uint32_t other;	   /* 1: the last record has no text, for it is not a mapping's */
};

enum { NAT_LOG_LINE = 160 }; /* more than the longest line has */

/* Reads at most `most` records from *batch on, and writes those of mappings as lines to text, which
 * has room for `most` times NAT_LOG_LINE bytes; stops after a record of another kind. Returns how
 * many records there are. */
uint32_t binding_nat_log(struct binding *b, uint32_t worker, struct nat_log_batch *batch,
	struct nat_log_record *records, uint32_t most, char *text);
/* Bytes waiting in a ring. */
uint64_t binding_pending(struct binding *b, uint32_t group, uint32_t kind);
/* Says that bngd is about to wait on its eventfd; 0: it may, else records came in meanwhile. */
int binding_sleep(struct binding *b);
void binding_awake(struct binding *b);

/* Writes bngd's own record of a session: the spare slot, then the sequence number. 0 or -EINVAL. */
int binding_control_write(struct binding *b, uint32_t session, uint32_t generation,
	const uint8_t *data, uint32_t len, uint32_t crc32);
void binding_control_clear(struct binding *b, uint32_t session);

/* cdef end */

#endif
