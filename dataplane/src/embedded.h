/*
 * Embedded mode: the whole dataplane inside one process, without threads, for node tests, fuzzing
 * and benchmarks. The same start code as bng-dataplane, the same nodes, the same graph.
 */
#ifndef BNG_EMBEDDED_H
#define BNG_EMBEDDED_H

#include <stdint.h>

#include "dataplane.h"

/* cdef begin */

struct embedded;

/* Metadata of a frame handed to a node, and of what came back. */
struct embedded_frame {
	uint32_t session; /* 0xffffffff: none */
	uint32_t leaf;
	uint32_t arg;
	uint16_t skip; /* bytes from the start of the frame to the current header */
	uint16_t arc;
	uint16_t outer_vid, inner_vid, outer_tpid, inner_tpid;
	uint8_t rx_port;
	uint8_t tx_port;
	uint8_t flags;
	uint8_t cause;
	uint16_t len;  /* bytes of the frame */
	uint16_t edge; /* out: the edge the node chose */
	uint8_t bytes[2048];
};

/* Arguments as on the command line of bng-dataplane. NULL on error, text on stderr. */
struct embedded *embedded_create(int argc, char **argv);
void embedded_destroy(struct embedded *e);
void *embedded_arena(struct embedded *e);
/* Sets the clock; it stands still in between. */
void embedded_set_time(struct embedded *e, uint64_t monotonic_ns);
/* Runs one node over n <= BURST_SIZE frames, in place; packets go no further. 0 or -errno (no such
 * node). */
int embedded_run_node(struct embedded *e, uint32_t worker, const char *node,
	struct embedded_frame *frames, uint32_t n);
/* Puts frames on a port's receive side (driver "gen", mode queue). */
int embedded_put(
	struct embedded *e, uint32_t port, const struct embedded_frame *frames, uint32_t n);
/* Runs worker loops until nothing moves; commands and inject records in the rings are taken as in
 * the real loop. */
int embedded_run(struct embedded *e);
/* Both. */
int embedded_receive(
	struct embedded *e, uint32_t port, const struct embedded_frame *frames, uint32_t n);
/* Frames that left through a port of driver "gen" since the last call; returns how many. */
int embedded_transmitted(
	struct embedded *e, uint32_t port, struct embedded_frame *frames, uint32_t max);
/* Keeps n buffers of a worker from it, as a device does that has not sent them yet, in place of
 * those that were kept before. Returns how many it has. */
uint32_t embedded_hold(struct embedded *e, uint32_t worker, uint32_t n);
/* Packet buffers not in a free list: 0 when nothing leaks. */
uint32_t embedded_buffers_in_use(struct embedded *e);

/* cdef end */

#endif
