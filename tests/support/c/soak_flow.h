/* What the packets of flows are, byte by byte: as they are sent, and as they must arrive. */
#ifndef SOAK_FLOW_H
#define SOAK_FLOW_H

#include "soak.h"

struct soak_mark { /* in each packet, behind UDP */
	uint32_t flow;
	uint32_t number;
	uint16_t incarnation;
} __attribute__((packed));

/* What a frame that leaves is. */
enum soak_sort {
	SOAK_CONTROL, /* for the device: of the link, of the session, of the kernel */
	SOAK_OTHER,
	SOAK_INNER, /* that, and to the network with an inner address (RFC 6598) */
	SOAK_OURS,  /* a flow's: the mark is there */
};

enum soak_sort soak_sort(int direction, const uint8_t *frame, uint16_t len, struct soak_mark *mark);

/* Takes the public end of the first packet of a flow that left. */
void soak_learn(struct soak_flow *flow, const uint8_t *frame);

enum soak_place { SOAK_SENT, SOAK_ARRIVED };

struct soak_packet {
	const struct soak_flow *flow;
	struct soak_mark mark;
	int direction;
	enum soak_place place;
};

/* Writes the frame of a packet, sent to or by our port with `mac`; returns its length, less than
 * SOAK_FRAME_ROOM. */
uint16_t soak_write(const struct soak_header *area, const struct soak_packet *packet,
	const uint8_t mac[6], uint8_t *frame);

#endif
