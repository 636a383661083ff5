/*
 * Frames of a device by a packet socket and a ring that the kernel fills: all of them, or those of
 * some sorts (packet_filter.h).
 */
#ifndef BNG_PACKET_RING_H
#define BNG_PACKET_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "../driver.h"
#include "offload.h"
#include "packet_filter.h"

struct packet_ring {
	int fd; /* -1: not open */
	uint8_t *bytes;
	uint32_t n_slots;
	uint32_t slot;	  /* the next one to look at */
	bool in_progress; /* ... is being taken apart by `offload` */
	struct offload offload;
	uint16_t tpid; /* outer tag of that frame, 0: none */
	uint16_t tci;
	uint8_t *large; /* a frame that no slot holds */
	uint32_t stats_ms;
	uint64_t lost; /* frames, for want of a slot */
};

/* Bound last: nothing arrives before all options are set. Returns 0 or -errno; close it in either
 * case. */
int packet_ring_open(
	struct packet_ring *r, const struct port *port, uint32_t n_slots, unsigned sorts);
void packet_ring_close(struct packet_ring *r);
/* As driver.rx; nothing when it is not open. What is lost is counted in rx_errors too. */
uint16_t packet_ring_rx(struct packet_ring *r, struct port *port, struct worker *w,
	struct pkt **pkts, uint16_t max);
/* Binds a packet socket to the device; protocol 0: it hears nothing. Returns 0 or -errno. */
int packet_bind(int fd, const struct port *port, uint16_t protocol);

#endif
