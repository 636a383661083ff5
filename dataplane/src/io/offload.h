/*
 * Frames that the kernel has not finished: a host on a veth leaves checksums and segmentation to
 * the device, and PACKET_VNET_HDR says what is left to do. An iterator makes whole frames of one.
 */
#ifndef BNG_OFFLOAD_H
#define BNG_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

struct offload {
	const uint8_t *frame; /* not copied: stays valid until the last frame is made */
	uint32_t len;
	uint32_t done;	     /* payload bytes given out */
	uint16_t mss;	     /* payload bytes of a segment, 0: the frame is whole */
	uint16_t header_len; /* all headers, repeated in every segment */
	uint16_t segment;    /* number of the next one */
	uint16_t pppoe;	     /* offset of the PPPoE header, 0: none */
	uint16_t l3;
	uint16_t l4;
	uint16_t checksum_start; /* of a whole frame: sum from here ... */
	uint16_t checksum_field; /* ... into here; 0: nothing to do */
	uint8_t protocol;
	bool ip6;
	bool finished;
};

/* Looks at a frame from its Ethernet header on. Returns 0, -EMSGSIZE: a frame would not fit into
 * `room` bytes, -EINVAL: header and frame do not agree. */
int offload_start(struct offload *o, const struct virtio_net_hdr *header, const uint8_t *frame,
	uint32_t len, uint32_t room);
/* Puts the next whole frame into out, at most `room` bytes; returns its length, 0: none left. */
uint16_t offload_next(struct offload *o, uint8_t *out);
/* Passes over the next one. */
void offload_skip(struct offload *o);

#endif
