/*
 * A packet buffer: one cache line of metadata, headroom, data. Buffers belong to the pool of the
 * worker that allocated them and go home to it, whichever worker drops them.
 */
#ifndef BNG_PKT_H
#define BNG_PKT_H

#include <sanitizer/asan_interface.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane.h"

enum {
	PKT_HEADROOM = 128,
	PKT_DATA_ROOM = 2048, /* tailroom included */
};

enum pkt_flags {
	PKT_FROM_SESSION = 1, /* came in through a session: `session` is its source */
	PKT_TO_SESSION = 2,   /* `session` is where it goes */
	PKT_ICMP_MADE = 4,    /* made by us: no error is sent about it */
	PKT_TRANSLATED = 8,   /* NAT44 has made a session's address of the one it had */
	PKT_IP6 = 16,	      /* an IPv6 packet */
	PKT_CONTROL = 32,     /* to the port, of routing protocols, ARP or ND: goes out first */
};

/* In pkt.trace: made from that traced packet, to be traced as one of its own. */
enum { PKT_TRACE_COPY = 1 << 15 };

struct pkt {
	struct pkt *link;		 /* free list, hand-off */
	uint32_t session;		 /* index, NO_SESSION */
	uint32_t generation;		 /* of that session, checked after a hand-off */
	uint32_t leaf;			 /* what ip4_lookup or ip6_lookup found */
	uint32_t arg;			 /* between two neighbouring nodes only */
	uint16_t data;			 /* offset of the current header in buf */
	uint16_t len;			 /* bytes from there */
	uint16_t arc;			 /* features still to visit, a bitmap */
	uint16_t outer_vid, inner_vid;	 /* as received */
	uint16_t outer_tpid, inner_tpid; /* 0: no tag */
	uint8_t rx_port;
	uint8_t tx_port;
	uint8_t flags;	      /* enum pkt_flags */
	uint8_t cause;	      /* punt cause, or ICMP type for icmp?_error (code in arg) */
	uint8_t pool;	      /* worker the buffer belongs to */
	uint8_t handoff_node; /* where it continues on the other worker */
	uint32_t trace;	      /* trace_record.packet, 0: not traced */
	uint8_t reserved[8];
	_Alignas(64) uint8_t buf[PKT_HEADROOM + PKT_DATA_ROOM];
};

_Static_assert(offsetof(struct pkt, buf) == 64, "metadata is one cache line");
_Static_assert(sizeof(struct pkt) % 64 == 0, "whole cache lines");

/* First byte of the current header. */
static inline uint8_t *pkt_data(struct pkt *p)
{
	return p->buf + p->data;
}

/* line_key() of where a packet came in, in one load. */
static inline uint64_t pkt_line_key(const struct pkt *p)
{
	uint64_t tags;
	memcpy(&tags, &p->outer_vid, sizeof(tags));
	return (tags & UINT64_C(0xffffffff0fff0fff)) | (uint64_t)(p->rx_port & 15) << 12 |
	       (uint64_t)(p->rx_port >> 4) << 28;
}

_Static_assert(offsetof(struct pkt, inner_vid) == offsetof(struct pkt, outer_vid) + 2 &&
		       offsetof(struct pkt, outer_tpid) == offsetof(struct pkt, outer_vid) + 4 &&
		       offsetof(struct pkt, inner_tpid) == offsetof(struct pkt, outer_vid) + 6,
	"in the order of line_key()");

/* Header of `size` bytes at the current position, or NULL when the packet is shorter. */
static inline void *pkt_header(struct pkt *p, uint16_t size)
{
	return p->len < size ? NULL : pkt_data(p);
}

/* Step over `size` bytes; the caller has checked that they are there. */
static inline void pkt_pull(struct pkt *p, uint16_t size)
{
	p->data = (uint16_t)(p->data + size);
	p->len = (uint16_t)(p->len - size);
}

/* Make room for `size` bytes in front: the headroom is always enough for our own headers. */
static inline void *pkt_push(struct pkt *p, uint16_t size)
{
	p->data = (uint16_t)(p->data - size);
	p->len = (uint16_t)(p->len + size);
	return pkt_data(p);
}

/* For ASan, which knows nothing of buffers in a pool; without it these are empty. In a free buffer
 * nothing may be touched, behind a received frame nothing either. */
static inline void pkt_fence_free(struct pkt *p)
{
	ASAN_POISON_MEMORY_REGION(p->buf, sizeof(p->buf));
}

static inline void pkt_fence_none(struct pkt *p)
{
	ASAN_UNPOISON_MEMORY_REGION(p->buf, sizeof(p->buf));
}

static inline void pkt_fence_end(struct pkt *p)
{
	ASAN_POISON_MEMORY_REGION(pkt_data(p) + p->len, sizeof(p->buf) - p->data - p->len);
}

#endif
