/*
 * Fragments that came before the first one of their datagram. They wait for it in the order they
 * came, a short time, and only so many: those that waited longest give way, so that a flood of
 * fragments without a first one costs nobody but those that are out of order at that moment.
 */
#ifndef BNG_NAT44_HELD_H
#define BNG_NAT44_HELD_H

#include <stdint.h>

#include "pkt.h"
#include "table/nat44_fragment.h"

enum {
	NAT44_HELD_MOST = 256,	/* of a worker */
	NAT44_HELD_SHARE = 8,	/* and no more than an eighth of a pool, by all workers */
	NAT44_HELD_OF_ONE = 48, /* of a datagram; 65,535 bytes over Ethernet are 45 fragments */
	NAT44_HELD_MS = 2000,	/* what overtakes by more is lost to most receivers, too */
};

/* A ring: what was held first stands first; a place whose packet was let go is empty. */
struct nat44_held {
	uint32_t size;	      /* power of two, or 0: nothing is held */
	uint32_t first, next; /* count up; the place is what size - 1 leaves */
	uint32_t hash[NAT44_HELD_MOST];
	uint32_t since_ms[NAT44_HELD_MOST];
	struct nat44_datagram_key key[NAT44_HELD_MOST];
	struct pkt *pkt[NAT44_HELD_MOST]; /* NULL: empty */
};

void nat44_held_init(struct nat44_held *held, const struct worker *w);
/* How many fragments of a datagram are held. */
uint32_t nat44_held_of(const struct worker *w, const struct nat44_held *held,
	const struct nat44_datagram_key *key);
/* Holds one, at the end; the caller has seen to it that there is room. */
void nat44_held_append(const struct worker *w, struct nat44_held *held,
	const struct nat44_datagram_key *key, struct pkt *p);
/* Lets go the first fragment of a datagram that is held, or NULL. */
struct pkt *nat44_held_take(
	const struct worker *w, struct nat44_held *held, const struct nat44_datagram_key *key);
/* Lets go the one that waited longest: any, or only when its time is over; NULL: there is none. */
struct pkt *nat44_held_oldest(struct nat44_held *held);
struct pkt *nat44_held_overdue(const struct worker *w, struct nat44_held *held);

static inline bool nat44_held_is_full(const struct nat44_held *held)
{
	return held->next - held->first == held->size;
}

#endif
